"""Every setting, read once at start from the environment and an optional TOML file into frozen objects.

Names in the environment are the field names in upper case; the TOML file has the same names in lower case, and one table
`[connections.<name>]` for each further pair of a Chargebee site and a m3ter organisation. The environment wins over the
file. A name with `_FILE` appended in the environment names a file that holds the value.
"""

import ipaddress
import os
import re
import tomllib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from connector.errors import Misconfigured

DEFAULT_CONNECTION = "default"
CONFIG_FILE = "config/connector.toml"
LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
DATABASES = ("sqlite:", "postgresql+psycopg:")
REDIS_SCHEMES = ("redis:", "rediss:", "unix:")
# An empty secret would let everybody in who gives none.
Secret = Annotated[SecretStr, Field(min_length=1)]
# Whoever guesses what signs the console's sessions is whom they want to be.
LongSecret = Annotated[SecretStr, Field(min_length=32)]


class Connection(BaseModel):
    """One Chargebee site with one m3ter organisation."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    chargebee_site: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$", description="the site's name, with `-test` for a test site"
    )
    chargebee_api_key: Secret = Field(description="a full-access API key of the site")
    chargebee_api_url: str | None = Field(None, description="instead of https://<site>.chargebee.com/api/v2")
    chargebee_app_url: str | None = Field(
        None, description="where Chargebee's own pages are, instead of https://<site>.chargebee.com"
    )
    chargebee_webhook_username: Secret | None = Field(None, description="basic auth of the webhook; unset: 503")
    chargebee_webhook_password: Secret | None = Field(None, description="basic auth of the webhook; unset: 503")
    chargebee_webhook_previous_username: Secret | None = Field(None, description="the old one, while rotating")
    chargebee_webhook_previous_password: Secret | None = Field(None, description="the old one, while rotating")
    m3ter_org_id: str = Field(pattern=r"^[0-9a-fA-F-]{36}$", description="the organisation's id, 36 characters")
    m3ter_api_key: Secret = Field(description="access key id of a service user")
    m3ter_api_secret: Secret = Field(description="its secret")
    m3ter_api_url: str | None = Field(None, description="instead of https://api.m3ter.com")
    m3ter_console_url: str | None = Field(
        None,
        pattern=r"\{id\}",
        description="the address of a page in m3ter's console, with `{kind}` and `{id}` in it; unset: no links there",
    )
    m3ter_webhook_secret: Secret | None = Field(None, description="signs m3ter's webhook; unset: 503")
    m3ter_webhook_previous_secret: Secret | None = Field(None, description="the old one, while rotating")
    m3ter_webhook_signature_header: str | None = Field(
        None, description="header that carries the signature; unset: 503"
    )
    m3ter_webhook_signature_scheme: Literal["hmac-sha256-hex", "hmac-sha256-base64"] | None = Field(
        None, description="`hmac-sha256-hex` or `hmac-sha256-base64` over the raw body; unset: 503"
    )
    m3ter_fallback_email: str | None = Field(
        None, pattern=r"^[^@\s]+@[^@\s]+$", description="for customers without an e-mail; unset: they park"
    )
    currency_exponents: dict[str, Literal[0, 2]] = Field(
        default_factory=dict,
        description="decimals of Chargebee's minor unit where its list is not settled, e.g. `CLP=0`",
    )
    push_bills_from: date | None = Field(
        None, description="bills whose period ends before this day are left alone; unset: the day of the installation"
    )
    max_bill_lines: int = Field(500, ge=1, description="a bill of more charges parks before the first is sent")
    max_invoice_lines: int = Field(
        700,
        ge=1,
        description="no invoice is let grow past so many lines; more only on a site with Enterprise-scale Invoicing",
    )
    push_customers: tuple[str, ...] = Field(
        (), description="push only bills of these Chargebee customers, comma separated"
    )
    push_not_customers: tuple[str, ...] = Field((), description="push no bills of these customers, comma separated")
    max_bill_amount: Decimal | None = Field(
        None, gt=0, description="a bill of more than this, in its own currency, parks until a person lets it go on"
    )
    max_bill_change_percent: int | None = Field(
        None, ge=1, description="a bill that differs more than this from the account's last one parks likewise"
    )
    two_people_above: Decimal | None = Field(
        None,
        ge=0,
        description="a bill of more than this needs the approval of two people, by `connector bills approve` or in the console",
    )
    shadow: bool = Field(False, description="plan bills and say what would be sent, but send nothing")
    group_lines: Literal["auto", "always", "never"] = Field(
        "auto", description="whether bill lines of one charge item and period become one charge; the receipt shows each"
    )
    group_lines_above: int = Field(200, ge=1, description="with GROUP_LINES=auto, bills of more charges are grouped")
    negative_lines: Literal["net", "promotional_credit", "credit_note", "park"] = Field(
        "net",
        description="what becomes of credits, drawn balances and the like: taken off charges of the same bill, or …",
    )
    negative_lines_by_type: dict[str, Literal["net", "promotional_credit", "credit_note", "park"]] = Field(
        default_factory=dict, description="the same for single line types, e.g. `CREDIT_MEMO=promotional_credit`"
    )
    negative_total: Literal["park", "promotional_credit", "credit_note"] = Field(
        "park", description="what becomes of credits that are more than all charges of their bill"
    )
    late_bills: Literal["park", "next_invoice", "unbilled_charge", "own_invoice"] = Field(
        "park",
        description="what becomes of a bill whose invoice is closed: it parks, or goes on the next one, or …",
    )
    charge_bills: Literal["unbilled_charge", "next_invoice", "own_invoice", "late_bills"] = Field(
        "unbilled_charge",
        description="what becomes of a bill of charges alone, such as a top-up's, whose day has no pending invoice",
    )
    wait_for_invoice_days: int = Field(
        7, ge=0, description="a bill waits this long for its pending invoice after the end of its period"
    )
    foreign_lines: Literal["park", "ignore"] = Field(
        "park", description="what to do about lines with the connector's charge items that somebody else added"
    )
    auto_close_days: Decimal | None = Field(
        None,
        gt=0,
        le=50,
        description="after so many days the site closes pending invoices by itself, as set there; `0.5` is 12 hours",
    )
    close_alarm_hours: int = Field(
        24, ge=0, description="an alarm when an invoice closes before its bill is on it with this to spare"
    )
    chargebee_calls_per_minute: int = Field(
        100, ge=1, description="calls that the site allows us; how long pushes will take is worked out from it"
    )
    close_invoices: bool = Field(
        False, description="close an invoice once all of the account's bills for its period are on it"
    )
    lock_bills: bool = Field(
        False, description="lock a bill in m3ter once it is pushed; it cannot be calculated again then"
    )
    top_up_amount: Literal["gross", "net"] = Field(
        "net", description="what a top-up sold in Chargebee credits: its price, or the price less its discounts"
    )
    consolidated_invoicing: bool = Field(
        False, description="whether the site puts several subscriptions on one invoice"
    )
    meter_trials: bool = Field(
        True, description="whether usage in a trial is billed: a plan starts with the trial or after it"
    )
    subscription_changes: Literal["metered", "always"] = Field(
        "metered",
        description="`metered`: a plan is replaced when its item price changes; `always`: also for a quantity or price",
    )
    plan_bill_epoch: Literal["term", "organization"] = Field(
        "term", description="`term`: m3ter bills a plan on the days on which its subscription renews"
    )
    m3ter_timezone: str = Field("UTC", description="the organisation's time zone, in which m3ter's billing days begin")
    account_hierarchy: Literal["mirror", "flat"] = Field(
        "mirror", description="`mirror`: a customer whose invoices go to its parent becomes a child account"
    )
    scope_custom_field: str | None = Field(
        None,
        pattern=r"^cf_\w+=.+$",
        description="only customers or subscriptions with this custom field, e.g. `cf_metered=true`",
    )
    scope_item_families: tuple[str, ...] = Field((), description="only items of these families, comma separated")
    scope_business_entities: tuple[str, ...] = Field((), description="only these business entities, comma separated")
    scope_currencies: tuple[str, ...] = Field((), description="only subscriptions in these currencies, comma separated")

    @field_validator(
        "scope_item_families", "scope_business_entities", "scope_currencies", "push_customers", "push_not_customers",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _names(cls, value: object) -> object:
        return [name.strip() for name in value.split(",")] if isinstance(value, str) else value

    @field_validator("m3ter_timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("must be a name of the tz database, e.g. Europe/Berlin")
        return value

    @field_validator("negative_lines_by_type", mode="before")
    @classmethod
    def _ways(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [re.fullmatch(r"\s*([A-Z_]+)\s*=\s*(\w+)\s*", pair) for pair in value.split(",")]
        if not all(pairs):
            raise ValueError("should look like CREDIT_MEMO=promotional_credit,BALANCE_CONSUMED=net")
        return {pair[1]: pair[2] for pair in pairs if pair}

    @field_validator("currency_exponents", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [re.fullmatch(r"\s*([A-Z]{3})\s*=\s*(\d)\s*", pair) for pair in value.split(",")]
        if not all(pairs):
            raise ValueError("should look like CLP=0,VND=0")
        return {pair[1]: int(pair[2]) for pair in pairs if pair}

    @field_validator("chargebee_api_url", "chargebee_app_url", "m3ter_api_url", "m3ter_console_url")
    @classmethod
    def _safe_url(cls, value: str | None) -> str | None:
        return None if value is None else _web_address(value)


def _web_address(value: str) -> str:
    """The address, if it is one that a secret may be sent to; else ValueError, which does not repeat it."""
    parts = urlsplit(value)
    if "@" in parts.netloc:
        raise ValueError("must not hold a user or password")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOCAL_HOSTS):
        raise ValueError("must start with https:// (http:// only on this machine)")
    if not parts.hostname or _is_link_local(parts.hostname):
        raise ValueError("must name a host")
    return value


def _is_link_local(host: str) -> bool:
    """Whether this is an address such as 169.254.169.254, where cloud machines keep their own credentials."""
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False


class Settings(BaseModel):
    """What the whole installation shares, and its connections by name."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    database_url: str = Field(
        "sqlite:///var/connector.db",
        repr=False,  # both URLs may hold a password
        description="SQLite, or postgresql+psycopg://… for more than one host",
    )
    redis_url: str | None = Field(
        None, repr=False, description="unset: `make demo` and `make run` start an embedded server"
    )
    web_host: str = Field("127.0.0.1", description="address that the web process listens on")
    web_port: int = Field(8080, ge=1, le=65535, description="port that the web process listens on")
    web_processes: int = Field(2, ge=1, description="web server processes")
    web_trusted_hosts: str | None = Field(
        None, description="host names the web process answers to, comma separated; unset: all"
    )
    max_body_bytes: int = Field(2**20, ge=1024, description="a larger webhook body gets 413")
    session_secret: LongSecret | None = Field(
        None, description="signs the console's sessions, 32 characters or more; unset: there is no console"
    )
    session_previous_secret: LongSecret | None = Field(None, description="the old one, while rotating")
    console_hosts: tuple[str, ...] = Field(
        (), description="host names that the console answers on, comma separated; unset: this machine's own names only"
    )
    console_plain_http: bool = Field(
        False, description="let the console's cookie travel without HTTPS; only while CONSOLE_HOSTS names this machine"
    )
    console_proxies: int = Field(
        0, ge=0, le=5, description="proxies in front whose word on a client's address is taken, for limiting log-ins"
    )
    console_url: str | None = Field(
        None, description="public address of the console, e.g. https://connector-admin.example.com/console"
    )
    console_idle_minutes: int = Field(30, ge=1, description="a session that is not used for this long is over")
    console_session_hours: int = Field(12, ge=1, description="a session is over after this, used or not")
    alert_urls: tuple[Secret, ...] = Field(
        (),
        description="where alerts go, as Apprise writes it, separated by blanks; `urgent=` in front: only urgent ones",
    )
    alert_seconds: int = Field(60, ge=5, description="the clock looks for what people should hear of this often")
    alert_remind_hours: int = Field(24, ge=1, description="what still stands is said again after this")
    alert_resolved: bool = Field(True, description="whether it is said that something is over")
    alert_silence_hours: int = Field(
        24, ge=0, description="an alert when no event of Chargebee's has come for so long; 0: never"
    )
    alert_pending_minutes: int = Field(10, ge=1, description="an alert when due work is not taken for so long")
    alert_waiting_hours: int = Field(24, ge=1, description="an alert when a sync has been open and waits for so long")
    heartbeat_url: Secret | None = Field(
        None, description="asked for after each look for alerts, so that others notice when the connector is dead"
    )
    oidc_issuer: str | None = Field(
        None, description="who people log in through, by OpenID Connect; unset: by password alone"
    )
    oidc_client_id: str | None = Field(None, min_length=1, description="how the provider knows the console")
    oidc_client_secret: Secret | None = Field(None, description="what it shares with the provider")
    oidc_name: str = Field("single sign-on", min_length=1, max_length=40, description="what pages call the provider")
    oidc_scopes: str = Field("openid profile email", description="what the provider is asked for, space separated")
    oidc_role_claim: str = Field("groups", min_length=1, description="the claim of the ID token that decides on roles")
    oidc_admins: tuple[str, ...] = Field((), description="values of the claim that make an admin, comma separated")
    oidc_operators: tuple[str, ...] = Field((), description="values that make an operator")
    oidc_viewers: tuple[str, ...] = Field((), description="values that make a viewer")
    oidc_only: bool = Field(False, description="nobody logs in by password")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least severity that is logged")
    log_format: Literal["json", "text"] = Field("json", description="`json` or `text`")

    http_timeout_seconds: int = Field(30, ge=1, description="one call to a provider, in all")
    settle_wait_seconds: int = Field(120, ge=1, description="before an unknown outcome is looked up")
    job_deadline_seconds: int = Field(300, ge=1, description="a job sends nothing after this")
    lease_seconds: int = Field(600, ge=1, description="after this another worker may take the work over")
    key_window_seconds: int = Field(1800, ge=1, description="how long Chargebee remembers an idempotency key")

    sweep_seconds: int = Field(5, ge=1, description="the clock looks for due work this often")
    requeue_seconds: int = Field(60, ge=1, description="queued work that nobody took is queued again after this")
    event_poll_seconds: int = Field(
        600, ge=5, description="the clock asks Chargebee for events that were missed this often"
    )
    bill_poll_seconds: int = Field(300, ge=5, description="the clock asks m3ter for approved bills this often")
    bill_poll_days: int = Field(45, ge=1, description="how far back, by bill date, approved bills are asked for")
    balance_check_seconds: int = Field(
        3600, ge=5, description="the clock looks this often at each balance that is watched"
    )
    balance_history_days: int = Field(
        90, ge=1, le=3650, description="how many days of draw-down the forecast of a balance is worked out from"
    )
    balance_suggest_days: int = Field(30, ge=1, le=3650, description="how many days a suggested top-up should last")
    recheck_seconds: int = Field(600, ge=5, description="waiting work looks again this often, even if nothing woke it")
    max_attempts: int = Field(12, ge=1, description="failed tries before a sync parks")
    max_crashes: int = Field(5, ge=1, description="worker deaths at one sync before it parks")
    pause_after_failures: int = Field(
        5, ge=1, description="different syncs in a row that fail because of one provider before the connection pauses"
    )
    probe_seconds: int = Field(60, ge=5, description="a provider that paused its connection is asked this often")

    connections: dict[str, Connection] = Field(default_factory=dict)

    @field_validator("console_hosts", mode="before")
    @classmethod
    def _hosts(cls, value: object) -> object:
        return [name.strip().lower() for name in value.split(",")] if isinstance(value, str) else value

    @field_validator("console_hosts")
    @classmethod
    def _bare_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"[a-z0-9.-]+|[0-9a-f:]*:[0-9a-f:.]*", name) for name in value):
            raise ValueError("must be host names such as connector.internal.example, without port and path")
        return value

    @field_validator("alert_urls", mode="before")
    @classmethod
    def _addresses(cls, value: object) -> object:
        return value.split() if isinstance(value, str) else value

    @field_validator("alert_urls")
    @classmethod
    def _severities(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        # Whether Apprise understands them is asked where they are used: it takes half a second to load.
        for number, one in enumerate(value, start=1):
            if not re.fullmatch(r"((warning|urgent)=)?[a-z][a-z0-9+.-]*://\S+", one.get_secret_value(), re.IGNORECASE):
                raise ValueError(
                    f"address {number} of {len(value)} should look like slack://… or urgent=pagerduty://…; "
                    "a blank in it is written %20"
                )
        return value

    @field_validator("heartbeat_url")
    @classmethod
    def _pinged(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _web_address(value.get_secret_value())
        return value

    @field_validator("console_url", "oidc_issuer")
    @classmethod
    def _plain_address(cls, value: str | None) -> str | None:
        if value is not None and (
            urlsplit(_web_address(value)).query or urlsplit(value).fragment or not value.isprintable()
        ):
            raise ValueError("must be an address without ? and #")
        return value

    @field_validator("console_url")
    @classmethod
    def _without_end(cls, value: str | None) -> str | None:
        return value.rstrip("/") if value else value

    @field_validator("oidc_admins", "oidc_operators", "oidc_viewers", mode="before")
    @classmethod
    def _claim_values(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return [one.strip() for one in value.split(",") if one.strip()]

    @field_validator("oidc_scopes")
    @classmethod
    def _asks_for_identity(cls, value: str) -> str:
        if "openid" not in value.split():
            raise ValueError("must hold openid, without which there is no ID token")
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if not value.startswith(DATABASES):
            raise ValueError("must start with sqlite:/// or postgresql+psycopg://")
        return value

    @field_validator("redis_url")
    @classmethod
    def _known_redis(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(REDIS_SCHEMES):
            raise ValueError("must start with redis://, rediss:// or unix://")
        return value

    @field_validator("connections")
    @classmethod
    def _names(cls, value: dict[str, Connection]) -> dict[str, Connection]:
        for name in value:
            if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name):
                raise ValueError(
                    f"{name!r} must be lower-case letters, digits and hyphens: it stands in the webhook's address"
                )
        return value

    @model_validator(mode="after")
    def _no_plain_http_abroad(self) -> "Settings":
        if self.console_plain_http and not LOCAL_HOSTS.issuperset(self.console_hosts):
            raise ValueError("CONSOLE_PLAIN_HTTP: only while CONSOLE_HOSTS is unset or names nothing but this machine")
        return self

    @model_validator(mode="after")
    def _people_come_back(self) -> "Settings":
        if self.oidc_only and self.oidc_issuer is None:
            raise ValueError("OIDC_ONLY: without OIDC_ISSUER nobody could log in at all")
        if self.oidc_issuer is not None and self.console_url is not None:
            host = urlsplit(self.console_url).hostname
            if host not in (self.console_hosts or LOCAL_HOSTS):
                raise ValueError("CONSOLE_URL: its host must be one of CONSOLE_HOSTS, else nobody comes back from OIDC")
        return self


def load(environ: Mapping[str, str] | None = None, *, needs_connection: bool = True) -> Settings:
    """The settings of this process; raises Misconfigured with every wrong or missing name at once."""
    environ = os.environ if environ is None else environ
    problems: list[str] = []
    values = _from_file(environ, problems)
    connections = values.setdefault("connections", {})
    if not isinstance(connections, dict) or not all(isinstance(one, dict) for one in connections.values()):
        problems.append("connections: must be tables like [connections.acme]")
        connections = values["connections"] = {}
    values.update(_from_environment(environ, Settings, problems))
    default = _from_environment(environ, Connection, problems)
    if default:
        # It stands first, as what a page about one connection begins with.
        own = {**connections.pop(DEFAULT_CONNECTION, {}), **default}
        connections = values["connections"] = {DEFAULT_CONNECTION: own, **connections}
    if needs_connection and not connections:
        problems.append(
            "CHARGEBEE_SITE, CHARGEBEE_API_KEY, M3TER_ORG_ID, M3TER_API_KEY, M3TER_API_SECRET: no connection is configured"
        )
    problems += _order_of_times(values)
    problems += _half_sign_on(values)
    for name, connection in connections.items():
        problems += _half_credentials(name, connection)
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems += [_sentence(item["loc"], item["type"], item["msg"]) for item in error.errors()]
    if problems:
        raise Misconfigured("The settings cannot work:\n" + "\n".join(f"  - {problem}" for problem in problems))
    return settings


# The money protocol is safe only while each of these is longer than the one before.
RISING_TIMES = (
    "http_timeout_seconds",
    "settle_wait_seconds",
    "job_deadline_seconds",
    "lease_seconds",
    "key_window_seconds",
)


def _order_of_times(values: Mapping[str, Any]) -> list[str]:
    try:
        times = {name: int(values.get(name, Settings.model_fields[name].default)) for name in RISING_TIMES}
    except (TypeError, ValueError):
        return []  # reported with the field itself
    if not all(times[low] < times[high] for low, high in pairwise(RISING_TIMES)):
        said = " < ".join(f"{name.upper()} ({value})" for name, value in times.items())
        return [f"these must rise in this order: {said}"]
    # A call begun just before the deadline may be tried three times: all of that must be over before the lease is.
    if times["lease_seconds"] <= times["job_deadline_seconds"] + 4 * times["http_timeout_seconds"]:
        return ["LEASE_SECONDS must be more than JOB_DEADLINE_SECONDS and four times HTTP_TIMEOUT_SECONDS together"]
    return []


# What single sign-on needs whole, and what says who gets which role.
SIGN_ON = ("oidc_issuer", "oidc_client_id", "oidc_client_secret")
SIGN_ON_ROLES = ("oidc_admins", "oidc_operators", "oidc_viewers")


def _half_sign_on(values: Mapping[str, Any]) -> list[str]:
    has_roles = any(values.get(name) for name in SIGN_ON_ROLES)
    if not any(values.get(name) for name in SIGN_ON):
        alone = [name.upper() for name in SIGN_ON_ROLES if values.get(name)]
        return [f"{', '.join(alone)}: of no use without {', '.join(SIGN_ON).upper()}"] if alone else []
    problems = []
    if not all(values.get(name) for name in SIGN_ON):
        problems.append(f"{', '.join(SIGN_ON).upper()} go together: set all of them or none")
    if not has_roles:
        problems.append(f"{', '.join(SIGN_ON_ROLES).upper()}: set at least one of them, else nobody gets in")
    if not values.get("console_url"):
        problems.append("CONSOLE_URL is missing: the provider sends people back to it")
    return problems


# What is of use only together.
TOGETHER = (
    ("chargebee_webhook_username", "chargebee_webhook_password"),
    ("chargebee_webhook_previous_username", "chargebee_webhook_previous_password"),
    ("m3ter_webhook_secret", "m3ter_webhook_signature_header", "m3ter_webhook_signature_scheme"),
)


def _half_credentials(name: str, connection: Mapping[str, Any]) -> list[str]:
    prefix = "" if name == DEFAULT_CONNECTION else f"connections.{name}: "
    problems = [
        f"{prefix}{', '.join(field.upper() for field in fields)} go together: set all of them or none"
        for fields in TOGETHER
        if len({bool(connection.get(field)) for field in fields}) > 1
    ]
    for field in ("chargebee_webhook_username", "chargebee_webhook_previous_username"):
        if ":" in str(connection.get(field) or ""):
            problems.append(f"{prefix}{field.upper()}: basic auth cannot carry a colon in a user name")
    return problems


def _from_file(environ: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    chosen = environ.get("CONNECTOR_CONFIG")
    path = Path(chosen or CONFIG_FILE)
    if not path.exists():
        if chosen:
            problems.append(f"CONNECTOR_CONFIG: there is no file {chosen}")
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problems.append(f"{path}: is not readable TOML ({error})")
        return {}


def _from_environment(environ: Mapping[str, str], model: type[BaseModel], problems: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in model.model_fields:
        name = field.upper()
        if environ.get(f"{name}_FILE", "") != "":
            try:
                values[field] = Path(environ[f"{name}_FILE"]).read_text(encoding="utf-8").strip()
            except OSError as error:
                problems.append(f"{name}_FILE: cannot be read ({error.strerror})")
            except ValueError:
                problems.append(f"{name}_FILE: is not UTF-8 text")
        elif environ.get(name, "") != "":
            values[field] = environ[name]
    return values


WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not a setting",
    "too_short": "is empty",
}


def _sentence(location: tuple[int | str, ...], kind: str, message: str) -> str:
    """The setting's name as the person wrote it, and what is wrong with it."""
    text = WORDS.get(kind, message.removeprefix("Value error, "))
    names = [str(part) for part in location]
    if names[:2] == ["connections", DEFAULT_CONNECTION]:
        names = [names[2].upper()] if len(names) > 2 else []
    elif names[:1] == ["connections"]:
        names = [".".join(names)]
    else:
        if kind == "extra_forbidden" and names[0] in Connection.model_fields:
            text = f"belongs in a table [connections.<name>], e.g. [connections.{DEFAULT_CONNECTION}]"
        names = [name.upper() for name in names[:1]]
    return ": ".join([*names, text])

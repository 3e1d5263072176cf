"""The settings of the whole installation, with its connections."""

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from connector.settings.connection import Connection
from connector.settings.values import LOCAL_HOSTS, LongSecret, Secret, web_address

DATABASES = ("sqlite:", "postgresql+psycopg:")
REDIS_SCHEMES = ("redis:", "rediss:", "unix:")


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
            web_address(value.get_secret_value())
        return value

    @field_validator("console_url", "oidc_issuer")
    @classmethod
    def _plain_address(cls, value: str | None) -> str | None:
        if value is not None and (
            urlsplit(web_address(value)).query or urlsplit(value).fragment or not value.isprintable()
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

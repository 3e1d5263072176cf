"""The settings of one connection."""

from datetime import date
from decimal import Decimal
from typing import Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, field_validator

from connector.settings.values import Secret, pairs, web_address

DEFAULT_CONNECTION = "default"


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
        return pairs(value, r"([A-Z_]+)\s*=\s*(\w+)", "CREDIT_MEMO=promotional_credit,BALANCE_CONSUMED=net")

    @field_validator("currency_exponents", mode="before")
    @classmethod
    def _exponents(cls, value: object) -> object:
        found = pairs(value, r"([A-Z]{3})\s*=\s*([0-9])", "CLP=0,VND=0")
        return {currency: int(one) for currency, one in found.items()} if isinstance(value, str) else found

    @field_validator("chargebee_api_url", "chargebee_app_url", "m3ter_api_url", "m3ter_console_url")
    @classmethod
    def _safe_url(cls, value: str | None) -> str | None:
        return None if value is None else web_address(value)

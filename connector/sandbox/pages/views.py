"""What the pages show: the providers' own resources, the newest first."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader

from connector.sandbox.component import Resource
from connector.sandbox.faults import KINDS

if TYPE_CHECKING:
    from connector.sandbox.sandbox import Sandbox

# Of each kind; a page that shows thousands shows nothing.
LIMIT = 100
# Chargebee counts these in major units and every other currency in hundredths, whatever ISO 4217 says.
WITHOUT_DECIMALS = frozenset({"JPY", "KRW", "XAF", "XOF"})
PAGES = {"chargebee": "Chargebee", "m3ter": "m3ter", "sandbox": "Calls and faults"}


def render(box: "Sandbox", provider: str, error: str | None = None) -> str:
    """The provider's page as it is now."""
    with box.lock:
        box.settle()
        return TEMPLATES.get_template(f"{provider}.html").render(
            provider=provider,
            title=PAGES[provider],
            error=error,
            now=box.clock.now(),
            limit=LIMIT,
            **SHOWN[provider](box),
        )


def _chargebee(box: "Sandbox") -> Resource:
    site = box.chargebee
    kinds = ("customers", "subscriptions", "invoices", "item_prices")
    tables = {kind: [row for row in getattr(site, kind).values() if not row.get("deleted")] for kind in kinds}
    shown: Resource = {kind: _newest(rows) for kind, rows in tables.items()}
    return {
        "site": site,
        **shown,
        "events": _newest(site.events.values()),
        "plan_prices": [price for price in tables["item_prices"] if price["item_type"] == "plan"],
        "invoices_to_add_to": [row for row in tables["invoices"] if row["status"] == "pending"],
        "waiting": len(box.webhooks.waiting),
    }


def _m3ter(box: "Sandbox") -> Resource:
    org = box.m3ter
    kinds = ("accounts", "plans", "account_plans", "meters", "bills", "balances", "external_mappings")
    return {
        "org": org,
        **{kind: _newest(getattr(org, kind).values()) for kind in kinds},
        "bill_jobs": _newest(org.bill_jobs.values())[:5],
        "failures": _newest(org.ingest_failures),
        "transactions": {balance_id: org.transactions_of(balance_id) for balance_id in org.balances},
        "schedules": {balance_id: _schedules(org, balance_id) for balance_id in org.balances},
        "charges": _newest(org.charges.values()),
        "memos": _newest(
            {**memo, "sign": sign}
            for sign, table in (("credit", org.credit_line_items), ("debit", org.debit_line_items))
            for memo in table.values()
        ),
    }


def _schedules(org: Any, balance_id: str) -> list[Resource]:
    """What makes credits and charges of the balance by itself."""
    return [
        {**row, "makes": makes}
        for makes, table in (("credits", org.transaction_schedules), ("charges", org.charge_schedules))
        for row in table.values()
        if row["balanceId"] == balance_id
    ]


def _sandbox(box: "Sandbox") -> Resource:
    return {
        "calls": _newest(box.calls),
        "faults": list(box.faults.orders),
        "operations": {name: sorted(known) for name, known in box.faults.operations.items()},
        "kinds": KINDS,
    }


SHOWN: dict[str, Callable[["Sandbox"], Resource]] = {"chargebee": _chargebee, "m3ter": _m3ter, "sandbox": _sandbox}


def _newest(rows: Iterable[Any]) -> list[Any]:
    return list(rows)[: -LIMIT - 1 : -1]


def minor(amount: int | None, currency: str) -> str:
    """An amount of minor units with its currency."""
    if amount is None:
        return ""
    digits = 0 if currency in WITHOUT_DECIMALS else 2
    return f"{Decimal(amount).scaleb(-digits):,.{digits}f} {currency}"


def plain(amount: Any, currency: str = "") -> str:
    """An amount with all its digits, and its currency."""
    if not isinstance(amount, int | Decimal):
        return ""
    return f"{amount:,f} {currency}".rstrip() if isinstance(amount, Decimal) else f"{amount:,} {currency}".rstrip()


def moment(when: Any) -> str:
    """A time as people read it, from epoch seconds, m3ter's text or the clock."""
    if when in (None, "") or isinstance(when, bool):
        return ""
    if isinstance(when, int):
        when = datetime.fromtimestamp(when, UTC)
    elif isinstance(when, str):
        when = datetime.fromisoformat(when).astimezone(UTC)
    return f"{when:%Y-%m-%d %H:%M}" if isinstance(when, datetime) else ""


TEMPLATES = Environment(
    loader=PackageLoader("connector.sandbox.pages"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
TEMPLATES.filters |= {"minor": minor, "plain": plain, "moment": moment}

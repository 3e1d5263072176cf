"""What a plan to push a bill is made of, and how it is written down."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from connector import money
from connector.bills.routing import Problem
from connector.clients.chargebee_objects import Invoice

# What a charge is in Chargebee; one that came too late for its invoice is one of routing's kinds.
CHARGE_ITEM, AD_HOC, CREDIT, CREDIT_NOTE, NOTHING = (
    "charge_item", "ad_hoc", "promotional_credit", "credit_note", "nothing",
)  # fmt: skip
# What is given to a customer rather than charged.
GIVEN = (CREDIT, CREDIT_NOTE)


@dataclass(frozen=True)
class PlannedLine:
    """One bill line: its exact amount, that in minor units, and what earlier pushes of the bill have sent of it."""

    key: str
    position: int
    m3ter_line_id: str | None
    line_type: str
    description: str
    exact: Decimal
    whole_minor: int
    sent_minor: int
    product_id: str | None
    date_from: datetime | None
    date_to: datetime | None

    @property
    def open_minor(self) -> int:
        """What of the line is still to be charged, or to be given back where it is negative."""
        return self.whole_minor - self.sent_minor


@dataclass(frozen=True)
class Charge:
    """One amount that is to be sent: `parts` are the lines that it is made of, each with its minor units.

    A line that was netted into it stands there with a negative amount; one of which nothing is left is not sent at all.
    """

    key: str
    position: int
    kind: str
    subscription_id: str | None
    customer_id: str | None
    invoice_id: str | None
    item_price_id: str | None
    description: str
    date_from: datetime
    date_to: datetime
    parts: tuple[tuple[str, int], ...]
    product_id: str | None = None

    @property
    def amount_minor(self) -> int:
        """What is to be added; for a credit, what is to be given."""
        total = sum(minor for _, minor in self.parts)
        return -total if self.kind in GIVEN else total


@dataclass(frozen=True)
class PushPlan:
    """A bill planned whole. It may be pushed only while `problems` is empty."""

    bill_id: str
    bill_version: int
    last_calculated: str | None
    account_id: str
    currency: str
    decimals: int
    exact_total: Decimal
    total_minor: int
    lines: tuple[PlannedLine, ...] = ()
    charges: tuple[Charge, ...] = ()
    problems: tuple[Problem, ...] = ()
    sha256: str = ""
    # Which push of the bill was the newest when the plan was made; None while one was under way.
    basis: int | None = field(default=0, compare=False)
    # The invoices that the charges go on, as they were seen.
    invoices: Mapping[str, Invoice] = field(default_factory=dict, compare=False)

    @property
    def to_send(self) -> list[Charge]:
        """The charges that cost a call; what was netted to nothing is recorded and not sent."""
        return [charge for charge in self.charges if charge.kind != NOTHING]

    @property
    def to_send_minor(self) -> int:
        """What the charges come to, credits taken off."""
        return sum(minor for charge in self.charges for _, minor in charge.parts)


def as_json(plan: PushPlan) -> dict[str, Any]:
    """The plan for scripts and for the receipt: amounts as texts in major units, times in ISO 8601."""
    return {
        "bill_id": plan.bill_id,
        "bill_version": plan.bill_version,
        "account_id": plan.account_id,
        "currency": plan.currency,
        "exact_total": format(plan.exact_total, "f"),
        "total": str(money.to_major(plan.total_minor, plan.decimals)),
        "to_add": str(money.to_major(plan.to_send_minor, plan.decimals)),
        "plan": plan.sha256,
        "lines": [line_as_json(line, plan.decimals) for line in plan.lines],
        "charges": [charge_as_json(charge, plan.decimals) for charge in plan.charges],
        "problems": [
            asdict(one.cause) | {"line": one.line, "waits": one.waits} for one in plan.problems
        ],
    }  # fmt: skip


def line_as_json(line: PlannedLine, decimals: int) -> dict[str, Any]:
    """One bill line: what m3ter says of it, in whole and sent before."""
    return {
        "key": line.key,
        "m3ter_line_id": line.m3ter_line_id,
        "line_type": line.line_type,
        "description": line.description,
        "exact": format(line.exact, "f"),
        "amount": str(money.to_major(line.whole_minor, decimals)),
        "sent_before": str(money.to_major(line.sent_minor, decimals)),
        "to_add": str(money.to_major(line.open_minor, decimals)),
        "date_from": line.date_from.isoformat() if line.date_from else None,
        "date_to": line.date_to.isoformat() if line.date_to else None,
    }


def charge_as_json(charge: Charge, decimals: int) -> dict[str, Any]:
    """One charge: where it is to go, and of which lines it is made."""
    return {
        "key": charge.key,
        "kind": charge.kind,
        "amount": str(money.to_major(charge.amount_minor, decimals)),
        "item_price_id": charge.item_price_id,
        "description": charge.description,
        "subscription_id": charge.subscription_id,
        "customer_id": charge.customer_id,
        "invoice_id": charge.invoice_id,
        "date_from": charge.date_from.isoformat(),
        "date_to": charge.date_to.isoformat(),
        "parts": [{"line": key, "amount": str(money.to_major(minor, decimals))} for key, minor in charge.parts],
    }

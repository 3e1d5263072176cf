"""Shadow mode: the plan of a bill beside what another process has put on its invoice. Nothing is ever sent.

The invoice is the one of the bill's period, pending or closed by now. As long as it is pending and differs, the other process
may still be at work: the bill waits and is compared again, and the comparison is final when they are equal or the invoice is
closed. All charges of the bill's subscriptions on that invoice are compared, whoever made them, but for those that the
connector itself has added.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector import days, money
from connector.bills import moved
from connector.bills.comparing import EQUAL, SAME_SUMS, Comparison, Difference, Item, compare
from connector.bills.final import CHARGES
from connector.bills.moved import CHARGE_TYPES
from connector.bills.planned import GIVEN, PushPlan
from connector.clients.chargebee_objects import Invoice
from connector.clients.m3ter_objects import Bill
from connector.database import insert
from connector.errors import OutOfScope, Waiting
from connector.invoice_terms import PENDING
from connector.models import BillComparison
from connector.services import Services
from connector.syncs import Run

# The other process may take its time; closing the invoice wakes the bill sooner.
COMPARE_AGAIN_SECONDS = 6 * 3600


def compare_bill(services: Services, run: Run, bill: Bill, plan: PushPlan) -> str:
    """Compare, keep the result, and raise Waiting while it may still change, else OutOfScope: nothing was sent."""
    invoices = [invoice for invoice in plan.invoices.values() if invoice.id in {one.invoice_id for one in plan.charges}]
    until = days.billed_until(bill)
    planned = [
        Item(one.subscription_id, one.item_price_id or one.description, one.amount_minor, one.date_from, one.date_to)
        for one in plan.to_send
        if one.kind in CHARGES
    ]
    with services.reading() as db:
        ours = moved.our_lines(db, run.connection, invoices)
        others = _others(db, run.connection, plan.bill_id, until)
    found = _charges(invoices, {one.subscription_id for one in planned}, ours)
    result = compare(planned, found, others)
    is_final = result.verdict == EQUAL or all(invoice.status != PENDING for invoice in invoices)
    _keep(services, run, plan, result, until, is_final=is_final)
    run.wanted += [_named(one, plan) for one in planned]
    run.found += [_named(one, plan) for one in found]
    run.did += [sentence(one, plan.currency, plan.decimals) for one in result.differences]
    text = f"SHADOW is on, nothing was sent: {_verdict(plan, result, invoices)}"
    if is_final or not invoices:
        raise OutOfScope(text)
    raise Waiting(
        "shadow_differs",
        text,
        f"Nothing: it is compared again when the invoice is closed; `connector bills show {plan.bill_id}` has all of it.",
        seconds=COMPARE_AGAIN_SECONDS,
        wakes_on=shadow_wish(str(planned[0].subscription_id)),
    )


def shadow_wish(subscription_id: str) -> str:
    """What a bill waits for that is compared with an invoice of this subscription."""
    return f"shadow:{subscription_id}"


def _charges(invoices: Sequence[Invoice], subscriptions: set[str | None], ours: frozenset[str]) -> list[Item]:
    return [
        Item(line.subscription_id, line.entity_id or line.description, line.amount, line.date_from, line.date_to)
        for invoice in invoices
        for line in invoice.lines
        if line.entity_type in CHARGE_TYPES
        and line.id not in ours
        and (line.subscription_id is None or line.subscription_id in subscriptions)
    ]


def _others(db: Session, connection: str, bill_id: str, until: datetime) -> list[Item]:
    """What other bills that end on the same day have found on the invoices."""
    rows = select(BillComparison.alike).where(
        BillComparison.connection == connection, BillComparison.billed_until == until, BillComparison.bill_id != bill_id
    )
    return [_item(raw) for alike in db.scalars(rows.order_by(BillComparison.bill_id)) for raw in alike]


def _item(raw: dict[str, Any]) -> Item:
    return Item(**{**raw, "start": datetime.fromisoformat(raw["start"]), "end": datetime.fromisoformat(raw["end"])})


def _json(one: Item | Difference) -> dict[str, Any]:
    return asdict(one) | {"start": one.start.isoformat(), "end": one.end.isoformat()}


def _keep(services: Services, run: Run, plan: PushPlan, result: Comparison, until: datetime, *, is_final: bool) -> None:
    values: dict[str, Any] = {
        "account_id": plan.account_id, "billed_until": until, "currency": plan.currency, "decimals": plan.decimals,
        "wanted_minor": result.wanted_minor, "found_minor": result.found_minor, "verdict": result.verdict,
        "is_final": is_final, "differences": [_json(one) for one in result.differences],
        "alike": [_json(one) for one in result.alike], "compared_at": services.now(),
    }  # fmt: skip
    with services.transaction() as db:
        statement = insert(db, BillComparison).values(connection=run.connection, bill_id=plan.bill_id, **values)
        db.execute(statement.on_conflict_do_update(index_elements=["connection", "bill_id"], set_=values))


def _verdict(plan: PushPlan, result: Comparison, invoices: Sequence[Invoice]) -> str:
    where = ", ".join(f"{one.id} ({one.status})" for one in invoices) or "no invoice"
    wanted, found = (
        _amount(minor, plan.currency, plan.decimals) for minor in (result.wanted_minor, result.found_minor)
    )
    text = {
        EQUAL: f"{len(result.alike)} charges of {wanted} in all stand on {where} just as they would be sent",
        SAME_SUMS: f"each charge item has the same sum on {where}, {wanted} in all, but cut into other lines",
    }.get(result.verdict, f"{wanted} would be sent, {found} stand on {where}; {len(result.differences)} charges differ")
    given = [one for one in plan.charges if one.kind in GIVEN]
    if given:
        total = _amount(sum(one.amount_minor for one in given), plan.currency, plan.decimals)
        text += f"; {len(given)} credits of {total}, which are on no pending invoice, were not compared"
    return text


def sentence(one: Difference, currency: str, decimals: int) -> str:
    """One difference as a person reads it."""
    amounts = [
        f"{word} {_amount(minor, currency, decimals)}"
        for word, minor in (("planned", one.wanted), ("found", one.found))
        if minor is not None
    ]
    return f"{one.what}: {one.name} of {one.start:%Y-%m-%d} to {one.end:%Y-%m-%d}, {', '.join(amounts)}"


def _named(one: Item, plan: PushPlan) -> str:
    return (
        f"{one.name} of {one.start:%Y-%m-%d} to {one.end:%Y-%m-%d}: {_amount(one.minor, plan.currency, plan.decimals)}"
    )


def _amount(minor: int, currency: str, decimals: int) -> str:
    return f"{money.to_major(minor, decimals)} {currency}"


# What has been compared


def as_json(row: BillComparison) -> dict[str, Any]:
    """A kept comparison for scripts: amounts as texts in major units."""
    differences = [
        Difference(**{**raw, "start": datetime.fromisoformat(raw["start"]), "end": datetime.fromisoformat(raw["end"])})
        for raw in row.differences
    ]
    return {
        "bill_id": row.bill_id,
        "account_id": row.account_id,
        "verdict": row.verdict,
        "is_final": row.is_final,
        "currency": row.currency,
        "planned": str(money.to_major(row.wanted_minor, row.decimals)),
        "found": str(money.to_major(row.found_minor, row.decimals)),
        "off_by": str(money.to_major(row.found_minor - row.wanted_minor, row.decimals)),
        "differences": [sentence(one, row.currency, row.decimals) for one in differences],
        "compared_at": row.compared_at.isoformat(),
    }


def of_bill(db: Session, connection: str, bill_id: str) -> dict[str, Any] | None:
    """The newest comparison of the bill, if there is one."""
    row = db.scalars(select(BillComparison).filter_by(connection=connection, bill_id=bill_id)).first()
    return as_json(row) if row else None


def all_compared(db: Session, connection: str) -> list[dict[str, Any]]:
    """The newest comparison of every bill that was compared, those that differ most first."""
    rows = db.scalars(select(BillComparison).filter_by(connection=connection).order_by(BillComparison.bill_id)).all()
    return [as_json(one) for one in sorted(rows, key=lambda row: -abs(row.found_minor - row.wanted_minor))]

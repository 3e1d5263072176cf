"""Bills on their way to invoices: how far each is, what a push would do, the push, and its receipt.

There is no approval here: a bill that needs two people needs two people, and a token is none.
"""

from datetime import datetime
from hashlib import sha256
from typing import Literal
from uuid import UUID

from pydantic import Field

from connector import actions
from connector.bills import beside, closing, listing, planned, preview, receipts, shadow, standing
from connector.bills.listing import Filter
from connector.bills.preview import APPROVED, Look
from connector.errors import Cause
from connector.models import Sync
from connector.web.api import problems
from connector.web.api.here import Here
from connector.web.api.shapes import Body, Explained, Page, Paged, Query, Seen, Shape, explained, page
from connector.web.api.syncs import BillPreview, Status, SyncShape, bill_preview


class BillShape(Shape):
    """A bill with its newest sync; totals are null where they are not known yet."""

    bill_id: str
    account_id: str | None
    customer_id: str | None
    sync: int
    status: Status
    cause: str | None
    text: str | None
    next_step: str | None
    currency: str | None
    bill_total: str | None
    invoice_total_added: str | None
    equal: bool | None
    invoices: list[str]
    billed_until: datetime | None
    deadline: datetime | None = Field(description="Until when it can wait where it waits; null where nothing presses.")
    updated_at: datetime


class BillPage(Page):
    """Bills, those first whose syncs were opened last."""

    bills: list[BillShape]


class BillsQuery(Paged):
    """Which bills."""

    status: Status | None = None


class PlannedLine(Shape):
    """One bill line: what m3ter says of it, in whole and sent before."""

    key: str
    m3ter_line_id: str | None
    line_type: str
    description: str
    exact: str
    amount: str
    sent_before: str
    to_add: str
    date_from: str | None
    date_to: str | None


class BillPlan(Shape):
    """Exactly what a push would do now; while one is under way, what it has left, and then without lines."""

    status: str = Field(description="m3ter's: PENDING or APPROVED.")
    under_way: bool
    bill: BillPreview
    lines: list[PlannedLine]
    held_back: Explained | None = Field(
        description="Why the connector would not push it by itself. A push by this API passes the bounds on amounts, since "
        "somebody has looked; it never passes the need of two people, nor shadow mode."
    )
    seen: Seen


class PushBody(Body):
    """What the plan showed."""

    seen: Seen | None = None


class ReceiptCharge(Shape):
    """What of a line went into a charge, and what that is in Chargebee."""

    kind: str
    status: str
    amount: str
    of: str
    invoice_id: str | None
    final_invoice_id: str | None
    chargebee_line_id: str | None
    item_price_id: str | None
    description: str


class ReceiptLine(Shape):
    """One line of the bill with its charges."""

    m3ter_line_id: str | None
    line_type: str
    description: str
    exact: str
    amount: str
    charges: list[ReceiptCharge]


class ReceiptShape(Shape):
    """Every line of a pushed bill beside its charges as they are now; amounts in major units of `currency`."""

    bill_id: str
    bill_version: int
    account_id: str
    currency: str
    bill_total: str
    bill_total_exact: str
    invoice_total_added: str
    to_come: str
    equal: bool
    invoices: list[str]
    lines: list[ReceiptLine]
    sha256: str
    bill_sha256: str
    pushed_at: datetime


class DifferenceShape(Shape):
    """A line of which another amount was sent than the bill has now."""

    line: str
    sent: str
    now: str
    differs: str


class OnInvoiceLine(Shape):
    """One charge as it was sent, and as it was found."""

    charge: str
    sent: str
    found: str | None
    line_id: str | None
    verdict: str


class OtherLine(Shape):
    """A charge on the invoice that no push has made."""

    charge: str
    amount: str


class OnInvoiceShape(Shape):
    """An invoice with the charges of the bill; without `id` those that stand on none, such as credits."""

    id: str | None
    status: str
    lines: list[OnInvoiceLine]
    others: list[OtherLine]


class BesideShape(Shape):
    """A bill as m3ter has it beside its invoices as Chargebee has them; amounts in major units of `currency`."""

    bill_id: str
    status: str
    currency: str
    total: str
    added: str | None = Field(description="What is on invoices; null where nothing was sent.")
    equal: bool
    changed: bool = Field(description="Since it was sent.")
    to_send: str
    held_back: str | None
    problems: list[str]
    differences: list[DifferenceShape]
    invoices: list[OnInvoiceShape]
    left_out: int = Field(description="Invoices beyond those that were read.")


class ComparedShape(Shape):
    """How a bill that another process invoices compares with what would have been sent."""

    bill_id: str
    account_id: str
    verdict: str
    is_final: bool
    currency: str
    planned: str
    found: str
    off_by: str
    differences: list[str]
    compared_at: datetime


class ComparedPage(Shape):
    """What shadow mode has found, those that differ most first."""

    bills: list[ComparedShape]
    more: int = Field(description="How many there are beyond those shown.")


class UnderWayShape(Shape):
    """A charge of a push that is under way; its amount is in minor units."""

    item_price_id: str | None
    invoice_id: str | None
    amount_minor: int
    currency: str
    status: str
    chargebee_line_id: str | None


class VersionShape(Shape):
    """What a version of the bill was frozen as, and what it changed."""

    number: int
    status: str
    bill_version: int
    currency: str
    total: str
    sent_before: str
    frozen_at: datetime
    finished_at: datetime | None
    differences: list[DifferenceShape]


class ApprovalShape(Shape):
    """Who has approved the push of which result of the bill."""

    actor: str
    at: datetime
    content: str


class BillStanding(Shape):
    """How a bill stands, from our own rows; `now` is its receipt with the charges as they are now."""

    bill_id: str
    account_id: str | None
    customer_id: str | None
    sync: SyncShape | None
    deadline: datetime | None
    invoices: list[str]
    now: ReceiptShape | None
    shadow: ComparedShape | None
    under_way: list[UnderWayShape]
    versions: list[VersionShape]
    approvals: list[ApprovalShape]


class WorkShape(Shape):
    """What is left to do for one invoice; without `bill_id`, no bill of its period is approved yet."""

    needs: str
    bill_id: str | None
    account_id: str | None
    invoice_id: str | None
    subscription_id: str | None
    charges: int | None
    closes_at: datetime | None
    finishes_at: datetime | None
    cause: str | None
    at_risk: bool


class Closing(Shape):
    """What is left before invoices close, the earliest deadline first."""

    auto_close_days: str | None
    at_risk: int
    more: int = Field(description="How many there are beyond those shown.")
    work: list[WorkShape]


class ClosingQuery(Query):
    """Which work."""

    risky: Literal["true", "false"] = "false"


MANY = 200


def index(here: Here, connection: str, query: BillsQuery) -> BillPage:
    """A page of bills."""
    here.connection(connection)
    wanted = Filter(connection, status=query.status)
    with here.services.reading() as db:
        found = listing.listed(here.services, db, wanted, before=query.before, limit=query.limit + 1)
    rows, older = page(found, query.limit)
    return BillPage(bills=[BillShape.model_validate(listing.as_json(one)) for one in rows], next=older)


def plan(here: Here, connection: str, bill_id: UUID) -> BillPlan:
    """Exactly what a push would do now; reads both providers."""
    here.connection(connection)
    return _shown(*_look(here, connection, bill_id))


def _look(here: Here, connection: str, bill_id: UUID) -> tuple[Look, Cause | None]:
    """The bill as a push would find it now, and why the connector would not push it by itself."""
    looked = preview.look(here.services, connection, str(bill_id))
    return looked, preview.held_back(here.services, connection, looked, by_a_person=False)


def _shown(looked: Look, held_back: Cause | None) -> BillPlan:
    lines = (
        [] if looked.plan is None else [planned.line_as_json(one, looked.plan.decimals) for one in looked.plan.lines]
    )
    code = held_back.code if held_back else ""
    return BillPlan(
        status=looked.bill.status if looked.bill else APPROVED, under_way=looked.plan is None,
        bill=bill_preview(looked.preview), lines=[PlannedLine.model_validate(one) for one in lines],
        held_back=explained(held_back), seen=sha256(f"{looked.preview.fingerprint} {code}".encode()).hexdigest(),
    )  # fmt: skip


def push(here: Here, connection: str, bill_id: UUID, body: PushBody) -> SyncShape:
    """Let the bill be pushed as it was shown; a worker does it."""
    here.connection(connection)
    looked, held_back = _look(here, connection, bill_id)
    shown = _shown(looked, held_back)
    if body.seen != shown.seen:
        raise problems.changed(shown, body.seen)
    sync_id = actions.push(here.services, connection, looked, here.who)
    with here.services.reading() as db:
        return SyncShape.model_validate(db.get_one(Sync, sync_id))


def receipt(here: Here, connection: str, bill_id: UUID) -> ReceiptShape:
    """The newest receipt."""
    here.connection(connection)
    with here.services.reading() as db:
        found = receipts.current(db, connection, str(bill_id))
    if found is None:
        raise problems.not_found("receipt of this bill")
    return ReceiptShape.model_validate(found)


def show(here: Here, connection: str, bill_id: UUID) -> BillStanding:
    """How the bill stands, from our own rows."""
    here.connection(connection)
    found = standing.of_bill(here.services, connection, str(bill_id))
    if not found.is_known:
        raise problems.not_found("such bill that is known here")
    return BillStanding.model_validate(standing.as_json(found) | {"sync": found.sync})


def check(here: Here, connection: str, bill_id: UUID) -> BesideShape:
    """The bill beside its invoices, as both systems have them now; changes nothing."""
    here.connection(connection)
    return BesideShape.model_validate(beside.as_json(beside.of_bill(here.services, connection, str(bill_id))))


def compared(here: Here, connection: str) -> ComparedPage:
    """What shadow mode has found."""
    here.connection(connection)
    with here.services.reading() as db:
        found = shadow.all_compared(db, connection)
    shapes = [ComparedShape.model_validate(one) for one in found[:MANY]]
    return ComparedPage(bills=shapes, more=max(0, len(found) - MANY))


def closing_soon(here: Here, connection: str, query: ClosingQuery) -> Closing:
    """What is left to do for pending invoices."""
    days = here.connection(connection).settings.auto_close_days
    work = closing.of_connection(here.services, connection)
    late = [one for one in work if one.at_risk]
    found = late if query.risky == "true" else work
    return Closing(
        auto_close_days=None if days is None else str(days), at_risk=len(late), more=max(0, len(found) - MANY),
        work=[WorkShape.model_validate(one) for one in found[:MANY]],
    )  # fmt: skip

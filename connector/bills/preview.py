"""What lets a person decide whether a bill is to go on: the amounts and invoices of what would be sent now."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from connector import money
from connector.bills import ledger, versions
from connector.bills.lines import content_hash
from connector.bills.planned import GIVEN, NOTHING, PushPlan
from connector.bills.push import check_guards, plan_for
from connector.clients.m3ter_objects import Bill
from connector.errors import Cause, OutOfScope, Parked
from connector.models import BillSnapshot
from connector.services import Services

APPROVED = "APPROVED"


@dataclass(frozen=True)
class Sent:
    """One charge, or credit where the amount is negative, that would be sent; `parts` are the lines that it is made of.

    A part below zero is a line that was netted into the charge.
    """

    what: str
    amount: Decimal
    where: str
    status: str
    parts: tuple[tuple[str, Decimal], ...] = ()


@dataclass(frozen=True)
class Preview:
    """A bill and what of it would be sent; amounts in major units of `currency`.

    `content` is the hash of all that the money of the bill depends on: what somebody approves.
    """

    bill_id: str
    currency: str
    total: Decimal
    to_send: Decimal
    charges: tuple[Sent, ...]
    problems: tuple[Cause, ...]
    content: str = ""

    @property
    def fingerprint(self) -> str:
        """The same as long as a person would be shown the same."""
        return hashlib.sha256(repr(self).encode()).hexdigest()


@dataclass(frozen=True)
class Look:
    """A bill as it was just looked at: its preview, and the bill with its plan unless a push of it is under way."""

    preview: Preview
    bill: Bill | None = None
    plan: PushPlan | None = None

    @property
    def is_approved(self) -> bool:
        """Whether m3ter says so, or said so when the push that is under way began."""
        return self.bill is None or self.bill.status == APPROVED


def of_bill(services: Services, connection: str, bill_id: str) -> Preview:
    """What a push of the bill would send now; ConnectorError when a provider cannot be asked.

    Of a push that is under way, what it has left; no provider is asked then.
    """
    return look(services, connection, bill_id).preview


def look(services: Services, connection: str, bill_id: str) -> Look:
    """The same with what it was worked out from, for whoever then does just that."""
    with services.reading() as db:
        live = ledger.live_snapshot(db, connection, bill_id)
        intents = ledger.intents(db, live.id) if live else []
        names = versions.line_names(db, connection, bill_id)
    if live is not None:
        return Look(_under_way(live, intents, names))
    bill = services.connection(connection).m3ter.get_bill(bill_id)
    plan = plan_for(services, connection, bill)
    return Look(_planned(plan, content_hash(bill), names), bill, plan)


def held_back(services: Services, connection: str, found: Look, *, by_a_person: bool) -> Cause | None:
    """Why a bill whose plan has no problem may not be pushed all the same: bounds, missing approvals, left to others."""
    if found.plan is None:
        return None
    try:
        check_guards(services, connection, found.plan, found.preview.content, by_a_person=by_a_person)
    except (OutOfScope, Parked) as held:
        return held.cause
    return None


def _under_way(live: BillSnapshot, intents: Iterable[ledger.Intent], names: Mapping[str, str]) -> Preview:
    left = [one for one in intents if one.status != ledger.DONE and one.kind != NOTHING]
    charges = tuple(
        Sent(
            one.item_price_id or one.description,
            money.to_major(_signed(one.kind, one.amount_minor), live.decimals),
            one.invoice_id or f"customer {one.customer_id}",
            one.status,
            _parts(one.parts, names, live.decimals),
        )
        for one in left
    )
    return Preview(
        bill_id=live.bill_id,
        currency=live.currency,
        total=money.to_major(live.total_minor, live.decimals),
        to_send=sum((one.amount for one in charges), Decimal(0)),
        charges=charges,
        problems=(),
        content=live.sha256,
    )


def _planned(plan: PushPlan, content: str, names: Mapping[str, str]) -> Preview:
    known = {**names, **{line.key: line.description or line.line_type for line in plan.lines}}
    return Preview(
        bill_id=plan.bill_id,
        currency=plan.currency,
        total=money.to_major(plan.total_minor, plan.decimals),
        to_send=money.to_major(plan.to_send_minor, plan.decimals),
        charges=tuple(
            Sent(
                one.item_price_id or one.description,
                money.to_major(_signed(one.kind, one.amount_minor), plan.decimals),
                one.invoice_id or f"customer {one.customer_id}",
                "planned",
                _parts(one.parts, known, plan.decimals),
            )
            for one in plan.to_send
        ),
        problems=tuple(one.cause for one in plan.problems),
        content=content,
    )


def _parts(
    parts: Iterable[tuple[str, int]], names: Mapping[str, str], decimals: int
) -> tuple[tuple[str, Decimal], ...]:
    return tuple((names.get(key, versions.GONE), money.to_major(minor, decimals)) for key, minor in parts)


def _signed(kind: str, minor: int) -> int:
    return -minor if kind in GIVEN else minor

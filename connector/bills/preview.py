"""What lets a person decide whether a bill is to go on: the amounts and invoices of what would be sent now."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from connector import money
from connector.bills import ledger
from connector.bills.plan import GIVEN, NOTHING, PushPlan
from connector.bills.push import plan_for
from connector.errors import Cause
from connector.models import BillSnapshot
from connector.services import Services


@dataclass(frozen=True)
class Sent:
    """One charge, or credit where the amount is negative, that would be sent."""

    what: str
    amount: Decimal
    where: str
    status: str


@dataclass(frozen=True)
class Preview:
    """A bill and what of it would be sent; amounts in major units of `currency`."""

    bill_id: str
    currency: str
    total: Decimal
    to_send: Decimal
    charges: tuple[Sent, ...]
    problems: tuple[Cause, ...]

    @property
    def fingerprint(self) -> str:
        """The same as long as a person would be shown the same."""
        return hashlib.sha256(repr(self).encode()).hexdigest()


def of_bill(services: Services, connection: str, bill_id: str) -> Preview:
    """What a push of the bill would send now; ConnectorError when a provider cannot be asked.

    Of a push that is under way, what it has left; no provider is asked then.
    """
    with services.reading() as db:
        live = ledger.live_snapshot(db, connection, bill_id)
        intents = ledger.intents(db, live.id) if live else []
    if live is not None:
        return _under_way(live, intents)
    bill = services.connection(connection).m3ter.get_bill(bill_id)
    return of_plan(plan_for(services, connection, bill))


def _under_way(live: BillSnapshot, intents: Iterable[ledger.Intent]) -> Preview:
    left = [one for one in intents if one.status != ledger.DONE and one.kind != NOTHING]
    charges = tuple(
        Sent(
            one.item_price_id or one.description,
            money.to_major(_signed(one.kind, one.amount_minor), live.decimals),
            one.invoice_id or f"customer {one.customer_id}",
            one.status,
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
    )


def of_plan(plan: PushPlan) -> Preview:
    """What a push of this plan would send."""
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
            )
            for one in plan.to_send
        ),
        problems=tuple(one.cause for one in plan.problems),
    )


def _signed(kind: str, minor: int) -> int:
    return -minor if kind in GIVEN else minor

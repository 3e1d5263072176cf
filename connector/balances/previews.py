"""What a schedule would make, asked of m3ter before anything is saved (m3ter.md §12.6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, localcontext
from itertools import zip_longest
from typing import Any

from connector import money
from connector.balances import asking, drafts
from connector.balances.drafts import TRANSACTION_SCHEDULE, Draft
from connector.balances.top_ups import TopUp
from connector.clients.m3ter_balance_objects import Preview, ScheduledRow
from connector.errors import BadInput
from connector.services import Services

LIMIT = 24
MAX_LIMIT = 200


@dataclass(frozen=True)
class Planned:
    """One transaction or charge that would be made; `amount` in major units of `currency`.

    A transaction counts from `at` on. A charge is billed on `bill_date` for the service period from `start` to `end`.
    """

    amount: Decimal
    currency: str
    at: datetime | None
    bill_date: date | None
    start: datetime | None
    end: datetime | None


@dataclass(frozen=True)
class Previewed:
    """The first of what a schedule would make, at most as many as were asked for.

    `more` is whether there would be others, and None where m3ter's answer does not say; `total` is of those shown.
    """

    kind: str
    currency: str
    rows: tuple[Planned, ...]
    more: bool | None
    total: Decimal


def of(services: Services, connection: str, draft: Draft, *, limit: int = LIMIT) -> Previewed:
    """What the schedule would make; nothing is kept. Raises BadInput, and Rejected where m3ter would refuse it."""
    if draft.balance_id is None or draft.currency is None:
        raise ValueError("only the draft of a schedule that is located can be previewed")
    m3ter = services.connection(connection).m3ter.balance_billing
    # A preview is checked like a schedule, so it must not bear a code that is taken: this one may be saved already.
    body = drafts.as_sent(drafts.as_stored(draft.body)) | {"code": asking.reference(services, None)}
    ask = m3ter.preview_transaction_schedule if draft.kind == TRANSACTION_SCHEDULE else m3ter.preview_charge_schedule
    return read(draft, ask(draft.balance_id, body, limit=limit))


def of_top_up(
    services: Services, connection: str, top_up: TopUp, *, limit: int = LIMIT
) -> tuple[Previewed, Previewed | None]:
    """What both schedules of a top-up would make: credits, and charges unless it is free."""
    credits = of(services, connection, top_up.credit, limit=limit)
    return credits, None if top_up.charge is None else of(services, connection, top_up.charge, limit=limit)


def read(draft: Draft, preview: Preview) -> Previewed:
    """m3ter's rows with their amounts and currencies; raises BadInput where the preview shows nothing at all."""
    currency = str(draft.currency)
    rows = tuple(_planned(row, currency) for row in preview.rows)
    if not rows and preview.more is False:
        raise BadInput("m3ter says that this schedule would make nothing: move its start or its end")
    with localcontext() as context:
        context.prec = money.PRECISION
        total = sum((row.amount for row in rows), Decimal(0))
    return Previewed(draft.kind, currency, rows, preview.more, total)


def _planned(row: ScheduledRow, currency: str) -> Planned:
    amount = row.amount
    if amount is None:
        amount = money.product(row.units or Decimal(0), row.unit_price or Decimal(0))
    return Planned(amount, row.currency or currency, row.applied, row.bill_date, row.start, row.end)


def side_by_side(
    credits: Sequence[Planned], charges: Sequence[Planned]
) -> list[tuple[Planned | None, Planned | None]]:  # fmt: skip
    """Each credit beside the charge that pays for it, in m3ter's order; None where one of them has no partner."""
    return list(zip_longest(credits, charges))


def is_uneven(credits: Previewed | None, charges: Previewed | None) -> bool:
    """Whether credits and the charges that pay for them do not come out even, as far as m3ter's answer shows them."""
    if credits is None or charges is None or credits.more or charges.more:
        return False
    return len(credits.rows) != len(charges.rows)


def as_json(preview: Previewed) -> dict[str, Any]:
    """The preview as the command line and scripts see it; the keys are stable, amounts are texts in major units."""
    return {
        "kind": preview.kind,
        "currency": preview.currency,
        "rows": [
            {
                "amount": format(row.amount, "f"),
                "currency": row.currency,
                "applied": row.at.isoformat() if row.at else None,
                "bill_date": row.bill_date.isoformat() if row.bill_date else None,
                "service_period_start": row.start.isoformat() if row.start else None,
                "service_period_end": row.end.isoformat() if row.end else None,
            }
            for row in preview.rows
        ],
        "more": preview.more,
        "total_shown": format(preview.total, "f"),
    }

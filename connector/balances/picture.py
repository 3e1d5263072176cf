"""A balance over time as exact values: what a chart draws, and what the tables beside it say. Values in, values out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from connector import money
from connector.balances.forecast import HORIZON, Credit, Forecast
from connector.balances.held import Standing, course, last_moment, standing
from connector.balances.upcoming import ComingCharge, price_of
from connector.clients.m3ter_balance_objects import Balance, Charge, Transaction

# No more of what is past is drawn than this.
PAST = timedelta(days=730)
# Who or what made a transaction (m3ter.md §12.3), in words.
MADE_BY = {
    "BILL": "drawn by a bill", "COMMITMENT": "commitment", "USER": "by a person", "SERVICE_USER": "by the API",
    "SCHEDULER": "by a schedule",
}  # fmt: skip


@dataclass(frozen=True)
class Movement:
    """One change of the balance, in its currency, and what it held after that; `paid` is what was noted as paid for it."""

    at: datetime
    amount: Decimal
    held: Decimal
    is_draw: bool
    made_by: str
    description: str
    bill_id: str | None
    paid: Decimal | None
    currency_paid: str | None


@dataclass(frozen=True)
class ChargeMark:
    """A charge for the balance, on the day that it is billed on, in its own currency; no bill holds it yet without an id."""

    day: date
    amount: Decimal
    currency: str
    name: str
    bill_id: str | None


@dataclass(frozen=True)
class Picture:
    """All that is known of a balance over time. Times are aware; those drawn reach from `since` to `until`.

    `steps` is what was held from each moment on, the first at `since` and the last at the end of what is known.
    """

    balance: Balance
    now: datetime
    since: datetime
    until: datetime
    stands: Standing
    threshold: Decimal | None
    steps: tuple[tuple[datetime, Decimal], ...]
    movements: tuple[Movement, ...]
    charges: tuple[ChargeMark, ...]
    coming_credits: tuple[Credit, ...]
    coming_charges: tuple[ComingCharge, ...]
    forecast: Forecast
    disagreements: tuple[str, ...]


def compose(
    balance: Balance,
    transactions: Sequence[Transaction],
    charges: Iterable[Charge],
    *,
    now: datetime,
    threshold: Decimal | None,
    coming_credits: Sequence[Credit],
    coming_charges: Sequence[ComingCharge],
    forecast: Forecast,
    disagreements: Sequence[str] = (),
) -> Picture:
    """The picture at this moment: the balance's life, but for what lies further back than two years or ahead than one."""
    points = course(balance, transactions)
    last = last_moment(balance)
    known_until = min(now, last)
    since = max(min([balance.start, *(point.at for point in points)]), known_until - PAST)
    until = max(min(last, now + HORIZON), known_until, since + timedelta(days=1))
    first = [point.held for point in points if point.at <= since]
    steps = [(since, first[-1] if first else Decimal(0))]
    steps += [(point.at, point.held) for point in points if since < point.at <= known_until]
    steps.append((known_until, steps[-1][1]))
    return Picture(
        balance=balance,
        now=now,
        since=since,
        until=until,
        stands=standing(balance, transactions, now),
        threshold=threshold,
        steps=tuple(steps),
        movements=tuple(
            _movement(balance, point.transaction, point.at, point.change, point.held)
            for point in points
            if point.at <= now and (point.transaction is not None or point.change)
        ),
        charges=tuple(sorted((_mark(one) for one in charges), key=lambda one: (one.day, one.name))),
        coming_credits=tuple(coming_credits),
        coming_charges=tuple(coming_charges),
        forecast=forecast,
        disagreements=tuple(disagreements),
    )


def _movement(balance: Balance, one: Transaction | None, at: datetime, change: Decimal, held: Decimal) -> Movement:
    if one is None:
        what = "expired" if at == last_moment(balance) else "not carried over"
        return Movement(at, change, held, False, what, "", None, None, None)
    is_draw = one.entity_type == "BILL"
    made_by = MADE_BY.get(one.entity_type or "", one.entity_type or "")
    bill_id = one.entity_id if is_draw else None
    return Movement(at, change, held, is_draw, made_by, one.description or "", bill_id, one.paid, one.currency_paid)


def _mark(charge: Charge) -> ChargeMark:
    return ChargeMark(
        charge.bill_date or charge.start.date(), price_of(charge), charge.currency, charge.name, charge.bill_id
    )


def summary(picture: Picture) -> str:
    """What the chart shows, in sentences, for whoever cannot see it."""
    currency, stands, told = picture.balance.currency, picture.stands, picture.forecast
    said = [
        f"On {picture.now:%Y-%m-%d} the balance holds {money.shown(stands.held, currency)}: "
        f"{money.shown(stands.credited, currency)} came in, {money.shown(stands.debited, currency)} went out"
        + (f", {money.shown(stands.expired, currency)} expired" if stands.expired else "")
    ]
    if picture.threshold is not None:
        said.append(f"It is watched for falling below {money.shown(picture.threshold, currency)}")
    if told.used:
        said.append(f"About {money.shown(told.used, currency)} are used and not drawn yet")
    if picture.now >= last_moment(picture.balance):
        said.append("It has ended")
    elif stands.held <= 0:
        said.append("It is empty")
    elif told.daily is None:
        said.append("Too little has been drawn of it to say when it runs out")
    elif told.runs_out is None:
        said.append(f"At {money.shown(told.daily, currency)} a day it lasts beyond {told.looked_until:%Y-%m-%d}")
    else:
        said.append(f"At {money.shown(told.daily, currency)} a day it runs out on {told.runs_out:%Y-%m-%d}")
    return ". ".join(said) + "."


def as_json(picture: Picture) -> dict[str, Any]:
    """The picture as scripts see it; the keys are stable, amounts are texts in major units, times in ISO 8601."""
    balance, stands, told = picture.balance, picture.stands, picture.forecast
    return {
        "balance_id": balance.id, "code": balance.code, "name": balance.name, "account_id": balance.account_id,
        "currency": balance.currency, "start": balance.start.isoformat(), "end": balance.end.isoformat(),
        "rollover_end": balance.rollover_end.isoformat() if balance.rollover_end else None,
        "at": picture.now.isoformat(), "threshold": _text(picture.threshold),
        **{name: _text(getattr(stands, name)) for name in ("held", "credited", "debited", "consumed", "expired")},
        "daily": _text(told.daily), "used": _text(told.used), "suggested": _text(told.suggested),
        "runs_out": told.runs_out.isoformat() if told.runs_out else None,
        "looked_until": told.looked_until.isoformat(),
        "movements": [
            {"at": one.at.isoformat(), "amount": _text(one.amount), "held": _text(one.held), "made_by": one.made_by,
             "description": one.description, "bill_id": one.bill_id, "paid": _text(one.paid),
             "currency_paid": one.currency_paid}
            for one in picture.movements
        ],
        "charges": [
            {"day": one.day.isoformat(), "amount": _text(one.amount), "currency": one.currency, "name": one.name,
             "bill_id": one.bill_id}
            for one in picture.charges
        ],
        "coming_credits": [{"at": one.at.isoformat(), "amount": _text(one.amount)} for one in picture.coming_credits],
        "coming_charges": [
            {"day": one.day.isoformat(), "amount": _text(one.amount), "currency": one.currency,
             "description": one.description}
            for one in picture.coming_charges
        ],
        "forecast": [{"at": at.isoformat(), "held": _text(held)} for at, held in told.path],
        "disagreements": list(picture.disagreements),
    }  # fmt: skip


def _text(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")

"""Top-ups: the credit on a balance and the charge that pays for it, which m3ter does not tie, made as a pair.

Both halves bear one reference. The charge is made first: it can be deleted, a transaction cannot.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector.balances import drafts, requests
from connector.balances.drafts import Draft, located
from connector.balances.making import MARK
from connector.balances.requests import BY_CHARGE, FREE, PAYS, Asked
from connector.clients.m3ter_balance_objects import Balance
from connector.errors import BadInput
from connector.models import BalanceRequest


@dataclass(frozen=True)
class TopUp:
    """The two halves as they are to be made; a free one has no charge."""

    credit: Draft
    charge: Draft | None

    @property
    def halves(self) -> list[Draft]:
        """Both, in the order in which they are made."""
        return [half for half in (self.charge, self.credit) if half is not None]


@dataclass(frozen=True)
class Price:
    """What a top-up costs, in major units of its currency; `currency` None is the balance's own.

    `amount` None is as much as is credited, which only one and the same currency allows.
    """

    amount: Decimal | None = None
    currency: str | None = None


def ad_hoc(
    balance: Balance,
    *,
    reference: str,
    credit: Decimal,
    price: Price | None,
    type_id: str,
    applied: datetime,
    bill_date: date,
    description: str | None = None,
    period: tuple[datetime, datetime] | None = None,
    product_id: str | None = None,
) -> TopUp:
    """Credit from `applied` on, billed on `bill_date`; free where `price` is None. Raises BadInput.

    The charge's service period is, unless given, the time in which the credit can be used.
    """
    must_be_worth(credit, price)
    text = description or f"Top-up of {balance.name}"
    amount, currency = _price(balance, credit, price)
    paid, currency_paid = (None, None) if currency == balance.currency else (amount, currency)
    made = drafts.transaction(
        balance_id=balance.id, reference=reference, amount=credit, type_id=type_id, description=text, applied=applied,
        occurred=applied, paid=paid, currency_paid=currency_paid,
    )  # fmt: skip
    credit_half = located(made, balance)
    if amount is None:
        return TopUp(credit_half, None)
    last = balance.end if applied < balance.end else balance.rollover_end or balance.end
    start, end = period or (applied, last)
    charge = drafts.charge(
        account_id=None, balance_id=balance.id, code=reference, name=text, currency=currency, start=start, end=end,
        bill_date=bill_date, amount=amount, notes=f"for the transaction {MARK}{reference}", product_id=product_id,
    )  # fmt: skip
    return TopUp(credit_half, located(charge, balance))


def scheduled(
    balance: Balance,
    *,
    reference: str,
    credit: Decimal,
    price: Price | None,
    type_id: str,
    start: datetime,
    end: datetime,
    first_day: date,
    frequency: str,
    every: int = 1,
    in_advance: bool = True,
    description: str | None = None,
) -> TopUp:
    """Credit that recurs from `start` to `end`, each time with its charge, in advance or in arrears. Raises BadInput.

    Both schedules have one rhythm: the charges' periods are counted from `first_day`, the day of `start` in the
    organization's time zone, on which the first credit is booked.
    """
    must_be_worth(credit, price)
    text = description or f"Top-up of {balance.name}"
    amount, currency = _price(balance, credit, price)
    paid, currency_paid = (None, None) if currency == balance.currency else (amount, currency)
    made = drafts.transaction_schedule(
        balance_id=balance.id, code=reference, name=text, amount=credit, type_id=type_id, description=text, start=start,
        end=end, frequency=frequency, every=every, paid=paid, currency_paid=currency_paid,
    )  # fmt: skip
    if amount is None:
        return TopUp(located(made, balance), None)
    charge = drafts.charge_schedule(
        balance_id=balance.id, code=reference, name=text, currency=currency, start=start, end=end, frequency=frequency,
        every=every, description=text, in_advance=in_advance, amount=amount, bill_epoch=first_day,
    )  # fmt: skip
    return TopUp(located(made, balance), located(charge, balance))


# What only a top-up that recurs has, and what only a single one.
SCHEDULED_ONLY = ("every", "start", "end", "in_arrears")
ONCE_ONLY = ("applied", "bill_date", "product_id")


def must_fit(given: Collection[str], *, recurs: bool, called: Callable[[str], str], once: str, again: str) -> None:
    """Raise BadInput for what contradicts itself: a person would expect what is not done.

    `given` are the fields that were filled in, and `called` is what the person knows a field as; `once` and `again` say what
    a single top-up and one that recurs are, there.
    """
    if "free" in given and {"price", "currency"} & set(given):
        raise BadInput(
            f"a free top-up has no price: leave out either {called('free')} or {called('price')} and {called('currency')}"
        )
    wrong = ONCE_ONLY if recurs else SCHEDULED_ONLY
    if unfit := [called(name) for name in wrong if name in given]:
        raise BadInput(f"{', '.join(unfit)} cannot be given for {again if recurs else once}")
    if "free" in given and {"in_arrears", "bill_date"} & set(given):
        raise BadInput(f"a free top-up is not billed: leave out {called('in_arrears')} and {called('bill_date')}")


def must_be_worth(credit: Decimal, price: Price | None) -> None:
    """Raise BadInput for a top-up that adds nothing, or whose price is none."""
    if credit <= 0:
        raise BadInput("a top-up adds credit: give an amount above zero")
    if price is not None and price.amount is not None and price.amount <= 0:
        raise BadInput("a top-up that costs nothing is a free one: say so, or give a price above zero")


def _price(balance: Balance, credit: Decimal, price: Price | None) -> tuple[Decimal | None, str]:
    if price is None:
        return None, balance.currency
    currency = price.currency or balance.currency
    if price.amount is None and currency != balance.currency:
        raise BadInput(
            f"the balance is in {balance.currency} and is to be paid in {currency}: give the price, nothing is converted"
        )
    return credit if price.amount is None else price.amount, currency


def ask(
    db: Session, connection: str, top_up: TopUp, *, made_by: str, now: datetime, source: str | None = None,
    again: bool = False,
) -> list[Asked]:  # fmt: skip
    """Keep both halves and open their syncs, the charge's first; raises BadInput as `requests.ask` does."""
    asked = []
    if top_up.charge is not None:
        asked.append(requests.ask(db, connection, top_up.charge, made_by=made_by, now=now, source=source, again=again))
    paid_by = FREE if top_up.charge is None else BY_CHARGE
    credit = requests.ask(
        db, connection, top_up.credit, made_by=made_by, now=now, paid_by=paid_by, source=source, again=again
    )
    return [*asked, credit]


def listed(
    db: Session, connection: str, *, balance_id: str | None = None, limit: int = 100
) -> list[tuple[BalanceRequest, BalanceRequest | None]]:
    """Every top-up, the newest first: the credit, and the charge that pays for it where one does."""
    credits = (
        select(BalanceRequest)
        .where(
            BalanceRequest.connection == connection,
            BalanceRequest.kind.in_(PAYS),
            BalanceRequest.paid_by.is_not(None),
        )
        .order_by(BalanceRequest.id.desc())
    )
    if balance_id is not None:
        credits = credits.where(BalanceRequest.balance_id == balance_id)
    return [(credit, requests.partner(db, credit)) for credit in db.scalars(credits.limit(limit))]

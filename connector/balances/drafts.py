"""What people ask Balance Billing to make, in m3ter's own names; every fault is said before anything is sent.

A draft is worked out from values alone and calls nobody. `located` then takes from the balance, as m3ter shows it, what only
that can say. Amounts are exact decimals in major units of their currency, times are aware, and ends are exclusive.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from connector import money
from connector.clients.m3ter_balance_objects import Balance
from connector.clients.m3ter_objects import DRAWABLE
from connector.errors import BadInput

BALANCE, TRANSACTION, TRANSACTION_SCHEDULE, CHARGE, CHARGE_SCHEDULE = (
    "balance", "transaction", "transaction_schedule", "charge", "charge_schedule",
)  # fmt: skip
FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "ANNUALLY")
# A reference stands in a transaction's description as one word, by which the transaction is found again.
REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,79}")
CURRENCY = re.compile(r"[A-Z]{3}")
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
MAX_NAME, MAX_TEXT, MAX_INTERVAL = 200, 200, 365
# The field that says when a credit is first there.
FIRST_USE = {TRANSACTION: "appliedDate", TRANSACTION_SCHEDULE: "startDate"}
# The fields of a body that are numbers; in the database they stand as text, digit for digit.
NUMBERS = frozenset({"amount", "units", "unitPrice", "paid", "rolloverAmount", "overageSurchargePercent"})


@dataclass(frozen=True)
class Draft:
    """One thing to be made: `body` is what m3ter is sent, but for the reference in a transaction's description.

    `amount` is what it credits, debits or charges at a time; None for a balance. A reference is also the code of everything
    that has one. `account_id` and `currency` may be None before the draft is `located`.
    """

    kind: str
    reference: str
    account_id: str | None
    balance_id: str | None
    amount: Decimal | None
    currency: str | None
    body: Mapping[str, Any]


def balance(
    *,
    account_id: str,
    code: str,
    name: str,
    currency: str,
    start: datetime,
    end: datetime | None,
    description: str | None = None,
    rollover_end: datetime | None = None,
    rollover_amount: Decimal | None = None,
    draw_down_description: str | None = None,
    overage_percent: Decimal | None = None,
    overage_description: str | None = None,
    product_ids: Collection[str] = (),
    line_item_types: Collection[str] = (),
    contract_id: str | None = None,
    consumptions_product_id: str | None = None,
    fees_product_id: str | None = None,
    allow_overdraft: bool | None = None,
) -> Draft:
    """A balance of an account; raises BadInput with every fault (m3ter.md §12.1)."""
    _must_be_amounts(rollover_amount, overage_percent)
    faults = _Faults()
    _coded(faults, code, name)
    _currency(faults, currency)
    if end is None:
        faults.add("a balance needs the moment at which it ends: give its end")
    else:
        _span(faults, start, end, "the balance")
    if rollover_amount is not None and rollover_end is None:
        faults.add("a rollover amount needs the end of the rollover: give that too, or leave the amount out")
    if rollover_end is not None and end is not None and rollover_end <= end:
        faults.add("the rollover has to end after the balance itself: move its end, or leave it out")
    _not_negative(faults, rollover_amount, "the rollover amount")
    _not_negative(faults, overage_percent, "the overage surcharge")
    for what, text in (("draw-down", draw_down_description), ("overage", overage_description)):
        if text is not None and len(text) > MAX_TEXT:
            faults.add(f"the {what} description has {len(text)} characters: m3ter takes {MAX_TEXT}")
    if unknown := sorted(set(line_item_types) - set(DRAWABLE)):
        faults.add(f"{', '.join(unknown)} cannot be paid out of a balance: choose from {', '.join(DRAWABLE)}")
    _ids(faults, account_id, contract_id, consumptions_product_id, fees_product_id, *product_ids)
    faults.raise_all()
    return Draft(
        BALANCE, code, account_id, None, None, currency,
        _given(
            accountId=account_id, code=code, name=name, currency=currency, startDate=start, endDate=end,
            description=description, rolloverEndDate=rollover_end, rolloverAmount=rollover_amount,
            balanceDrawDownDescription=draw_down_description, overageSurchargePercent=overage_percent,
            overageDescription=overage_description, productIds=list(product_ids) or None,
            lineItemTypes=list(line_item_types) or None, contractId=contract_id,
            consumptionsAccountingProductId=consumptions_product_id, feesAccountingProductId=fees_product_id,
            allowOverdraft=allow_overdraft,
        ),
    )  # fmt: skip


def transaction(
    *,
    balance_id: str,
    reference: str,
    amount: Decimal,
    type_id: str,
    description: str | None = None,
    applied: datetime | None = None,
    occurred: datetime | None = None,
    paid: Decimal | None = None,
    currency_paid: str | None = None,
) -> Draft:
    """A credit (above zero) or debit (below) of a balance, in its currency; raises BadInput (m3ter.md §12.3)."""
    _must_be_amounts(amount, paid)
    faults = _Faults()
    _reference(faults, reference)
    _ids(faults, balance_id, type_id)
    if amount == 0:
        faults.add("a transaction of nothing changes nothing: give an amount above or below zero")
    _paid(faults, paid, currency_paid)
    faults.raise_all()
    return Draft(
        TRANSACTION, reference, None, balance_id, amount, None,
        _given(
            amount=amount, transactionTypeId=type_id, description=description, paid=paid, currencyPaid=currency_paid,
            appliedDate=applied, transactionDate=occurred,
        ),
    )  # fmt: skip


def transaction_schedule(
    *,
    balance_id: str,
    code: str,
    name: str,
    amount: Decimal,
    type_id: str,
    description: str,
    start: datetime,
    end: datetime | None,
    frequency: str,
    every: int = 1,
    paid: Decimal | None = None,
    currency_paid: str | None = None,
) -> Draft:
    """Credits that recur: one at `start`, then one every so many days, weeks, months or years; raises BadInput (§12.4)."""
    _must_be_amounts(amount, paid)
    faults = _Faults()
    _coded(faults, code, name)
    _ids(faults, balance_id, type_id)
    if amount < 0:
        faults.add("a schedule cannot book debits: give an amount above zero, and book debits one by one")
    elif amount == 0:
        faults.add("a schedule of nothing changes nothing: give an amount above zero")
    if not description.strip():
        faults.add("a schedule needs the description of its transactions")
    _recurrence(faults, start, end, frequency, every)
    _paid(faults, paid, currency_paid)
    faults.raise_all()
    return Draft(
        TRANSACTION_SCHEDULE, code, None, balance_id, amount, None,
        _given(
            name=name, code=code, amount=amount, transactionDescription=description, transactionTypeId=type_id,
            startDate=start, endDate=end, frequency=frequency, frequencyInterval=every, paid=paid,
            currencyPaid=currency_paid,
        ),
    )  # fmt: skip


def charge(
    *,
    account_id: str | None,
    balance_id: str | None,
    code: str,
    name: str,
    currency: str,
    start: datetime,
    end: datetime | None,
    bill_date: date | None,
    amount: Decimal | None = None,
    units: Decimal | None = None,
    unit_price: Decimal | None = None,
    description: str | None = None,
    notes: str | None = None,
    product_id: str | None = None,
    contract_id: str | None = None,
) -> Draft:
    """Money to be billed on `bill_date`, for a balance or for an account itself; raises BadInput (m3ter.md §12.7).

    An amount below zero is a credit on the bill.
    """
    _must_be_amounts(amount, units, unit_price)
    faults = _Faults()
    _coded(faults, code, name)
    _currency(faults, currency)
    if (account_id is None) == (balance_id is None):
        faults.add("a charge is either on a balance or on an account: give one of the two")
    _ids(faults, account_id, balance_id, product_id, contract_id)
    total = _price(faults, currency, amount, units, unit_price)
    if end is None:
        faults.add("a charge needs the end of its service period, the first moment after it")
    else:
        _span(faults, start, end, "the service period")
    if bill_date is None:
        faults.add("a charge without a bill date never reaches a bill: give the day on which it is to be billed")
    faults.raise_all()
    kind, line_type = ("AD_HOC", "AD_HOC") if balance_id is None else ("BALANCE", "BALANCE_FEE")
    return Draft(
        CHARGE, code, account_id, balance_id, total, currency,
        _given(
            name=name, code=code, accountId=account_id, currency=currency, entityType=kind, lineItemType=line_type,
            entityId=balance_id, amount=amount, units=units, unitPrice=unit_price, billDate=bill_date,
            servicePeriodStartDate=start, servicePeriodEndDate=end, description=description, notes=notes,
            accountingProductId=product_id, contractId=contract_id,
        ),
    )  # fmt: skip


def charge_schedule(
    *,
    balance_id: str,
    code: str,
    name: str,
    currency: str,
    start: datetime,
    end: datetime | None,
    frequency: str,
    description: str,
    in_advance: bool,
    every: int = 1,
    amount: Decimal | None = None,
    units: Decimal | None = None,
    unit_price: Decimal | None = None,
    bill_epoch: date | None = None,
) -> Draft:
    """Charges on a balance that recur, at the start or at the end of each period; raises BadInput (m3ter.md §12.5)."""
    _must_be_amounts(amount, units, unit_price)
    faults = _Faults()
    _coded(faults, code, name)
    _currency(faults, currency)
    _ids(faults, balance_id)
    total = _price(faults, currency, amount, units, unit_price)
    if total is not None and total < 0:
        faults.add("a schedule cannot make credits: give a price above zero, and make credits one by one")
    elif total == 0:
        faults.add("a schedule of nothing charges nothing: give a price above zero")
    if not description.strip():
        faults.add("a schedule needs the description of its charges, which stands on the bill line")
    _recurrence(faults, start, end, frequency, every)
    faults.raise_all()
    return Draft(
        CHARGE_SCHEDULE, code, None, balance_id, total, currency,
        _given(
            name=name, code=code, currency=currency, amount=amount, units=units, unitPrice=unit_price,
            servicePeriodStartDate=start, servicePeriodEndDate=end, billFrequency=frequency,
            billFrequencyInterval=every, billInAdvance=in_advance, chargeDescription=description, billEpoch=bill_epoch,
        ),
    )  # fmt: skip


def located(draft: Draft, balance: Balance) -> Draft:
    """The draft with its balance's account and, where it has none of its own, currency; raises BadInput.

    What takes effect while the balance does not hold is refused: nothing could be drawn of it.
    """
    faults = _Faults()
    life = f"balance {balance.code} holds from {_said(balance.start)} to {_said(balance.end)}"
    last = balance.rollover_end or balance.end
    first_use = draft.body.get(FIRST_USE.get(draft.kind, ""))
    if isinstance(first_use, datetime) and not balance.start <= first_use < last:
        faults.add(f"{life}: {_said(first_use)} is outside of that")
    end = draft.body.get("endDate")
    if draft.kind == TRANSACTION_SCHEDULE and isinstance(end, datetime) and end > last:
        faults.add(f"{life}: the schedule may not end later, at {_said(end)}")
    faults.raise_all()
    body = dict(draft.body)
    if draft.kind == CHARGE:
        body["accountId"] = balance.account_id
    return replace(draft, account_id=balance.account_id, currency=draft.currency or balance.currency, body=body)


def must_be_known(currencies: Iterable[str], *used: str | None) -> None:
    """Raise BadInput for a currency that the organization does not have."""
    known = sorted(currencies)
    unknown = sorted({one for one in used if one is not None} - set(known))
    if unknown:
        raise BadInput(
            f"m3ter does not have the currency {', '.join(unknown)}: add it to the organization, or use one of "
            f"{', '.join(known) or '(none yet)'}"
        )


def as_stored(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body as JSON that keeps numbers digit for digit and times in UTC."""
    return {name: _stored(value) for name, value in sorted(body.items())}


def as_sent(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What m3ter is sent: the stored body with its numbers as numbers."""
    return {name: Decimal(value) if name in NUMBERS else value for name, value in stored.items()}


def _stored(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return format(value, "f") if isinstance(value, Decimal) else value


class _Faults:
    """What is wrong with a draft, all of it, so that a person mends it once."""

    def __init__(self) -> None:
        self._sentences: list[str] = []

    def add(self, sentence: str) -> None:
        self._sentences.append(sentence)

    def raise_all(self) -> None:
        if self._sentences:
            raise BadInput("; ".join(self._sentences))


def _must_be_amounts(*given: Decimal | None) -> None:
    """Raise BadInput at once for what is no amount: nothing more can be said of it."""
    for one in given:
        try:
            money.amount(0 if one is None else one)
        except money.BadMoney as bad:
            raise BadInput(f"{bad}: give an amount") from bad


def _reference(faults: _Faults, reference: str) -> None:
    if not REFERENCE.fullmatch(reference):
        faults.add(
            f"{reference[:90]!r} cannot be a reference: use up to 80 letters, digits, dots, slashes, underscores and hyphens"
        )


def _coded(faults: _Faults, code: str, name: str) -> None:
    """A code is a reference, so that one rule holds for both."""
    if not REFERENCE.fullmatch(code):
        faults.add(
            f"{code[:90]!r} cannot be a code: use up to 80 letters, digits, dots, slashes, underscores and hyphens"
        )
    if not 1 <= len(name.strip()) <= MAX_NAME:
        faults.add(f"the name has to have 1 to {MAX_NAME} characters")


def _currency(faults: _Faults, currency: str) -> None:
    if not CURRENCY.fullmatch(currency):
        faults.add(f"{currency!r} is not a currency that can be invoiced: give its ISO code, such as EUR")


def _ids(faults: _Faults, *ids: str | None) -> None:
    for one in ids:
        if one is not None and not UUID.fullmatch(one):
            faults.add(f"{one[:50]!r} is not an id of m3ter's: it looks like 01234567-89ab-cdef-0123-456789abcdef")


def _span(faults: _Faults, start: datetime, end: datetime, what: str) -> None:
    if end <= start:
        faults.add(f"{what} ends at {_said(end)}, which is not after its start at {_said(start)}: move one of them")


def _recurrence(faults: _Faults, start: datetime, end: datetime | None, frequency: str, every: int) -> None:
    if end is None:
        faults.add("a schedule needs its end, the first moment after its last period")
    else:
        _span(faults, start, end, "the schedule")
    if frequency not in FREQUENCIES:
        faults.add(f"{frequency!r} is not a frequency: choose from {', '.join(FREQUENCIES)}")
    if not 1 <= every <= MAX_INTERVAL:
        faults.add(f"a schedule runs every 1 to {MAX_INTERVAL} days, weeks, months or years, not every {every}")


def _paid(faults: _Faults, paid: Decimal | None, currency_paid: str | None) -> None:
    if (paid is None) != (currency_paid is None):
        faults.add("what was paid and its currency go together: give both or neither")
    if currency_paid is not None:
        _currency(faults, currency_paid)


def _not_negative(faults: _Faults, value: Decimal | None, what: str) -> None:
    if value is not None and value < 0:
        faults.add(f"{what} is {value}: it cannot be below zero")


def _price(
    faults: _Faults, currency: str, amount: Decimal | None, units: Decimal | None, unit_price: Decimal | None
) -> Decimal | None:
    """What is charged at a time: the amount, or the units times their price."""
    if amount is not None and (units is not None or unit_price is not None):
        faults.add("an amount and units with their price exclude each other: give one of the two")
        return None
    if amount is None and (units is None or unit_price is None):
        faults.add("give an amount, or both the units and the price of one")
        return None
    if amount is None:
        return None if units is None or unit_price is None else money.product(units, unit_price)
    try:
        decimals = money.exponent(currency)
    except money.BadMoney:
        return amount  # the currency itself is at fault, or its decimals are for the settings to say
    if amount != money.to_major(money.to_minor(amount, decimals), decimals):
        faults.add(f"{amount} {currency} cannot be invoiced: {currency} has {decimals} decimals")
    return amount


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _said(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"

"""What a balance's schedules are still going to make, from m3ter's own previews (m3ter.md §12.6)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from connector import money
from connector.balances.forecast import Credit
from connector.clients.m3ter_balance_objects import Balance, Charge, ChargeSchedule, ScheduledRow, TransactionSchedule
from connector.clients.m3ter_balances import BalanceBilling

# A preview begins where its schedule does: so many rows reach over two years of days.
ROWS = 1000
# What a preview takes of a schedule (m3ter.md §12.4, §12.5).
CREDIT_FIELDS = (
    "name", "amount", "transactionDescription", "transactionTypeId", "startDate", "endDate", "frequency",
    "frequencyInterval", "paid", "currencyPaid",
)  # fmt: skip
CHARGE_FIELDS = (
    "name", "currency", "amount", "units", "unitPrice", "servicePeriodStartDate", "servicePeriodEndDate",
    "billFrequency", "billFrequencyInterval", "billInAdvance", "chargeDescription", "billEpoch",
)  # fmt: skip


@dataclass(frozen=True)
class ComingCharge:
    """A charge that a schedule is going to make, in its own currency."""

    day: date
    amount: Decimal
    currency: str
    description: str


def credits(m3ter: BalanceBilling, balance: Balance, now: datetime, until: datetime) -> list[Credit]:
    """What the balance's schedules put in after now and before `until`, the next first."""
    coming: list[Credit] = []
    for schedule in m3ter.list_transaction_schedules(balance.id):
        if schedule.end > now:
            coming += _credits(m3ter, balance, schedule)
    return sorted((one for one in coming if now < one.at < until), key=lambda one: one.at)


def _credits(m3ter: BalanceBilling, balance: Balance, schedule: TransactionSchedule) -> list[Credit]:
    body = _body(schedule, CREDIT_FIELDS)
    preview = m3ter.preview_transaction_schedule(balance.id, body, limit=ROWS)
    if preview.more is None:
        # One object instead of a list says nothing of the runs: the next one stands in the schedule itself.
        return [Credit(schedule.next_run, schedule.amount)] if schedule.next_run else []
    return [Credit(row.applied, row.amount) for row in preview.rows if row.applied and row.amount is not None]


def charges(
    m3ter: BalanceBilling, balance: Balance, made: Iterable[Charge], now: datetime, until: datetime
) -> list[ComingCharge]:
    """What the balance's schedules charge from today on and before `until`, the next first; what is `made` is left out."""
    known = {(one.schedule_id, one.start) for one in made}
    coming: list[ComingCharge] = []
    for schedule in m3ter.list_charge_schedules(balance.id):
        preview = m3ter.preview_charge_schedule(balance.id, _body(schedule, CHARGE_FIELDS), limit=ROWS)
        rows = [row for row in preview.rows if (schedule.id, row.start) not in known]
        if preview.more is not None:
            coming += [_charge(schedule, row, row.bill_date) for row in rows if row.bill_date]
        elif schedule.next_run:
            coming.append(_charge(schedule, schedule, schedule.next_run.date()))
    return sorted(
        (one for one in coming if now.date() <= one.day < until.date()), key=lambda one: (one.day, one.description)
    )


def _charge(schedule: ChargeSchedule, priced: ScheduledRow | ChargeSchedule, day: date) -> ComingCharge:
    amount = price_of(priced)
    return ComingCharge(day, amount, priced.currency or schedule.currency, priced.description or schedule.description)


def price_of(priced: ScheduledRow | ChargeSchedule | Charge) -> Decimal:
    """What a charge comes to, in its own currency: its amount, or its units at their price."""
    if priced.amount is not None:
        return priced.amount
    return money.product(priced.units or Decimal(0), priced.unit_price or Decimal(0))


def _body(schedule: TransactionSchedule | ChargeSchedule, fields: Iterable[str]) -> dict[str, object]:
    """What makes such a schedule; a preview wants a code too, and one that no other schedule has."""
    return {name: schedule.raw.get(name) for name in fields} | {"code": schedule.id}

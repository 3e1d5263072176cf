"""What m3ter answers about Balance Billing: dataclasses that hold only the fields we read, strict about those.

Every end is exclusive (m3ter.md §1.6), and every amount is as exact as m3ter wrote it.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from connector.clients.fields import Fields
from connector.clients.m3ter_objects import Raw

# The states after which nothing more comes of a bill job (m3ter.md §8); none of them says that there are bills.
ENDED = frozenset({"COMPLETE", "CANCELLED"})


@dataclass(frozen=True)
class Balance:
    """Credit that an account holds, in `currency`; `raw` is all that m3ter sent of it.

    Whether `amount` is what was put in or what is left is not documented: the summary says both. No `product_ids` or
    `line_item_types` means that all may draw, and no `rollover_amount` that all is carried over until `rollover_end`.
    """

    id: str
    version: int
    account_id: str
    code: str
    name: str
    description: str | None
    currency: str
    start: datetime
    end: datetime
    rollover_end: datetime | None
    rollover_amount: Decimal | None
    amount: Decimal | None
    draw_down_description: str | None
    overage_description: str | None
    overage_surcharge_percent: Decimal | None
    allow_overdraft: bool
    product_ids: tuple[str, ...]
    line_item_types: tuple[str, ...]
    contract_id: str | None
    fees_accounting_product_id: str | None
    consumptions_accounting_product_id: str | None
    raw: Raw = field(repr=False)

    @classmethod
    def from_json(cls, raw: object) -> "Balance":
        """The balance; raises Unreadable."""
        fields = Fields("m3ter balance", raw)
        return cls(
            id=fields.id("id"),
            version=fields.whole("version"),
            account_id=fields.id("accountId"),
            code=fields.id("code"),
            name=fields.text("name"),
            description=fields.text_or_none("description"),
            currency=fields.id("currency"),
            start=fields.iso_time("startDate"),
            end=fields.iso_time("endDate"),
            rollover_end=fields.iso_time_or_none("rolloverEndDate"),
            rollover_amount=fields.amount_or_none("rolloverAmount"),
            amount=fields.amount_or_none("amount"),
            draw_down_description=fields.text_or_none("balanceDrawDownDescription"),
            overage_description=fields.text_or_none("overageDescription"),
            overage_surcharge_percent=fields.amount_or_none("overageSurchargePercent"),
            allow_overdraft=fields.flag("allowOverdraft"),
            product_ids=fields.list_of_texts("productIds"),
            line_item_types=fields.list_of_texts("lineItemTypes"),
            contract_id=fields.text_or_none("contractId"),
            fees_accounting_product_id=fields.text_or_none("feesAccountingProductId"),
            consumptions_accounting_product_id=fields.text_or_none("consumptionsAccountingProductId"),
            raw=fields.all(),
        )


@dataclass(frozen=True)
class TransactionType:
    """What a transaction is for, from the organization's list."""

    id: str
    code: str | None
    name: str
    archived: bool

    @classmethod
    def from_json(cls, raw: object) -> "TransactionType":
        """The type; raises Unreadable."""
        fields = Fields("m3ter transaction type", raw)
        return cls(
            id=fields.id("id"),
            code=fields.text_or_none("code"),
            name=fields.text("name"),
            archived=fields.flag("archived"),
        )


@dataclass(frozen=True)
class Transaction:
    """What raised (positive) or lowered (negative) a balance, in the balance's currency; it can never be changed.

    `paid` of `currency_paid` is what a person noted as really paid, and no conversion. `entity_type` and `entity_id` say
    who or what made it: BILL, COMMITMENT, USER, SERVICE_USER or SCHEDULER.
    """

    id: str
    amount: Decimal
    transaction_type_id: str | None
    description: str | None
    entity_type: str | None
    entity_id: str | None
    applied: datetime | None
    transaction_date: datetime | None
    paid: Decimal | None
    currency_paid: str | None
    created: datetime | None

    @classmethod
    def from_json(cls, raw: object) -> "Transaction":
        """The transaction; raises Unreadable."""
        fields = Fields("m3ter balance transaction", raw)
        return cls(
            id=fields.id("id"),
            amount=fields.amount("amount"),
            transaction_type_id=fields.text_or_none("transactionTypeId"),
            description=fields.text_or_none("description"),
            entity_type=fields.text_or_none("entityType"),
            entity_id=fields.text_or_none("entityId"),
            applied=fields.iso_time_or_none("appliedDate"),
            transaction_date=fields.iso_time_or_none("transactionDate"),
            paid=fields.amount_or_none("paid"),
            currency_paid=fields.text_or_none("currencyPaid"),
            created=fields.iso_time_or_none("dtCreated"),
        )


@dataclass(frozen=True)
class BalanceSummary:
    """What came into a balance and went out of it, in its currency; None where m3ter left an amount out.

    `expired`, `rollover_consumed` and `consumed` still move until the balance has ended.
    """

    total_credit: Decimal | None
    total_debit: Decimal | None
    initial_credit: Decimal | None
    expired: Decimal | None
    rollover_consumed: Decimal | None
    consumed: Decimal | None

    @classmethod
    def from_json(cls, raw: object) -> "BalanceSummary":
        """The summary; raises Unreadable."""
        fields = Fields("m3ter balance summary", raw)
        return cls(
            total_credit=fields.amount_or_none("totalCreditAmount"),
            total_debit=fields.amount_or_none("totalDebitAmount"),
            initial_credit=fields.amount_or_none("initialCreditAmount"),
            expired=fields.amount_or_none("expiredBalanceAmount"),
            rollover_consumed=fields.amount_or_none("rolloverConsumed"),
            consumed=fields.amount_or_none("balanceConsumed"),
        )


@dataclass(frozen=True)
class TransactionSchedule:
    """What makes a transaction of `amount`, in the balance's currency, each time its frequency comes round."""

    id: str
    version: int
    balance_id: str
    code: str
    name: str
    amount: Decimal
    description: str
    transaction_type_id: str
    start: datetime
    end: datetime
    frequency: str
    frequency_interval: int
    paid: Decimal | None
    currency_paid: str | None
    next_run: datetime | None
    previous_run: datetime | None
    raw: Raw = field(repr=False)

    @classmethod
    def from_json(cls, raw: object) -> "TransactionSchedule":
        """The schedule; raises Unreadable."""
        fields = Fields("m3ter transaction schedule", raw)
        return cls(
            id=fields.id("id"),
            version=fields.whole("version"),
            balance_id=fields.id("balanceId"),
            code=fields.id("code"),
            name=fields.text("name"),
            amount=fields.amount("amount"),
            description=fields.text("transactionDescription"),
            transaction_type_id=fields.id("transactionTypeId"),
            start=fields.iso_time("startDate"),
            end=fields.iso_time("endDate"),
            frequency=fields.id("frequency"),
            frequency_interval=fields.whole("frequencyInterval"),
            paid=fields.amount_or_none("paid"),
            currency_paid=fields.text_or_none("currencyPaid"),
            next_run=fields.iso_time_or_none("nextRun"),
            previous_run=fields.iso_time_or_none("previousRun"),
            raw=fields.all(),
        )


@dataclass(frozen=True)
class ChargeSchedule:
    """What makes a charge for each period, in a `currency` of its own: `amount`, or `units` at `unit_price`.

    `start` to `end` is what the whole schedule covers; each charge is billed at the start of its period where
    `in_advance`, else at its end.
    """

    id: str
    version: int
    balance_id: str
    code: str
    name: str
    currency: str
    amount: Decimal | None
    units: Decimal | None
    unit_price: Decimal | None
    description: str
    start: datetime
    end: datetime
    frequency: str
    frequency_interval: int
    in_advance: bool
    bill_epoch: date | None
    next_run: datetime | None
    previous_run: datetime | None
    raw: Raw = field(repr=False)

    @classmethod
    def from_json(cls, raw: object) -> "ChargeSchedule":
        """The schedule; raises Unreadable."""
        fields = Fields("m3ter charge schedule", raw)
        _must_have_price(fields)
        return cls(
            id=fields.id("id"),
            version=fields.whole("version"),
            balance_id=fields.id("balanceId"),
            code=fields.id("code"),
            name=fields.text("name"),
            currency=fields.id("currency"),
            amount=fields.amount_or_none("amount"),
            units=fields.amount_or_none("units"),
            unit_price=fields.amount_or_none("unitPrice"),
            description=fields.text("chargeDescription"),
            start=fields.iso_time("servicePeriodStartDate"),
            end=fields.iso_time("servicePeriodEndDate"),
            frequency=fields.id("billFrequency"),
            frequency_interval=fields.whole("billFrequencyInterval"),
            in_advance=fields.flag("billInAdvance"),
            bill_epoch=fields.day_or_none("billEpoch"),
            next_run=fields.iso_time_or_none("nextRun"),
            previous_run=fields.iso_time_or_none("previousRun"),
            raw=fields.all(),
        )


@dataclass(frozen=True)
class ScheduledRow:
    """One transaction or charge that a schedule would make; nothing of it is kept, so it has no id.

    A transaction has no `currency` (it is the balance's), no service period and no `bill_date`; a charge is not `applied`.
    """

    amount: Decimal | None
    units: Decimal | None
    unit_price: Decimal | None
    currency: str | None
    description: str | None
    transaction_type_id: str | None
    paid: Decimal | None
    currency_paid: str | None
    applied: datetime | None
    bill_date: date | None
    start: datetime | None
    end: datetime | None

    @classmethod
    def from_json(cls, raw: object) -> "ScheduledRow":
        """The row; raises Unreadable, also for one that has no price."""
        fields = Fields("m3ter preview row", raw)
        _must_have_price(fields)
        return cls(
            amount=fields.amount_or_none("amount"),
            units=fields.amount_or_none("units"),
            unit_price=fields.amount_or_none("unitPrice"),
            currency=fields.text_or_none("currency"),
            description=fields.text_or_none("description"),
            transaction_type_id=fields.text_or_none("transactionTypeId"),
            paid=fields.amount_or_none("paid"),
            currency_paid=fields.text_or_none("currencyPaid"),
            applied=fields.iso_time_or_none("appliedDate"),
            bill_date=fields.day_or_none("billDate"),
            start=fields.iso_time_or_none("servicePeriodStartDate"),
            end=fields.iso_time_or_none("servicePeriodEndDate"),
        )


@dataclass(frozen=True)
class Preview:
    """What a schedule would make, in m3ter's order, and whether there would be `more`.

    `more` is None where m3ter answered with one object instead of a page, which says nothing of what else would come.
    """

    rows: tuple[ScheduledRow, ...]
    more: bool | None


@dataclass(frozen=True)
class Charge:
    """Money to be billed on `bill_date`, in `currency`: `amount` (negative: a credit), or `units` at `unit_price`.

    `entity_type` is AD_HOC (of the account) or BALANCE (of the balance `entity_id`). `bill_id` is None until it is on a
    bill, and `schedule_id` names the schedule that made it.
    """

    id: str
    version: int
    code: str
    name: str
    account_id: str
    entity_type: str
    entity_id: str | None
    line_item_type: str
    currency: str
    amount: Decimal | None
    units: Decimal | None
    unit_price: Decimal | None
    start: datetime
    end: datetime
    bill_date: date | None
    description: str | None
    notes: str | None
    accounting_product_id: str | None
    contract_id: str | None
    bill_id: str | None
    schedule_id: str | None
    created: datetime | None
    raw: Raw = field(repr=False)

    @classmethod
    def from_json(cls, raw: object) -> "Charge":
        """The charge; raises Unreadable."""
        fields = Fields("m3ter charge", raw)
        _must_have_price(fields)
        return cls(
            id=fields.id("id"),
            version=fields.whole("version"),
            code=fields.id("code"),
            name=fields.text("name"),
            account_id=fields.id("accountId"),
            entity_type=fields.id("entityType"),
            entity_id=fields.text_or_none("entityId"),
            line_item_type=fields.id("lineItemType"),
            currency=fields.id("currency"),
            amount=fields.amount_or_none("amount"),
            units=fields.amount_or_none("units"),
            unit_price=fields.amount_or_none("unitPrice"),
            start=fields.iso_time("servicePeriodStartDate"),
            end=fields.iso_time("servicePeriodEndDate"),
            bill_date=fields.day_or_none("billDate"),
            description=fields.text_or_none("description"),
            notes=fields.text_or_none("notes"),
            accounting_product_id=fields.text_or_none("accountingProductId"),
            contract_id=fields.text_or_none("contractId"),
            bill_id=fields.text_or_none("billId"),
            schedule_id=fields.text_or_none("scheduleId"),
            created=fields.iso_time_or_none("dtCreated"),
            raw=fields.all(),
        )


@dataclass(frozen=True)
class BillJob:
    """One calculation of bills: how far it is, and the bills it has made so far.

    A job never fails: one that is COMPLETE may have made no bill for an account (m3ter.md §8), so look for the bill.
    """

    id: str
    status: str
    type: str | None
    bill_date: date | None
    account_ids: tuple[str, ...]
    bill_ids: tuple[str, ...]
    target_currency: str | None
    total: int | None
    pending: int | None
    created: datetime | None
    billing_frequency: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ENDED

    @classmethod
    def from_json(cls, raw: object) -> "BillJob":
        """The job; raises Unreadable."""
        fields = Fields("m3ter bill job", raw)
        return cls(
            id=fields.id("id"),
            status=fields.id("status"),
            type=fields.text_or_none("type"),
            bill_date=fields.day_or_none("billDate"),
            account_ids=fields.list_of_texts("accountIds"),
            bill_ids=fields.list_of_texts("billIds"),
            target_currency=fields.text_or_none("targetCurrency"),
            total=fields.whole_or_none("total"),
            pending=fields.whole_or_none("pending"),
            created=fields.iso_time_or_none("dtCreated"),
            billing_frequency=fields.text_or_none("billingFrequency"),
        )


@dataclass(frozen=True)
class Currency:
    """A currency of the organization; its code need not be an ISO 4217 one.

    `max_decimal_places` and `rounding_mode` (Java's names) are None where m3ter left them out.
    """

    id: str
    code: str
    name: str
    max_decimal_places: int | None
    rounding_mode: str | None
    archived: bool

    @classmethod
    def from_json(cls, raw: object) -> "Currency":
        """The currency; raises Unreadable."""
        fields = Fields("m3ter currency", raw)
        return cls(
            id=fields.id("id"),
            code=fields.id("code"),
            name=fields.text("name"),
            max_decimal_places=fields.whole_or_none("maxDecimalPlaces"),
            rounding_mode=fields.text_or_none("roundingMode"),
            archived=fields.flag("archived"),
        )


@dataclass(frozen=True)
class Conversion:
    """A rate: one unit of `source` is `multiplier` units of `target`."""

    source: str
    target: str
    multiplier: Decimal

    @classmethod
    def from_json(cls, raw: object) -> "Conversion":
        """The rate; raises Unreadable."""
        fields = Fields("m3ter currency conversion", raw)
        return cls(source=fields.id("from"), target=fields.id("to"), multiplier=fields.amount("multiplier"))


@dataclass(frozen=True)
class OrganizationConfig:
    """What holds for the whole organization; the epochs are the days that billing periods are counted from."""

    currency: str
    timezone: str
    conversions: tuple[Conversion, ...]
    day_epoch: date
    week_epoch: date
    month_epoch: date
    year_epoch: date

    @classmethod
    def from_json(cls, raw: object) -> "OrganizationConfig":
        """The configuration; raises Unreadable."""
        fields = Fields("m3ter organization configuration", raw)
        return cls(
            currency=fields.id("currency"),
            timezone=fields.id("timezone"),
            conversions=fields.each_or_none("currencyConversions", Conversion.from_json),
            day_epoch=fields.day("dayEpoch"),
            week_epoch=fields.day("weekEpoch"),
            month_epoch=fields.day("monthEpoch"),
            year_epoch=fields.day("yearEpoch"),
        )


def _must_have_price(fields: Fields) -> None:
    if not fields.has("amount") and not (fields.has("units") and fields.has("unitPrice")):
        raise fields.lacks("both an amount and units with their price")

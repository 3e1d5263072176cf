"""What m3ter answers: dataclasses that hold only the fields we read, strict about those."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from connector.clients.fields import Fields

Raw = dict[str, Any]
# The types of lines that a balance may pay (m3ter.md §12.1).
DRAWABLE = (
    "STANDING_CHARGE", "USAGE", "MINIMUM_SPEND", "COUNTER_RUNNING_TOTAL_CHARGE", "COUNTER_ADJUSTMENT_DEBIT", "AD_HOC",
)  # fmt: skip


@dataclass(frozen=True)
class Account:
    """An account; `raw` is all that m3ter sent of it."""

    id: str
    code: str
    name: str
    version: int
    raw: Raw = field(repr=False)

    @classmethod
    def from_json(cls, raw: object) -> "Account":
        """The account; raises Unreadable."""
        fields = Fields("m3ter account", raw)
        return cls(
            id=fields.id("id"),
            code=fields.id("code"),
            name=fields.text("name"),
            version=fields.whole("version"),
            raw=fields.all(),
        )


@dataclass(frozen=True)
class AccountPlan:
    """A plan attached to an account; `end` is exclusive, and `plan_id` is None where a plan group is attached."""

    id: str
    account_id: str
    plan_id: str | None
    product_id: str | None
    code: str | None
    start: datetime
    end: datetime | None
    version: int
    raw: Raw = field(repr=False)

    @classmethod
    def from_json(cls, raw: object) -> "AccountPlan":
        """The account plan; raises Unreadable."""
        fields = Fields("m3ter account plan", raw)
        return cls(
            id=fields.id("id"),
            account_id=fields.id("accountId"),
            plan_id=fields.text_or_none("planId"),
            product_id=fields.text_or_none("productId"),
            code=fields.text_or_none("code"),
            start=fields.iso_time("startDate"),
            end=fields.iso_time_or_none("endDate"),
            version=fields.whole("version"),
            raw=fields.all(),
        )


@dataclass(frozen=True)
class ExternalMapping:
    """One row of m3ter's table of who is who in another system."""

    id: str
    m3ter_entity: str
    m3ter_id: str
    external_system: str
    external_table: str
    external_id: str
    created_at: datetime | None = None

    @classmethod
    def from_json(cls, raw: object) -> "ExternalMapping":
        """The mapping; raises Unreadable."""
        fields = Fields("m3ter external mapping", raw)
        return cls(
            id=fields.id("id"),
            m3ter_entity=fields.id("m3terEntity"),
            m3ter_id=fields.id("m3terId"),
            external_system=fields.id("externalSystem"),
            external_table=fields.id("externalTable"),
            external_id=fields.id("externalId"),
            created_at=fields.iso_time_or_none("dtCreated"),
        )


@dataclass(frozen=True)
class Plan:
    """A plan of the catalogue; `account_id` names the only account that it was made for, where it was."""

    id: str
    plan_template_id: str
    account_id: str | None
    name: str | None = None

    @classmethod
    def from_json(cls, raw: object) -> "Plan":
        """The plan; raises Unreadable."""
        fields = Fields("m3ter plan", raw)
        return cls(
            id=fields.id("id"),
            plan_template_id=fields.id("planTemplateId"),
            account_id=fields.text_or_none("accountId"),
            name=fields.text_or_none("name"),
        )


@dataclass(frozen=True)
class PlanTemplate:
    """What plans are made from; their amounts are in its currency."""

    id: str
    currency: str

    @classmethod
    def from_json(cls, raw: object) -> "PlanTemplate":
        """The plan template; raises Unreadable."""
        fields = Fields("m3ter plan template", raw)
        return cls(id=fields.id("id"), currency=fields.id("currency"))


@dataclass(frozen=True)
class Aggregation:
    """A metric that is priced, simple or compound."""

    id: str
    code: str | None
    name: str

    @classmethod
    def from_json(cls, raw: object) -> "Aggregation":
        """The aggregation; raises Unreadable."""
        fields = Fields("m3ter aggregation", raw)
        return cls(id=fields.id("id"), code=fields.text_or_none("code"), name=fields.text_or_none("name") or "")


@dataclass(frozen=True)
class BillLine:
    """A line of a bill: `subtotal` in its own `currency`, `converted_subtotal` in the bill's; `end` is exclusive.

    `converted_subtotal` is None where m3ter left it out.
    """

    id: str | None
    type: str
    description: str
    subtotal: Decimal
    currency: str
    converted_subtotal: Decimal | None
    quantity: Decimal | None
    units: Decimal | None
    unit: str | None
    product_id: str | None
    plan_id: str | None
    plan_group_id: str | None
    pricing_id: str | None
    aggregation_id: str | None
    compound_aggregation_id: str | None
    counter_id: str | None
    charge_id: str | None
    balance_id: str | None
    commitment_id: str | None
    contract_id: str | None
    child_account_id: str | None
    segment: dict[str, str]
    start: datetime | None
    end: datetime | None
    sequence_number: int | None

    @classmethod
    def from_json(cls, raw: object) -> "BillLine":
        """The line; raises Unreadable, always so for money that is not exact."""
        fields = Fields("m3ter bill line", raw)
        return cls(
            id=fields.text_or_none("id"),
            type=fields.id("lineItemType"),
            description=fields.text_or_none("description") or "",
            subtotal=fields.amount("subtotal"),
            currency=fields.id("currency"),
            converted_subtotal=fields.amount_or_none("convertedSubtotal"),
            quantity=fields.amount_or_none("quantity"),
            units=fields.amount_or_none("units"),
            unit=fields.text_or_none("unit"),
            product_id=fields.text_or_none("productId"),
            plan_id=fields.text_or_none("planId"),
            plan_group_id=fields.text_or_none("planGroupId"),
            pricing_id=fields.text_or_none("pricingId"),
            aggregation_id=fields.text_or_none("aggregationId"),
            compound_aggregation_id=fields.text_or_none("compoundAggregationId"),
            counter_id=fields.text_or_none("counterId"),
            charge_id=fields.text_or_none("chargeId"),
            balance_id=fields.text_or_none("balanceId"),
            commitment_id=fields.text_or_none("commitmentId"),
            contract_id=fields.text_or_none("contractId"),
            child_account_id=fields.text_or_none("childAccountId"),
            segment=fields.texts("segment"),
            start=fields.iso_time_or_none("servicePeriodStartDate"),
            end=fields.iso_time_or_none("servicePeriodEndDate"),
            sequence_number=fields.whole_or_none("sequenceNumber"),
        )


@dataclass(frozen=True)
class Bill:
    """A bill; `lines` is empty where the lines were left out of the list, and `total` is None where m3ter sent none."""

    id: str
    version: int
    account_id: str
    account_code: str | None
    status: str
    locked: bool
    currency: str
    start_date: date | None
    end_date: date | None
    bill_date: date | None
    timezone: str | None
    last_calculated: str | None
    approved_at: str | None
    total: Decimal | None
    lines: tuple[BillLine, ...]

    @classmethod
    def from_json(cls, raw: object) -> "Bill":
        """The bill; raises Unreadable."""
        fields = Fields("m3ter bill", raw)
        return cls(
            id=fields.id("id"),
            version=fields.whole("version"),
            account_id=fields.id("accountId"),
            account_code=fields.text_or_none("accountCode"),
            status=fields.id("status"),
            locked=fields.flag("locked"),
            currency=fields.id("currency"),
            start_date=fields.day_or_none("startDate"),
            end_date=fields.day_or_none("endDate"),
            bill_date=fields.day_or_none("billDate"),
            timezone=fields.text_or_none("timezone"),
            last_calculated=fields.text_or_none("lastCalculatedDate"),
            approved_at=fields.text_or_none("dtApproved"),
            total=fields.amount_or_none("billTotal"),
            lines=fields.each_or_none("lineItems", BillLine.from_json),
        )

"""m3ter's commitments (prepayments): their fees, and what they pay of a bill."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.accounts import Rule
from connector.sandbox.m3ter.balances import NOTHING
from connector.sandbox.m3ter.billing import Billing
from connector.sandbox.m3ter.checks import iso, parse
from connector.sandbox.m3ter.counters import Counters
from connector.sandbox.m3ter.errors import bad_request
from connector.sandbox.m3ter.organization import amount, exact

# What a commitment says about its draw-down in the same words as a balance, and whether its overage stands apart.
AS_BALANCES = (
    *("overageSurchargePercent", "overageDescription", "separateOverageUsage"),
    *("productIds", "lineItemTypes", "contractId"),
)


class Commitments(Counters):
    """What was promised to be spent."""

    def create_commitment(
        self, account_id: str, value: Any, start_date: date, end_date: date, currency: str = "USD", **fields: Any
    ) -> Resource:
        """A new commitment; further fields in m3ter's own names."""
        body = {
            "accountId": account_id,
            "amount": amount(value),
            "currency": currency,
            "startDate": start_date.isoformat(),
            "endDate": end_date.isoformat(),
        }
        return self.create("commitments", exact({**body, **fields}))

    def _fees_due(self, account_id: str, bill_date: str) -> list[tuple[Resource, Resource]]:
        """The account's commitments with the fees that fall on exactly this day."""
        return [
            (commitment, fee)
            for commitment in self.commitments.values()
            if commitment["accountId"] == account_id
            for fee in self._fees(commitment)
            if fee["date"] == bill_date
        ]

    def _fees(self, commitment: Resource) -> list[Resource]:
        """The fees agreed, or else all that is not prepaid: at the start if in advance, at the end if not."""
        if commitment.get("feeDates"):
            return list(commitment["feeDates"])
        rest = commitment["amount"] - commitment.get("amountPrePaid", NOTHING)
        in_advance = commitment.get("commitmentFeeBillInAdvance", self.config.get("commitmentFeeBillInAdvance", True))
        return [
            {
                "date": commitment["startDate"] if in_advance else commitment["endDate"],
                "amount": rest,
                "servicePeriodStartDate": self._midnight_of(commitment["startDate"]),
                "servicePeriodEndDate": self._midnight_of(commitment["endDate"]),
            }
        ]

    def _fee_line(self, billing: Billing, commitment: Resource, fee: Resource) -> Resource:
        text = commitment.get("commitmentFeeDescription") or "Prepayment fee"
        period = (parse(fee["servicePeriodStartDate"]), parse(fee["servicePeriodEndDate"]))
        line = self._money_line(billing, "COMMITMENT_FEE", text, fee["amount"], commitment["currency"], period)
        product_id = commitment.get("feesAccountingProductId") or commitment.get("accountingProductId")
        return line | {
            "commitmentId": commitment["id"],
            **self._product_fields(product_id, "product", "accountingProduct"),
        }

    def _spent(self, commitment_id: str, but_for: str | None = None) -> Decimal:
        """What bills drew, but for one of them."""
        spends = self.commitment_spends.get(commitment_id, {})
        return sum((value for bill_id, value in spends.items() if bill_id != but_for), NOTHING)

    def _note_spent(self, bill_id: str, spends: dict[str, Decimal]) -> None:
        """What the bill drew, in place of what it drew at an earlier calculation."""
        for commitment_id, commitment in self.commitments.items():
            by_bill = self.commitment_spends.setdefault(commitment_id, {})
            by_bill.pop(bill_id, None)
            if commitment_id in spends:
                by_bill[bill_id] = spends[commitment_id]
            commitment["amountSpent"] = self._spent(commitment_id)

    def _as_balances(self, account_id: str) -> list[Resource]:
        """The account's commitments in the form in which balances are drawn."""
        return [
            {
                **{name: row[name] for name in AS_BALANCES if name in row},
                "id": row["id"],
                "commitment": True,
                "name": "Prepayment",
                "currency": row["currency"],
                "startDate": self._midnight_of(row["startDate"]),
                "endDate": self._midnight_of(row["endDate"]),
                "balanceDrawDownDescription": row.get("commitmentUsageDescription"),
                "consumptionsAccountingProductId": row.get("drawdownsAccountingProductId")
                or row.get("accountingProductId"),
            }
            for row in self.commitments.values()
            if row["accountId"] == account_id
        ]

    def _midnight_of(self, day: str) -> str:
        return iso(datetime.combine(date.fromisoformat(day), time(), ZoneInfo(self.config["timezone"])).astimezone(UTC))

    def _rules(self) -> dict[str, Rule]:
        return {**super()._rules(), "commitments": self._commitment}

    def _commitment(self, row: Resource, current: Resource | None) -> Resource:
        self._must_know_currency(row["currency"])
        if row["endDate"] <= row["startDate"]:
            raise bad_request("endDate must be after startDate")
        if row.get("amountPrePaid", NOTHING) > row["amount"]:
            raise bad_request("amountPrePaid must not be more than amount")
        if row.get("separateOverageUsage") and row.get("overageSurchargePercent"):
            raise bad_request("separateOverageUsage cannot be used with an overageSurchargePercent")
        return {**row, "amountSpent": NOTHING if current is None else current["amountSpent"]}

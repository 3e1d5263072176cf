"""m3ter's charges: money to be billed on a date, for a balance or for the account itself."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.accounts import Rule
from connector.sandbox.m3ter.balances import Balances
from connector.sandbox.m3ter.billing import Billing
from connector.sandbox.m3ter.checks import iso, parse
from connector.sandbox.m3ter.errors import bad_request
from connector.sandbox.m3ter.organization import amount, exact

# Which lines charges of each kind make.
LINE_TYPES = {"AD_HOC": "AD_HOC", "BALANCE": "BALANCE_FEE"}


class Charges(Balances):
    """What is to be billed beside plans."""

    def create_charge(
        self,
        account_id: str,
        code: str,
        value: Any = None,
        bill_date: date | str | None = None,
        period: tuple[datetime, datetime] | None = None,
        balance_id: str | None = None,
        currency: str = "USD",
        name: str | None = None,
        **fields: Any,
    ) -> Resource:
        """A new charge of the account, or of its balance if one is named; further fields in m3ter's own names."""
        start, end = period or (self._clock.now(), self._clock.now() + timedelta(days=30))
        entity_type = "AD_HOC" if balance_id is None else "BALANCE"
        body = {
            "accountId": account_id,
            "code": code,
            "name": name or code,
            "currency": currency,
            "entityType": entity_type,
            "entityId": balance_id,
            "lineItemType": LINE_TYPES[entity_type],
            "amount": None if value is None else amount(value),
            "billDate": bill_date.isoformat() if isinstance(bill_date, date) else bill_date,
            "servicePeriodStartDate": iso(start),
            "servicePeriodEndDate": iso(end),
        }
        return self.create("charges", exact({**body, **fields}))

    def delete_charge(self, charge_id: str) -> Resource:
        """The charge that is no more; the bill it is on shows it until it is calculated anew."""
        self._must_not_be_locked(self.find("charges", charge_id))
        return self.delete("charges", charge_id)

    def _charges_due(self, account_id: str, bill_date: str, bill_id: str | None) -> list[Resource]:
        """The account's charges of exactly this date that are on no other bill."""
        return [
            charge
            for charge in self.charges.values()
            if charge["accountId"] == account_id
            and charge.get("billDate") == bill_date
            and charge.get("billId") in (None, bill_id)
        ]

    def _charge_line(self, billing: Billing, charge: Resource) -> Resource:
        balance = self.balances.get(charge.get("entityId", ""), {})
        product_id = charge.get("accountingProductId") or balance.get("feesAccountingProductId")
        units = charge.get("units", Decimal(1))
        subtotal = charge["amount"] if "amount" in charge else units * charge["unitPrice"]
        subtotal = self._rounded(subtotal, charge["currency"])
        text = f"{charge['name']}: {charge['description']}" if charge.get("description") else charge["name"]
        period = (parse(charge["servicePeriodStartDate"]), parse(charge["servicePeriodEndDate"]))
        line = self._money_line(billing, charge["lineItemType"], text, subtotal, charge["currency"], period)
        line |= {"quantity": units, "units": units, "averageUnitPrice": charge.get("unitPrice", subtotal)}
        line |= {"chargeId": charge["id"], **self._product_fields(product_id, "product", "accountingProduct")}
        origin = {"balanceId": balance.get("id"), "contractId": charge.get("contractId")}
        return line | {name: value for name, value in origin.items() if value is not None}

    def _note_billed(self, bill_id: str, charges: list[Resource]) -> None:
        """Marks these charges, and no others, as those on the bill."""
        for charge in self.charges.values():
            if charge.get("billId") == bill_id:
                del charge["billId"]
        for charge in charges:
            charge["billId"] = bill_id

    def _must_not_be_locked(self, charge: Resource) -> None:
        bill = self.bills.get(charge.get("billId", ""))
        if bill is not None and bill["locked"]:
            raise bad_request(f"The charge is on bill {bill['id']}, which is locked")

    def _rules(self) -> dict[str, Rule]:
        return {**super()._rules(), "charges": self._charge}

    def _charge(self, row: Resource, current: Resource | None) -> Resource:
        self._must_know_currency(row["currency"])
        must_have_one_price(row)
        if row["lineItemType"] != LINE_TYPES[row["entityType"]]:
            raise bad_request(f"A charge of entityType {row['entityType']} has no lineItemType {row['lineItemType']}")
        if row["entityType"] == "BALANCE":
            balance = self.balances.get(row.get("entityId", ""))
            if balance is None or balance["accountId"] != row["accountId"]:
                raise bad_request("entityId must be a balance of the account")
        if parse(row["servicePeriodEndDate"]) <= parse(row["servicePeriodStartDate"]):
            raise bad_request("servicePeriodEndDate must be after servicePeriodStartDate")
        if current is None:
            return row
        self._must_not_be_locked(current)
        return {**row, **{name: current[name] for name in ("billId", "scheduleId") if name in current}}


def must_have_one_price(row: Resource) -> None:
    """Raises Refused unless there is either an amount or units with their price."""
    if ("units" in row) != ("unitPrice" in row):
        raise bad_request("units and unitPrice must be given together")
    if ("amount" in row) == ("units" in row):
        raise bad_request("Either amount, or units and unitPrice must be given")

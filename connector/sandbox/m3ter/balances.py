"""m3ter's balances: credit that an account holds, and the transactions that raise and lower it."""

import copy
from datetime import datetime
from decimal import Decimal
from typing import Any

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.accounts import Rule
from connector.sandbox.m3ter.billing import Billable
from connector.sandbox.m3ter.checks import iso, parse
from connector.sandbox.m3ter.errors import bad_request
from connector.sandbox.m3ter.organization import SERVICE_USER, amount, exact

NOTHING = Decimal(0)


class Balances(Billable):
    """Who holds what credit. Every method takes further fields in m3ter's own names."""

    def create_transaction_type(self, code: str, name: str | None = None, **fields: Any) -> Resource:
        """A new type of transaction."""
        return self.create("transaction_types", exact({"code": code, "name": name or code, **fields}))

    def create_balance(
        self,
        account_id: str,
        code: str,
        start_date: datetime,
        end_date: datetime,
        currency: str = "USD",
        name: str | None = None,
        **fields: Any,
    ) -> Resource:
        """A new balance, empty until a transaction fills it."""
        body = {
            "accountId": account_id,
            "code": code,
            "name": name or code,
            "currency": currency,
            "startDate": iso(start_date),
            "endDate": iso(end_date),
        }
        return self.create("balances", exact({**body, **fields}))

    def add_transaction(self, balance_id: str, value: Any, **fields: Any) -> Resource:
        """A new transaction on the balance: credit if positive, a debit if negative."""
        return self.create_transaction(balance_id, exact({"amount": amount(value), **fields}))

    def create_transaction(self, balance_id: str, body: Any) -> Resource:
        """A new transaction, made by whoever calls; without dates it counts from now."""
        self.find("balances", balance_id)
        if not isinstance(body, dict):
            raise bad_request("The body must be a JSON object")
        if body.get("version") is not None:
            raise bad_request("version must be null on create")
        row = self._checked("transactions", {**body, "balanceId": balance_id}, None)
        return self._book(row, "SERVICE_USER", SERVICE_USER.removeprefix("SERVICE_USER_"))

    def transactions_of(self, balance_id: str) -> list[Resource]:
        """The balance's transactions, the oldest first."""
        self.find("balances", balance_id)
        return [row for row in self.transactions.values() if row["balanceId"] == balance_id]

    def transaction_summary(self, balance_id: str) -> Resource:
        """What came in and went out, and what has expired by now."""
        balance = self.find("balances", balance_id)
        rows = self.transactions_of(balance_id)
        end = parse(balance["endDate"])
        credits = [row["amount"] for row in rows if row["amount"] > 0]
        consumed = [row for row in rows if row["entityType"] == "BILL"]
        expired = max(NOTHING, _at_end(balance, rows) - carried(balance, rows)) if end <= self._clock.now() else NOTHING
        return {
            "totalCreditAmount": sum(credits, NOTHING),
            "totalDebitAmount": -_sum([row for row in rows if row["amount"] < 0]),
            "initialCreditAmount": credits[0] if credits else NOTHING,
            "expiredBalanceAmount": expired,
            "rolloverConsumed": -_sum([row for row in consumed if _applied(row) >= end]),
            "balanceConsumed": -_sum([row for row in consumed if _applied(row) < end]),
        }

    def _book(self, row: Resource, entity_type: str, entity_id: str) -> Resource:
        """A transaction on behalf of a person, a bill or a schedule."""
        transaction = self._audited({**row, "entityType": entity_type, "entityId": entity_id})
        self.transactions[transaction["id"]] = transaction
        self._add_up_balance(row["balanceId"])
        return copy.deepcopy(transaction)

    def _take_back(self, bill_id: str) -> None:
        """Unmakes what the bill drew. m3ter shows no trace of an earlier calculation, so no opposite is booked either."""
        drawn = [row for row in self.transactions.values() if row["entityId"] == bill_id]
        for row in drawn:
            del self.transactions[row["id"]]
            self._add_up_balance(row["balanceId"])

    def _add_up_balance(self, balance_id: str) -> None:
        self.balances[balance_id]["amount"] = _sum(self.transactions_of(balance_id))

    def _rules(self) -> dict[str, Rule]:
        return {**super()._rules(), "balances": self._balance, "transactions": self._transaction, **_NAMED}

    def _balance(self, row: Resource, current: Resource | None) -> Resource:
        self._must_know_currency(row["currency"])
        if parse(row["endDate"]) <= parse(row["startDate"]):
            raise bad_request("endDate must be after startDate")
        if "rolloverAmount" in row and "rolloverEndDate" not in row:
            raise bad_request("rolloverAmount needs a rolloverEndDate")
        if "rolloverEndDate" in row and parse(row["rolloverEndDate"]) < parse(row["endDate"]):
            raise bad_request("rolloverEndDate must not be before endDate")
        for product_id in row.get("productIds", []):
            if product_id not in self.products:
                raise bad_request(f"Product {product_id} does not exist")
        if current is None:
            return {**row, "amount": NOTHING}
        if any(row[name] != current[name] for name in ("accountId", "currency")):
            raise bad_request("accountId and currency cannot change")
        return {**row, "amount": current["amount"]}

    def _transaction(self, row: Resource, _: Resource | None) -> Resource:
        if "currencyPaid" in row:
            self._must_know_currency(row["currencyPaid"])
        now = iso(self._clock.now())
        return {"appliedDate": now, "transactionDate": now, **row}


def carried(balance: Resource, rows: list[Resource]) -> Decimal:
    """How much of what is unused at the balance's end lives on; without a cap, all of it."""
    if "rolloverEndDate" not in balance:
        return NOTHING
    unused = max(NOTHING, _at_end(balance, rows))
    return min(unused, balance["rolloverAmount"]) if "rolloverAmount" in balance else unused


def available(balance: Resource, rows: list[Resource], until: datetime) -> Decimal:
    """What can be drawn before the balance's end: credit applied by then, less every debit whenever it counts."""
    return max(NOTHING, _sum([row for row in rows if row["amount"] < 0 or _applied(row) < until]))


def available_after(balance: Resource, rows: list[Resource]) -> Decimal:
    """What can be drawn in the rollover window."""
    end = parse(balance["endDate"])
    return max(NOTHING, carried(balance, rows) + _sum([row for row in rows if _applied(row) >= end]))


def _at_end(balance: Resource, rows: list[Resource]) -> Decimal:
    end = parse(balance["endDate"])
    return _sum([row for row in rows if _applied(row) < end])


def _sum(rows: list[Resource]) -> Decimal:
    return sum((row["amount"] for row in rows), NOTHING)


def _applied(row: Resource) -> datetime:
    return parse(row["appliedDate"])


def _coded(row: Resource, _: Resource | None) -> Resource:
    return {"code": row["name"], **row}


_NAMED: dict[str, Rule] = {"transaction_types": _coded}

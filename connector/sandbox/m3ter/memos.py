"""Lines put on a m3ter bill by hand: credit and debit memos."""

import copy
from decimal import Decimal
from typing import Any

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.accounts import Rule
from connector.sandbox.m3ter.drawdown import Drawdown
from connector.sandbox.m3ter.errors import bad_request
from connector.sandbox.m3ter.organization import amount, exact

# By the table a memo is kept in: its line's usual type, and the sign of its amount there.
MEMOS = {"credit_line_items": ("CREDIT_MEMO", -1), "debit_line_items": ("DEBIT_MEMO", 1)}
SERVICE_PERIOD = ("servicePeriodStartDate", "servicePeriodEndDate")


class Memos(Drawdown):
    """What was added to a bill; it stays on it through recalculations."""

    def add_credit_line(self, bill_id: str, value: Any, description: str = "Credit", **fields: Any) -> Resource:
        """A credit memo over the first line of the bill; further fields in m3ter's own names.

        The API demands a service period; one that is None is missing, as in a memo made in m3ter's Console.
        """
        return self._add_memo("credit_line_items", self._memo_of(bill_id, value, description), fields)

    def add_debit_line(self, bill_id: str, value: Any, description: str = "Debit", **fields: Any) -> Resource:
        """A debit memo over the first line of the bill, made as a credit memo is."""
        return self._add_memo("debit_line_items", self._memo_of(bill_id, value, description), fields)

    def create(self, kind: str, body: Any) -> Resource:
        """A new entity; a memo is on its bill at once."""
        made = super().create(kind, body)
        self._show_memos(kind, made)
        return made

    def update(self, kind: str, entity_id: str, body: Any) -> Resource:
        """The entity, replaced."""
        made = super().update(kind, entity_id, body)
        self._show_memos(kind, made)
        return made

    def delete(self, kind: str, entity_id: str) -> Resource:
        """The entity that is no more."""
        if kind in MEMOS:
            self._must_be_open(self.find(kind, entity_id)["billId"])
        gone = super().delete(kind, entity_id)
        self._show_memos(kind, gone)
        return gone

    def _add_memo(self, kind: str, usual: Resource, fields: Resource) -> Resource:
        missing = [name for name in SERVICE_PERIOD if name in fields and fields[name] is None]
        given = {name: value for name, value in fields.items() if name not in missing}
        memo = self.find(kind, super().create(kind, exact({**usual, **given}))["id"])
        for name in missing:
            del memo[name]
        self._show_memos(kind, memo)
        return copy.deepcopy(memo)

    def _memo_of(self, bill_id: str, value: Any, description: str) -> Resource:
        bill = self.find("bills", bill_id)
        line = bill["lineItems"][0]
        return {
            "billId": bill_id,
            "amount": amount(value),
            "description": description,
            "productId": line["productId"],
            "accountingProductId": line["productId"],
            "referencedBillId": bill_id,
            "referencedLineItemId": line["id"],
            "servicePeriodStartDate": bill["startDateTimeUTC"],
            "servicePeriodEndDate": bill["endDateTimeUTC"],
        }

    def _show_memos(self, kind: str, memo: Resource) -> None:
        """Brings the bill's memo lines up to date."""
        if kind not in MEMOS:
            return
        bill = self.bills[memo["billId"]]
        before = copy.deepcopy(bill)
        others = [line for line in bill["lineItems"] if line["id"] != memo["id"] and line["id"] not in self._memo_ids()]
        bill["lineItems"] = [*others, *self._memo_lines(bill["id"], bill["currency"])]
        self._lines_changed(bill, before)

    def _lines_changed(self, bill: Resource, before: Resource) -> None:
        """Adds the bill up anew; bills know how."""

    def _memo_ids(self) -> set[str]:
        return {memo_id for kind in MEMOS for memo_id in self._table(kind)}

    def _memo_lines(self, bill_id: str, currency: str) -> list[Resource]:
        lines = []
        for kind, (line_type, sign) in MEMOS.items():
            for memo in self._table(kind).values():
                if memo["billId"] == bill_id:
                    lines.append(self._memo_line(memo, memo.get("lineItemType", line_type), sign, currency))
        return lines

    def _memo_line(self, memo: Resource, line_type: str, sign: int, currency: str) -> Resource:
        value: Decimal = sign * memo[("amountToApplyOnBill" if "amountToApplyOnBill" in memo else "amount")]
        reason = memo.get("creditReasonId") or memo.get("debitReasonId") or memo.get("reasonId")
        line = {
            "id": memo["id"],
            "lineItemType": line_type,
            "description": memo["description"],
            "quantity": Decimal(1),
            "units": Decimal(1),
            "unit": "",
            "averageUnitPrice": value,
            "subtotal": value,
            "currency": currency,
            "conversionRate": Decimal(1),
            "convertedSubtotal": value,
            **self._product_fields(memo["productId"], "product"),
            **self._product_fields(memo["accountingProductId"], "accountingProduct"),
            **({"reasonId": reason} if reason else {}),
        }
        copied = ("referencedBillId", "referencedLineItemId", *SERVICE_PERIOD)
        return line | {name: memo[name] for name in copied if name in memo}

    def _rules(self) -> dict[str, Rule]:
        return {
            **super()._rules(),
            **dict.fromkeys(MEMOS, self._memo),
            **dict.fromkeys(("credit_reasons", "debit_reasons"), _coded),
        }

    def _memo(self, row: Resource, current: Resource | None) -> Resource:
        self._must_be_open(row["billId"])
        if row["servicePeriodEndDate"] <= row["servicePeriodStartDate"]:
            raise bad_request("servicePeriodEndDate must be after servicePeriodStartDate")
        return row

    def _must_be_open(self, bill_id: str) -> None:
        if self.find("bills", bill_id)["locked"]:
            raise bad_request("The bill is locked")


def _coded(row: Resource, _: Resource | None) -> Resource:
    return {"code": row["name"], **row}

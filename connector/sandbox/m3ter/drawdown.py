"""How balances pay a m3ter bill: which of its lines, for which part of their period, in which order."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.balance_shapes import DRAWABLE
from connector.sandbox.m3ter.balances import NOTHING, available, available_after
from connector.sandbox.m3ter.billing import Billing, Period, overlap, rate_of
from connector.sandbox.m3ter.checks import iso, parse
from connector.sandbox.m3ter.overage import Cover, Overage
from connector.sandbox.m3ter.rating import aggregate, divide, share

# Only of sums and counts can be said how much of them belongs to a part of the period.
DIVISIBLE = ("SUM", "COUNT")
ALL_PRODUCTS: tuple[str, ...] = ()


@dataclass(frozen=True)
class Draw:
    """What a bill takes from a balance, in the balance's currency."""

    balance_id: str
    value: Decimal
    applied: datetime


class Drawdown(Overage):
    """Who pays first: the balance that ends first, then the one that started first, then the older one."""

    def _draw_down(
        self, billing: Billing, lines: list[Resource], bill_id: str | None
    ) -> tuple[list[Resource], list[Draw]]:
        """The lines that pay others, surcharges or overage prices on what is left, and what each balance gives.

        What the bill drew at an earlier calculation counts as given back.
        """
        unpaid = {line["id"]: line["convertedSubtotal"] for line in lines if _is_drawable(line)}
        paying: list[Resource] = []
        draws: list[Draw] = []
        covers: list[Cover] = []
        for balance in self._payers(billing.account):
            for cover in self._covers(billing, balance, lines, unpaid):
                self._pay(billing, cover, bill_id, unpaid, paying, draws)
                covers.append(cover)
        surcharges = self._surcharges(billing, covers, lines, unpaid)
        return [*paying, *surcharges, *self._overages(billing, covers, lines, unpaid)], draws

    def _pay(
        self,
        billing: Billing,
        cover: Cover,
        bill_id: str | None,
        unpaid: dict[str, Decimal],
        paying: list[Resource],
        draws: list[Draw],
    ) -> None:
        balance, rate = cover.balance, rate_of(billing, cover.balance["currency"])
        wanted = sum(cover.parts.values(), NOTHING)
        held = self._held(cover, bill_id, draws)
        if wanted <= 0 or held == 0:
            return
        value = divide(wanted, rate) if held is None or held * rate > wanted else held
        paid = min(wanted, value * rate)
        text = balance.get("balanceDrawDownDescription") or f"{balance['name']} consumed"
        line_type = "COMMITMENT_CONSUMED" if balance.get("commitment") else "BALANCE_CONSUMED"
        line = self._money_line(billing, line_type, text, -value, balance["currency"], cover.window, **_origin(balance))
        if held is None or value != held:
            line["convertedSubtotal"] = self._rounded(-paid, billing.currency)
        line |= dict.fromkeys(("quantity", "units", "averageUnitPrice"), NOTHING)
        product_id = balance.get("consumptionsAccountingProductId")
        paying.append(line | self._product_fields(product_id, "product", "accountingProduct"))
        draws.append(Draw(balance["id"], value, cover.window[0]))
        for line_id, part in list(cover.parts.items()):
            spent = min(part, paid)
            cover.parts[line_id] -= spent
            unpaid[line_id] -= spent
            paid -= spent

    def _held(self, cover: Cover, bill_id: str | None, draws: list[Draw]) -> Decimal | None:
        """What the balance can give in the window; None is without limit."""
        balance = cover.balance
        if balance.get("allowOverdraft"):
            return None
        if balance.get("commitment"):
            promised: Decimal = self.commitments[balance["id"]]["amount"]
            return promised - self._spent(balance["id"], but_for=bill_id)
        rows = [row for row in self.transactions_of(balance["id"]) if row["entityId"] != bill_id]
        rows += [
            {"amount": -draw.value, "appliedDate": iso(draw.applied)}
            for draw in draws
            if draw.balance_id == balance["id"]
        ]
        if cover.window[0] >= parse(balance["endDate"]):
            return available_after(balance, rows)
        return available(balance, rows, cover.window[1])

    def _covers(
        self, billing: Billing, balance: Resource, lines: list[Resource], unpaid: dict[str, Decimal]
    ) -> list[Cover]:
        """What is still unpaid of the lines that the balance may pay, in its own time and then in its rollover."""
        start, end = parse(balance["startDate"]), parse(balance["endDate"])
        windows = [(start, end)]
        if "rolloverEndDate" in balance:
            windows.append((end, parse(balance["rolloverEndDate"])))
        covers = []
        for window in windows:
            touched = [
                (line, part)
                for line in lines
                if _may_pay(balance, line) and (part := overlap(window, _period(line))) is not None
            ]
            if not touched:
                continue
            parts = {
                line["id"]: self._part_of(billing, line, part, unpaid[line["id"]])
                for line, part in touched
                if unpaid[line["id"]] > 0
            }
            whole = (min(part[0] for _, part in touched), max(part[1] for _, part in touched))
            covers.append(Cover(balance, whole, parts))
        return covers

    def _part_of(self, billing: Billing, line: Resource, part: Period, unpaid: Decimal) -> Decimal:
        """What the line charges for the part of its period: by what was used then, or else by time."""
        whole = _period(line)
        if part == whole:
            return unpaid
        aggregation = self.aggregations.get(line.get("aggregationId", ""))
        if aggregation is None or aggregation["aggregation"] not in DIVISIBLE or not line["quantity"]:
            return min(unpaid, share(line["convertedSubtotal"], part, whole))
        code: str = line.get("childAccountCode") or billing.account["code"]
        readings = self._readings(code, aggregation, line.get("segment", {}), part)
        used = aggregate(aggregation["aggregation"], readings)
        return max(NOTHING, min(unpaid, divide(line["convertedSubtotal"] * used, line["quantity"])))

    def _surcharges(
        self, billing: Billing, covers: list[Cover], lines: list[Resource], unpaid: dict[str, Decimal]
    ) -> list[Resource]:
        """On usage that no balance paid, a percentage of the first balance that asks for one; each line but once."""
        over = {
            line["id"]: unpaid[line["id"]] for line in lines if _is_drawable(line) and line["lineItemType"] == "USAGE"
        }
        surcharges = []
        for cover in covers:
            balance, beyond = cover.balance, NOTHING
            if not balance.get("overageSurchargePercent") or not cover.is_own_time:
                continue
            for line_id in over.keys() & cover.parts.keys():
                part = min(cover.parts[line_id], over[line_id])
                over[line_id] -= part
                beyond += part
            if beyond:
                value = divide(beyond * balance["overageSurchargePercent"], Decimal(100))
                surcharges.append(self._surcharge(billing, cover, self._rounded(value, billing.currency)))
        return surcharges

    def _surcharge(self, billing: Billing, cover: Cover, value: Decimal) -> Resource:
        balance = cover.balance
        text = balance.get("overageDescription") or f"{balance['name']} overage surcharge"
        return self._money_line(
            billing, "OVERAGE_SURCHARGE", text, value, billing.currency, cover.window, **_origin(balance)
        )

    def _payers(self, account: Resource) -> list[Resource]:
        """All that may pay, in the order of the account, else of the organization; kinds not named there do not pay."""
        usual = ("PREPAYMENT", "BALANCE")
        order = account.get("creditApplicationOrder") or self.config.get("creditApplicationOrder") or usual
        if "parentAccountId" in account or any(
            row.get("parentAccountId") == account["id"] for row in self.accounts.values()
        ):
            order = usual
        kinds = {
            "PREPAYMENT": self._as_balances(account["id"]),
            "BALANCE": [row for row in self.balances.values() if row["accountId"] == account["id"]],
        }
        return [payer for kind in order for payer in sorted(kinds[kind], key=self._rank)]

    def _rank(self, payer: Resource) -> tuple[str, str, int]:
        return payer["endDate"], payer["startDate"], self._sequence[payer["id"]]

    def _book_draws(self, bill_id: str, draws: list[Draw]) -> None:
        """The draws as transactions of the bill, in place of those of an earlier calculation."""
        self._take_back(bill_id)
        self._note_spent(
            bill_id, {draw.balance_id: draw.value for draw in draws if draw.balance_id in self.commitments}
        )
        for draw in draws:
            if draw.balance_id in self.commitments:
                continue
            at = {"appliedDate": iso(draw.applied), "transactionDate": iso(self._clock.now())}
            row = {"balanceId": draw.balance_id, "amount": -draw.value, "description": "Balance consumed", **at}
            self._book(row, "BILL", bill_id)


def _origin(payer: Resource) -> Resource:
    return {"commitmentId" if payer.get("commitment") else "balanceId": payer["id"]}


def _is_drawable(line: Resource) -> bool:
    return line["lineItemType"] in DRAWABLE and line["convertedSubtotal"] > 0 and "servicePeriodEndDate" in line


def _may_pay(balance: Resource, line: Resource) -> bool:
    if not _is_drawable(line) or line["lineItemType"] not in (balance.get("lineItemTypes") or DRAWABLE):
        return False
    products = balance.get("productIds") or ALL_PRODUCTS
    if products and line.get("productId") not in products:
        return False
    return "contractId" not in balance or line.get("contractId") == balance["contractId"]


def _period(line: Resource) -> Period:
    return parse(line["servicePeriodStartDate"]), parse(line["servicePeriodEndDate"])

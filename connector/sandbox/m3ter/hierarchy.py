"""m3ter's account hierarchies: what children use, on the bill of their parent."""

from dataclasses import replace

from connector.sandbox.component import Resource
from connector.sandbox.m3ter.billing import Billing
from connector.sandbox.m3ter.memos import Memos

SUMS = ("quantity", "units", "subtotal", "convertedSubtotal")


class Hierarchy(Memos):
    """Whose lines are on whose bill."""

    def _family_lines(self, billing: Billing, account_plans: list[Resource]) -> list[Resource]:
        """The account's own lines, then each child's: broken down with its name on them, or summed up without."""
        lines = self._lines(billing, [plan for plan in account_plans if plan["accountId"] == billing.account["id"]])
        for child_id in dict.fromkeys(plan["accountId"] for plan in account_plans):
            if child_id == billing.account["id"]:
                continue
            child = self.accounts[child_id]
            for plan in [plan for plan in account_plans if plan["accountId"] == child_id]:
                theirs = self._lines(replace(billing, account=child), [plan])
                if plan.get("childBillingMode") == "PARENT_SUMMARY":
                    _sum_up(lines, theirs)
                else:
                    lines += [
                        {**line, "childAccountId": child_id, "childAccountCode": child["code"]} for line in theirs
                    ]
        return lines


def _sum_up(lines: list[Resource], more: list[Resource]) -> None:
    """Adds each line to the one of the same price and time, or at the end where there is none."""
    for line in more:
        same = next((one for one in lines if _what(one) == _what(line) and "childAccountId" not in one), None)
        if same is None:
            lines.append(line)
            continue
        for name in SUMS:
            same[name] += line[name]
        same.setdefault("usagePerPricingBand", []).extend(line.get("usagePerPricingBand", []))


def _what(line: Resource) -> tuple[object, ...]:
    names = ("lineItemType", "planId", "pricingId", "segment", "servicePeriodStartDate", "servicePeriodEndDate")
    return tuple(line.get(name) for name in names)

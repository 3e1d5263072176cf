"""What holds a bill back although it could be pushed: bounds, people who have to agree, accounts that are left to others."""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from connector import audit, money
from connector.bills.planned import PushPlan
from connector.errors import Cause
from connector.settings import Connection

PEOPLE = 2
# The causes that a person who has looked at the bill may let pass.
DOUBTS = ("amount_bound", "change_bound")


@dataclass(frozen=True)
class Known:
    """What the guards look at beside the plan; amounts in minor units of the bill's currency.

    `last_total` is that of the account's newest bill that was pushed in this currency, and `approved_by` the actors that
    have approved just this result of the bill.
    """

    customer_id: str | None
    last_total: int | None
    approved_by: Collection[str] = ()


def left_alone(settings: Connection, customer_id: str | None) -> str | None:
    """The sentence that says why bills of this customer are not pushed; None where they are."""
    if settings.push_customers and customer_id not in settings.push_customers:
        return f"customer {customer_id or '(none)'} is not in PUSH_CUSTOMERS"
    if customer_id in settings.push_not_customers:
        return f"customer {customer_id} is in PUSH_NOT_CUSTOMERS"
    return None


def doubts(settings: Connection, plan: PushPlan, known: Known) -> list[Cause]:
    """What is unusual about this bill; a person who has looked at it lets it go on by a retry or by `bills push`."""
    found: list[Cause] = []
    total = money.shown(money.to_major(plan.total_minor, plan.decimals), plan.currency)
    step = f"Look at `connector bills plan {plan.bill_id}`; if it is right, `connector syncs retry` pushes it."
    largest = settings.max_bill_amount
    if largest is not None and abs(plan.total_minor) > _minor(largest, plan):
        found.append(
            Cause("amount_bound", f"the bill comes to {total}, more than MAX_BILL_AMOUNT ({largest:,f})", step)
        )
    percent = settings.max_bill_change_percent
    if percent is not None and known.last_total is not None:
        change = abs(plan.total_minor - known.last_total)
        if change * 100 > percent * abs(known.last_total):
            last = money.shown(money.to_major(known.last_total, plan.decimals), plan.currency)
            text = f"the bill comes to {total}, the account's last one to {last}: more than {percent} % apart"
            found.append(Cause("change_bound", text, step))
    return found


def missing_people(settings: Connection, plan: PushPlan, known: Known) -> Cause | None:
    """That more people have to approve a bill of this size; no retry goes past it."""
    bound, people = settings.two_people_above, audit.people(known.approved_by)
    if bound is None or abs(plan.total_minor) <= _minor(bound, plan) or len(people) >= PEOPLE:
        return None
    by = ", ".join(people) or "nobody"
    return Cause(
        "needs_approval",
        f"a bill of more than {money.shown(bound, plan.currency)} needs {PEOPLE} people, and was approved by {by}",
        f"Each of them: the bill's page, or `connector bills approve {plan.bill_id}`; it goes on by itself then.",
    )


def _minor(amount: Decimal, plan: PushPlan) -> int:
    return money.to_minor(amount, plan.decimals)

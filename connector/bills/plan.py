"""What a push of a bill would do, worked out before anything is sent: values in, values out.

`plan_push` is total: whatever a bill holds comes back either as lines to send or as problems, each with its reason and
its next step. Nothing is left out silently.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from connector import days, mappings, money
from connector.account_plans import Current
from connector.clients.chargebee import Invoice
from connector.clients.m3ter_objects import Bill, BillLine
from connector.errors import Cause

# Chargebee's terms end at a time of day, m3ter's at midnight: the same boundary is never a day apart.
SAME_BOUNDARY = timedelta(days=1)
# Dates that can be counted with in every time zone.
YEARS = range(1970, 9000)


@dataclass(frozen=True)
class Problem:
    """Why a bill cannot be pushed now; `waits` when time alone may settle it, `wakes_on` names what would."""

    cause: Cause
    line: str | None = None
    wakes_on: str | None = None
    waits: bool = False


@dataclass(frozen=True)
class PlannedLine:
    """One bill line and the charge that it becomes: `amount_minor` is what is to be added now, in minor units."""

    key: str
    position: int
    m3ter_line_id: str | None
    line_type: str
    description: str
    exact: Decimal
    whole_minor: int
    sent_minor: int
    date_from: datetime | None
    date_to: datetime | None
    item_price_id: str | None = None
    subscription_id: str | None = None
    invoice_id: str | None = None

    @property
    def amount_minor(self) -> int:
        """What is to be added now: the line's whole amount less what earlier pushes of the bill have sent of it."""
        return self.whole_minor - self.sent_minor


@dataclass(frozen=True)
class PushPlan:
    """A bill planned whole. It may be pushed only while `problems` is empty."""

    bill_id: str
    bill_version: int
    last_calculated: str | None
    account_id: str
    currency: str
    decimals: int
    exact_total: Decimal
    total_minor: int
    lines: tuple[PlannedLine, ...] = ()
    problems: tuple[Problem, ...] = ()
    sha256: str = ""

    @property
    def to_send(self) -> list[PlannedLine]:
        """The lines that become charges; a line of nothing is recorded and not sent."""
        return [line for line in self.lines if line.amount_minor]


@dataclass(frozen=True)
class Surroundings:
    """What a plan depends on beside the bill itself."""

    charge_prices: Mapping[tuple[str, str, str], str]
    account_plans: Sequence[Current]
    live_subscriptions: Sequence[str]
    pending: Mapping[str, Sequence[Invoice]] = field(default_factory=dict)
    # What earlier pushes of this bill have put on invoices, by line key, in minor units.
    sent: Mapping[str, int] = field(default_factory=dict)
    # The subscriptions on whose invoices that was.
    sent_for: Collection[str] = ()
    exponents: Mapping[str, int] = field(default_factory=dict)
    max_lines: int = 500


def content_hash(bill: Bill) -> str:
    """One hash for all that the money of a bill depends on; the same for a bill calculated again with the same result."""
    amounts = [(key, _in_bill_currency(bill, line)) for key, line in keyed_lines(bill)]
    # As a fraction in lowest terms: 1.0 and 1.00 are one amount.
    lines = sorted(json.dumps([key, None if value is None else str(Fraction(value))]) for key, value in amounts)
    whole = [bill.id, bill.account_id, bill.currency, str(bill.start_date), str(bill.end_date), lines]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()


def keyed_lines(bill: Bill) -> list[tuple[str, BillLine]]:
    """Each line with a key of what it is for: line ids change whenever m3ter calculates a bill again (m3ter.md §16.16)."""
    counts: Counter[str] = Counter()
    keyed = []
    for line in sorted(bill.lines, key=lambda line: (_nature(line), _in_bill_currency(bill, line) or Decimal(0))):
        nature = hashlib.sha256(_nature(line).encode()).hexdigest()[:20]
        counts[nature] += 1
        keyed.append((f"{nature}-{counts[nature]}", line))
    order = {id(line): position for position, line in enumerate(bill.lines)}
    return sorted(keyed, key=lambda pair: order[id(pair[1])])


def _nature(line: BillLine) -> str:
    parts: list[Any] = [
        line.type, line.plan_id, line.plan_group_id, line.pricing_id, line.aggregation_id, line.compound_aggregation_id,
        line.counter_id, line.charge_id, line.balance_id, line.commitment_id, line.contract_id, line.product_id,
        line.child_account_id, sorted(line.segment.items()), str(line.start), str(line.end),
    ]  # fmt: skip
    return json.dumps(parts)


def subscriptions_billed(bill: Bill, around: Surroundings) -> set[str]:
    """The subscriptions whose pending invoices the plan will need."""
    if _whole_bill_problems(bill, around):
        return set()
    routed = (_route(line, bill, around) for line in bill.lines)
    return {found for found in routed if isinstance(found, str)}


def plan_push(bill: Bill, around: Surroundings) -> PushPlan:
    """What pushing this approved bill would do, or every reason why it cannot be pushed."""
    plan = PushPlan(
        bill_id=bill.id, bill_version=bill.version, last_calculated=bill.last_calculated, account_id=bill.account_id,
        currency=bill.currency, decimals=0, exact_total=Decimal(0), total_minor=0,
    )  # fmt: skip
    problems = _whole_bill_problems(bill, around)
    if problems:
        return replace(plan, problems=tuple(problems))
    decimals = money.exponent(bill.currency, dict(around.exponents))
    keyed = keyed_lines(bill)
    exact = [_in_bill_currency(bill, line) or Decimal(0) for _, line in keyed]
    with localcontext() as context:
        context.prec = money.PRECISION
        exact_total = sum(exact, Decimal(0))
    stated = None if bill.total is None else money.to_minor(bill.total, decimals)
    try:
        amounts = money.round_together(exact, [key for key, _ in keyed], decimals, stated, around.sent)
    except money.BadMoney as error:
        return replace(plan, problems=(_problem("total_differs", str(error), "Calculate the bill again in m3ter."),))
    lines: list[PlannedLine] = []
    for position, ((key, line), value, minor) in enumerate(zip(keyed, exact, amounts, strict=True)):
        planned, found = _plan_line(bill, around, position, key, line, value, minor)
        lines.append(planned)
        problems += found
    problems += _less_than_sent(lines, around, decimals)
    plan = replace(
        plan,
        decimals=decimals,
        exact_total=exact_total,
        total_minor=sum(amounts),
        lines=tuple(lines),
        problems=tuple(problems),
    )
    return replace(plan, sha256=_plan_hash(plan, content_hash(bill)))


def _plan_hash(plan: PushPlan, content: str) -> str:
    sends = [[line.key, line.item_price_id, line.invoice_id, line.amount_minor] for line in plan.lines]
    return hashlib.sha256(json.dumps([content, sends]).encode()).hexdigest()


def _whole_bill_problems(bill: Bill, around: Surroundings) -> list[Problem]:
    if len(bill.lines) > around.max_lines:
        text = f"the bill has {len(bill.lines)} lines, more than the {around.max_lines} that one push may add"
        return [_problem("too_many_lines", text, "Check the bill; raise MAX_BILL_LINES if it is right.")]
    if not all(day is not None and day.year in YEARS for day in (bill.start_date, bill.end_date)):
        text = f"the bill has no period that can be billed: {bill.start_date} to {bill.end_date}"
        return [_problem("no_period", text, "Calculate the bill again in m3ter.")]
    if days.zone(bill.timezone) is None:
        text = f"nobody knows the bill's time zone {bill.timezone!r}, so its days may begin at any time"
        return [
            _problem("unknown_timezone", text, "Set the organization's time zone in m3ter to one of the tz database.")
        ]
    try:
        money.exponent(bill.currency, dict(around.exponents))
    except money.BadMoney as error:
        return [
            _problem("currency", str(error), f"Set CURRENCY_EXPONENTS, e.g. `{bill.currency}=0`, once it is known.")
        ]
    return [
        _problem(
            "no_converted_amount",
            f"line {line.description!r} is in {line.currency}, the bill in {bill.currency}, and m3ter gives no converted amount",
            "Set the conversion rate in m3ter and calculate the bill again.",
            line.id,
        )
        for line in bill.lines
        if _in_bill_currency(bill, line) is None
    ]


def _in_bill_currency(bill: Bill, line: BillLine) -> Decimal | None:
    if line.converted_subtotal is not None:
        return line.converted_subtotal
    return line.subtotal if line.currency in (None, bill.currency) else None


def _plan_line(
    bill: Bill, around: Surroundings, position: int, key: str, line: BillLine, exact: Decimal, minor: int
) -> tuple[PlannedLine, list[Problem]]:
    planned = PlannedLine(
        key=key, position=position, m3ter_line_id=line.id, line_type=line.type, description=line.description,
        exact=exact, whole_minor=minor, sent_minor=around.sent.get(key, 0), date_from=line.start, date_to=line.end,
    )  # fmt: skip
    if exact < 0:
        text = f"line {line.description!r} ({line.type}) is negative: {exact} {bill.currency}"
        step = "Invoice this bill by hand and skip the sync: negative lines cannot be added to an invoice."
        return planned, [_problem("negative_line", text, step, line.id)]
    if not planned.amount_minor:
        return planned, []
    problems: list[Problem] = []
    if line.start is None or line.end is None or line.end <= line.start:
        step = "Give the line a service period in m3ter, calculate the bill again and approve it."
        problems.append(
            _problem("no_service_period", f"line {line.description!r} has no service period", step, line.id)
        )
    price = charge_price(line, bill.currency, around.charge_prices)
    if price is None:
        problems.append(_unmapped(bill, line))
    found = _route(line, bill, around)
    if isinstance(found, Problem):
        return planned, [*problems, found]
    planned = replace(planned, item_price_id=price, subscription_id=found)
    placed = _place(bill, found, around)
    if isinstance(placed, Problem):
        return planned, [*problems, placed]
    return replace(planned, invoice_id=placed.id), problems


def charge_price(line: BillLine, currency: str, prices: Mapping[tuple[str, str, str], str]) -> str | None:
    """The charge item price that a line becomes: by pricing, else aggregation, product, line item type, default."""
    ids = (line.pricing_id, line.aggregation_id, line.compound_aggregation_id, line.product_id, line.type, mappings.ANY)
    for entity, m3ter_id in zip(mappings.CHARGE_ENTITIES, ids, strict=True):
        if m3ter_id and (entity, m3ter_id, currency) in prices:
            return prices[entity, m3ter_id, currency]
    return None


def _unmapped(bill: Bill, line: BillLine) -> Problem:
    entity, m3ter_id = next(
        (entity, found)
        for entity, found in (
            ("Aggregation", line.aggregation_id),
            ("CompoundAggregation", line.compound_aggregation_id),
            ("LineItemType", line.type),
        )
        if found
    )
    return Problem(
        Cause(
            "unmapped_line",
            f"no charge item price in {bill.currency} is mapped to line {line.description!r} ({line.type})",
            f"`connector mappings add {entity} {m3ter_id} ItemPrice <charge item price> --currency {bill.currency}`; "
            "it goes on by itself then.",
        ),
        line.id,
        wakes_on=mappings.CHARGE_WISH,
    )


def _route(line: BillLine, bill: Bill, around: Surroundings) -> str | Problem:
    """The subscription that a line belongs to, or why nobody can tell."""
    if line.child_account_id is not None:
        text = f"line {line.description!r} is for child account {line.child_account_id}"
        return _problem("child_account", text, "Invoice this bill by hand and skip the sync.", line.id)
    active = [plan for plan in around.account_plans if _overlaps(plan, line, bill)]
    by_plan = {plan.subscription_id for plan in active if plan.plan_id == line.plan_id}
    candidates = by_plan or {plan.subscription_id for plan in active} or set(around.live_subscriptions)
    if len(candidates) == 1:
        return next(iter(candidates))
    known = ", ".join(sorted(candidates)) or "none"
    text = f"line {line.description!r} may belong to several subscriptions, or to none: {known}"
    return _problem("ambiguous_subscription", text, "Invoice this bill by hand and skip the sync.", line.id)


def _overlaps(plan: Current, line: BillLine, bill: Bill) -> bool:
    start = line.start or days.bill_moment(bill, bill.start_date)
    end = line.end or days.bill_moment(bill, bill.end_date)
    return plan.start < end and (plan.end is None or plan.end > start)


def _place(bill: Bill, subscription_id: str, around: Surroundings) -> Invoice | Problem:
    """The pending invoice that closes the bill's period, or why there is none."""
    pending = around.pending.get(subscription_id, ())
    boundary = days.bill_moment(bill, bill.end_date)
    fitting = [invoice for invoice in pending if _closes(invoice, subscription_id, boundary)]
    listed = ", ".join(f"{invoice.id} of {invoice.date:%Y-%m-%d}" for invoice in pending if invoice.date)
    if len(fitting) == 1:
        if fitting[0].currency_code == bill.currency:
            return fitting[0]
        text = f"invoice {fitting[0].id} is in {fitting[0].currency_code}, the bill in {bill.currency}"
        return _problem("currency_mismatch", text, "Bill this account in the subscription's currency in m3ter.")
    if len(fitting) > 1:
        text = f"several pending invoices of {subscription_id} close on {boundary:%Y-%m-%d}: {listed}"
        return _problem("several_invoices", text, "Close or delete the ones that are not for this bill.")
    if subscription_id in around.sent_for:
        text = f"a part of the bill was sent before, and its invoice is no longer pending (pending now: {listed or 'none'})"
        return _problem("invoice_closed", text, "Invoice the difference by hand and skip the sync.")
    later = [invoice for invoice in pending if invoice.date and invoice.date > boundary + SAME_BOUNDARY]
    if later:
        text = f"the bill's period ends on {boundary:%Y-%m-%d}; the pending invoices of {subscription_id} are {listed}"
        return _problem(
            "period_mismatch", text, "Line the periods up (m3ter billEpoch), or invoice by hand and skip the sync."
        )
    text = f"{subscription_id} has no pending invoice for the period that ends on {boundary:%Y-%m-%d}"
    return Problem(
        Cause("no_pending_invoice", text, "Nothing: it goes on when Chargebee opens the invoice."),
        wakes_on=invoice_wish(subscription_id),
        waits=True,
    )


def invoice_wish(subscription_id: str) -> str:
    """What a bill waits for while the subscription has no pending invoice."""
    return f"invoice:{subscription_id}"


def _closes(invoice: Invoice, subscription_id: str, boundary: datetime) -> bool:
    """Whether the invoice is the one at this boundary: a renewal invoice bills the new term from it (chargebee.md §5.5)."""
    starts = [
        line.date_from
        for line in invoice.lines
        if line.entity_type == "plan_item_price" and line.subscription_id in (None, subscription_id)
    ]
    moments = starts or ([invoice.date] if invoice.date else [])
    return any(abs(moment - boundary) < SAME_BOUNDARY for moment in moments)


def _less_than_sent(lines: Iterable[PlannedLine], around: Surroundings, decimals: int) -> list[Problem]:
    """A bill that shrank after it was sent cannot be followed by adding: a person has to credit the difference."""
    keys = {line.key: line for line in lines}
    shrunk = [
        f"{line.description!r} by {money.to_major(-line.amount_minor, decimals)}"
        for line in keys.values()
        if line.sent_minor and line.amount_minor < 0
    ]
    gone = [
        f"a line of {money.to_major(minor, decimals)}"
        for key, minor in around.sent.items()
        if minor and key not in keys
    ]
    if not shrunk and not gone:
        return []
    text = "the bill is now less than what was put on the invoice: " + ", ".join(shrunk + gone)
    return [_problem("less_than_sent", text, "Remove or credit the difference in Chargebee, then skip the sync.")]


def _problem(code: str, text: str, next_step: str, line: str | None = None) -> Problem:
    return Problem(Cause(code, text, next_step), line)


def as_json(plan: PushPlan) -> dict[str, Any]:
    """The plan for scripts and for the receipt: amounts as texts in major units, times in ISO 8601."""
    return {
        "bill_id": plan.bill_id,
        "bill_version": plan.bill_version,
        "account_id": plan.account_id,
        "currency": plan.currency,
        "exact_total": format(plan.exact_total, "f"),
        "total": str(money.to_major(plan.total_minor, plan.decimals)),
        "plan": plan.sha256,
        "lines": [line_as_json(line, plan.decimals) for line in plan.lines],
        "problems": [
            asdict(problem.cause) | {"line": problem.line, "waits": problem.waits} for problem in plan.problems
        ],
    }


def line_as_json(line: PlannedLine, decimals: int) -> dict[str, Any]:
    """One planned line: what m3ter says and what is to be added to which invoice."""
    return {
        "key": line.key,
        "m3ter_line_id": line.m3ter_line_id,
        "line_type": line.line_type,
        "description": line.description,
        "exact": format(line.exact, "f"),
        "amount": str(money.to_major(line.whole_minor, decimals)),
        "sent_before": str(money.to_major(line.sent_minor, decimals)),
        "to_add": str(money.to_major(line.amount_minor, decimals)),
        "item_price_id": line.item_price_id,
        "subscription_id": line.subscription_id,
        "invoice_id": line.invoice_id,
        "date_from": line.date_from.isoformat() if line.date_from else None,
        "date_to": line.date_to.isoformat() if line.date_to else None,
    }

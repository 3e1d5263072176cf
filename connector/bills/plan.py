"""What a push of a bill would do, worked out before anything is sent: values in, values out.

`plan_push` is total: whatever a bill holds comes back either as charges to send or as problems, each with its reason and
its next step. Nothing is left out silently: every line says into which charges it went.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext

from connector import days, money
from connector.bills.lines import content_hash, in_bill_currency, keyed_lines
from connector.bills.netting import Netted, Open, net
from connector.bills.planned import (
    AD_HOC,
    CHARGE_ITEM,
    CREDIT,
    CREDIT_NOTE,
    GIVEN,
    NOTHING,
    Charge,
    PlannedLine,
    PushPlan,
)
from connector.bills.routing import (
    NEVER,
    Late,
    Policies,
    Problem,
    Surroundings,
    busy,
    charge_price,
    place,
    problem,
    route,
    unknown_account,
    unmapped,
)
from connector.clients.chargebee_objects import Invoice
from connector.clients.m3ter_objects import DRAWABLE, Bill, BillLine
from connector.mappings import kinds

# Dates that can be counted with in every time zone.
YEARS = range(1970, 9000)
MAX_DESCRIPTION = 250
# What was paid out of a balance or a prepayment.
DRAWN = ("BALANCE_CONSUMED", "COMMITMENT_CONSUMED")


def subscriptions_billed(bill: Bill, around: Surroundings) -> set[str]:
    """The subscriptions whose pending invoices the plan will need."""
    if _whole_bill_problems(bill, around):
        return set()
    routed = (route(line, bill, around) for line in bill.lines if (in_bill_currency(bill, line) or 0) > 0)
    return {found for found in routed if isinstance(found, str)}


def plan_push(bill: Bill, around: Surroundings) -> PushPlan:
    """What pushing this approved bill would do, or every reason why it cannot be pushed."""
    plan = PushPlan(
        bill_id=bill.id, bill_version=bill.version, last_calculated=bill.last_calculated, account_id=bill.account_id,
        currency=bill.currency, decimals=0, exact_total=Decimal(0), total_minor=0, basis=around.basis,
    )  # fmt: skip
    problems = _whole_bill_problems(bill, around)
    if problems:
        return replace(plan, problems=tuple(problems))
    decimals = money.exponent(bill.currency, dict(around.policies.exponents))
    keyed = keyed_lines(bill)
    exact = [in_bill_currency(bill, line) or Decimal(0) for _, line in keyed]
    with localcontext() as context:
        context.prec = money.PRECISION
        exact_total = sum(exact, Decimal(0))
    stated = None if bill.total is None else money.to_minor(bill.total, decimals)
    try:
        amounts = money.round_together(exact, [key for key, _ in keyed], decimals, stated, around.sent)
    except money.BadMoney as error:
        return replace(plan, problems=(problem("total_differs", str(error), "Calculate the bill again in m3ter."),))
    lines = [
        PlannedLine(
            key=key, position=position, m3ter_line_id=line.id, line_type=line.type, description=line.description,
            exact=value, whole_minor=minor, sent_minor=around.sent.get(key, 0), product_id=line.product_id,
            date_from=line.start, date_to=line.end,
        )
        for position, ((key, line), value, minor) in enumerate(zip(keyed, exact, amounts, strict=True))
    ]  # fmt: skip
    plan = replace(
        plan, decimals=decimals, exact_total=exact_total, total_minor=sum(amounts), lines=tuple(lines)
    )  # fmt: skip
    draft = _Draft()
    charges, problems = _charges(draft, bill, around, plan, dict(keyed))
    plan = replace(plan, charges=tuple(charges), problems=tuple(problems), invoices=draft.invoices)
    return replace(plan, sha256=_plan_hash(plan, content_hash(bill)))


def _plan_hash(plan: PushPlan, content: str) -> str:
    sends = [[one.key, one.kind, one.item_price_id, one.invoice_id, one.parts] for one in plan.charges]
    return hashlib.sha256(json.dumps([content, sends]).encode()).hexdigest()


def _whole_bill_problems(bill: Bill, around: Surroundings) -> list[Problem]:
    needed = (bill.start_date, bill.end_date, bill.bill_date or bill.end_date)
    if not all(day is not None and day.year in YEARS for day in needed):
        text = f"the bill has no period that can be billed: {bill.start_date} to {bill.end_date}"
        return [problem("no_period", text, "Calculate the bill again in m3ter.")]
    if days.zone(bill.timezone) is None:
        text = f"nobody knows the bill's time zone {bill.timezone!r}, so its days may begin at any time"
        return [
            problem("unknown_timezone", text, "Set the organization's time zone in m3ter to one of the tz database.")
        ]
    try:
        money.exponent(bill.currency, dict(around.policies.exponents))
    except money.BadMoney as error:
        return [problem("currency", str(error), f"Set CURRENCY_EXPONENTS, e.g. `{bill.currency}=0`, once it is known.")]
    return [
        problem(
            "no_converted_amount",
            f"line {line.description!r} is in {line.currency}, the bill in {bill.currency}, and m3ter gives no converted amount",
            "Set the conversion rate in m3ter and calculate the bill again.",
            line.id,
        )
        for line in bill.lines
        if in_bill_currency(bill, line) is None
    ]


@dataclass
class _Draft:
    """The charges of a plan as they come together, and what stands in their way.

    `credits` are to be given back; `withdrawn` is what an earlier push gave back and the bill no longer does.
    """

    charges: list[Charge] = field(default_factory=list)
    credits: list[Open] = field(default_factory=list)
    withdrawn: list[Open] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    invoices: dict[str, Invoice] = field(default_factory=dict)


def _charges(
    draft: _Draft, bill: Bill, around: Surroundings, plan: PushPlan, by_key: dict[str, BillLine]
) -> tuple[list[Charge], list[Problem]]:
    for planned in plan.lines:
        if planned.open_minor > 0 and planned.exact >= 0:
            _add_charge(draft, bill, around, planned, by_key[planned.key])
        elif planned.open_minor:
            _add_credit(draft, bill, around, planned, by_key[planned.key])
    for key, minor in around.sent.items():
        if minor and key not in by_key:
            gone = Open(key, -minor, _payer(around, bill.account_id), None, None)
            (draft.credits if minor > 0 else draft.withdrawn).append(gone)
    draft.problems += [busy(invoice) for invoice in draft.invoices.values() if invoice.id in around.in_doubt]
    draft.problems += [
        _foreign(invoice, lines)
        for invoice in draft.invoices.values()
        if around.policies.foreign_lines == "park"
        and invoice.id not in around.in_doubt
        and (lines := _foreign_lines(invoice, around))
    ]
    if draft.problems:
        return draft.charges, draft.problems
    if problems := _out_of_bounds(draft, around.policies):
        return draft.charges, problems
    for one in draft.withdrawn:
        if not _take_back(draft, one):
            return draft.charges, [_withdrawn(plan, one)]
    types = {line.key: line.line_type for line in plan.lines}
    netted, left_over = net([_open(one, types) for one in draft.charges if one.kind not in GIVEN], draft.credits)
    charges = [_less(charge, netted) for charge in draft.charges]
    if not left_over:
        return charges, []
    # What an earlier push has charged can be given back only by a note on that very invoice.
    way = around.policies.negative_total
    to_somebody = all(one.payer is not None for one in draft.credits)
    if to_somebody and (way == CREDIT_NOTE or (way == CREDIT and not around.sent)):
        position = {line.key: line.position for line in plan.lines}
        return [
            *charges,
            *(
                _credit(bill, around, key, position.get(key, len(position)), by_key.get(key), minor, way)
                for key, minor in left_over.items()
            ),
        ], []
    return charges, [_too_much_credit(plan, around, sum(left_over.values()))]


def _out_of_bounds(draft: _Draft, policies: Policies) -> list[Problem]:
    """What is too much of the draft, after its charges are grouped where they may and have to be."""
    if len(draft.charges) > policies.group_above or (policies.group_above < NEVER and _overfull(draft, policies)):
        draft.charges = _grouped(draft.charges)
    if len(draft.charges) > policies.max_charges:
        return [_too_many(len(draft.charges), policies.max_charges)]
    return [_too_full(where, lines, policies) for where, lines in _overfull(draft, policies).items()]


def _too_many(number: int, allowed: int) -> Problem:
    text = f"the bill comes to {number} charges, more than the {allowed} that one push may add"
    return problem(
        "too_many_lines", text, "Check the bill; set GROUP_LINES=always, or raise MAX_BILL_LINES if it is right."
    )


def _overfull(draft: _Draft, policies: Policies) -> dict[str, int]:
    """The invoices that would have too many lines, and how many; those that are not there yet by their subscription."""
    charged = [one for one in draft.charges if one.kind not in GIVEN]
    lines = Counter(one.invoice_id or f"the next one of {one.subscription_id}" for one in charged)
    lines.update({invoice.id: len(invoice.lines) for invoice in draft.invoices.values()})
    return {where: number for where, number in lines.items() if number > policies.max_invoice_lines}


def _too_full(where: str, lines: int, policies: Policies) -> Problem:
    text = f"invoice {where} would have {lines} lines, more than the {policies.max_invoice_lines} that one may have"
    step = "Set GROUP_LINES=auto so that lines of one charge item and period become one."
    if policies.group_above < NEVER:
        step = (
            "Map more of these lines to one charge item, so that they can be grouped, or invoice some by hand. Only on a site "
            "with Enterprise-scale Invoicing: raise MAX_INVOICE_LINES."
        )
    return problem("invoice_full", text, step)


def _open(charge: Charge, types: Mapping[str, str]) -> Open:
    drawable = any(types.get(key) in DRAWABLE for key, _ in charge.parts)
    return Open(
        charge.key, charge.amount_minor, charge.customer_id, charge.product_id, charge.subscription_id, drawable
    )


def _take_back(draft: _Draft, one: Open) -> bool:
    """Charge again what was given back before, beside the largest charge of the same payer; False where there is none."""
    fitting = [charge for charge in draft.charges if charge.kind not in GIVEN and charge.customer_id == one.payer]
    if not fitting:
        return False
    beside = min(fitting, key=lambda charge: (-charge.amount_minor, charge.key))
    draft.charges[draft.charges.index(beside)] = replace(beside, parts=(*beside.parts, (one.key, one.minor)))
    return True


def _withdrawn(plan: PushPlan, one: Open) -> Problem:
    text = (
        f"a credit of {money.shown(money.to_major(one.minor, plan.decimals), plan.currency)} "
        "that was given is no longer on the bill, "
        "and there is no charge to add it to"
    )
    return problem("credit_withdrawn", text, "Invoice that amount by hand, then skip the sync.")


def _foreign_lines(invoice: Invoice, around: Surroundings) -> list[str]:
    """Lines with charge items that are the connector's to add, which it did not add."""
    prices = set(around.charge_prices.values())
    return [line.id for line in invoice.lines if line.entity_id in prices and line.id not in around.ours]


def _foreign(invoice: Invoice, lines: list[str]) -> Problem:
    text = (
        f"invoice {invoice.id} has {len(lines)} line(s) with the connector's charge items that somebody else added: "
        + ", ".join(lines[:5])
    )
    step = (
        "Switch off m3ter's own Chargebee integration, or whatever bills the same usage, and remove what is billed twice. "
        "If these lines are right, set FOREIGN_LINES=ignore and retry."
    )
    return problem("foreign_lines", text, step)


def _payer(around: Surroundings, account_id: str) -> str | None:
    return around.customers.get(account_id)


def _add_charge(draft: _Draft, bill: Bill, around: Surroundings, planned: PlannedLine, line: BillLine) -> None:
    """A line of which something is to be charged becomes a charge of its own."""
    problems: list[Problem] = []
    if line.start is None or line.end is None or line.end <= line.start:
        step = "Give the line a service period in m3ter, calculate the bill again and approve it."
        problems.append(problem("no_service_period", f"line {line.description!r} has no service period", step, line.id))
    price = charge_price(line, bill.currency, around.charge_prices)
    if price is None:
        problems.append(unmapped(bill, line))
    subscription_id = route(line, bill, around)
    placed = subscription_id if isinstance(subscription_id, Problem) else place(bill, subscription_id, around)
    if isinstance(placed, Problem):
        problems.append(placed)
    draft.problems += problems
    if problems or isinstance(placed, Problem) or line.start is None or line.end is None:
        return
    is_ad_hoc = price == kinds.AD_HOC
    kind = AD_HOC if is_ad_hoc else CHARGE_ITEM
    if isinstance(placed, Late):
        kind = placed.kind
    else:
        draft.invoices[placed.id] = placed
    draft.charges.append(
        Charge(
            key=planned.key, position=planned.position, kind=kind,
            subscription_id=str(subscription_id), customer_id=_payer(around, line.child_account_id or bill.account_id),
            invoice_id=None if isinstance(placed, Late) else placed.id, item_price_id=None if is_ad_hoc else price,
            description=line.description[:MAX_DESCRIPTION] or line.type, date_from=line.start, date_to=line.end,
            parts=((planned.key, planned.open_minor),), product_id=line.product_id,
        )
    )  # fmt: skip


def _add_credit(draft: _Draft, bill: Bill, around: Surroundings, planned: PlannedLine, line: BillLine) -> None:
    """A line of which something is to be given back goes the way that the settings say for its type."""
    policies = around.policies
    way = policies.negative_lines_by_type.get(line.type, policies.negative_lines) if planned.exact < 0 else "net"
    if way == "park":
        text = f"line {line.description!r} ({line.type}) is negative: {planned.exact} {bill.currency}"
        step = "Invoice this bill by hand and skip the sync, or set NEGATIVE_LINES to let such lines be netted or credited."
        draft.problems.append(problem("negative_line", text, step, line.id))
    elif _payer(around, line.child_account_id or bill.account_id) is None:
        draft.problems.append(unknown_account(line, bill))
    elif way in GIVEN and planned.open_minor < 0:
        draft.charges.append(_credit(bill, around, planned.key, planned.position, line, planned.open_minor, way))
    else:
        subscription_id = route(line, bill, around)
        owner = subscription_id if isinstance(subscription_id, str) else None
        payer = _payer(around, line.child_account_id or bill.account_id)
        found = Open(planned.key, planned.open_minor, payer, line.product_id, owner, line.type in DRAWN)
        (draft.credits if planned.open_minor < 0 else draft.withdrawn).append(found)


def _credit(
    bill: Bill, around: Surroundings, key: str, position: int, line: BillLine | None, minor: int, kind: str
) -> Charge:
    """So much of a negative line, or of one that is no longer on the bill, as a credit of its customer."""
    account_id = bill.account_id if line is None else line.child_account_id or bill.account_id
    return Charge(
        key=key, position=position, kind=kind, subscription_id=None, customer_id=_payer(around, account_id),
        invoice_id=None, item_price_id=None,
        description="No longer billed" if line is None else line.description[:MAX_DESCRIPTION] or line.type,
        date_from=(line and line.start) or days.bill_moment(bill, bill.start_date),
        date_to=(line and line.end) or days.bill_moment(bill, bill.end_date), parts=((key, minor),),
    )  # fmt: skip


def _grouped(charges: Iterable[Charge]) -> list[Charge]:
    """One charge for all that would be equal on the invoice but for its amount."""
    groups: dict[str, list[Charge]] = {}
    for one in charges:
        alike = [one.kind, one.subscription_id, one.customer_id, one.invoice_id, one.item_price_id, str(one.date_from),
                 str(one.date_to), one.description if one.item_price_id is None else ""]  # fmt: skip
        groups.setdefault(hashlib.sha256(json.dumps(alike).encode()).hexdigest()[:24], []).append(one)
    return [
        members[0] if len(members) == 1 else replace(
            members[0], key=f"group-{key}", parts=tuple(part for one in members for part in one.parts),
            product_id=members[0].product_id if len({one.product_id for one in members}) == 1 else None,
        )
        for key, members in groups.items()
    ]  # fmt: skip


def _less(charge: Charge, netted: Sequence[Netted]) -> Charge:
    """The charge with the credits that are taken off it."""
    parts = (*charge.parts, *((one.credit, -one.minor) for one in netted if one.charge == charge.key))
    nothing_left = charge.kind not in GIVEN and not sum(minor for _, minor in parts)
    return replace(charge, parts=parts, kind=NOTHING if nothing_left else charge.kind)


def _too_much_credit(plan: PushPlan, around: Surroundings, minor: int) -> Problem:
    left = f"{money.to_major(-minor, plan.decimals)} {plan.currency}"
    if around.sent:
        text = f"the bill is now less than what was put on the invoice, by {left}"
        return problem(
            "less_than_sent",
            text,
            "Credit the difference in Chargebee and skip the sync, or set NEGATIVE_TOTAL=credit_note and retry.",
        )
    text = f"the bill's credits are {left} more than its charges, and an invoice cannot become less than it is"
    step = "Give that credit by hand and skip the sync, or set NEGATIVE_TOTAL and retry."
    return problem("negative_total", text, step)

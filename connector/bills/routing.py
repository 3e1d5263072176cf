"""Where a bill line goes: which charge item it becomes, which subscription it is for, and which invoice takes it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connector import days
from connector.account_plans import Current
from connector.clients.chargebee_objects import Invoice
from connector.clients.m3ter_objects import Bill, BillLine
from connector.errors import Cause
from connector.invoice_terms import plan_starts
from connector.mappings.charges import CHARGE_WISH
from connector.mappings.kinds import ANY, CHARGE_ENTITIES

# Chargebee's terms end at a time of day, m3ter's at midnight: the same boundary is never a day apart.
SAME_BOUNDARY = timedelta(days=1)
# More charges than any bill has.
NEVER = 10**9
# What the charges of a late bill become where the settings do not send them to an invoice that is open already.
UNBILLED, OWN_INVOICE = "unbilled_charge", "own_invoice"
NEXT_INVOICE, AS_LATE_BILLS = "next_invoice", "late_bills"


@dataclass(frozen=True)
class Problem:
    """Why a bill cannot be pushed now; `waits` when time alone may settle it, `wakes_on` names what would."""

    cause: Cause
    line: str | None = None
    wakes_on: str | None = None
    waits: bool = False


@dataclass(frozen=True)
class Late:
    """That a charge comes too late for the invoice of its period, and becomes one of this kind instead."""

    kind: str


@dataclass(frozen=True)
class Policies:
    """What a connection's settings say about bills; amounts are in major units of the bill's currency."""

    max_charges: int = 500
    max_invoice_lines: int = 700
    exponents: Mapping[str, int] = field(default_factory=dict)
    negative_lines: str = "net"
    negative_lines_by_type: Mapping[str, str] = field(default_factory=dict)
    negative_total: str = "park"
    late_bills: str = "park"
    charge_bills: str = UNBILLED
    wait_for_invoice: timedelta = timedelta(days=7)
    group_above: int = 200
    foreign_lines: str = "park"


@dataclass(frozen=True)
class Surroundings:
    """What a plan depends on beside the bill itself; accounts are named by their m3ter ids.

    `subscriptions` are the live ones of each account, and `named` the subscription that a person has mapped to an
    account or a contract. `sent` is what earlier pushes of the bill have put on invoices, by line key, in minor units;
    `sent_for` the subscriptions on whose invoices that was, and `ours` the invoice lines that any push has made.
    `in_doubt` are invoices on which another bill has a line whose answer is missing. `basis` is the bill's push up to which
    `sent` counts (see `ledger.basis`).
    """

    now: datetime
    charge_prices: Mapping[tuple[str, str, str], str]
    account_plans: Sequence[Current]
    customers: Mapping[str, str]
    subscriptions: Mapping[str, Sequence[str]]
    named: Mapping[tuple[str, str], str] = field(default_factory=dict)
    pending: Mapping[str, Sequence[Invoice]] = field(default_factory=dict)
    basis: int | None = 0
    sent: Mapping[str, int] = field(default_factory=dict)
    sent_for: Collection[str] = ()
    ours: Collection[str] = ()
    in_doubt: Collection[str] = ()
    policies: Policies = Policies()


def problem(code: str, text: str, next_step: str, line: str | None = None) -> Problem:
    """A problem that a person has to settle."""
    return Problem(Cause(code, text, next_step), line)


def charge_price(line: BillLine, currency: str, prices: Mapping[tuple[str, str, str], str]) -> str | None:
    """The charge item price that a line becomes: by pricing, else aggregation, product, line item type, default.

    `kinds.AD_HOC` says that it becomes a charge without an item, under the line's own description.
    """
    ids = (line.pricing_id, line.aggregation_id, line.compound_aggregation_id, line.product_id, line.type, ANY)
    for entity, m3ter_id in zip(CHARGE_ENTITIES, ids, strict=True):
        if m3ter_id and (entity, m3ter_id, currency) in prices:
            return prices[entity, m3ter_id, currency]
    return None


def source(line: BillLine) -> tuple[str, str]:
    """The m3ter entity, and its id, that a person would best map so that the line and those like it become a charge."""
    return next(
        (entity, found)
        for entity, found in (
            ("Aggregation", line.aggregation_id),
            ("CompoundAggregation", line.compound_aggregation_id),
            ("LineItemType", line.type),
        )
        if found
    )


def unmapped(bill: Bill, line: BillLine) -> Problem:
    """That nobody has said what a line becomes, with the mapping that would."""
    entity, m3ter_id = source(line)
    return Problem(
        Cause(
            "unmapped_line",
            f"no charge item price in {bill.currency} is mapped to line {line.description!r} ({line.type})",
            f"`connector mappings add {entity} {m3ter_id} ItemPrice <charge item price> --currency {bill.currency}`; "
            "it goes on by itself then.",
        ),
        line.id,
        wakes_on=CHARGE_WISH,
    )


def route(line: BillLine, bill: Bill, around: Surroundings) -> str | Problem:
    """The subscription that a line belongs to, or why nobody can tell.

    By the line's plan, else its contract, else the subscription named for its account, else the only one there is.
    """
    account_id = line.child_account_id or bill.account_id
    if account_id not in around.customers:
        return unknown_account(line, bill)
    active = [plan for plan in around.account_plans if plan.account_id == account_id and _overlaps(plan, line, bill)]
    by_plan = {plan.subscription_id for plan in active if plan.plan_id == line.plan_id}
    if len(by_plan) == 1:
        return next(iter(by_plan))
    for key in (("Contract", line.contract_id), ("Account", account_id)):
        if key[1] is not None and (named := around.named.get((key[0], key[1]))) is not None:
            return named
    by_account = {plan.subscription_id for plan in active} or set(around.subscriptions.get(account_id, ()))
    candidates = by_plan or by_account
    if len(candidates) == 1:
        return next(iter(candidates))
    known = ", ".join(sorted(candidates)) or "none"
    text = f"line {line.description!r} may belong to several subscriptions, or to none: {known}"
    step = (
        f"`connector mappings add Account {account_id} Subscription <subscription id>` says on which subscription's invoices "
        "such lines go; it goes on by itself then."
    )
    return Problem(Cause("ambiguous_subscription", text, step), line.id, wakes_on=CHARGE_WISH)


def unknown_account(line: BillLine, bill: Bill) -> Problem:
    """That the line's account is nobody's."""
    account_id = line.child_account_id or bill.account_id
    text = f"line {line.description!r} is for account {account_id}, which is not mapped to a Chargebee customer"
    step = f"`connector mappings add Account {account_id} Customer <customer id>`; it goes on by itself then."
    return Problem(Cause("unknown_account", text, step), line.id, wakes_on=CHARGE_WISH)


def _overlaps(plan: Current, line: BillLine, bill: Bill) -> bool:
    start = line.start or days.bill_moment(bill, bill.start_date)
    end = line.end or days.bill_moment(bill, bill.end_date)
    return plan.start < end and (plan.end is None or plan.end > start)


def place(bill: Bill, subscription_id: str, around: Surroundings) -> Invoice | Late | Problem:
    """The pending invoice of the bill's day, or where the charges go instead, or why they go nowhere."""
    pending = around.pending.get(subscription_id, ())
    boundary = days.bill_moment(bill, days.invoiced_on(bill))
    fitting = [invoice for invoice in pending if _closes(invoice, subscription_id, boundary)]
    listed = ", ".join(f"{invoice.id} of {invoice.date:%Y-%m-%d}" for invoice in pending if invoice.date)
    if len(fitting) > 1:
        renewals = [invoice for invoice in fitting if plan_starts(invoice, subscription_id)]
        fitting = renewals if len(renewals) == 1 else fitting
    if len(fitting) == 1:
        return _in_currency(bill, fitting[0])
    if len(fitting) > 1:
        text = f"several pending invoices of {subscription_id} close on {boundary:%Y-%m-%d}: {listed}"
        return problem("several_invoices", text, "Close or delete the ones that are not for this bill.")
    way = around.policies.charge_bills if days.is_of_charges(bill) else AS_LATE_BILLS
    if way in (UNBILLED, OWN_INVOICE):
        return Late(way)
    way = around.policies.late_bills if way == AS_LATE_BILLS else way
    if subscription_id in around.sent_for and way in (UNBILLED, OWN_INVOICE):
        return Late(way)
    if subscription_id in around.sent_for and not (way == NEXT_INVOICE and _later(pending, boundary)):
        text = f"a part of the bill was sent before, and its invoice is no longer pending (pending now: {listed or 'none'})"
        return problem("invoice_closed", text, "Invoice the difference by hand and skip the sync.")
    return _late(bill, subscription_id, around, boundary, listed, way)


def _later(pending: Sequence[Invoice], boundary: datetime) -> list[tuple[datetime, Invoice]]:
    return [(one.date, one) for one in pending if one.date and one.date > boundary + SAME_BOUNDARY]


def _late(
    bill: Bill, subscription_id: str, around: Surroundings, boundary: datetime, listed: str, way: str
) -> Invoice | Late | Problem:
    """What becomes of a bill whose invoice is not pending: it is still to come, or the bill is too late for it."""
    later = _later(around.pending.get(subscription_id, ()), boundary)
    if later and way == NEXT_INVOICE:
        return _in_currency(bill, min(later, key=lambda one: one[0])[1])
    is_late = bool(later) or around.now >= boundary + around.policies.wait_for_invoice
    if is_late and way in (UNBILLED, OWN_INVOICE):
        return Late(way)
    if later:
        text = f"the bill's period ends on {boundary:%Y-%m-%d}; the pending invoices of {subscription_id} are {listed}"
        return problem(
            "period_mismatch", text,
            "Line the periods up (PLAN_BILL_EPOCH), set LATE_BILLS, or invoice by hand and skip the sync.",
        )  # fmt: skip
    deadline = boundary + around.policies.wait_for_invoice
    text = f"{subscription_id} has no pending invoice for the period that ends on {boundary:%Y-%m-%d}"
    if around.now < deadline or way == NEXT_INVOICE:
        until = f" until {deadline:%Y-%m-%d %H:%M}" if way != NEXT_INVOICE else ""
        return Problem(
            Cause("no_pending_invoice", text, f"Nothing{until}: it goes on when Chargebee opens the invoice."),
            wakes_on=invoice_wish(subscription_id),
            waits=True,
        )
    return Problem(
        Cause(
            "late_bill",
            f"{text}, and none has come until {deadline:%Y-%m-%d %H:%M}: it was closed before the bill, or never opened",
            "Invoice by hand and skip the sync, or set LATE_BILLS and retry; a new invoice lets it go on too.",
        ),
        wakes_on=invoice_wish(subscription_id),
    )


def busy(invoice: Invoice) -> Problem:
    """That another bill's line on this invoice is in doubt: until that is settled nobody could tell ours from it."""
    text = f"another bill has a line on invoice {invoice.id} whose answer is missing"
    cause = Cause("invoice_in_doubt", text, "Nothing: it goes on when that line is settled.")
    return Problem(cause, wakes_on=settled_wish(invoice.id), waits=True)


def settled_wish(invoice_id: str) -> str:
    """What a bill waits for while another one's lines are on their way to this invoice."""
    return f"settled:{invoice_id}"


def _in_currency(bill: Bill, invoice: Invoice) -> Invoice | Problem:
    if invoice.currency_code == bill.currency:
        return invoice
    text = f"invoice {invoice.id} is in {invoice.currency_code}, the bill in {bill.currency}"
    return problem("currency_mismatch", text, "Bill this account in the subscription's currency in m3ter.")


def invoice_wish(subscription_id: str) -> str:
    """What a bill waits for while the subscription has no pending invoice."""
    return f"invoice:{subscription_id}"


def _closes(invoice: Invoice, subscription_id: str, boundary: datetime) -> bool:
    """Whether the invoice is the one at this boundary: a renewal invoice bills the new term from it (chargebee.md §5.5)."""
    moments = plan_starts(invoice, subscription_id) or ([invoice.date] if invoice.date else [])
    return any(abs(moment - boundary) < SAME_BOUNDARY for moment in moments)

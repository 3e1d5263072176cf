"""The money protocol: freeze, find, lock, send each line once, settle what is unknown, verify, give a receipt (DESIGN §5)."""

from collections.abc import Mapping
from dataclasses import replace

from sqlalchemy.exc import IntegrityError

from connector import days, money, syncs
from connector.bills import credits, doubled, final, guards, invoices, late, ledger, receipts, shadow
from connector.bills.around import surroundings
from connector.bills.guards import Known
from connector.bills.ledger import PLANNED
from connector.bills.lines import content_hash
from connector.bills.plan import plan_push
from connector.bills.planned import CREDIT, CREDIT_NOTE, GIVEN, NOTHING, PushPlan
from connector.bills.routing import settled_wish
from connector.bills.settling import named
from connector.clients.chargebee_objects import Invoice, InvoiceLine
from connector.clients.m3ter_objects import Bill
from connector.errors import NotFound, OutOfScope, Parked, Waiting
from connector.mappings import table
from connector.models import BillSnapshot
from connector.services import Services
from connector.syncs import Run


def sync_bill(services: Services, run: Run) -> str:
    """Put every line of one approved bill on its invoice once, to the cent, and keep the receipt."""
    try:
        bill = services.connection(run.connection).m3ter.get_bill(run.subject)
    except NotFound:
        return "m3ter has no such bill"
    with services.reading() as db:
        live = ledger.live_snapshot(db, run.connection, bill.id)
    if live is None and run.retried_by is None and _is_before_our_time(services, run.connection, bill):
        return (
            "left alone: the bill's period ended before PUSH_BILLS_FROM (`connector bills push` sends it all the same)"
        )
    if services.connection(run.connection).settings.shadow:
        return _in_shadow(services, run, bill, live)
    if bill.status != "APPROVED":
        return _not_approved(services, run, live)
    content = content_hash(bill)
    if live is not None and live.sha256 != content:
        _stop(services, run, live)
        live = None
    seen: Mapping[str, Invoice] = {}
    if live is None:
        live, seen = _freeze(services, run, bill, content)
    if live is None:
        return _finish(services, run, bill)
    seen = invoices.send_all(services, run, live, seen) | late.send_all(services, run, live)
    credits.give_all(services, run, live, CREDIT)
    if credits.has_open_notes(services, live):
        final.close_invoices(services, run, bill)
    credits.give_all(services, run, live, CREDIT_NOTE)
    _verify(services, run, live, seen)
    return _finish(services, run, bill)


def _in_shadow(services: Services, run: Run, bill: Bill, live: BillSnapshot | None) -> str:
    """Compare instead of sending, whatever stands; a push that was under way stands still."""
    if bill.status != "APPROVED":
        return "the bill is not approved now: nothing to compare until it is approved again"
    if live is not None:
        raise Waiting(
            "shadow",
            "SHADOW was switched on while this bill was being pushed: nothing more of it is sent",
            "Nothing while SHADOW is on; switched off, the push goes on by itself.",
            seconds=services.settings.recheck_seconds,
        )
    with services.reading() as db:
        customer_id = table.external_id(db, run.connection, "Account", bill.account_id, "Customer")
    if why := guards.left_alone(services.connection(run.connection).settings, customer_id):
        raise OutOfScope(why)
    plan = plan_for(services, run.connection, bill)
    if plan.problems:
        _raise_problem(services, plan)
    return shadow.compare_bill(services, run, bill, plan)


def _finish(services: Services, run: Run, bill: Bill) -> str:
    final.after_push(services, run, bill)
    with services.reading() as db:
        return receipts.summary(db, run.connection, bill.id)


def _is_before_our_time(services: Services, connection: str, bill: Bill) -> bool:
    """Whether the bill belongs to what was there before this installation took over."""
    first = services.connection(connection).settings.push_bills_from or services.installed_at.date()
    day = days.invoiced_on(bill)
    return day is not None and day < first


def plan_for(services: Services, connection: str, bill: Bill) -> PushPlan:
    """What a push of this bill would do now; reads both providers, changes nothing."""
    return plan_push(bill, surroundings(services, services.connection(connection), bill))


def _not_approved(services: Services, run: Run, live: BillSnapshot | None) -> str:
    if live is None:
        return "the bill is not approved now: nothing to send until it is approved again"
    with services.reading() as db:
        sent = [one for one in ledger.intents(db, live.id) if one.status != PLANNED and one.kind != NOTHING]
    if sent:
        raise Parked(
            "unapproved_midway",
            f"the bill went back to PENDING after {len(sent)} of its lines had been sent or begun",
            "Approve the bill again in m3ter: only the difference is sent then.",
        )
    with services.transaction() as db:
        ledger.close(db, live.id, ledger.STOPPED, services.now())
    return "the bill went back to PENDING before anything was sent"


def _stop(services: Services, run: Run, live: BillSnapshot) -> None:
    """The bill has changed since it was frozen: settle what is unknown, then go on from what has been sent."""
    for invoice_id in invoices.of_snapshot(services, live):
        with invoices.only_writer_of(services, run, invoice_id) as lease:
            invoices.settle_all(services, run, live, invoice_id, lease)
    late.settle_all(services, run, live)
    for kind in GIVEN:
        credits.settle(services, run, live, kind)
    with services.transaction() as db:
        ledger.close(db, live.id, ledger.STOPPED, services.now())
    run.note("the bill has changed since it was frozen: planned again from what has been sent")


def freeze(services: Services, connection: str, bill: Bill, plan: PushPlan) -> BillSnapshot:
    """Commit this plan as what the next attempts at the bill will do; raises for a plan with problems.

    Raises Waiting where another push of the bill has begun since the plan was made: what that one sends, this plan would
    send once more.
    """
    if plan.problems:
        _raise_problem(services, plan)
    try:
        with services.transaction() as db:
            frozen = ledger.freeze(
                db,
                installation=services.installation,
                connection=connection,
                plan=plan,
                content=content_hash(bill),
                now=services.now(),
            )
    except IntegrityError:
        frozen = None
    if frozen is None:
        raise Waiting(
            "push_begun",
            f"another push of bill {plan.bill_id} has begun since this plan was made: nothing of the plan was sent",
            f"Nothing: that push goes on by itself, and `connector bills show {plan.bill_id}` says how far it is.",
            seconds=1,
        )
    return frozen


def _freeze(
    services: Services, run: Run, bill: Bill, content: str
) -> tuple[BillSnapshot | None, Mapping[str, Invoice]]:
    """The bill's new snapshot with its invoices as they were seen, or None when all of it has been pushed before.

    Parks or waits with the plan's problem.
    """
    with services.reading() as db:
        pushed = ledger.last_pushed(db, run.connection, bill.id)
    if pushed is not None and pushed.sha256 == content:
        run.note("approved again unchanged: every line is on its invoice already")
        return None, {}
    plan = plan_for(services, run.connection, bill)
    looked_at = any(run.lets_pass(cause) for cause in guards.DOUBTS)
    check_guards(services, run.connection, plan, content, by_a_person=looked_at)
    return freeze(services, run.connection, bill, plan), plan.invoices


def check_guards(services: Services, connection: str, plan: PushPlan, content: str, *, by_a_person: bool) -> None:
    """Raises OutOfScope or Parked for a plan that could be pushed, but may not be (yet)."""
    if plan.problems:
        return
    settings = services.connection(connection).settings
    with services.reading() as db:
        customer_id = table.external_id(db, connection, "Account", plan.account_id, "Customer")
        known = Known(
            customer_id,
            ledger.last_total(db, connection, plan.account_id, plan.currency, plan.bill_id),
            ledger.approved_by(db, connection, plan.bill_id, content),
        )
    if why := guards.left_alone(settings, customer_id):
        raise OutOfScope(why)
    if settings.shadow:
        raise OutOfScope(_shadow(plan))
    causes = [] if by_a_person else guards.doubts(settings, plan, known)
    if missing := guards.missing_people(settings, plan, known):
        causes.insert(0, missing)
    if causes:
        wish = approval_wish(plan.bill_id) if causes[0] is missing else None
        raise Parked(causes[0].code, causes[0].text, causes[0].next_step, wakes_on=wish)


def approval_wish(bill_id: str) -> str:
    """What a bill waits for that more people have to approve."""
    return f"approval:{bill_id}"


def _shadow(plan: PushPlan) -> str:
    total = money.shown(money.to_major(plan.to_send_minor, plan.decimals), plan.currency)
    where = ", ".join(sorted({one.invoice_id or one.kind for one in plan.to_send})) or "no invoice"
    return f"SHADOW is on: {len(plan.to_send)} charges of {total} in all would go on {where}; nothing was sent"


def _raise_problem(services: Services, plan: PushPlan) -> None:
    """The first problem that needs a person; only when none does, the first that waits."""
    problem = min(plan.problems, key=lambda one: one.waits)
    text = problem.cause.text
    others = len(plan.problems) - 1
    if others:
        text += f" (and {others} more: `connector bills plan {plan.bill_id}`)"
    if problem.waits:
        raise Waiting(
            problem.cause.code, text, problem.cause.next_step,
            seconds=services.settings.recheck_seconds, wakes_on=problem.wakes_on,
        )  # fmt: skip
    raise Parked(problem.cause.code, text, problem.cause.next_step, wakes_on=problem.wakes_on)


def _verify(services: Services, run: Run, snapshot: BillSnapshot, seen: Mapping[str, Invoice]) -> None:
    """Both systems once more: our lines equal the snapshot, their sum its total, and the bill has not changed.

    `seen` are the invoices as Chargebee showed them after the last line was added; others are read again.
    """
    with services.reading() as db:
        mine = [one for one in ledger.intents(db, snapshot.id) if one.kind not in (NOTHING, *GIVEN)]
        mine += ledger.earlier_lines(db, run.connection, snapshot, {one.invoice_id for one in mine if one.invoice_id})
        sent = sum(ledger.sent_amounts(db, run.connection, snapshot.bill_id).values())
    found: dict[str, InvoiceLine] = {line.id: line for line in late.unbilled_lines(services, run, snapshot)}
    with services.reading() as db:
        # Unbilled charges that an invoice has taken may have another id by now.
        now_known = {one.id: one.chargebee_line_id for one in ledger.intents(db, snapshot.id)}
        mine = [replace(one, chargebee_line_id=now_known.get(one.id, one.chargebee_line_id)) for one in mine]
    looked_at: list[Invoice] = []
    for invoice_id in dict.fromkeys(one.final_invoice_id or one.invoice_id for one in mine):
        if invoice_id is None:
            continue
        invoice = seen.get(invoice_id)
        if invoice is None or not invoice.lines_complete:
            invoice = _closed_or_pending(services, snapshot, invoice_id, run)
        found |= {line.id: line for line in invoice.lines}
        looked_at.append(invoice)
    missing = [
        named(one)
        for one in mine
        if one.chargebee_line_id not in found or not invoices.is_ours(found[one.chargebee_line_id], one)
    ]
    if missing or sent != snapshot.total_minor:
        whole, added = (
            money.shown(money.to_major(minor, snapshot.decimals), snapshot.currency)
            for minor in (snapshot.total_minor, sent)
        )
        raise Parked(
            "verification_failed",
            f"of the bill's {whole}, {added} were added; missing or changed on the invoice: "
            + (", ".join(missing) or "nothing"),
            "Compare `connector bills show` with the invoice in Chargebee, put it right there, then `connector syncs retry`.",
        )
    doubled.check(services, run, snapshot, looked_at)
    bill = services.connection(run.connection).m3ter.get_bill(snapshot.bill_id)
    if bill.status != "APPROVED":
        raise Parked(
            "unapproved_midway",
            "the bill went back to PENDING while its lines were sent; all of them are on the invoice",
            "Approve the bill again in m3ter: only the difference is sent then.",
        )
    if content_hash(bill) != snapshot.sha256:
        raise Waiting(
            "bill_changed", "the bill changed while its lines were sent", "Nothing: the difference follows.", seconds=1
        )
    settled = [settled_wish(one) for one in invoices.of_snapshot(services, snapshot)]
    with services.transaction() as db:
        receipts.store(db, run.connection, snapshot, services.now())
        ledger.close(db, snapshot.id, ledger.PUSHED, services.now())
        syncs.wake(db, run.connection, settled, services.now())
        syncs.ask(
            db, connection=run.connection, kind="receipt", subject=snapshot.bill_id,
            trigger=f"push of sync {run.sync_id}", now=services.now(),
        )  # fmt: skip


def _closed_or_pending(services: Services, snapshot: BillSnapshot, invoice_id: str, run: Run) -> Invoice:
    try:
        return services.connection(run.connection).chargebee.retrieve_invoice(invoice_id)
    except NotFound:
        raise invoices.closed(services, snapshot, invoice_id, "was closed before it could be verified") from None

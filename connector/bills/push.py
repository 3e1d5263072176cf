"""The money protocol: freeze, find, lock, send each line once, settle what is unknown, verify, give a receipt (DESIGN §5)."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta

from connector import account_plans, leases, mappings, mirror, money
from connector.bills import ledger, receipts
from connector.bills.ledger import DONE, PARKED, PLANNED, SENDING, Intent
from connector.bills.plan import (
    PushPlan,
    Surroundings,
    content_hash,
    plan_push,
    subscriptions_billed,
)
from connector.clients.chargebee import AddedCharge, Invoice, InvoiceLine
from connector.clients.m3ter_objects import Bill
from connector.errors import NotFound, Parked, Rejected, Retryable, Uncertain, Waiting
from connector.leases import Held
from connector.models import BillSnapshot
from connector.services import Connected, Services
from connector.syncs import Run

# Chargebee may keep a service date at its own time of day; the day itself must be right.
SAME_DAY = timedelta(days=1)
COMMENT = "m3ter bill {bill} line {line}"


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
    if bill.status != "APPROVED":
        return _not_approved(services, run, live)
    content = content_hash(bill)
    if live is not None and live.sha256 != content:
        _stop(services, run, live)
        live = None
    if live is None:
        live = _freeze(services, run, bill, content)
    if live is None:
        return receipts.finish_mappings(services, run)
    _send_all(services, run, live)
    _verify(services, run, live)
    return receipts.finish_mappings(services, run)


def _is_before_our_time(services: Services, connection: str, bill: Bill) -> bool:
    """Whether the bill belongs to what was there before this installation took over."""
    first = services.connection(connection).settings.push_bills_from or services.installed_at.date()
    return bill.end_date is not None and bill.end_date < first


def plan_for(services: Services, connection: str, bill: Bill) -> PushPlan:
    """What a push of this bill would do now; reads both providers, changes nothing."""
    connected = services.connection(connection)
    around = _surroundings(services, connected, bill)
    pending = {
        subscription_id: connected.chargebee.pending_invoices(subscription_id)
        for subscription_id in sorted(subscriptions_billed(bill, around))
    }
    return plan_push(bill, replace(around, pending=pending))


def _surroundings(services: Services, connected: Connected, bill: Bill) -> Surroundings:
    plans = account_plans.of_account(services, connected.name, bill.account_id)
    with services.reading() as db:
        customer_id = mappings.external_id(db, connected.name, "Account", bill.account_id, "Customer")
        if customer_id is None:
            raise Parked(
                "unknown_account",
                f"account {bill.account_code or bill.account_id} of the bill is not mapped to a Chargebee customer",
                f"`connector mappings add Account {bill.account_id} Customer <customer id>`, or skip the sync.",
                wakes_on=mappings.CHARGE_WISH,
            )
        live = [
            one.id
            for one in mirror.subscriptions_of(db, connected.name, [customer_id])
            if one.status not in ("cancelled", "transferred") and not one.deleted
        ]
        return Surroundings(
            charge_prices=mappings.charge_prices(db, connected.name),
            account_plans=plans,
            live_subscriptions=live,
            sent=ledger.sent_amounts(db, connected.name, bill.id),
            sent_for=ledger.subscriptions_sent_for(db, connected.name, bill.id),
            exponents=connected.settings.currency_exponents,
            max_lines=connected.settings.max_bill_lines,
        )


def _not_approved(services: Services, run: Run, live: BillSnapshot | None) -> str:
    if live is None:
        return "the bill is not approved now: nothing to send until it is approved again"
    with services.reading() as db:
        sent = [intent for intent in ledger.intents(db, live.id) if intent.status != PLANNED]
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
    """The bill has changed since it was frozen: settle what is unknown, then go on from what is on the invoices."""
    for invoice_id in _invoices(services, live):
        with _only_writer_of(services, run, invoice_id) as lease:
            _settle_all(services, run, live, invoice_id, lease)
    with services.transaction() as db:
        ledger.close(db, live.id, ledger.STOPPED, services.now())
    run.note("the bill has changed since it was frozen: planned again from what has been sent")


def freeze(services: Services, connection: str, bill: Bill, plan: PushPlan) -> BillSnapshot:
    """Commit this plan as what the next attempts at the bill will do; raises for a plan with problems."""
    if plan.problems:
        _raise_problem(services, plan)
    with services.transaction() as db:
        return ledger.freeze(
            db,
            installation=services.installation,
            connection=connection,
            plan=plan,
            content=content_hash(bill),
            now=services.now(),
        )


def _freeze(services: Services, run: Run, bill: Bill, content: str) -> BillSnapshot | None:
    """The bill's new snapshot, or None when all of it has been pushed before; parks or waits with the plan's problem."""
    with services.reading() as db:
        pushed = ledger.last_pushed(db, run.connection, bill.id)
    if pushed is not None and pushed.sha256 == content:
        run.note("approved again unchanged: every line is on its invoice already")
        return None
    return freeze(services, run.connection, bill, plan_for(services, run.connection, bill))


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


def _invoices(services: Services, snapshot: BillSnapshot) -> list[str]:
    with services.reading() as db:
        return list(dict.fromkeys(intent.invoice_id for intent in ledger.intents(db, snapshot.id)))


def _only_writer_of(services: Services, run: Run, invoice_id: str) -> AbstractContextManager[Held]:
    return leases.held(services, f"{run.connection}/invoice/{invoice_id}", services.settings.lease_seconds)


def _send_all(services: Services, run: Run, snapshot: BillSnapshot) -> None:
    for invoice_id in _invoices(services, snapshot):
        with _only_writer_of(services, run, invoice_id) as lease:
            invoice = _settle_all(services, run, snapshot, invoice_id, lease)
            with services.reading() as db:
                waiting = [
                    one
                    for one in ledger.intents(db, snapshot.id)
                    if one.status == PLANNED and one.invoice_id == invoice_id
                ]
            for intent in waiting:
                if invoice is None or not invoice.lines_complete:
                    invoice = _pending_invoice(services, run, snapshot, invoice_id)
                invoice = _send(services, run, snapshot, intent, lease, invoice)


def _settle_all(services: Services, run: Run, snapshot: BillSnapshot, invoice_id: str, lease: Held) -> Invoice | None:
    """Find out what became of every line whose answer is missing; answers the invoice as it was read for that."""
    with services.reading() as db:
        intents = [one for one in ledger.intents(db, snapshot.id) if one.invoice_id == invoice_id]
    for intent in intents:
        if intent.status == PARKED:
            _reopen(services, run, intent)
    unknown = [one for one in intents if one.status in (SENDING, PARKED)]
    if not unknown:
        return None
    _wait_until_settled(services, unknown)
    invoice = _pending_invoice(services, run, snapshot, invoice_id)
    for intent in unknown:
        _settle(services, run, intent, invoice, lease)
    return invoice


def _reopen(services: Services, run: Run, intent: Intent) -> None:
    """Another look at a line that was parked in doubt, for a person only; it begins with the invoice, like every look."""
    if run.retried_by is None:
        raise Parked(
            "line_in_doubt",
            f"{_named(intent)} was parked in doubt, and nobody has looked at it since",
            "Compare the invoice with `connector bills show`, put it right, then `connector syncs retry`.",
        )
    with services.transaction() as db:
        ledger.reopen(db, intent)


def _wait_until_settled(services: Services, unknown: Sequence[Intent]) -> None:
    """An answer that never came may still be on its way into effect: nobody looks before it has had its time."""
    sent = [intent.sent_at for intent in unknown if intent.sent_at is not None]
    settled_at = max(sent) + timedelta(seconds=services.settings.settle_wait_seconds)
    seconds = (settled_at - services.now()).total_seconds()
    if seconds > 0:
        raise Waiting(
            "settling",
            f"Chargebee has not answered for {len(unknown)} line(s); the invoice is looked at when that has settled",
            "Nothing: it goes on by itself.",
            seconds=seconds,
        )


def _settle(services: Services, run: Run, intent: Intent, invoice: Invoice, lease: Held) -> None:
    """Adopt the one new equal line, send again when there is none, and leave it to a person when that is not sure."""
    new = _new_lines(services, run, intent, invoice)
    found = [line for line in new if _is_ours(line, intent)]
    unlike = [line for line in new if line.entity_id == intent.item_price_id and line.amount != intent.amount_minor]
    with services.transaction() as db:
        lease.confirm(db)
        if len(found) == 1:
            ledger.finish(db, intent, found[0].id, "look-up")
        elif found or unlike:
            ledger.park(db, intent)
        else:
            ledger.send_again(db, intent)
    if len(found) > 1:
        raise _several(intent, invoice, found)
    if unlike and not found:
        raise _unlike(intent, invoice, unlike)
    run.note(
        f"{_named(intent)} {'was on the invoice already' if found else 'was not on the invoice'} after a missing answer"
    )


def _several(intent: Intent, invoice: Invoice, found: Sequence[InvoiceLine]) -> Parked:
    return Parked(
        "several_equal_lines",
        f"invoice {invoice.id} has {len(found)} new lines equal to ours ({_named(intent)}): "
        + ", ".join(line.id for line in found),
        "Remove in Chargebee the lines that are too many, then `connector syncs retry`.",
    )


def _unlike(intent: Intent, invoice: Invoice, unlike: Sequence[InvoiceLine]) -> Parked:
    amounts = ", ".join(f"{line.id} of {line.amount}" for line in unlike)
    return Parked(
        "amount_differs",
        f"invoice {invoice.id} has {amounts} minor units where {_named(intent)} was to be {intent.amount_minor}",
        "Remove that line in Chargebee, allow price override for its item price, then `connector syncs retry`.",
    )


def _new_lines(services: Services, run: Run, intent: Intent, invoice: Invoice) -> list[InvoiceLine]:
    """The lines that were not there before we sent, and that no other intent has claimed."""
    with services.reading() as db:
        taken = ledger.claimed_lines(db, run.connection, invoice.id).union(intent.baseline)
    return [line for line in invoice.lines if line.id not in taken]


def _is_ours(line: InvoiceLine, intent: Intent) -> bool:
    return (
        line.entity_id == intent.item_price_id
        and line.amount == intent.amount_minor
        and line.subscription_id in (None, intent.subscription_id)
        and abs(line.date_from - intent.date_from) < SAME_DAY
        and abs(line.date_to - intent.date_to) < SAME_DAY
    )


def _pending_invoice(services: Services, run: Run, snapshot: BillSnapshot, invoice_id: str) -> Invoice:
    """The invoice with all its lines; parks when it no longer takes any."""
    try:
        invoice = services.connection(run.connection).chargebee.retrieve_invoice(invoice_id)
    except NotFound:
        raise _invoice_closed(services, snapshot, invoice_id, "no longer exists under this id") from None
    if invoice.status != "pending":
        raise _invoice_closed(services, snapshot, invoice_id, f"is {invoice.status}")
    if invoice.currency_code != snapshot.currency:
        raise Parked(
            "currency_mismatch",
            f"invoice {invoice_id} is in {invoice.currency_code}, the bill in {snapshot.currency}",
            "Bill this account in the subscription's currency in m3ter.",
        )
    return invoice


def _invoice_closed(services: Services, snapshot: BillSnapshot, invoice_id: str, how: str) -> Parked:
    with services.reading() as db:
        intents = ledger.intents(db, snapshot.id)
    done = [intent for intent in intents if intent.status == DONE]
    left = [intent for intent in intents if intent.status != DONE]
    rest = money.to_major(sum(intent.amount_minor for intent in left), snapshot.decimals)
    return Parked(
        "invoice_closed",
        f"invoice {invoice_id} {how}: {len(done)} of {len(intents)} lines were added, {rest} {snapshot.currency} were not",
        "Invoice the rest by hand, then skip the sync.",
    )


def _send(
    services: Services, run: Run, snapshot: BillSnapshot, intent: Intent, lease: Held, invoice: Invoice
) -> Invoice:
    """Add one line; answers the invoice as it stands after it."""
    connected = services.connection(run.connection)
    run.check(services)
    baseline = tuple(line.id for line in invoice.lines)
    with services.transaction() as db:
        ledger.start_sending(db, intent, lease, baseline, services.now())
    run.check(services)
    try:
        answer = connected.chargebee.add_charge_item(
            intent.invoice_id,
            item_price_id=intent.item_price_id,
            unit_price=intent.amount_minor,
            date_from=intent.date_from,
            date_to=intent.date_to,
            comment=COMMENT.format(bill=snapshot.bill_id, line=intent.line_key),
            idempotency_key=intent.idempotency_key,
        )
    except Uncertain as unknown:
        run.note(f"no answer for {_named(intent)}: {unknown}")
        raise Waiting(
            "settling",
            f"Chargebee has not answered for {_named(intent)}; the invoice is looked at when that has settled",
            "Nothing: it goes on by itself.",
            seconds=services.settings.settle_wait_seconds,
        ) from unknown
    except (Rejected, Retryable) as refused:
        with services.transaction() as db:
            ledger.send_again(db, intent)
        if isinstance(refused, Rejected):
            _pending_invoice(
                services, run, snapshot, intent.invoice_id
            )  # parks with the remainder if it closed meanwhile
        raise
    return _take_answer(services, run, snapshot, replace(intent, baseline=baseline), answer)


def _take_answer(services: Services, run: Run, snapshot: BillSnapshot, intent: Intent, answer: AddedCharge) -> Invoice:
    """Claim the new line that the answer shows; an answer that is cut or repeated is checked against the invoice itself."""
    invoice = answer.invoice
    if answer.replayed or not invoice.lines_complete:
        invoice = _pending_invoice(services, run, snapshot, intent.invoice_id)
    new = _new_lines(services, run, intent, invoice)
    found = [line for line in new if _is_ours(line, intent)]
    with services.transaction() as db:
        if len(found) == 1:
            ledger.finish(db, intent, found[0].id, "replay" if answer.replayed else "answer")
        else:
            ledger.park(db, intent)
    if len(found) == 1:
        run.note(f"added {_named(intent)}")
        return invoice
    if found:
        raise _several(intent, invoice, found)
    if new:
        raise _unlike(intent, invoice, new)
    raise Parked(
        "line_removed",
        f"Chargebee says that it added {_named(intent)} to invoice {invoice.id}, but the invoice does not have it",
        "Find out who removed the line. `connector syncs retry` adds it again once Chargebee has forgotten the first time "
        "(half an hour).",
    )


def _named(intent: Intent) -> str:
    period = f"{intent.date_from:%Y-%m-%d} to {intent.date_to:%Y-%m-%d}"
    return f"{intent.item_price_id} {intent.amount_minor} {intent.currency} ({period})"


def _verify(services: Services, run: Run, snapshot: BillSnapshot) -> None:
    """Both systems read once more: our lines equal the snapshot, their sum its total, and the bill has not changed."""
    found: dict[str, InvoiceLine] = {}
    for invoice_id in _invoices(services, snapshot):
        found |= {line.id: line for line in _closed_or_pending(services, run, snapshot, invoice_id).lines}
    with services.reading() as db:
        mine = ledger.intents(db, snapshot.id)
        sent = sum(ledger.sent_amounts(db, run.connection, snapshot.bill_id).values())
    missing = [
        _named(one)
        for one in mine
        if one.chargebee_line_id not in found or not _is_ours(found[one.chargebee_line_id], one)
    ]
    if missing or sent != snapshot.total_minor:
        raise Parked(
            "verification_failed",
            f"of the bill's {money.to_major(snapshot.total_minor, snapshot.decimals)} {snapshot.currency}, "
            f"{money.to_major(sent, snapshot.decimals)} were added; missing or changed on the invoice: "
            + (", ".join(missing) or "nothing"),
            "Compare `connector bills show` with the invoice in Chargebee, put it right there, then `connector syncs retry`.",
        )
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
    with services.transaction() as db:
        receipts.store(db, run.connection, snapshot, services.now())
        ledger.close(db, snapshot.id, ledger.PUSHED, services.now())


def _closed_or_pending(services: Services, run: Run, snapshot: BillSnapshot, invoice_id: str) -> Invoice:
    try:
        return services.connection(run.connection).chargebee.retrieve_invoice(invoice_id)
    except NotFound:
        raise _invoice_closed(services, snapshot, invoice_id, "was closed before it could be verified") from None

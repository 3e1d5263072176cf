"""Charges on a pending invoice: each is sent once, and what became of it is found out before anything else is sent."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from connector import leases, money
from connector.bills import ledger, settling
from connector.bills.ledger import DONE, PARKED, PLANNED, SENDING, Intent
from connector.bills.planned import AD_HOC, CHARGE_ITEM, NOTHING
from connector.bills.routing import settled_wish
from connector.bills.settling import named
from connector.clients.chargebee_objects import AddedCharge, Invoice, InvoiceLine
from connector.errors import NotFound, Parked, Rejected, Waiting
from connector.leases import Held
from connector.models import BillSnapshot
from connector.services import Services
from connector.syncs import Run

# Chargebee may keep a service date at its own time of day; the day itself must be right.
SAME_DAY = timedelta(days=1)
COMMENT = "m3ter bill {bill} line {line}"


def of_snapshot(services: Services, snapshot: BillSnapshot) -> list[str]:
    """The ids of the pending invoices that the snapshot puts charges on, in the bill's order."""
    with services.reading() as db:
        found = [one.invoice_id for one in ledger.intents(db, snapshot.id) if one.kind in (CHARGE_ITEM, AD_HOC)]
    return [one for one in dict.fromkeys(found) if one is not None]


def only_writer_of(services: Services, run: Run, invoice_id: str) -> AbstractContextManager[Held]:
    """Keeps every other worker from this invoice during the block."""
    return leases.held(services, f"{run.connection}/invoice/{invoice_id}", services.settings.lease_seconds)


def send_all(services: Services, run: Run, snapshot: BillSnapshot, known: Mapping[str, Invoice]) -> dict[str, Invoice]:
    """Put every charge of the snapshot on its invoice; answers the invoices as they stand after the last one.

    `known` are invoices that were read a moment ago, so that they need not be read again before the first line.
    """
    seen: dict[str, Invoice] = {}
    for invoice_id in of_snapshot(services, snapshot):
        with only_writer_of(services, run, invoice_id) as lease:
            _wait_for_others(services, run, snapshot, invoice_id)
            invoice = settle_all(services, run, snapshot, invoice_id, lease) or known.get(invoice_id)
            for intent in _intents(services, snapshot, invoice_id):
                if intent.status != PLANNED:
                    continue
                if invoice is None or not invoice.lines_complete:
                    invoice = pending(services, run, snapshot, invoice_id)
                invoice = _send(services, run, snapshot, intent, lease, invoice)
                seen[invoice_id] = invoice
    return seen


def _wait_for_others(services: Services, run: Run, snapshot: BillSnapshot, invoice_id: str) -> None:
    """Raises Waiting while another bill has a line on the invoice whose answer is missing: nobody could tell it from ours."""
    with services.reading() as db:
        doubtful = ledger.in_doubt(db, run.connection, [invoice_id], but=snapshot.bill_id)
    if doubtful:
        raise Waiting(
            "invoice_in_doubt",
            f"another bill has a line on invoice {invoice_id} whose answer is missing",
            "Nothing: it goes on when that line is settled.",
            seconds=services.settings.settle_wait_seconds,
            wakes_on=settled_wish(invoice_id),
        )


def settle_all(services: Services, run: Run, snapshot: BillSnapshot, invoice_id: str, lease: Held) -> Invoice | None:
    """Find out what became of every line whose answer is missing; answers the invoice as it was read for that."""
    unknown = settling.unknown(services, run, _intents(services, snapshot, invoice_id))
    if not unknown:
        return None
    invoice = pending(services, run, snapshot, invoice_id)
    for intent in unknown:
        _settle(services, run, intent, invoice, lease)
    return invoice


def _settle(services: Services, run: Run, intent: Intent, invoice: Invoice, lease: Held) -> None:
    """Adopt the one new equal line, send again when there is none, and leave it to a person when that is not sure."""
    new = _new_lines(services, run, intent, invoice)
    found = [line for line in new if is_ours(line, intent)]
    unlike = [line for line in new if is_alike(line, intent) and line.amount != intent.amount_minor]
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
        f"{named(intent)} {'was on the invoice already' if found else 'was not on the invoice'} after a missing answer"
    )


def _several(intent: Intent, invoice: Invoice, found: Sequence[InvoiceLine]) -> Parked:
    return Parked(
        "several_equal_lines",
        f"invoice {invoice.id} has {len(found)} new lines equal to ours ({named(intent)}): "
        + ", ".join(line.id for line in found),
        "Remove in Chargebee the lines that are too many, then `connector syncs retry`.",
    )


def _unlike(intent: Intent, invoice: Invoice, unlike: Sequence[InvoiceLine]) -> Parked:
    amounts = ", ".join(f"{line.id} of {line.amount}" for line in unlike)
    return Parked(
        "amount_differs",
        f"invoice {invoice.id} has {amounts} minor units where {named(intent)} was to be {intent.amount_minor}",
        "Remove that line in Chargebee, allow price override for its item price, then `connector syncs retry`.",
    )


def _new_lines(services: Services, run: Run, intent: Intent, invoice: Invoice) -> list[InvoiceLine]:
    """The lines that were not there before we sent, and that no other intent has claimed."""
    with services.reading() as db:
        taken = ledger.our_lines(db, run.connection, [invoice.id]).union(intent.baseline)
    return [line for line in invoice.lines if line.id not in taken]


def is_ours(line: InvoiceLine, intent: Intent) -> bool:
    """Whether an invoice line is what the intent was to put there."""
    return (
        is_alike(line, intent)
        and line.amount == intent.amount_minor
        and line.subscription_id in (None, intent.subscription_id)
        and abs(line.date_from - intent.date_from) < SAME_DAY
        and abs(line.date_to - intent.date_to) < SAME_DAY
    )


def is_alike(line: InvoiceLine, intent: Intent) -> bool:
    """Whether the line could be the intent's with another amount."""
    if intent.item_price_id is None:
        return line.description == intent.description
    return line.entity_id == intent.item_price_id


def _intents(services: Services, snapshot: BillSnapshot, invoice_id: str) -> list[Intent]:
    with services.reading() as db:
        found = ledger.intents(db, snapshot.id)
    return [one for one in found if one.invoice_id == invoice_id and one.kind != NOTHING]


def pending(services: Services, run: Run, snapshot: BillSnapshot, invoice_id: str) -> Invoice:
    """The invoice with all its lines; parks when it no longer takes any."""
    try:
        invoice = services.connection(run.connection).chargebee.retrieve_invoice(invoice_id)
    except NotFound:
        raise closed(services, snapshot, invoice_id, "no longer exists under this id") from None
    if invoice.status != "pending":
        raise closed(services, snapshot, invoice_id, f"is {invoice.status}")
    if invoice.currency_code != snapshot.currency:
        raise Parked(
            "currency_mismatch",
            f"invoice {invoice_id} is in {invoice.currency_code}, the bill in {snapshot.currency}",
            "Bill this account in the subscription's currency in m3ter.",
        )
    return invoice


def closed(services: Services, snapshot: BillSnapshot, invoice_id: str, how: str) -> Parked:
    with services.reading() as db:
        intents = ledger.intents(db, snapshot.id)
    intents = [intent for intent in intents if intent.kind != NOTHING]
    done = [intent for intent in intents if intent.status == DONE]
    doubtful = [intent for intent in intents if intent.status in (SENDING, PARKED)]
    left = [intent for intent in intents if intent not in done and intent not in doubtful]
    missing = money.to_major(sum(intent.amount_minor for intent in left), snapshot.decimals)
    rest = money.shown(missing, snapshot.currency)
    text = f"invoice {invoice_id} {how}: {len(done)} of {len(intents)} lines were added, {rest} were not"
    step = "Invoice the rest by hand, then skip the sync."
    if doubtful:
        text += f"; no answer came for {', '.join(named(one) for one in doubtful)}, which may be on it all the same"
        step = "Look on the closed invoice for what got no answer, invoice by hand only what is missing, then skip the sync."
    return Parked("invoice_closed", text, step)


def _send(
    services: Services, run: Run, snapshot: BillSnapshot, intent: Intent, lease: Held, invoice: Invoice
) -> Invoice:
    """Add one line; answers the invoice as it stands after it."""
    baseline = tuple(line.id for line in invoice.lines)
    settling.begin(services, run, [intent], lease, baseline)
    try:
        with settling.calling(services, run, [intent], named(intent)):
            answer = _add(services, run, snapshot, intent)
    except Rejected:
        pending(services, run, snapshot, str(intent.invoice_id))  # parks with the remainder if it closed meanwhile
        raise
    return _take_answer(services, run, snapshot, replace(intent, baseline=baseline), answer)


def _add(services: Services, run: Run, snapshot: BillSnapshot, intent: Intent) -> AddedCharge:
    connected = services.connection(run.connection)
    shared: dict[str, Any] = {
        "date_from": intent.date_from,
        "date_to": intent.date_to,
        "comment": COMMENT.format(bill=snapshot.bill_id, line=intent.charge_key),
        "idempotency_key": intent.idempotency_key,
        "subscription_id": intent.subscription_id if connected.settings.consolidated_invoicing else None,
    }
    if intent.kind == AD_HOC:
        return connected.chargebee.add_charge(
            str(intent.invoice_id), amount=intent.amount_minor, description=intent.description, **shared
        )
    return connected.chargebee.add_charge_item(
        str(intent.invoice_id), item_price_id=str(intent.item_price_id), unit_price=intent.amount_minor, **shared
    )


def _take_answer(services: Services, run: Run, snapshot: BillSnapshot, intent: Intent, answer: AddedCharge) -> Invoice:
    """Claim the new line that the answer shows; an answer that is cut or repeated is checked against the invoice itself."""
    invoice = answer.invoice
    if answer.replayed or not invoice.lines_complete:
        invoice = pending(services, run, snapshot, str(intent.invoice_id))
    new = _new_lines(services, run, intent, invoice)
    found = [line for line in new if is_ours(line, intent)]
    with services.transaction() as db:
        if len(found) == 1:
            ledger.finish(db, intent, found[0].id, "replay" if answer.replayed else "answer")
        else:
            ledger.park(db, intent)
    if len(found) == 1:
        run.note(f"added {named(intent)}")
        return invoice
    if found:
        raise _several(intent, invoice, found)
    if new:
        raise _unlike(intent, invoice, new)
    raise Parked(
        "line_removed",
        f"Chargebee says that it added {named(intent)} to invoice {invoice.id}, but the invoice does not have it",
        "Find out who removed the line. `connector syncs retry` adds it again once Chargebee has forgotten the first time "
        "(half an hour).",
    )

"""What a bill gives back, as promotional credits or credit notes: each once, and found again by the reference it carries."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from connector import leases
from connector.bills import ledger, settling
from connector.bills.final import CHARGES, close_wish
from connector.bills.ledger import PLANNED, Intent
from connector.bills.planned import CREDIT, CREDIT_NOTE
from connector.clients.chargebee import ChargebeeClient
from connector.clients.chargebee_objects import Invoice
from connector.errors import Waiting
from connector.leases import Held
from connector.models import BillSnapshot
from connector.services import Services
from connector.syncs import Run

REFERENCE = "m3ter bill {bill} {key}"
TITLES = {CREDIT: "promotional credit", CREDIT_NOTE: "credit note"}


@dataclass(frozen=True)
class Given:
    """One credit: what Chargebee is asked, and the closed invoice that it is on, if any."""

    chargebee: ChargebeeClient
    intent: Intent
    reference: str
    invoice_id: str | None


def give_all(services: Services, run: Run, snapshot: BillSnapshot, kind: str) -> None:
    """Give every credit of this kind that has not been given; waits for the invoice that it has to be on."""
    settle(services, run, snapshot, kind)
    for intent in _intents(services, snapshot, kind):
        if intent.status == PLANNED:
            with _only_giver_to(services, run, intent) as lease:
                _give(services, run, _prepared(services, run, snapshot, intent), lease)


def settle(services: Services, run: Run, snapshot: BillSnapshot, kind: str) -> None:
    """Find out what became of every credit of this kind whose answer is missing."""
    for intent in settling.unknown(services, run, _intents(services, snapshot, kind)):
        with _only_giver_to(services, run, intent) as lease:
            found = LOOK_UP[kind](_prepared(services, run, snapshot, intent))
            with services.transaction() as db:
                lease.confirm(db)
                if found is None:
                    ledger.send_again(db, intent)
                else:
                    ledger.finish(db, intent, found, "look-up")
            run.note(f"{_named(intent)} {'was there already' if found else 'was not there'} after a missing answer")


def there(services: Services, run: Run, snapshot: BillSnapshot, intent: Intent) -> str | None:
    """The id of the credit that carries this intent's reference, if there is one."""
    return LOOK_UP[intent.kind](_prepared(services, run, snapshot, intent))


def has_open_notes(services: Services, snapshot: BillSnapshot) -> bool:
    """Whether there is a credit note to be given, for which an invoice has to be closed."""
    return any(one.status == PLANNED for one in _intents(services, snapshot, CREDIT_NOTE))


def _prepared(services: Services, run: Run, snapshot: BillSnapshot, intent: Intent) -> Given:
    reference = REFERENCE.format(bill=snapshot.bill_id, key=intent.idempotency_key)
    invoice_id = _invoice_for(services, run, snapshot, intent) if intent.kind == CREDIT_NOTE else None
    return Given(services.connection(run.connection).chargebee, intent, reference, invoice_id)


def _invoice_for(services: Services, run: Run, snapshot: BillSnapshot, intent: Intent) -> str | None:
    """The closed invoice with the customer's largest charge of the bill; None where the bill has charged it nothing."""
    with services.reading() as db:
        done = ledger.done_lines(db, run.connection, snapshot.bill_id)
    charges = [one for one in done if one.kind in CHARGES and one.customer_id == intent.customer_id]
    if not charges:
        return None
    largest = min(charges, key=lambda one: (-one.amount_minor, one.id))
    if largest.final_invoice_id is None:
        raise Waiting(
            "waiting_for_close",
            f"{_named(intent)} goes on invoice {largest.invoice_id or '(the next one)'}, which is not closed yet",
            "Nothing: it goes on when the invoice is closed.",
            seconds=services.settings.recheck_seconds,
            wakes_on=close_wish(snapshot.bill_id),
        )
    return largest.final_invoice_id


def _give(services: Services, run: Run, credit: Given, lease: Held) -> None:
    give = GIVE[credit.intent.kind](credit)
    settling.begin(services, run, [credit.intent], lease, ())
    with settling.calling(services, run, [credit.intent], _named(credit.intent)):
        credit_id = give()
    with services.transaction() as db:
        ledger.finish(db, credit.intent, credit_id, "answer")
    run.note(f"gave {_named(credit.intent)}")


def _promotional(credit: Given) -> Callable[[], str]:
    return lambda: credit.chargebee.add_promotional_credit(
        str(credit.intent.customer_id),
        amount=credit.intent.amount_minor,
        currency=credit.intent.currency,
        description=credit.intent.description,
        reference=credit.reference,
        idempotency_key=credit.intent.idempotency_key,
    )


def _note(credit: Given) -> Callable[[], str]:
    intent = credit.intent
    notes = f"{intent.description}\n{credit.reference}"
    if credit.invoice_id is None:
        return lambda: credit.chargebee.credit_customer(
            str(intent.customer_id),
            total=intent.amount_minor,
            currency=intent.currency,
            notes=notes,
            idempotency_key=intent.idempotency_key,
        )
    invoice: Invoice = credit.chargebee.retrieve_invoice(credit.invoice_id)
    return lambda: credit.chargebee.adjust_invoice(
        invoice, total=intent.amount_minor, notes=notes, idempotency_key=intent.idempotency_key
    )


def _promotional_there(credit: Given) -> str | None:
    given = credit.chargebee.promotional_credits(str(credit.intent.customer_id))
    return next((one.id for one in given if one.reference == credit.reference), None)


def _note_there(credit: Given) -> str | None:
    customer_id = None if credit.invoice_id else credit.intent.customer_id
    given = credit.chargebee.credit_notes(invoice_id=credit.invoice_id, customer_id=customer_id)
    return next((one.id for one in given if one.notes and one.notes.endswith(credit.reference)), None)


# How each kind is given, and found again by its reference.
GIVE = {CREDIT: _promotional, CREDIT_NOTE: _note}
LOOK_UP = {CREDIT: _promotional_there, CREDIT_NOTE: _note_there}


def _intents(services: Services, snapshot: BillSnapshot, kind: str) -> list[Intent]:
    with services.reading() as db:
        return [one for one in ledger.intents(db, snapshot.id) if one.kind == kind]


def _only_giver_to(services: Services, run: Run, intent: Intent) -> AbstractContextManager[Held]:
    name = f"{run.connection}/credits/{intent.customer_id}"
    return leases.held(services, name, services.settings.lease_seconds)


def _named(intent: Intent) -> str:
    return f"{TITLES[intent.kind]} of {settling.in_minor_units(intent)} for {intent.customer_id} ({intent.description})"

"""Promotional credits for what a bill gives back: each is given once, and found again by the reference that it carries."""

from contextlib import AbstractContextManager

from connector import leases
from connector.bills import ledger
from connector.bills.invoices import reopen, wait_until_settled
from connector.bills.ledger import PARKED, PLANNED, SENDING, Intent
from connector.bills.plan import CREDIT
from connector.errors import Rejected, Retryable, Uncertain, Waiting
from connector.leases import Held
from connector.models import BillSnapshot
from connector.services import Services
from connector.syncs import Run

REFERENCE = "m3ter bill {bill} {key}"


def give_all(services: Services, run: Run, snapshot: BillSnapshot) -> None:
    """Give every promotional credit of the snapshot that has not been given."""
    settle(services, run, snapshot)
    for intent in _intents(services, snapshot):
        if intent.status == PLANNED:
            with _only_giver_to(services, run, intent) as lease:
                _give(services, run, snapshot, intent, lease)


def settle(services: Services, run: Run, snapshot: BillSnapshot) -> None:
    """Find out what became of every credit whose answer is missing."""
    for intent in _intents(services, snapshot):
        if intent.status == PARKED:
            reopen(services, run, intent)
    unknown = [one for one in _intents(services, snapshot) if one.status == SENDING]
    if not unknown:
        return
    wait_until_settled(services, unknown)
    for intent in unknown:
        with _only_giver_to(services, run, intent) as lease:
            found = _look_up(services, run, snapshot, intent)
            with services.transaction() as db:
                lease.confirm(db)
                if found is None:
                    ledger.send_again(db, intent)
                else:
                    ledger.finish(db, intent, found, "look-up")
            run.note(f"{_named(intent)} {'was there already' if found else 'was not there'} after a missing answer")


def _give(services: Services, run: Run, snapshot: BillSnapshot, intent: Intent, lease: Held) -> None:
    run.check(services)
    with services.transaction() as db:
        ledger.start_sending(db, intent, lease, (), services.now())
    run.check(services)
    try:
        credit_id = services.connection(run.connection).chargebee.add_promotional_credit(
            str(intent.customer_id),
            amount=intent.amount_minor,
            currency=intent.currency,
            description=intent.description,
            reference=_reference(snapshot, intent),
            idempotency_key=intent.idempotency_key,
        )
    except Uncertain as unknown:
        run.note(f"no answer for {_named(intent)}: {unknown}")
        raise Waiting(
            "settling",
            f"Chargebee has not answered for {_named(intent)}; it is looked up when that has settled",
            "Nothing: it goes on by itself.",
            seconds=services.settings.settle_wait_seconds,
        ) from unknown
    except (Rejected, Retryable):
        with services.transaction() as db:
            ledger.send_again(db, intent)
        raise
    with services.transaction() as db:
        ledger.finish(db, intent, credit_id, "answer")
    run.note(f"gave {_named(intent)}")


def _look_up(services: Services, run: Run, snapshot: BillSnapshot, intent: Intent) -> str | None:
    """The id of the credit that carries our reference, if Chargebee has it."""
    given = services.connection(run.connection).chargebee.promotional_credits(str(intent.customer_id))
    return next((one.id for one in given if one.reference == _reference(snapshot, intent)), None)


def _reference(snapshot: BillSnapshot, intent: Intent) -> str:
    return REFERENCE.format(bill=snapshot.bill_id, key=intent.idempotency_key)


def _intents(services: Services, snapshot: BillSnapshot) -> list[Intent]:
    with services.reading() as db:
        return [one for one in ledger.intents(db, snapshot.id) if one.kind == CREDIT]


def _only_giver_to(services: Services, run: Run, intent: Intent) -> AbstractContextManager[Held]:
    name = f"{run.connection}/credits/{intent.customer_id}"
    return leases.held(services, name, services.settings.lease_seconds)


def _named(intent: Intent) -> str:
    return (
        f"promotional credit of {intent.amount_minor} {intent.currency} for {intent.customer_id} ({intent.description})"
    )

"""Charges of bills that came too late for their invoice: unbilled ones, or an invoice of their own; one call makes them all."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from connector import leases, money
from connector.bills import ledger, moved, settling
from connector.bills.around import payer
from connector.bills.invoices import is_alike, is_ours
from connector.bills.ledger import DONE, PLANNED, Intent
from connector.bills.routing import OWN_INVOICE, UNBILLED
from connector.bills.settling import named
from connector.clients.chargebee_objects import Invoice, InvoiceLine, MadeCharges, NewCharge
from connector.errors import Parked
from connector.leases import Held
from connector.models import BillSnapshot
from connector.services import Services
from connector.syncs import Run

# Longer than an invoice may stay pending (chargebee.md §5.5): closing one gives it a new id and may give it a new date.
LOOK_BACK = timedelta(days=60)
KINDS = (UNBILLED, OWN_INVOICE)


@dataclass(frozen=True)
class _Charged:
    """What a subscription has been charged lately: the charges that wait for an invoice, and its invoices."""

    waiting: Sequence[InvoiceLine]
    invoices: Sequence[Invoice]
    # All that there is, and not only what an answer shows.
    is_whole: bool = True

    @property
    def lines(self) -> list[InvoiceLine]:
        """Every charge, wherever it is."""
        return [*self.waiting, *(line for invoice in self.invoices for line in invoice.lines)]

    @property
    def baseline(self) -> list[str]:
        """Everything that is there, for what is sent next: ids, and what waits also by what it is, for it may get another id."""
        ids = [*(line.id for line in self.lines), *(invoice.id for invoice in self.invoices)]
        return [*ids, *(json.dumps(_what(line)) for line in self.waiting)]


@dataclass(frozen=True)
class _Found:
    """A line, and the invoice that it is on, if any."""

    line: InvoiceLine
    invoice: Invoice | None


def send_all(services: Services, run: Run, snapshot: BillSnapshot) -> dict[str, Invoice]:
    """Make every late charge of the snapshot that has not been made; answers the invoices that were made for it."""
    made: dict[str, Invoice] = {}
    for kind, subscription_id in _batches(services, snapshot):
        with _only_charger_of(services, run, subscription_id) as lease:
            _settle(services, run, _intents(services, snapshot, kind, subscription_id), lease)
            planned = [one for one in _intents(services, snapshot, kind, subscription_id) if one.status == PLANNED]
            if planned and (invoice := _send(services, run, planned, lease)):
                made[invoice.id] = invoice
    return made


def settle_all(services: Services, run: Run, snapshot: BillSnapshot) -> None:
    """Find out what became of every late charge whose answer is missing."""
    for kind, subscription_id in _batches(services, snapshot):
        with _only_charger_of(services, run, subscription_id) as lease:
            _settle(services, run, _intents(services, snapshot, kind, subscription_id), lease)


def unbilled_lines(services: Services, run: Run, snapshot: BillSnapshot) -> list[InvoiceLine]:
    """The lines among which the snapshot's unbilled charges must be, wherever they are by now."""
    found: list[InvoiceLine] = []
    for kind, subscription_id in _batches(services, snapshot):
        if kind == UNBILLED:
            charged = _look(services, run, kind, subscription_id, snapshot.created_at)
            _follow(services, run, snapshot, charged)
            found += charged.lines
    return found


def _follow(services: Services, run: Run, snapshot: BillSnapshot, charged: _Charged) -> None:
    """Note new ids of unbilled charges of the snapshot that an invoice has taken."""
    here = {line.id for line in charged.lines}
    with services.reading() as db:
        gone = [
            one
            for one in ledger.intents(db, snapshot.id)
            if one.kind == UNBILLED and one.status == DONE and one.chargebee_line_id not in here
        ]
        claimed = ledger.claimed(db, run.connection, here) if gone else frozenset()
    for invoice in charged.invoices:
        found = moved.taken_by(invoice, gone, claimed)
        gone = [one for one in gone if one not in [charge for charge, _ in found]]
        with services.transaction() as db:
            for charge, line in found:
                ledger.follow(db, charge, line.id, invoice)


def given_up_lines(services: Services, run: Run, given_up: Sequence[Intent]) -> list[InvoiceLine]:
    """The lines among which late charges must be, should they have come into effect after they were given up."""
    found: list[InvoiceLine] = []
    for kind, subscription_id in dict.fromkeys((one.kind, str(one.subscription_id)) for one in given_up):
        if kind in KINDS:
            found += _look(services, run, kind, subscription_id, services.now()).lines
    return found


def _look(services: Services, run: Run, kind: str, subscription_id: str, at: datetime) -> _Charged:
    """Where charges of this kind are, or were while `at` is not long ago."""
    connected = services.connection(run.connection)
    since = at - LOOK_BACK
    # First what waits: a charge that an invoice takes in between is then seen twice rather than not at all.
    waiting = connected.chargebee.unbilled_charges(subscription_id) if kind == UNBILLED else []
    if not connected.settings.consolidated_invoicing:
        return _Charged(waiting, connected.chargebee.invoices_since(since, subscription_id=subscription_id))
    with services.reading() as db:
        customer_id = payer(db, run.connection, subscription_id)
    return _Charged(waiting, connected.chargebee.invoices_since(since, customer_id=customer_id))


def _settle(services: Services, run: Run, batch: Sequence[Intent], lease: Held) -> None:
    """Adopt what is new and just ours, send again when there is nothing of it, and leave it to a person otherwise."""
    unknown = settling.unknown(services, run, batch)
    if not unknown:
        return
    sent_at = min(one.sent_at for one in unknown if one.sent_at is not None)
    kind, subscription_id = unknown[0].kind, str(unknown[0].subscription_id)
    new = _new(services, run, unknown, _look(services, run, kind, subscription_id, sent_at))
    if any(is_alike(one.line, intent) for one in new for intent in unknown):
        _claim(services, unknown, new, lease, "look-up")
    else:
        with services.transaction() as db:
            lease.confirm(db)
            for intent in unknown:
                ledger.send_again(db, intent)
        new = []
    run.note(f"{_all(unknown)} {'were there already' if new else 'were not there'} after a missing answer")


def _send(services: Services, run: Run, batch: Sequence[Intent], lease: Held) -> Invoice | None:
    """Make all these charges by one call; answers the invoice that was made for them, if any."""
    kind, subscription_id = batch[0].kind, str(batch[0].subscription_id)
    before = _look(services, run, kind, subscription_id, services.now())
    settling.begin(services, run, batch, lease, before.baseline)
    with settling.calling(services, run, batch, _all(batch)):
        answer = _make(services, run, batch)
    after = _Charged([] if answer.invoice else answer.lines, [answer.invoice] if answer.invoice else [], is_whole=False)
    if answer.replayed or (answer.invoice is not None and not answer.invoice.lines_complete):
        after = _look(services, run, kind, subscription_id, services.now())
    new = _new(services, run, batch, after, baseline=before.baseline)
    _claim(services, batch, new, lease, "replay" if answer.replayed else "answer")
    run.note(f"made {_all(batch)}")
    return new[0].invoice


def _make(services: Services, run: Run, batch: Sequence[Intent]) -> MadeCharges:
    chargebee = services.connection(run.connection).chargebee
    make = {UNBILLED: chargebee.create_unbilled_charges, OWN_INVOICE: chargebee.create_pending_invoice}[batch[0].kind]
    charges = [
        NewCharge(one.item_price_id, one.amount_minor, one.description, one.date_from, one.date_to) for one in batch
    ]
    return make(
        str(batch[0].subscription_id),
        charges,
        currency=batch[0].currency,
        idempotency_key=batch[0].idempotency_key,
    )


def _new(
    services: Services, run: Run, batch: Sequence[Intent], charged: _Charged, baseline: Sequence[str] | None = None
) -> list[_Found]:
    """The lines that were not there before we sent, where ours can be, and that no other intent has claimed.

    That is on invoices that are new too, and among the charges that wait. Unbilled charges that were there before, and are
    gone from where they waited, may be on these invoices under other ids: so many equal lines are theirs.
    """
    known = batch[0].baseline if baseline is None else baseline
    before = set(known)
    found = {
        line.id: _Found(line, invoice)
        for invoice in charged.invoices
        if invoice.id not in before
        for line in invoice.lines
    }
    found = {line.id: _Found(line, None) for line in charged.waiting} | found
    with services.reading() as db:
        taken = before | ledger.claimed(db, run.connection, found)
        others = [
            one
            for one in ledger.unbilled(db, run.connection, [str(batch[0].subscription_id)])
            if one.sent_at is not None and batch[0].sent_at is not None and one.sent_at >= batch[0].sent_at - LOOK_BACK
        ]
    new = [one for line_id, one in found.items() if line_id not in taken]
    if batch[0].kind == UNBILLED and charged.is_whole:
        _take_off_moved(new, charged, known, others)
    return new


def _take_off_moved(new: list[_Found], charged: _Charged, baseline: Sequence[str], others: Sequence[Intent]) -> None:
    """Leave out of the new lines those of charges that were known before, of ours and of anybody's."""
    here = {line.id for line in charged.lines}
    ours = {one.chargebee_line_id for one in others}
    before = [money.parse_json(one) for one in baseline if one.startswith("[")]
    for line_id, *what in before:
        if line_id not in here and line_id not in ours:
            _take_one_off(new, lambda line, what=what: _what(line)[1:] == what)  # type: ignore[misc]
    for one in others:
        if one.chargebee_line_id not in here:
            _take_one_off(new, lambda line, one=one: is_ours(line, one))  # type: ignore[misc]


def _take_one_off(new: list[_Found], is_it: Callable[[InvoiceLine], bool]) -> None:
    found = next((one for one in new if one.invoice is not None and is_it(one.line)), None)
    if found is not None:
        new.remove(found)


def _what(line: InvoiceLine) -> list[Any]:
    """The line's id and all that it is known by without it."""
    return [line.id, line.entity_id or line.description, line.amount, str(line.date_from), str(line.date_to)]


def _claim(services: Services, batch: Sequence[Intent], new: Sequence[_Found], lease: Held, found_by: str) -> None:
    """Take for each charge its line; parks unless the new lines are just these charges, on one invoice if on any."""
    pairs = _paired(batch, new)
    with services.transaction() as db:
        lease.confirm(db)
        for intent, found in pairs:
            ledger.finish(db, intent, found.line.id, found_by, found.invoice if intent.kind == OWN_INVOICE else None)
        if not pairs:
            for intent in batch:
                ledger.park(db, intent)
    if pairs:
        return
    if not new:
        raise Parked(
            "line_removed",
            f"Chargebee says that it made {_all(batch)}, but they are not there",
            "Find out who removed them. `connector syncs retry` makes them again once Chargebee has forgotten the first "
            "time (half an hour).",
        )
    alike = [one.line for one in new if any(is_alike(one.line, intent) for intent in batch)]
    shown = ", ".join(f"{line.id} of {line.amount}" for line in alike)
    raise Parked(
        "lines_differ",
        f"{_all(batch)} should be there once each ({', '.join(map(named, batch))}), and there is: {shown or 'none'}",
        "Remove these in Chargebee, allow price override for their item prices, then `connector syncs retry`.",
    )


def _paired(batch: Sequence[Intent], new: Sequence[_Found]) -> list[tuple[Intent, _Found]]:
    """Each charge with its line; nothing where that is not sure for all of them."""
    left = [one for one in new if any(is_alike(one.line, intent) for intent in batch)]
    one_invoice = batch[0].kind == UNBILLED or len({one.invoice.id for one in left if one.invoice}) == 1
    if len(left) != len(batch) or not one_invoice:
        return []
    pairs: list[tuple[Intent, _Found]] = []
    for intent in batch:
        found = next((one for one in left if is_ours(one.line, intent)), None)
        if found is None:
            return []
        left.remove(found)
        pairs.append((intent, found))
    return pairs


def _batches(services: Services, snapshot: BillSnapshot) -> list[tuple[str, str]]:
    """Kind and subscription of what one call makes, in the bill's order."""
    with services.reading() as db:
        found = [(one.kind, str(one.subscription_id)) for one in ledger.intents(db, snapshot.id) if one.kind in KINDS]
    return list(dict.fromkeys(found))


def _intents(services: Services, snapshot: BillSnapshot, kind: str, subscription_id: str) -> list[Intent]:
    with services.reading() as db:
        found = ledger.intents(db, snapshot.id)
    return [one for one in found if (one.kind, one.subscription_id) == (kind, subscription_id)]


def _only_charger_of(services: Services, run: Run, subscription_id: str) -> AbstractContextManager[Held]:
    name = f"{run.connection}/late/{subscription_id}"
    return leases.held(services, name, services.settings.lease_seconds)


def _all(batch: Sequence[Intent]) -> str:
    total = sum(one.amount_minor for one in batch)
    where = "an invoice of its own with " if batch[0].kind == OWN_INVOICE else ""
    amount = f"{total} minor units of {batch[0].currency}"
    return f"{where}{len(batch)} late charge(s) of {amount} in all for {batch[0].subscription_id}"

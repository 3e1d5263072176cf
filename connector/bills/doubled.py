"""What stands beside a bill's own lines when all of them are sent: somebody else's, or one that came into effect too late.

A call without an answer is looked up after SETTLE_WAIT_SECONDS, and what is not there then is sent again under its old key,
so that Chargebee takes it once whenever the first call comes into effect. A bill that has changed in between sends other
lines under other keys. Then a first call that comes into effect all the same makes a line too many, and it is found here:
before a receipt says that the invoice equals the bill.
"""

from collections.abc import Collection, Sequence

from connector.bills import credits, late, ledger, moved
from connector.bills.invoices import is_ours
from connector.bills.ledger import Intent
from connector.bills.planned import GIVEN
from connector.bills.routing import settled_wish
from connector.bills.settling import named
from connector.clients.chargebee_objects import Invoice, InvoiceLine
from connector.errors import Parked, Waiting
from connector.mappings import charges
from connector.models import BillSnapshot
from connector.services import Services
from connector.syncs import Run


def check(services: Services, run: Run, snapshot: BillSnapshot, invoices: Sequence[Invoice]) -> None:
    """Raises Parked where the invoices, as they were just read, hold a charge that no push of ours can account for.

    Without such a charge it costs no call; Waiting where it may be another bill's that is just being sent.
    """
    with services.reading() as db:
        # Asked before what is ours: a line that another bill is sending is then in one of the two answers.
        doubtful = ledger.in_doubt(db, run.connection, [one.id for one in invoices], but=snapshot.bill_id)
        ours = moved.our_lines(db, run.connection, invoices)
        prices = set(charges.charge_prices(db, run.connection).values())
        given_up = ledger.given_up(db, run.connection, snapshot.bill_id)
        keys = {one.idempotency_key for one in ledger.intents(db, snapshot.id)}
    given_up = [one for one in given_up if one.idempotency_key not in keys]
    strange = [(one.id, line) for one in invoices for line in one.lines if line.id not in ours]
    late_lines = late.given_up_lines(services, run, given_up)
    if late_lines:
        with services.reading() as db:
            claimed = ledger.claimed(db, run.connection, {line.id for line in late_lines})
        strange += [("of a late bill", line) for line in late_lines if line.id not in claimed]
    if too_late := [(where, line) for where, line in strange if any(is_ours(line, one) for one in given_up)]:
        _doubled(services, run, too_late)
    _given_twice(services, run, snapshot, given_up)
    foreign = [(where, line) for where, line in strange if line.entity_id in prices and where in _ids(invoices)]
    if foreign and services.connection(run.connection).settings.foreign_lines == "park":
        _foreign(services, foreign, doubtful)


def _ids(invoices: Sequence[Invoice]) -> set[str]:
    return {one.id for one in invoices}


def _doubled(services: Services, run: Run, lines: Sequence[tuple[str, InvoiceLine]]) -> None:
    """A person who has looked, and has said that foreign lines are to be ignored, lets them stand."""
    if services.connection(run.connection).settings.foreign_lines == "ignore" and run.lets_pass("line_doubled"):
        return
    shown = ", ".join(f"{line.id} of {line.amount} on invoice {where}" for where, line in lines)
    raise Parked(
        "line_doubled",
        f"{shown} is what this bill tried to add before it changed, and it stands beside what the bill has now",
        "Remove it in Chargebee, then `connector syncs retry`. If a person has added it on purpose, set "
        "FOREIGN_LINES=ignore first.",
    )


def _given_twice(services: Services, run: Run, snapshot: BillSnapshot, given_up: Sequence[Intent]) -> None:
    for one in given_up:
        if one.kind in GIVEN and (found := credits.there(services, run, snapshot, one)):
            raise Parked(
                "line_doubled",
                f"credit {found} ({named(one)}) is what this bill tried to give before it changed, and it was given after all",
                "Take it back in Chargebee, then `connector syncs retry`.",
            )


def _foreign(services: Services, lines: Sequence[tuple[str, InvoiceLine]], doubtful: Collection[str]) -> None:
    busy = [where for where, _ in lines if where in doubtful]
    if busy:
        raise Waiting(
            "invoice_in_doubt",
            f"another bill has a line on invoice {busy[0]} whose answer is missing",
            "Nothing: it goes on when that line is settled.",
            seconds=services.settings.settle_wait_seconds,
            wakes_on=settled_wish(busy[0]),
        )
    shown = ", ".join(f"{line.id} of {line.amount} on invoice {where}" for where, line in lines[:5])
    raise Parked(
        "foreign_lines",
        f"all lines of the bill are sent, and beside them stand {len(lines)} with the connector's charge items that "
        f"somebody else added meanwhile: {shown}",
        "Remove what is billed twice, or set FOREIGN_LINES=ignore if these lines are right; then `connector syncs retry`.",
    )

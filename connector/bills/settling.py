"""A call whose outcome is not known: nobody looks before it has settled, and nothing is sent again before somebody has looked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from connector.bills import ledger
from connector.bills.ledger import PARKED, SENDING, Intent
from connector.errors import Parked, Rejected, Retryable, Uncertain, Waiting
from connector.leases import Held
from connector.services import Services
from connector.syncs import Run


def begin(services: Services, run: Run, intents: Sequence[Intent], lease: Held, baseline: Sequence[str]) -> None:
    """Commit that these are about to be sent, and what was there before; raises LeaseLost when our time is over."""
    run.check(services)
    with services.transaction() as db:
        for intent in intents:
            ledger.start_sending(db, intent, lease, baseline, services.now())
    run.check(services)


@contextmanager
def calling(services: Services, run: Run, intents: Sequence[Intent], what: str) -> Iterator[None]:
    """The call itself: without an answer it is waited for, and what was refused may be sent once more."""
    try:
        yield
    except Uncertain as unknown:
        run.note(f"no answer for {what}: {unknown}")
        raise Waiting(
            "settling",
            f"Chargebee has not answered for {what}; it is looked up when that has settled",
            "Nothing: it goes on by itself.",
            seconds=services.settings.settle_wait_seconds,
        ) from unknown
    except (Rejected, Retryable):
        with services.transaction() as db:
            for intent in intents:
                ledger.send_again(db, intent)
        raise


def unknown(services: Services, run: Run, intents: Sequence[Intent]) -> list[Intent]:
    """Those whose answer is missing, once that has settled; a person's retry opens those that were parked in doubt."""
    for intent in intents:
        if intent.status == PARKED:
            _reopen(services, run, intent)
    found = [one for one in intents if one.status in (SENDING, PARKED)]
    if found:
        _wait_until_settled(services, found)
    return found


def _reopen(services: Services, run: Run, intent: Intent) -> None:
    """Another look at what was parked in doubt, for a person only; it begins with a look-up, like every look."""
    if run.retried_by is None:
        raise Parked(
            "line_in_doubt",
            f"{named(intent)} was parked in doubt, and nobody has looked at it since",
            "Compare the invoice with `connector bills show`, put it right, then `connector syncs retry`.",
        )
    with services.transaction() as db:
        ledger.reopen(db, intent)


def _wait_until_settled(services: Services, intents: Sequence[Intent]) -> None:
    """An answer that never came may still be on its way into effect: nobody looks before it has had its time."""
    sent = [intent.sent_at for intent in intents if intent.sent_at is not None]
    settled_at = max(sent) + timedelta(seconds=services.settings.settle_wait_seconds)
    seconds = (settled_at - services.now()).total_seconds()
    if seconds > 0:
        raise Waiting(
            "settling",
            f"Chargebee has not answered for {len(intents)} line(s); they are looked up when that has settled",
            "Nothing: it goes on by itself.",
            seconds=seconds,
        )


def named(intent: Intent) -> str:
    """The intent as a person reads it."""
    period = f"{intent.date_from:%Y-%m-%d} to {intent.date_to:%Y-%m-%d}"
    return f"{intent.item_price_id or intent.description} of {in_minor_units(intent)} ({period})"


def in_minor_units(intent: Intent) -> str:
    """The amount as Chargebee is sent it, which must not be read as one in dollars."""
    return f"{intent.amount_minor} minor units of {intent.currency}"

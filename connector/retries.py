"""What a retry would let go on, before anybody decides: the syncs, and what bills and requests among them would send now.

The same for the console and the JSON API. Nothing here changes anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from connector import lookup
from connector.balances import requests
from connector.bills import preview
from connector.errors import ConnectorError
from connector.lookup import Filter
from connector.models import BalanceRequest, Sync
from connector.services import Services
from connector.syncs import HELD_BACK, MONEY_KINDS

# What one go retries at most; the rest is there for the next.
BATCH = 500
# Of what sends money only so many, since the providers are asked what each bill would send before anybody confirms it.
BILLS = 10


@dataclass(frozen=True)
class Shown:
    """A sync that sends money, with what of its bill would be sent now, or why that cannot be said."""

    sync: Sync
    bill: preview.Preview | None
    why: str | None


def is_held_back(services: Services, row: Sync) -> bool:
    """Whether a retry would let it go on: of what is pending, only what has been put off."""
    return row.status in HELD_BACK and (row.status != "pending" or row.next_attempt_at > services.now())


def shown(services: Services, row: Sync) -> Shown:
    """What of a bill would be sent now; both are None where the sync is of no bill."""
    if row.kind != "bill":
        return Shown(row, None, None)
    try:
        return Shown(row, preview.of_bill(services, row.connection, row.subject), None)
    except ConnectorError as error:
        return Shown(row, None, str(error))


def asked(services: Services, row: Sync) -> BalanceRequest | None:
    """What somebody asked Balance Billing for, where that is what the sync makes."""
    if row.kind != requests.KIND or not row.subject.isdigit():
        return None
    with services.reading() as db:
        return db.get(BalanceRequest, int(row.subject))


def can_be_retried_together(chosen: Filter) -> bool:
    """Whether the filter names one cause of what stands still: a retry can be a decision, so it has to be for one."""
    return chosen.cause is not None and chosen.status in (None, *HELD_BACK)


def batch(services: Services, chosen: Filter) -> list[Sync]:
    """The oldest of what the filter names and stands still; of what sends money only as much as can be shown in amounts."""
    with services.reading() as db:
        rows = lookup.held_back(db, chosen, now=services.now(), limit=BATCH)
    money = [row.id for row in rows if row.kind in MONEY_KINDS]
    return [row for row in rows if row.id not in money[BILLS:]]


def money_of(services: Services, rows: Sequence[Sync]) -> list[Shown]:
    """Those of these that send money, each with what it would send."""
    return [shown(services, row) for row in rows if row.kind in MONEY_KINDS]


def fingerprint(money: Sequence[Shown]) -> str:
    """The same as long as a person would be shown the same money."""
    said = [(one.sync.id, one.bill.fingerprint if one.bill else None) for one in money]
    return sha256(repr(said).encode()).hexdigest()

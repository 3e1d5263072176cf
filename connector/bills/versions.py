"""A bill that is approved more than once: what was sent, what the bill is now, and what differs, line by line.

Amounts are minor units of the bill's currency. A line is known by its key, since m3ter gives it another id whenever it
calculates the bill again.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector import money
from connector.bills.ledger import DONE
from connector.bills.planned import PushPlan
from connector.models import BillSnapshot, LinePush

GONE = "a line that the bill no longer has"


@dataclass(frozen=True)
class Difference:
    """A line of which something else was sent than it is now; of one that is gone, `now` is nothing."""

    what: str
    sent: Decimal
    now: Decimal

    @property
    def differs(self) -> Decimal:
        """What is still to be charged, or to be given back where it is negative."""
        return self.now - self.sent


@dataclass(frozen=True)
class Version:
    """A bill as it was frozen for one push, and what that push was to send beyond those before it."""

    number: int
    status: str
    bill_version: int
    currency: str
    total: Decimal
    sent_before: Decimal
    frozen_at: datetime
    finished_at: datetime | None
    differences: tuple[Difference, ...]


def differences(
    sent: Mapping[str, int], names: Mapping[str, str], lines: Iterable[tuple[str, str, int]], decimals: int
) -> list[Difference]:
    """Lines as key, description and amount beside what was `sent` for each key; `names` are those of keys sent before."""
    now = {key: (what, minor) for key, what, minor in lines}
    both = [(what, sent.get(key, 0), minor) for key, (what, minor) in now.items()]
    both += [(names.get(key) or GONE, minor, 0) for key, minor in sent.items() if key not in now]
    return [
        Difference(what, money.to_major(before, decimals), money.to_major(minor, decimals))
        for what, before, minor in both
        if before != minor
    ]


def of_bill(db: Session, connection: str, bill_id: str) -> list[Version]:
    """Every version of the bill that was frozen, the newest first; of the first one all lines differ from nothing."""
    snapshots = _snapshots(db, connection, bill_id)
    done = db.execute(
        select(LinePush.snapshot_id, LinePush.parts).where(
            LinePush.connection == connection, LinePush.bill_id == bill_id, LinePush.status == DONE
        )
    ).all()
    found = []
    names: dict[str, str] = {}
    for one in snapshots:
        sent: Counter[str] = Counter()
        for snapshot_id, parts in done:
            if snapshot_id < one.id:
                for key, minor in parts:
                    sent[key] += minor
        lines = [(line["key"], _name(line), _minor(line["amount"], one.decimals)) for line in one.lines]
        found.append(
            Version(
                number=one.generation, status=one.status, bill_version=one.bill_version, currency=one.currency,
                total=money.to_major(one.total_minor, one.decimals), frozen_at=one.created_at,
                sent_before=money.to_major(sum(sent.values()), one.decimals), finished_at=one.finished_at,
                differences=tuple(differences(sent, names, lines, one.decimals)),
            )
        )  # fmt: skip
        names |= {key: what for key, what, _ in lines}
    return found[::-1]


def since(plan: PushPlan, sent: Mapping[str, int], names: Mapping[str, str]) -> list[Difference]:
    """What a planned bill differs by from all that was sent of it."""
    lines = [(line.key, line.description or line.line_type, line.whole_minor) for line in plan.lines]
    return differences(sent, names, lines, plan.decimals)


def line_names(db: Session, connection: str, bill_id: str) -> dict[str, str]:
    """What each line that any version of the bill has had is called, by its key."""
    return {line["key"]: _name(line) for one in _snapshots(db, connection, bill_id) for line in one.lines}


def _snapshots(db: Session, connection: str, bill_id: str) -> Sequence[BillSnapshot]:
    wanted = select(BillSnapshot).filter_by(connection=connection, bill_id=bill_id)
    return db.scalars(wanted.order_by(BillSnapshot.generation)).all()


def _name(line: Mapping[str, str]) -> str:
    return line["description"] or line["line_type"]


def _minor(amount: str, decimals: int) -> int:
    return money.to_minor(Decimal(amount), decimals)

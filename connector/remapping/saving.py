"""Making a change of mappings that a person has seen: whole or not at all, and once however often it is asked for."""

from sqlalchemy import delete
from sqlalchemy.orm import Session

from connector import audit
from connector.errors import ConnectorError
from connector.mappings import set_up, table, wakes
from connector.mappings.pairs import Pair
from connector.mappings.plans import plan_choices
from connector.models import Installation, Mapping
from connector.remapping.proposals import Change, Proposal
from connector.services import Services


class Outdated(ConnectorError):
    """Somebody else has changed one of the mappings since the proposal was worked out; nothing was saved."""


def save(services: Services, proposal: Proposal, *, who: str, reason: str | None = None) -> list[int]:
    """Make all changes of a proposal without faults, and answer the syncs that go on or have something to change now.

    Each leaves its note in the audit log. Raises Outdated where a mapping no longer says what the proposal says of it.
    """
    assert not proposal.faulty  # noqa: S101 - the caller's promise
    connection = proposal.connection
    services.installation  # noqa: B018 - its row is what people who save at once wait for
    with services.reading() as db:
        _must_stand(db, proposal)
        shown = set_up.shown_otherwise(db, connection, [one.after for one in proposal.changes if one.after])
        shown += [found for one in proposal.changes if (found := _shown_gone(db, connection, one))]
    set_up.take_back(services, connection, shown)
    now = services.now()
    with services.transaction() as db:
        db.get(Installation, 1, with_for_update=True)
        _must_stand(db, proposal)
        before = plan_choices(db, connection)
        for one in proposal.changes:
            if one.after is None and one.before is not None:
                row = db.scalars(table.select_of(connection, one.before)).one()
                db.execute(delete(Mapping).where(Mapping.id == row.id))
        added = [one.after for one in proposal.changes if one.after]
        woken = set_up.put(db, connection, added, made_by=who, now=now) if added else []
        woken += wakes.ask_concerned(db, connection, before, now, known=woken)
        for one in proposal.changes:
            details = {"before": str(one.before)} if one.before and one.after else {}
            audit.note(
                db, who=who, action=f"mappings {one.what}", connection=connection, subject=str(one.pair), now=now,
                **details, **({"reason": reason} if reason else {}),
            )  # fmt: skip
    return list(dict.fromkeys(woken))


def _must_stand(db: Session, proposal: Proposal) -> None:
    for one in proposal.changes:
        if _current(db, proposal.connection, one) != one.before:
            raise Outdated(f"{one.pair}: somebody else has changed this just now; nothing was saved")


def _current(db: Session, connection: str, change: Change) -> Pair | None:
    if change.after is None and change.before is not None:
        row = db.scalars(table.select_of(connection, change.before)).first()
    else:
        row = table.about(db, connection, change.pair)
    return None if row is None else Pair.of(row)


def _shown_gone(db: Session, connection: str, change: Change) -> str | None:
    """Under which id m3ter shows a mapping that goes."""
    if change.after is not None or change.before is None:
        return None
    row: Mapping | None = db.scalars(table.select_of(connection, change.before)).first()
    return row.m3ter_mapping_id if row else None

"""What a change of mappings would come to, worked out before anything is kept, and its fingerprint."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector.mappings import candidates, catalogues, guards, plans, table, wakes
from connector.mappings.candidates import Candidates
from connector.mappings.kinds import AD_HOC, CHARGE_ENTITIES, PLAN_ENTITIES
from connector.mappings.pairs import BadMapping, Pair, topic
from connector.models import Sync
from connector.remapping import waiting
from connector.remapping.rows import Wish
from connector.remapping.waiting import HELD, HeldBills, Prices
from connector.services import Services

# From how many rows on both catalogues are read as lists first, and how many things are asked for one by one at most.
LISTED_FROM = 10
MOST_READS = 60
Fault = tuple[str | None, str]


@dataclass(frozen=True)
class Change:
    """One mapping that would say something else: `before` is None where it is new, `after` where it goes.

    `faults` say why it cannot be, each with its column of a file; `notes` what a person should know of it.
    """

    before: Pair | None
    after: Pair | None
    line: int | None = None
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """add, change or remove."""
        return "add" if self.before is None else "remove" if self.after is None else "change"

    @property
    def pair(self) -> Pair:
        """What the change is about."""
        found = self.after or self.before
        assert found is not None  # noqa: S101 - one of the two is there
        return found


@dataclass(frozen=True)
class PlanMove:
    """A standing account plan that would get another plan: until `end`, which is exclusive; `after` is empty for none."""

    subscription_id: str
    item_price_id: str
    code: str
    start: datetime
    end: datetime | None
    before: str
    after: tuple[str, ...]


@dataclass(frozen=True)
class Freed:
    """Bills that would have all that they need: how many, and what they come to by currency, in major units."""

    bills: tuple[str, ...] = ()
    totals: tuple[tuple[str, Decimal], ...] = ()


@dataclass(frozen=True)
class Proposal:
    """What would be different, and what that sets going.

    `against` are objections that a person may overrule by saying that it is meant. `goes_on` counts the parked and waiting
    syncs that are let go on, by kind; `looked_at` are subscriptions that are compared again.
    """

    connection: str
    changes: tuple[Change, ...]
    unchanged: int = 0
    against: tuple[str, ...] = ()
    goes_on: tuple[tuple[str, int], ...] = ()
    looked_at: tuple[str, ...] = ()
    moves: tuple[PlanMove, ...] = ()
    freed: Freed = field(default_factory=Freed)
    held: HeldBills = field(default_factory=HeldBills)

    @property
    def faulty(self) -> list[Change]:
        return [one for one in self.changes if one.faults]

    @property
    def counts(self) -> Counter[str]:
        """How many are added, changed and removed."""
        return Counter(one.what for one in self.changes)

    @property
    def kept(self) -> list[str]:
        """What stays as it is, or cannot be taken back."""
        kinds = {one.pair.m3ter_entity for one in self.changes}
        said = [
            (
                kinds & {*PLAN_ENTITIES},
                "A period that m3ter has billed already is not changed: its subscription parks for review. Account plans that "
                "get another plan end in m3ter where the new one begins; mapping it back makes new ones again.",
            ),
            (
                kinds & {*CHARGE_ENTITIES},
                "Charges that are on invoices already keep their charge item; only what is sent from now on gets another.",
            ),
            (
                self.counts["remove"],
                "What needs a mapping that is gone parks the next time that it is looked at.",
            ),
        ]
        return [sentence for applies, sentence in said if applies]

    @property
    def fingerprint(self) -> str:
        """The same as long as a person would be shown the same."""
        shown = (self.changes, self.against, self.goes_on, self.looked_at, self.moves, self.freed, self.held.away)
        return hashlib.sha256(repr(shown).encode()).hexdigest()


def propose(services: Services, connection: str, wishes: Sequence[Wish]) -> Proposal:
    """What these rows would change, checked against both live catalogues and all that is here; nothing is changed.

    ConnectorError when a provider that has to be asked is away.
    """
    listed = candidates.read(services.connection(connection), pricings=True) if len(wishes) > LISTED_FROM else None
    changes, unchanged = _changes(services, connection, wishes, listed)
    right = [one for one in changes if not one.faults]
    added = [one.after for one in right if one.after is not None]
    with services.reading() as db:
        said = plans.plan_pairs(db, connection)
        before = plans.choices_of(db, connection, said)
        gone = {one.before for one in right if one.after is None}
        after = plans.choices_of(db, connection, [*(one for one in said if one not in gone), *added])
        against = _against(db, connection, right, added, services.now())
        goes_on = _woken(db, connection, added)
        looked_at = tuple(wakes.concerned(db, connection, before, after))
        moves = tuple(_moves(db, connection, before, after))
    held, freed = _freed(services, connection, right)
    return Proposal(
        connection, tuple(changes), unchanged, tuple(against), goes_on, looked_at, moves, freed, held
    )  # fmt: skip


def _changes(
    services: Services, connection: str, wishes: Sequence[Wish], listed: Candidates | None
) -> tuple[list[Change], int]:
    """What differs from what is said now, each with its faults, and how many rows say what is said already."""
    checked = iter(
        catalogues.compared(
            services, connection, [one.pair for one in wishes if not one.gone], known=listed, most=MOST_READS
        )
    )
    found: list[Change] = []
    unchanged = 0
    taken: dict[tuple[Any, ...], Pair] = {}
    with services.reading() as db:
        for wish in wishes:
            pair = wish.pair if wish.gone else next(checked)
            if isinstance(pair, BadMapping):
                found.append(Change(None, wish.pair, wish.line, ((pair.column, str(pair)),)))
                continue
            change = _gone(db, connection, wish) if wish.gone else _said(db, connection, wish, pair)
            if change is None:
                unchanged += 1
                taken.setdefault(topic(pair), pair)
                continue
            if (other := taken.setdefault(topic(pair), pair)) is not pair:
                twice = (None, f"another row says of the same: {other}")
                change = replace(change, faults=(*change.faults, twice))
            found.append(change)
    return found, unchanged


def _said(db: Session, connection: str, wish: Wish, pair: Pair) -> Change | None:
    """What saying this changes; None where it is said already."""
    row = table.about(db, connection, pair)
    current = None if row is None else Pair.of(row)
    if current == pair:
        return None
    faults = [(None, text.removeprefix(f"{pair}: ")) for text in guards.refusals(db, connection, [pair])]
    if row is not None and row.made_by == "connector":
        faults.append((None, f"the connector made {current} and needs it"))
    return Change(current, pair, wish.line, tuple(faults), _notes(wish, current))


def _gone(db: Session, connection: str, wish: Wish) -> Change | None:
    """What taking this away changes; None where it is gone already."""
    row = db.scalars(table.select_of(connection, wish.pair)).first()
    if row is None:
        return None
    fault = guards.not_removable(db, connection, row)
    return Change(Pair.of(row), None, wish.line, ((None, fault),) if fault else (), _notes(wish, Pair.of(row)))


def _notes(wish: Wish, current: Pair | None) -> tuple[str, ...]:
    if wish.is_shown and wish.shown != current:
        was = wish.shown or "nothing"
        return (f"Somebody has changed this since you opened the table, where it said: {was}.",)
    return ()


def _against(db: Session, connection: str, right: Iterable[Change], added: list[Pair], now: datetime) -> list[str]:
    """What speaks against it that a person may overrule."""
    found = guards.rewritten(db, connection, added)
    for one in right:
        row = None if one.after or not one.before else db.scalars(table.select_of(connection, one.before)).first()
        if row is not None:
            found += guards.left_without(db, connection, row, now)
    return found


def _woken(db: Session, connection: str, added: list[Pair]) -> tuple[tuple[str, int], ...]:
    if not added:
        return ()
    kinds = db.scalars(
        select(Sync.kind).where(
            Sync.connection == connection, Sync.wakes_on.in_(sorted(wakes.wishes(added))), Sync.status.in_(HELD)
        )
    )
    return tuple(sorted(Counter(kinds).items()))


def _moves(db: Session, connection: str, before: plans.PlanChoices, after: plans.PlanChoices) -> Iterable[PlanMove]:
    prices = {
        price
        for price in {*before.of_price, *after.of_price}
        if {*before.of_price.get(price, ())} != {*after.of_price.get(price, ())}
    }
    for row in guards.standing(db, connection, prices):
        time = (row.item_price_id, row.customer_id, row.start, row.end)
        pieces = after.pieces(*time)
        if pieces in (before.pieces(*time), [(row.plan_id, row.start, row.end)]) or row.start == row.end:
            continue
        plan_ids = tuple(dict.fromkeys(plan_id for plan_id, _, _ in pieces if plan_id is not None))
        yield PlanMove(
            row.subscription_id, row.item_price_id, row.code, row.start, row.end, row.plan_id, plan_ids
        )  # fmt: skip


def _freed(services: Services, connection: str, right: Iterable[Change]) -> tuple[HeldBills, Freed]:
    """The bills that wait, where the change is about bill lines, and those that would have all they need."""
    about_lines = [one for one in right if one.pair.m3ter_entity in CHARGE_ENTITIES]
    if not about_lines:
        return HeldBills(), Freed()
    held = waiting.bills(services, connection)
    before = waiting.charge_prices(services, connection)
    bills = waiting.freed(held.bills, before, _prices_after(before, about_lines))
    return held, Freed(tuple(one.bill_id for one in bills), tuple(waiting.totals(bills).items()))


def _prices_after(before: Prices, changes: Iterable[Change]) -> Mapping[tuple[str, str, str], str]:
    after = dict(before)
    for one in changes:
        if one.after is None and one.before is not None:
            after.pop((one.before.m3ter_entity, one.before.m3ter_id, str(one.before.currency)), None)
        elif one.after is not None:
            said = AD_HOC if one.after.external_table == AD_HOC else one.after.external_id
            after[one.after.m3ter_entity, one.after.m3ter_id, str(one.after.currency)] = said
    return after


def as_json(found: Proposal) -> dict[str, Any]:
    """The same for scripts; amounts are texts in major units of their currency."""
    return {
        "changes": [
            {
                "what": one.what, "line": one.line, "before": str(one.before) if one.before else None,
                "after": str(one.after) if one.after else None, "notes": list(one.notes),
                "faults": [{"column": column, "text": text} for column, text in one.faults],
            }
            for one in found.changes
        ],
        "unchanged": found.unchanged,
        "against": list(found.against),
        "goes_on": dict(found.goes_on),
        "looked_at": list(found.looked_at),
        "account_plans": [
            {"code": one.code, "subscription": one.subscription_id, "before": one.before, "after": list(one.after)}
            for one in found.moves
        ],
        "bills_freed": list(found.freed.bills),
        "money_freed": {currency: str(amount) for currency, amount in found.freed.totals},
        "bills_not_read": found.held.not_read,
    }  # fmt: skip

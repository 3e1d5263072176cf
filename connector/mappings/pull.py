"""What m3ter shows as External Mappings, taken back into the local table, which is the one that is trusted.

m3ter has no uniqueness of its own (m3ter.md §6): what it shows twice is kept once, and what contradicts itself or the local
table is for a person to settle.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from sqlalchemy import Row, and_, select
from sqlalchemy.orm import Session

from connector import syncs
from connector.clients.m3ter_objects import ExternalMapping
from connector.database import batches
from connector.errors import BadInput
from connector.mappings import catalogues, guards, own, set_up, wakes
from connector.mappings.kinds import ANY, ITEM_PRICE, PLAN_ENTITIES, SET_UP_ENTITIES, SYSTEM
from connector.mappings.pairs import SAID, BadMapping, Pair, topic
from connector.models import Mapping
from connector.services import Services

# What the connector makes itself, and the Chargebee table that each stands for.
OWN = {"Account": "Customer", "AccountPlan": "Subscription", "Bill": "Invoice", "BillItem": "Invoice"}
# What of a row is compared.
COMPARED = (Mapping.id, Mapping.m3ter_mapping_id, *(getattr(Mapping, name) for name in SAID))
NO_DATE = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Pulled:
    """What a pull found, and did unless it was a dry run.

    `doubles` are all but the oldest of what m3ter shows twice. Each contradiction lists its sides, none of which was taken
    from m3ter; `refused` tells what else was not taken and why. `left_alone` counts mappings of kinds that are not ours.
    """

    inserted: tuple[Pair, ...]
    corrected: tuple[Pair, ...]
    there: int
    doubles: tuple[ExternalMapping, ...]
    contradictions: tuple[tuple[str, ...], ...]
    refused: tuple[str, ...]
    left_alone: int
    woken: tuple[int, ...] = ()


def pull(
    services: Services,
    connection: str,
    *,
    made_by: str,
    remove_doubles: bool = False,
    dry_run: bool = False,
    most: int | None = None,
    most_new: int | None = None,
) -> Pulled:
    """Insert what is missing here, note under which id m3ter shows the rest, and let go on what waited for it.

    What people set up is checked as in `set_up.add`. With `remove_doubles` m3ter keeps only the oldest of each. Raises BadInput
    where m3ter shows more mappings than `most`, or more than `most_new` that are not here.
    """
    m3ter = services.connection(connection).m3ter
    # m3ter first: a row that is made meanwhile is then known here, never taken for missing.
    shown = list(islice(m3ter.external_mappings(SYSTEM), None if most is None else most + 1))
    if most is not None and len(shown) > most:
        raise BadInput(f"m3ter shows more than {most} mappings: `connector mappings pull` compares them all")
    ours = [one for one in shown if _is_ours(one)]
    kept, doubles = _once(ours)
    local = _local(services, connection, kept)
    fitting, contradictions = _settled(kept, local)
    there, corrected, new = 0, [], {}
    for pair, one in fitting.items():
        row = local.get(pair)
        if row is None:
            new[pair] = one
        elif row.m3ter_mapping_id == one.id:
            there += 1
        else:
            corrected.append((Pair.of(row), one.id))
    if most_new is not None and len(new) > most_new:
        raise BadInput(f"m3ter shows {len(new)} mappings that are not here: `connector mappings pull` looks at each")
    inserted, refused = _allowed(services, connection, new, local.values())
    woken: list[int] = []
    if not dry_run:
        woken = _insert(services, connection, inserted, made_by)
        _note(services, connection, corrected)
        for double in doubles if remove_doubles else ():
            m3ter.delete_external_mapping(double.id)
    return Pulled(
        inserted=tuple(pair for pair, _ in inserted),
        corrected=tuple(pair for pair, _ in corrected),
        there=there,
        doubles=tuple(doubles),
        contradictions=contradictions,
        refused=tuple(refused),
        left_alone=len(shown) - len(ours),
        woken=tuple(dict.fromkeys(woken)),
    )


def _is_ours(one: ExternalMapping) -> bool:
    table = ITEM_PRICE if one.m3ter_entity in SET_UP_ENTITIES else OWN.get(one.m3ter_entity)
    return one.external_table == table


def _pair(one: ExternalMapping) -> Pair:
    return Pair(one.m3ter_entity, one.m3ter_id, one.external_table, one.external_id)


def _once(found: Iterable[ExternalMapping]) -> tuple[dict[Pair, ExternalMapping], list[ExternalMapping]]:
    """The oldest of each mapping, and the younger ones that say the same."""
    kept: dict[Pair, ExternalMapping] = {}
    doubles = []
    for one in sorted(found, key=lambda one: (one.created_at or NO_DATE, one.id)):
        if kept.setdefault(_pair(one), one) is not one:
            doubles.append(one)
    return kept, doubles


def _local(services: Services, connection: str, shown: Iterable[Pair]) -> dict[Pair, Row[Any]]:
    """Our rows that share an id with what m3ter shows, for no others can be in question, by as much of them as m3ter can show;
    it cannot show for whom and when."""
    by_m3ter, by_external = (Mapping.m3ter_entity, Mapping.m3ter_id), (Mapping.external_table, Mapping.external_id)
    with services.reading() as db:
        found = _rows(db, connection, by_m3ter, ((pair.m3ter_entity, pair.m3ter_id) for pair in shown))
        known = set(map(_as_shown, found))
        # What stands here as m3ter shows it is in no question, whatever else has its Chargebee id.
        rest = ((pair.external_table, pair.external_id) for pair in shown if pair not in known)
        found += _rows(db, connection, by_external, rest)
    # The oldest is the last, and is the one that stays.
    return {_as_shown(row): row for row in sorted(found, key=lambda row: (row.valid_from, row.id), reverse=True)}


def _rows(db: Session, connection: str, columns: tuple[Any, Any], wanted: Iterable[tuple[str, str]]) -> list[Row[Any]]:
    """Our rows that hold for everybody and have one of these kinds and ids in these two columns."""
    ids: dict[str, set[str]] = defaultdict(set)
    for kind, id in wanted:
        ids[kind].add(id)
    those = select(*COMPARED).where(Mapping.connection == connection, Mapping.customer_id == ANY)
    conditions = [and_(columns[0] == kind, columns[1].in_(some)) for kind in ids for some in batches(ids[kind])]
    return [row for condition in conditions for row in db.execute(those.where(condition))]


def _as_shown(row: Row[Any]) -> Pair:
    return Pair(row.m3ter_entity, row.m3ter_id, row.external_table, row.external_id)


def _settled(
    kept: dict[Pair, ExternalMapping], local: dict[Pair, Row[Any]]
) -> tuple[dict[Pair, ExternalMapping], tuple[tuple[str, ...], ...]]:
    """What contradicts nothing, and the sides of each contradiction; what is known here already is not in question."""
    asked = {pair: _claims(pair) for pair in kept if pair not in local}
    sides: dict[tuple[str, ...], dict[Pair, None]] = {claim: {} for claims in asked.values() for claim in claims}
    for pair in (*local, *kept) if sides else ():
        for claim in _claims(pair):
            if claim in sides:
                sides[claim][pair] = None
    contradicted = {pair: [claim for claim in claims if len(sides[claim]) > 1] for pair, claims in asked.items()}
    said = {
        tuple(_side(each, local.get(each), kept.get(each)) for each in sides[claim]): None
        for claims in contradicted.values()
        for claim in claims
    }
    return {pair: one for pair, one in kept.items() if not contradicted.get(pair)}, tuple(said)


def _side(pair: Pair, row: Row[Any] | None, shown: ExternalMapping | None) -> str:
    """One side of a contradiction: what stands here, what in m3ter, or both."""
    if row is None:
        return f"in m3ter: {pair} ({shown.id if shown else ''})"
    return f"here: {Pair.of(row)}" + (f", in m3ter as {shown.id}" if shown else "")


def _claims(pair: Pair) -> list[tuple[str, ...]]:
    """What at most one mapping may say."""
    if pair.m3ter_entity in PLAN_ENTITIES:
        return [("plan of", pair.external_id)]
    if pair.m3ter_entity == "Account":
        return [("account of", pair.external_id), ("customer of", pair.m3ter_id)]
    if pair.m3ter_entity == "AccountPlan":
        return [("subscription of", pair.m3ter_id)]
    return []


def _allowed(
    services: Services, connection: str, new: dict[Pair, ExternalMapping], known: Iterable[Row[Any]]
) -> tuple[list[tuple[Pair, str]], list[str]]:
    """What can be inserted, with the id in m3ter of each, and why the rest cannot."""
    said = {topic(pair): pair for row in known if (pair := Pair.of(row)).m3ter_entity in SET_UP_ENTITIES}
    right: list[tuple[Pair, str]] = []
    refused: list[str] = []
    for shown, one in new.items():
        pair, faults = shown, list[str]()
        if pair.m3ter_entity in SET_UP_ENTITIES:
            pair, faults = _set_up(services, connection, pair, said)
        elif pair.m3ter_entity == "Account":
            with services.reading() as db:
                faults = guards.refusals(db, connection, [pair])
        refused += faults
        if not faults:
            right.append((pair, one.id))
    return right, refused


def _set_up(
    services: Services, connection: str, pair: Pair, said: dict[tuple[Any, ...], Pair]
) -> tuple[Pair, list[str]]:
    """What a person set up, as the catalogues complete it, and why it cannot be taken."""
    try:
        [pair] = catalogues.checked(services, connection, [pair])
    except BadMapping as fault:
        return pair, [str(fault)]
    if said.setdefault(topic(pair), pair) != pair:
        return pair, [f"{pair}: there is {said[topic(pair)]}"]
    with services.reading() as db:
        return pair, [*guards.refusals(db, connection, [pair]), *guards.rewritten(db, connection, [pair])]


def _insert(services: Services, connection: str, found: Sequence[tuple[Pair, str]], made_by: str) -> list[int]:
    """The rows that were missing; answers the syncs that have something to do now."""
    woken: list[int] = []
    for some in batches(found):
        now, pairs = services.now(), [pair for pair, _ in some]
        people = [pair for pair in pairs if pair.m3ter_entity in SET_UP_ENTITIES]
        with services.transaction() as db:
            woken += set_up.put(db, connection, people, made_by=made_by, now=now) if people else []
            for pair, mapping_id in some:
                own.note_shown(db, connection, pair, mapping_id, made_by="connector", now=now)
            woken += syncs.wake(db, connection, wakes.wishes(pairs), now)
    return woken


def _note(services: Services, connection: str, found: Sequence[tuple[Pair, str]]) -> None:
    """Under which id m3ter shows rows that were here already."""
    for some in batches(found):
        with services.transaction() as db:
            for pair, mapping_id in some:
                own.note_shown(db, connection, pair, mapping_id, made_by="connector", now=services.now())

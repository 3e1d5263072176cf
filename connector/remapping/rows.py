"""Rows of mappings as people want them: from a table with choices, from a form, from a file, and back from a page."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from connector import money
from connector.mappings import table
from connector.mappings.files import COLUMNS, Line, cells_of, of_cells
from connector.mappings.kinds import AD_HOC, ANY, CHARGE_ENTITIES, ITEM_PRICE, NOT_METERED, PLAN, PLAN_ENTITIES
from connector.mappings.pairs import BadMapping, Pair, topic

# What can be chosen beside an id; no id begins like this.
NOT_METERED_CHOICE, AD_HOC_CHOICE, REMOVE_CHOICE = "=not metered", "=ad hoc", "=remove"
LEAVE = ""
# More rows than this at once are for the command line.
MOST_ROWS = 2000


@dataclass(frozen=True)
class Wish:
    """One row as somebody wants it: said, or `gone`.

    Where the row was chosen from a table, `shown` is what it said there (None: nothing); `is_shown` is False for rows that
    were typed. `line` is where it stands in a file.
    """

    pair: Pair
    gone: bool = False
    is_shown: bool = False
    shown: Pair | None = None
    line: int | None = None


def key_of(pair: Pair) -> str:
    """A row of a table as its form carries it."""
    return json.dumps(list(cells_of(pair).values()), ensure_ascii=False)


def open_price(item_price_id: str) -> str:
    """The row of an item price of which nothing is said."""
    return json.dumps(["", "", ITEM_PRICE, item_price_id, "", "", "", ""], ensure_ascii=False)


def open_source(entity: str, m3ter_id: str, currency: str) -> str:
    """The row of a kind of bill line of which nothing is said."""
    return json.dumps([entity, m3ter_id, "", "", currency, "", "", ""], ensure_ascii=False)


def chosen(key: str, choice: str) -> Wish | None:
    """What choosing this in that row wants; None where it is left as it is. Raises BadMapping for what cannot be."""
    cells = _cells(_list(key))
    choice = choice.strip()
    shown = _pair(cells) if cells["m3ter_entity"] and cells["external_id"] else None
    if choice == LEAVE or (shown is not None and choice == choice_of(shown)):
        return None
    if choice == REMOVE_CHOICE:
        if shown is None:
            raise BadMapping("there is nothing to remove in this row")
        return Wish(shown, gone=True, is_shown=True, shown=shown)
    entity = cells["m3ter_entity"]
    if entity in CHARGE_ENTITIES:
        is_ad_hoc = choice == AD_HOC_CHOICE
        said = {"external_table": AD_HOC if is_ad_hoc else ITEM_PRICE, "external_id": ANY if is_ad_hoc else choice}
    elif entity in ("", *PLAN_ENTITIES):
        is_metered = choice != NOT_METERED_CHOICE
        said = {"m3ter_entity": PLAN if is_metered else NOT_METERED, "m3ter_id": choice if is_metered else ANY}
    else:
        raise BadMapping(f"a mapping of {entity} is removed and added, not chosen")
    return Wish(_pair(cells | said), is_shown=True, shown=shown)


def choice_of(pair: Pair) -> str:
    """What is chosen in the row of this pair."""
    if pair.m3ter_entity == NOT_METERED:
        return NOT_METERED_CHOICE
    if pair.external_table == AD_HOC:
        return AD_HOC_CHOICE
    return pair.external_id if pair.m3ter_entity in CHARGE_ENTITIES else pair.m3ter_id


def of_file(lines: Iterable[Line]) -> list[Wish]:
    """The rows of a file whose lines have no faults."""
    return [Wish(one.pair, line=one.number) for one in lines if one.pair is not None]


def rest(db: Session, connection: str, kept: Sequence[Wish]) -> list[Wish]:
    """That every mapping of people's about which none of these says anything goes."""
    named = {topic(one.pair) for one in kept}
    # A row without its currency is about each currency until the catalogue has said which.
    any_currency = {
        topic(one.pair)[:-1] for one in kept if one.pair.m3ter_entity in CHARGE_ENTITIES and not one.pair.currency
    }
    rows = (Pair.of(row) for row in table.peoples(db, connection))
    return [Wish(pair, gone=True) for pair in rows if topic(pair) not in named and topic(pair)[:-1] not in any_currency]


def to_text(wishes: Iterable[Wish]) -> str:
    """The rows as a page carries them to the next."""
    return json.dumps(
        [
            [list(cells_of(one.pair).values()), one.gone, one.is_shown,
             list(cells_of(one.shown).values()) if one.shown else None, one.line]
            for one in wishes
        ],
        ensure_ascii=False, separators=(",", ":"),
    )  # fmt: skip


def from_text(text: str) -> list[Wish]:
    """The rows that a page has carried; raises BadMapping for what no page of ours carries."""
    return [_wish(one) for one in _list(text)]


def _wish(carried: object) -> Wish:
    match carried:
        case [list() as cells, bool() as gone, bool() as is_shown, list() | None as shown, int() | None as line]:
            before = None if shown is None else _pair(_cells(shown))
            return Wish(_pair(_cells(cells)), gone, is_shown, before, line)
    raise BadMapping("the form is out of date")


def _list(text: str) -> list[object]:
    try:
        found = money.parse_json(text)
    except (ValueError, RecursionError) as error:
        raise BadMapping("the form is out of date") from error
    if not isinstance(found, list) or len(found) > MOST_ROWS:
        raise BadMapping(f"more than {MOST_ROWS} rows at once are for `connector mappings import`")
    return found


def _cells(found: list[object]) -> dict[str, str]:
    if len(found) != len(COLUMNS) or not all(isinstance(one, str) and _can_be_kept(one) for one in found):
        raise BadMapping("the form is out of date")
    return dict(zip(COLUMNS, map(str, found), strict=True))


def _can_be_kept(text: str) -> bool:
    """Whether it could be a cell of a mapping: no id is longer, and every database takes it."""
    return len(text) <= 500 and text.isprintable()


def _pair(cells: dict[str, str]) -> Pair:
    pair, faults = of_cells(cells)
    if pair is None:
        raise BadMapping("; ".join(fault for _, fault in faults))
    return pair

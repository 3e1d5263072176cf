"""People's mappings go out as CSV and come back the same; a file that is wrong says where."""

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.mappings.files import COLUMNS, from_csv, to_csv
from connector.mappings.kinds import ANY, SET_UP_ENTITIES
from connector.mappings.pairs import BadMapping, Pair
from connector.models import ALWAYS
from tests.builders import FEB, JAN

HEADER = "m3ter_entity,m3ter_id,external_table,external_id,currency\n"
WHOLE = ",".join(COLUMNS) + "\n"
EXAMPLE = Path(__file__).parents[2] / "config" / "mappings.example.csv"


@dataclass
class Row:
    """A row of the table, as far as CSV shows it."""

    m3ter_entity: str = "Pricing"
    m3ter_id: str = "pricing-1"
    external_table: str = "ItemPrice"
    external_id: str = "m3ter-usage-USD"
    currency: str | None = "USD"
    customer_id: str = ANY
    valid_from: datetime = ALWAYS
    valid_until: datetime | None = None
    made_by: str = "cli:ada"


def pair(**difference: Any) -> Pair:
    return as_pair(Row(**difference))


def as_pair(row: Row) -> Pair:
    return Pair.of(row)


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        pytest.param(HEADER, [], id="only a header"),
        pytest.param(HEADER + "Pricing,pricing-1,ItemPrice,m3ter-usage-USD,USD\n", [pair()], id="one row"),
        pytest.param(HEADER + "Pricing,pricing-1,ItemPrice,m3ter-usage-USD,USD", [pair()], id="without a last line end"),
        pytest.param(HEADER.replace("\n", "\r\n") + "Pricing,pricing-1,ItemPrice,m3ter-usage-USD,USD\r\n", [pair()],
                     id="line ends of Windows"),
        pytest.param("\ufeff" + HEADER + "Pricing,pricing-1,ItemPrice,m3ter-usage-USD,USD\n", [pair()],
                     id="with the byte order mark of a spreadsheet"),
        pytest.param(HEADER + "Pricing,pricing-1,ItemPrice,m3ter-usage-USD,\n", [pair(currency=None)], id="no currency"),
        pytest.param(HEADER + "Pricing,pricing-1,ItemPrice,m3ter-usage-USD\n", [pair(currency=None)],
                     id="not even the comma before it"),
        pytest.param("m3ter_entity,m3ter_id,external_table,external_id\nPlan,p,ItemPrice,x\n",
                     [Pair("Plan", "p", "ItemPrice", "x")], id="no column for it"),
        pytest.param("external_id,external_table,note,m3ter_id,m3ter_entity\nx,ItemPrice,hello,p,Plan\n",
                     [Pair("Plan", "p", "ItemPrice", "x")], id="columns in another order, and one more"),
        pytest.param(HEADER + "\n Plan , p ,ItemPrice, x ,\n\n", [Pair("Plan", "p", "ItemPrice", "x")],
                     id="empty lines and blanks around the cells"),
        pytest.param(HEADER + '"Plan","p","ItemPrice","a,b ""c""",\n', [Pair("Plan", "p", "ItemPrice", 'a,b "c"')],
                     id="quoted cells"),
        pytest.param(HEADER + "NotMetered,*,ItemPrice,x,\n", [Pair("NotMetered", "*", "ItemPrice", "x")], id="not metered"),
        pytest.param(HEADER + "Plan,p,ItemPrice,'-x,\n", [Pair("Plan", "p", "ItemPrice", "-x")],
                     id="the apostrophe that keeps a cell from being a formula"),
        pytest.param(WHOLE + "Plan,p,ItemPrice,x,,,,\n", [Pair("Plan", "p", "ItemPrice", "x")], id="not limited"),
        pytest.param(WHOLE + "Plan,p,ItemPrice,x,,acme,2026-01-01,2026-02-01\n",
                     [Pair("Plan", "p", "ItemPrice", "x", None, "acme", JAN, FEB)],
                     id="for one customer in one month, whose days begin at midnight in UTC"),
        pytest.param(WHOLE + "Plan,p,ItemPrice,x,,,2026-01-01T02:30:00+02:30,2026-02-01T00:00:00Z\n",
                     [Pair("Plan", "p", "ItemPrice", "x", None, ANY, JAN, FEB)], id="times with their offset from UTC"),
        pytest.param("m3ter_entity,m3ter_id,external_table,external_id,valid_until\nPlan,p,ItemPrice,x,2026-02-01\n",
                     [Pair("Plan", "p", "ItemPrice", "x", valid_until=FEB)], id="an end alone"),
    ],
)  # fmt: skip
def test_a_csv_is_read_as_these_pairs(text, pairs):
    assert from_csv(text) == pairs


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "missing: external_id, external_table, m3ter_entity, m3ter_id", id="an empty file"),
        pytest.param("m3ter_entity;m3ter_id;external_table;external_id\n", "missing", id="semicolons"),
        pytest.param("m3ter_entity,m3ter_id,external_id\n", "missing: external_table", id="a column missing"),
        pytest.param(HEADER + "Plan,p,ItemPrice,x,\nPlan,,ItemPrice,x,\n", "line 3", id="an empty cell"),
        pytest.param(HEADER + "Plan,p\n", "line 2", id="cells missing"),
        pytest.param(HEADER + "Plan,p,ItemPrice, ,\n", "line 2", id="a blank cell"),
        pytest.param(HEADER + "\n\nPlan,,ItemPrice,x,\n", "line 4", id="after empty lines"),
        pytest.param(
            HEADER + 'Plan,"p\np",ItemPrice,x,\nPlan,,ItemPrice,x,\n', "line 4", id="after a cell of two lines"
        ),
        pytest.param(HEADER + "Plan,p,ItemPrice,x,USD,EUR\n", "line 2", id="a cell too many"),
        pytest.param(HEADER + f"Plan,p,ItemPrice,{'x' * 200_000},\n", "larger than", id="a cell that is far too long"),
        pytest.param(HEADER + "Plan,p,ItemPrice,x\ry,\n", "line 3", id="half a row after a carriage return"),
        pytest.param(WHOLE + "Plan,p,ItemPrice,x,,,tomorrow,\n", "line 2: 'tomorrow' is neither a day", id="no day"),
        pytest.param(WHOLE + "Plan,p,ItemPrice,x,,,,2026-02-30\n", "line 2: '2026-02-30' is neither", id="no such day"),
        pytest.param(
            WHOLE + "Plan,p,ItemPrice,x,,,2026-01-01T00:00:00,\n", "its offset from UTC", id="a time of nowhere"
        ),
        pytest.param(WHOLE + "Plan,p,ItemPrice,x,,,0001-01-01T00:00:00+14:00,\n", "is neither", id="before all time"),
    ],
)
def test_a_csv_that_is_wrong_says_where(text, reason):
    with pytest.raises(BadMapping, match=reason):
        from_csv(text)


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from([*",;'\"\n\r\0 =*", "x", "Plan", HEADER]), max_size=30).map("".join)
)
def test_any_text_is_read_or_refused(text):
    for candidate in (text, HEADER + text):
        try:
            found = from_csv(candidate)
        except BadMapping:
            continue
        assert all(one.m3ter_entity and one.m3ter_id and one.external_table and one.external_id for one in found)


ids = st.from_regex(r"\A['=+\-@]?[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]{0,20}[^\s\x00-\x1f\x7f]\Z").map(str.strip) | (
    st.sampled_from(["*", "-1", "=1+1", "'quoted'", "''", "a,b", 'a"b', "@x", "+x", "'=x"])
)
moments = st.datetimes(ALWAYS.replace(tzinfo=None), timezones=st.just(UTC)) | st.sampled_from(
    [JAN, FEB - timedelta(hours=1)]
)
rows = st.builds(
    Row, m3ter_entity=st.sampled_from(SET_UP_ENTITIES), m3ter_id=ids, external_id=ids,
    currency=st.none() | st.sampled_from(["USD", "EUR"]), customer_id=ids, valid_from=st.just(ALWAYS) | moments,
    valid_until=st.none() | moments,
)  # fmt: skip


@given(st.lists(rows, max_size=5))
def test_what_is_written_is_read_back(rows):
    assert from_csv(to_csv(rows)) == [as_pair(row) for row in rows]


@given(st.lists(rows, max_size=5))
def test_no_cell_starts_a_formula(rows):
    written = list(csv.reader(io.StringIO(to_csv(rows))))
    assert written[0] == list(COLUMNS)
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in written for cell in row)


def test_the_connectors_own_rows_are_left_out():
    own = [Row(m3ter_entity=entity, made_by="connector") for entity in ("Account", "AccountPlan", "Bill", "BillItem")]
    assert to_csv(own) == WHOLE


def test_what_is_not_limited_is_left_empty():
    assert to_csv([Row()]) == WHOLE + "Pricing,pricing-1,ItemPrice,m3ter-usage-USD,USD,,,\n"


def test_an_account_that_a_person_has_mapped_is_written_too():
    taken_over = Row(
        m3ter_entity="Account", m3ter_id="account-1", external_table="Customer", external_id="acme", currency=None
    )
    assert from_csv(to_csv([taken_over])) == [as_pair(taken_over)]


def test_the_example_can_be_read_and_written():
    pairs = from_csv(EXAMPLE.read_text(encoding="utf-8"))
    assert pairs
    assert from_csv(to_csv([Row(**vars(one)) for one in pairs])) == pairs

"""Since when a backdated change holds, as far as its event says that, and until when a bill reaches."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from connector.days import billed_until
from connector.handlers import changed_since
from tests.builders import bill

TERM, SINCE, MADE, END = 1767225600, 1768003200, 1769000000, 1769904000


def line(start: Any, kind: str = "plan_item_price") -> dict[str, Any]:
    return {"entity_type": kind, "date_from": start, "date_to": END}


def told(invoice: list[dict[str, Any]], *credited: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "subscription": {"current_term_start": TERM, "updated_at": MADE},
        "invoice": {"line_items": invoice},
        "credit_notes": [{"line_items": lines} for lines in credited],
    }


@pytest.mark.parametrize(
    ("content", "since"),
    [
        pytest.param(told([line(SINCE)]), SINCE, id="the charge says it"),
        pytest.param(told([line(SINCE)], [line(SINCE, "addon_item_price")]), SINCE, id="charge and credit agree"),
        pytest.param(told([line(TERM)]), TERM, id="since the term began"),
        pytest.param(told([line(SINCE), line(TERM)]), None, id="two times"),
        pytest.param(told([line(SINCE)], [line(TERM)]), None, id="charge and credit differ"),
        pytest.param(told([line(SINCE, "charge_item_price")]), None, id="only a one-time charge"),
        pytest.param(told([line(SINCE), line(TERM, "adhoc")]), SINCE, id="one-time charges do not count"),
        pytest.param(told([line(TERM - 1)]), None, id="before the term: of something else"),
        pytest.param(told([line(MADE)]), None, id="when it was made: that is no backdating"),
        pytest.param(told([line(None)]), None, id="no time"),
        pytest.param(
            {"subscription": {"updated_at": MADE}, "invoice": {"line_items": [line(SINCE)]}}, None, id="no term"
        ),
        pytest.param({"subscription": {}}, None, id="nothing at all"),
    ],
)
def test_a_backdated_change_holds_since_its_prorated_lines_begin(content: dict[str, Any], since: int | None) -> None:
    assert changed_since(content) == (None if since is None else datetime.fromtimestamp(since, UTC))


@pytest.mark.parametrize(
    ("difference", "until"),
    [
        ({}, datetime(2026, 2, 1, tzinfo=UTC)),
        ({"timezone": "Europe/Berlin"}, datetime(2026, 1, 31, 23, tzinfo=UTC)),
        ({"end_date": None}, datetime(2026, 2, 1, tzinfo=UTC)),
        ({"timezone": "Middle/Earth"}, datetime(2026, 2, 1, 12, tzinfo=UTC)),
        ({"end_date": None, "bill_date": None}, datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_a_bill_reaches_until_its_last_day_or_as_late_as_it_may(difference: dict[str, Any], until: datetime) -> None:
    assert billed_until(bill(**{"bill_date": date(2026, 2, 1)} | difference)) == until

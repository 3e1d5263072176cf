"""A balance over time: what the picture holds, and that the drawing and the page show all of it, harmlessly."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.balances import chart_page, drawing, picture
from connector.balances.forecast import Credit, forecast
from connector.balances.held import standing
from connector.balances.picture import Picture
from connector.balances.upcoming import ComingCharge
from connector.clients.m3ter_balance_objects import Balance, Charge, Transaction
from tests.rules.test_held_and_forecast import APRIL, DAY, END, MOVES, YEAR, balance, booked, drawn, feb

SVG = "{http://www.w3.org/2000/svg}"
NASTY = "<script>alert('x')</script> & \"Söhne\""


def charge(amount: str, currency: str, day: str, bill_id: str | None = None, **fields: Any) -> Charge:
    return Charge.from_json(
        {"id": day, "version": 1, "code": day, "name": "Top-up fee", "accountId": "a", "entityType": "BALANCE",
         "entityId": "b", "lineItemType": "BALANCE_FEE", "currency": currency, "amount": Decimal(amount),
         "servicePeriodStartDate": f"{day}T00:00:00Z", "servicePeriodEndDate": "2027-01-01T00:00:00Z", "billDate": day,
         "billId": bill_id} | fields
    )  # fmt: skip


def made(
    life: Balance | None = None, moves: Sequence[Transaction] = MOVES, now: datetime = APRIL, **difference: Any
) -> Picture:
    """The worked example with a charge in euros, and a quarter's credit and charge to come."""
    life = life or balance()
    coming = [Credit(datetime(2026, 4, 20, tzinfo=UTC), Decimal(50))]
    told = forecast(life, moves, standing(life, moves, now).held, now, coming=coming)
    values: dict[str, Any] = {
        "charges": [charge("900", "EUR", "2026-01-01", "bill-1"), charge("40", "EUR", "2026-04-02")],
        "threshold": Decimal(250), "coming_credits": coming, "forecast": told,
        "coming_charges": [ComingCharge(date(2026, 4, 20), Decimal(45), "EUR", "Quarter")],
    } | difference  # fmt: skip
    return picture.compose(life, moves, values.pop("charges"), now=now, **values)


def elements(drawn_chart: str, kind: str) -> list[ElementTree.Element]:
    """The drawing's elements of this class."""
    return [one for one in ElementTree.fromstring(drawn_chart).iter() if one.get("class") == kind]  # noqa: S314


def test_the_steps_are_what_was_held_from_each_moment_on() -> None:
    assert made().steps == (
        (YEAR, 1000), (feb(1), 690), (datetime(2026, 3, 1, tzinfo=UTC), 410), (datetime(2026, 4, 1, tzinfo=UTC), 193),
        (APRIL, 193),
    )  # fmt: skip


def test_what_lies_far_back_is_summed_up_in_the_first_step() -> None:
    old = balance(start=YEAR - 900 * DAY, end=END)
    shown = made(old, [booked("500", YEAR - 899 * DAY), drawn("20", feb(1))])
    assert shown.since == APRIL - picture.PAST
    assert shown.steps[0] == (shown.since, 500)


def test_what_counts_from_later_is_not_drawn_as_held() -> None:
    shown = made(moves=[*MOVES, booked("70", APRIL + DAY)])
    assert (shown.steps[-1], shown.stands.held, len(shown.movements)) == ((APRIL, 193), 193, 4)


def test_an_ended_balance_is_drawn_until_its_end_with_what_expired() -> None:
    shown = made(now=END + 50 * DAY)
    assert (shown.until, shown.steps[-1], shown.movements[-1].made_by) == (END, (END, 0), "expired")
    assert "193.00 USD expired. " in picture.summary(shown)
    assert "It has ended." in picture.summary(shown)


def test_the_horizon_bounds_what_is_drawn_of_a_long_life() -> None:
    assert made(balance(end=YEAR + 3000 * DAY)).until == APRIL + timedelta(days=365)


def test_the_summary_says_what_the_chart_shows() -> None:
    assert picture.summary(made()) == (
        "On 2026-04-11 the balance holds 193.00 USD: 1,000.00 USD came in, 807.00 USD went out. It is watched for falling "
        "below 250.00 USD. About 84.24 USD are used and not drawn yet. At 8.4237 USD a day it runs out on 2026-04-29."
    )


def test_every_amount_in_json_is_an_exact_text_with_its_currency() -> None:
    shown = picture.as_json(made())
    assert (shown["held"], shown["currency"], shown["movements"][1]["amount"]) == ("193", "USD", "-310")
    assert [(one["amount"], one["currency"], one["bill_id"]) for one in shown["charges"]] == [
        ("900", "EUR", "bill-1"), ("40", "EUR", None),
    ]  # fmt: skip
    assert shown["coming_charges"] == [
        {"day": "2026-04-20", "amount": "45", "currency": "EUR", "description": "Quarter"}
    ]


def test_the_drawing_marks_every_movement_charge_and_run_and_names_their_amounts() -> None:
    chart = drawing.svg(made())
    counts = {
        kind: len(elements(chart, kind)) - 1 for kind in ("credit", "debit", "charge", "credit coming", "charge coming")
    }
    assert counts == {
        "credit": 1,
        "debit": 3,
        "charge": 2,
        "credit coming": 1,
        "charge coming": 1,
    }  # but for the legend
    texts = [one.text for one in ElementTree.fromstring(chart).iter(f"{SVG}text")]  # noqa: S314
    for words in (
        "+1,000.00 USD",
        "-310.00 USD",
        "900.00 EUR",
        "45.00 EUR",
        "threshold 250.00 USD",
        "runs out 2026-04-29",
    ):
        assert words in texts


def test_the_line_of_what_was_held_is_drawn_to_scale() -> None:
    shown = made(moves=[booked("1000", YEAR), drawn("500", feb(1))], threshold=None)
    [held] = elements(drawing.svg(shown), "held")[:1]
    path = str(held.get("d"))
    xs = [Decimal(one) for one in re.findall(r"[MH]([\d.]+)", path)]
    ys = [Decimal(one) for one in re.findall(r"(?:V|M[\d.]+ )([\d.]+)", path)]
    assert (ys[0], ys[1]) == (Decimal(drawing.TOP), Decimal(drawing.TOP + drawing.BOTTOM) * Decimal("0.5"))
    assert xs[0] == drawing.LEFT
    # 31 of 365 days.
    assert xs[1] - xs[0] == pytest.approx(
        Decimal(drawing.RIGHT - drawing.LEFT) * 31 * Decimal("0.00274"), abs=Decimal("0.2")
    )


def test_the_drawing_has_a_text_alternative_and_nothing_that_a_strict_page_forbids() -> None:
    chart = drawing.svg(made(replace(balance(), name=NASTY)))
    root = ElementTree.fromstring(chart)  # noqa: S314
    assert root.get("role") == "img"
    ids = [one.get("id") for one in root if one.tag in (f"{SVG}title", f"{SVG}desc")]
    assert str(root.get("aria-labelledby")).split() == ids
    assert NASTY in str(root[0].text)
    assert {one.tag.removeprefix(SVG) for one in root.iter()} <= {
        "svg", "title", "desc", "rect", "line", "path", "text", "polyline", "circle",
    }  # fmt: skip
    attributes = {name for one in root.iter() for name in one.attrib}
    assert not {name for name in attributes if name == "style" or name.startswith("on") or "href" in name}
    assert "<style>" in drawing.standalone(made())
    assert "<style>" not in chart


def test_every_class_of_the_drawing_has_its_looks() -> None:
    chart = drawing.svg(made(balance(rollover_end=END + DAY)))
    used = {word for one in ElementTree.fromstring(chart).iter() for word in (one.get("class") or "").split()}  # noqa: S314
    assert {word for word in used if f".{word}" not in drawing.STYLE} <= {"tick"}


lists = st.lists(
    st.tuples(st.decimals(-(10**9), 10**9, places=4), st.integers(-10, 500), st.sampled_from(["BILL", "USER"])),
    max_size=8,
)


@given(lists, st.integers(-20, 600), st.sampled_from([1, 40, 365, 4000]))
def test_whatever_the_balance_has_been_through_it_can_be_drawn(
    moves: list[tuple[Decimal, int, str]], day: int, life: int
) -> None:
    rows = [
        replace(booked("1", YEAR + at * DAY, by), amount=amount, id=str(number))
        for number, (amount, at, by) in enumerate(moves)
    ]
    shown = made(balance(end=YEAR + life * DAY), rows, YEAR + day * DAY)
    places = [
        value
        for one in ElementTree.fromstring(drawing.svg(shown)).iter()  # noqa: S314
        for name, value in one.items()
        if name in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "d", "points")
    ]
    numbers = [Decimal(number) for place in places for number in re.findall(r"-?\d+(?:\.\d+)?", place)]
    assert all(0 <= one <= drawing.WIDTH for one in numbers)
    # The amounts beside the axis are in order, and what was held lies between the first and the last.
    ticks = drawing._ticks(drawing._values(shown))
    assert ticks == sorted(set(ticks))
    assert len(ticks) <= 7
    assert all(ticks[0] <= held <= ticks[-1] for _, held in shown.steps)


class Read(HTMLParser):
    """What a page holds: its elements with their attributes, and its rows."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.in_cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1] and self.in_cell:
            self.rows[-1][-1] += data.strip()

    def handle_endtag(self, tag: str) -> None:
        self.in_cell = self.in_cell and tag not in ("td", "th")


def test_the_page_says_all_that_the_chart_shows_each_amount_with_its_currency() -> None:
    rows = Read(chart_page.to_page(made())).rows
    assert ["2026-01-01 00:00", "1,000.00 USD", "1,000.00 USD", "by a person", "", ""] in rows
    assert ["2026-04-01 00:00", "-217.00 USD", "193.00 USD", "drawn by a bill", "", ""] in rows
    assert ["2026-01-01", "900.00 EUR", "Top-up fee", "bill-1"] in rows
    assert ["2026-04-02", "40.00 EUR", "Top-up fee", "not billed yet"] in rows
    assert ["2026-04-20", "50.00 USD", "credit"] in rows
    assert ["2026-04-20", "45.00 EUR", "charge: Quarter"] in rows


def test_what_others_wrote_stands_on_the_page_as_text() -> None:
    moves = [booked("5", YEAR, description=NASTY)]
    page = chart_page.to_page(
        made(replace(balance(), name=NASTY, code=NASTY), moves, charges=[charge("1", "EUR", "2026-01-02", name=NASTY)],
             disagreements=[NASTY])
    )  # fmt: skip
    read = Read(page)
    assert not {"script", "img", "link", "iframe"} & {name for name, _ in read.elements}
    assert any(NASTY in cell for row in read.rows for cell in row)


def test_the_page_asks_for_nothing_and_works_on_a_phone() -> None:
    read = Read(chart_page.to_page(made()))
    policies = [found["content"] for name, found in read.elements if name == "meta" and "http-equiv" in found]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in [
        found for _, found in read.elements
    ]
    assert not [found for _, found in read.elements if {"src", "href", "style"} & set(found)]
    # Whatever is wider than the screen scrolls by itself, by keyboard too, and says what it is.
    wide = [found for _, found in read.elements if found.get("class") == "wide"]
    assert len(wide) == 4
    assert all(one["tabindex"] == "0" and one["role"] == "region" for one in wide)


@pytest.mark.parametrize("ground", ["light", "dark"])
def test_all_text_of_the_chart_can_be_read(ground: str) -> None:
    """At least 4.5 to 1 against its ground (WCAG 2.2 AA, 1.4.3), and 3 to 1 for lines and marks (1.4.11)."""
    light, dark = drawing.STYLE.split("@media", 1)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", {"light": light, "dark": dark}[ground]))
    for name in ("ink", "quiet", "credit", "debit", "expected", "threshold", "charge"):
        assert contrast(colours[name], colours["ground"]) >= 4.5, name
    assert contrast(colours["held"], colours["ground"]) >= 3
    assert contrast(colours["held"], colours["area"]) >= 3


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as WCAG defines it."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue

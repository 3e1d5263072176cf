"""A customer's timeline as SVG: one lane for each item of a subscription, in whole pixels and tenths of them.

It has no looks of its own: those are the console's style sheet's, by classes. Nothing is told by its colour alone: what is not
confirmed is dashed, what is open ends in an arrow, and every kind has its words.
"""

from datetime import datetime
from xml.etree import ElementTree

from connector.canvas import days_to_name, px
from connector.customer_overview.timeline import Bar, Group, Lane, Timeline

WIDTH = 960
LEFT, RIGHT, TOP = 230, 936, 44
HEAD, ROW, BAR = 30, 34, 18
# What a letter takes at most, at the size of the labels.
LETTER = 7
# More lanes make no picture that a person can read; the table has them all.
MOST_LANES = 60
ELLIPSIS = "…"


def drawn(of: Timeline) -> list[Group]:
    """The subscriptions of which at most `MOST_LANES` lanes are drawn, in all."""
    found, room = [], MOST_LANES
    for one in of.groups:
        if room - len(one.lanes) < 0:
            break
        room -= len(one.lanes)
        found.append(one)
    return found


def svg(of: Timeline, title: str) -> str:
    """The picture as an element to put into a page; all that it is given is escaped."""
    groups = drawn(of)
    height = TOP + sum(HEAD + ROW * max(1, len(one.lanes)) for one in groups) + 40
    root = ElementTree.Element(
        "svg",
        {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {WIDTH} {height}", "class": "timeline", "role": "img",
         "aria-labelledby": "timeline-title timeline-desc"},
    )  # fmt: skip
    ElementTree.SubElement(root, "title", {"id": "timeline-title"}).text = title
    described = "Each lane is an item of a subscription; the table below says the same."
    ElementTree.SubElement(root, "desc", {"id": "timeline-desc"}).text = described
    bottom = height - 30
    for day, words in days_to_name(of.since, of.until):
        x = _x(of, day)
        _line(root, "grid", x, TOP * 10, x, bottom * 10)
        _text(root, "quiet", x, bottom * 10 + 160, words, anchor="middle")
    y = TOP
    for one in groups:
        _group(root, of, one, y)
        y += HEAD + ROW * max(1, len(one.lanes))
    _moments(root, of, bottom)
    return ElementTree.tostring(root, encoding="unicode")


def _x(of: Timeline, at: datetime) -> int:
    """Tenths of pixels from the left, inside the plot."""
    inside = min(max(at, of.since), of.until) - of.since
    return LEFT * 10 + (RIGHT - LEFT) * 10 * inside // (of.until - of.since)


def _group(root: ElementTree.Element, of: Timeline, one: Group, top: int) -> None:
    _line(root, "edge", 0, top * 10, RIGHT * 10, top * 10)
    _text(root, "name", 0, (top + 20) * 10, _cut(f"{one.subscription_id} ({one.status})", 60))
    for number, lane in enumerate(one.lanes):
        _lane(root, of, lane, top + HEAD + ROW * number)
    height = ROW * max(1, len(one.lanes))
    for stop in one.stops:
        _stop(root, of, stop, top + HEAD, height)


def _lane(root: ElementTree.Element, of: Timeline, lane: Lane, top: int) -> None:
    label = _text(root, "item", 0, (top + 14) * 10, _cut(lane.item_price_id, 30))
    ElementTree.SubElement(label, "title").text = lane.item_price_id
    if lane.remark:
        _text(root, "quiet", 0, (top + 28) * 10, lane.remark)
    for start, end in lane.on_subscription:
        _rect(root, of, "on-subscription", start, end, top + BAR + 4, 4)
    for bar in lane.bars:
        box = _rect(root, of, bar.kind, bar.start, bar.end, top, BAR)
        if box is None:
            continue
        x, width = box
        _words(root, f"{bar.kind}-text", x, width, top + 13, bar)
        if bar.end is None:
            _add(root, "path", "open", d=f"M{px(x + width)} {top}l8 {BAR // 2}l-8 {BAR // 2}z")


def _stop(root: ElementTree.Element, of: Timeline, stop: Bar, top: int, height: int) -> None:
    box = _rect(root, of, "stop", stop.start, stop.end, top - 2, height - 4)
    if box is not None:
        _words(root, "stop-text", *box, top + height - 9, stop)


def _rect(
    root: ElementTree.Element, of: Timeline, kind: str, start: datetime, end: datetime | None, top: int, height: int
) -> tuple[int, int] | None:
    """A time as a rectangle, and its left edge and width in tenths of pixels; None for what is not in the picture."""
    if start >= of.until or (end is not None and end <= of.since):
        return None
    x = _x(of, start)
    width = max(20, _x(of, end or of.until) - x)
    _add(root, "rect", kind, x=x, y=top * 10, width=width, height=height * 10)
    return x, width


def _words(root: ElementTree.Element, kind: str, x: int, width: int, y: int, bar: Bar) -> None:
    """What the bar is, as far as there is room for it; the whole is said when somebody points at it."""
    room = (width - 80) // (LETTER * 10)
    words = _cut(bar.words, room)
    if words:
        label = _text(root, kind, x + 50, y * 10, words)
        ElementTree.SubElement(label, "title").text = f"{bar.words}: {said(bar.start, bar.end)}"


def said(start: datetime, end: datetime | None) -> str:
    """The time as a person reads it; its end is exclusive."""
    return f"from {start:%Y-%m-%d %H:%M} until {f'{end:%Y-%m-%d %H:%M}' if end is not None else 'open end'}"


def _moments(root: ElementTree.Element, of: Timeline, bottom: int) -> None:
    """Until when approved bills reach, and now."""
    named = [(of.now, "now", 14)]
    if of.billed_until is not None and of.since < of.billed_until < of.until:
        named.append((of.billed_until, "billed until here", 30))
    for at, words, y in named:
        x = _x(of, at)
        _line(root, words.split(" ", 1)[0], x, (y + 4) * 10, x, bottom * 10)
        _text(root, "name", x, y * 10, words, anchor="middle")


def _cut(words: str, most: int) -> str:
    """The words, cut where there is no room; nothing where there is none for three letters."""
    if len(words) <= most:
        return words
    return words[: most - 1] + ELLIPSIS if most >= 4 else ""


def _add(root: ElementTree.Element, name: str, kind: str, **attributes: str | int) -> ElementTree.Element:
    """An element with its class; whole numbers are tenths of pixels."""
    return ElementTree.SubElement(root, name, {"class": kind} | {key: px(value) for key, value in attributes.items()})


def _line(root: ElementTree.Element, kind: str, x1: int, y1: int, x2: int, y2: int) -> None:
    _add(root, "line", kind, x1=x1, y1=y1, x2=x2, y2=y2)


def _text(
    root: ElementTree.Element, kind: str, x: int, y: int, words: str, *, anchor: str = "start"
) -> ElementTree.Element:
    label = _add(root, "text", kind, x=x, y=y)
    label.set("text-anchor", anchor)
    # What XML cannot hold is in no id that a person reads.
    label.text = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in words)
    return label

"""A customer's timeline as SVG: one lane for each item of a subscription, wide for a desk, narrow for a phone.

It has no looks of its own: those are the console's style sheet's, by classes. Nothing is told by its colour alone: what is not
confirmed is dashed, what is open ends in an arrow, and every kind has its words.
"""

from dataclasses import dataclass
from datetime import datetime
from xml.etree import ElementTree

from connector import canvas
from connector.canvas import Canvas, days_to_name, px
from connector.customer_overview.timeline import Bar, Group, Lane, Timeline

TOP, BOTTOM = 44, 40
HEAD, ROW, BAR = 30, 34, 18
# What a letter takes at most, at the size of the labels.
LETTER = 7
# More lanes make no picture that a person can read; the table has them all.
MOST_LANES = 60
ELLIPSIS = "…"


@dataclass(frozen=True)
class Frame:
    """The measures of a picture in pixels: times lie between `left` and `right`; the name of an item stands left of its bars,
    or above them where `above` leaves room for it."""

    name: str
    width: int
    left: int
    right: int
    above: int = 0


DESK = Frame("desk", width=960, left=230, right=936)
PHONE = Frame("phone", width=330, left=2, right=310, above=16)


def drawn(of: Timeline) -> list[Group]:
    """The subscriptions of which at most `MOST_LANES` lanes are drawn, in all."""
    found, room = [], MOST_LANES
    for one in of.groups:
        if room - len(one.lanes) < 0:
            break
        room -= len(one.lanes)
        found.append(one)
    return found


def svg(of: Timeline, title: str, frame: Frame = DESK) -> str:
    """The picture as an element to put into a page; all that it is given is escaped."""
    groups = drawn(of)
    lanes = [max(1, len(one.lanes)) * (ROW + frame.above) for one in groups]
    height = TOP + sum(HEAD + one for one in lanes) + BOTTOM
    described = "Each lane is an item of a subscription; the table below says the same."
    root = canvas.root(f"timeline-{frame.name}", f"timeline {frame.name}", frame.width, height, title, described)
    picture = _Drawing(Canvas(root, frame.width), frame, of)
    bottom = height - BOTTOM + 10
    picture.days(bottom)
    y = TOP
    for one, taken in zip(groups, lanes, strict=True):
        picture.group(one, y, taken)
        y += HEAD + taken
    picture.moments(bottom)
    return picture.canvas.written()


@dataclass(frozen=True)
class _Drawing:
    """A picture while it is drawn: heights are in pixels, what lies across in tenths of them."""

    canvas: Canvas
    frame: Frame
    of: Timeline

    def days(self, bottom: int) -> None:
        """A line for each of some days, with its name where the one before leaves room."""
        free = 0
        for day, words in days_to_name(self.of.since, self.of.until):
            x = self._x(day)
            self.canvas.line("grid", x, TOP * 10, x, bottom * 10)
            middle, half = self._inside(x, words)
            if middle - half >= free:
                self._text("quiet", middle, bottom + 16, words, anchor="middle")
                free = middle + half + LETTER * 10

    def group(self, one: Group, top: int, height: int) -> None:
        """A subscription with its lanes, which take so much height."""
        self.canvas.line("edge", 0, top * 10, self.frame.right * 10, top * 10)
        self._text("name", 0, top + 20, _cut(f"{one.subscription_id} ({one.status})", self._letters(60)))
        for number, lane in enumerate(one.lanes):
            self._lane(lane, top + HEAD + (ROW + self.frame.above) * number)
        for stop in one.stops:
            box = self._rect("stop", stop.start, stop.end, top + HEAD - 2, height - 4)
            if box is not None:
                self._words("stop-text", *box, top + HEAD + height - 9, stop)

    def moments(self, bottom: int) -> None:
        """Until when approved bills reach, and now."""
        of, named = self.of, [(self.of.now, "now", 14)]
        if of.billed_until is not None and of.since < of.billed_until < of.until:
            named.append((of.billed_until, "billed until here", 30))
        for at, words, y in named:
            x = self._x(at)
            self.canvas.line(words.split(" ", 1)[0], x, (y + 4) * 10, x, bottom * 10)
            self._text("name", self._inside(x, words)[0], y, words, anchor="middle")

    def _lane(self, lane: Lane, top: int) -> None:
        if self.frame.above:
            item = f"{lane.item_price_id}, {lane.remark}" if lane.remark else lane.item_price_id
            label = self._text("item", 0, top + 10, _cut(item, self._letters(60)))
        else:
            label = self._text("item", 0, top + 14, _cut(lane.item_price_id, 30))
            if lane.remark:
                self._text("quiet", 0, top + 28, lane.remark)
        ElementTree.SubElement(label, "title").text = lane.item_price_id
        top += self.frame.above
        for start, end in lane.on_subscription:
            self._rect("on-subscription", start, end, top + BAR + 4, 4)
        for bar in lane.bars:
            box = self._rect(bar.kind, bar.start, bar.end, top, BAR)
            if box is None:
                continue
            self._words(f"{bar.kind}-text", *box, top + 13, bar)
            if bar.end is None:
                self.canvas.add("path", "open", d=f"M{px(sum(box))} {top}l8 {BAR // 2}l-8 {BAR // 2}z")

    def _letters(self, most: int) -> int:
        return min(most, self.frame.width // LETTER)

    def _x(self, at: datetime) -> int:
        of, frame = self.of, self.frame
        inside = min(max(at, of.since), of.until) - of.since
        return frame.left * 10 + (frame.right - frame.left) * 10 * inside // (of.until - of.since)

    def _inside(self, x: int, words: str) -> tuple[int, int]:
        """The middle of the words as near to `x` as they fit into the picture, and half of how long they are."""
        half = LETTER * len(words) * 5
        return min(max(x, half), self.frame.width * 10 - half), half

    def _rect(self, kind: str, start: datetime, end: datetime | None, top: int, height: int) -> tuple[int, int] | None:
        """A time as a rectangle, and its left edge and width; None for what is not in the picture."""
        if start >= self.of.until or (end is not None and end <= self.of.since):
            return None
        x = self._x(start)
        width = max(20, self._x(end or self.of.until) - x)
        self.canvas.add("rect", kind, x=x, y=top * 10, width=width, height=height * 10)
        return x, width

    def _words(self, kind: str, x: int, width: int, y: int, bar: Bar) -> None:
        """What the bar is, as far as there is room for it; the whole is said when somebody points at it."""
        words = _cut(bar.words, (width - 80) // (LETTER * 10))
        if words:
            label = self._text(kind, x + 50, y, words)
            ElementTree.SubElement(label, "title").text = f"{bar.words}: {said(bar.start, bar.end)}"

    def _text(self, kind: str, x: int, y: int, words: str, *, anchor: str = "start") -> ElementTree.Element:
        label = self.canvas.add("text", kind, x=x, y=y * 10, text_anchor=anchor)
        # What XML cannot hold is in no id that a person reads.
        label.text = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in words)
        return label


def said(start: datetime, end: datetime | None) -> str:
    """The time as a person reads it; its end is exclusive."""
    return f"from {start:%Y-%m-%d %H:%M} until {f'{end:%Y-%m-%d %H:%M}' if end is not None else 'open end'}"


def _cut(words: str, most: int) -> str:
    """The words, cut where there is no room; nothing where there is none for three letters."""
    if len(words) <= most:
        return words
    return words[: most - 1] + ELLIPSIS if most >= 4 else ""

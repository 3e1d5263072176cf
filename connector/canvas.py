"""What charts are drawn on: SVG elements with classes and no style of their own, placed in whole tenths of pixels, without
floats; and labels that never lie on each other."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from xml.etree import ElementTree

from connector.moments import midnight

# What a letter takes at most, at the size of the labels and in the widest of the fonts that systems have for their pages.
LETTER, LINE = 8, 13
MONTHS = (1, 2, 3, 6, 12)


def root(name: str, kind: str, width: int, height: int, title: str, described: str) -> ElementTree.Element:
    """An empty drawing with its title and description, which stand for it where it cannot be seen."""
    element = ElementTree.Element(
        "svg",
        {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {width} {height}", "class": kind,
         "role": "img", "aria-labelledby": f"{name}-title {name}-desc"},
    )  # fmt: skip
    ElementTree.SubElement(element, "title", {"id": f"{name}-title"}).text = title
    ElementTree.SubElement(element, "desc", {"id": f"{name}-desc"}).text = described
    return element


@dataclass
class Canvas:
    """Where things are drawn, and the rectangles that labels have taken; `width` is in pixels."""

    root: ElementTree.Element
    width: int
    taken: list[tuple[int, int, int, int]] = field(default_factory=list, kw_only=True)

    def add(self, name: str, kind: str, **attributes: str | int) -> ElementTree.Element:
        """An element with its class; whole numbers are tenths of pixels."""
        texts = {key.replace("_", "-"): px(value) for key, value in attributes.items()}
        return ElementTree.SubElement(self.root, name, {"class": kind} | texts)

    def line(self, kind: str, x1: int, y1: int, x2: int, y2: int) -> None:
        """A straight line."""
        self.add("line", kind, x1=x1, y1=y1, x2=x2, y2=y2)

    def text(self, kind: str, x: int, y: int, words: str, *, anchor: str = "middle", must: bool = False) -> bool:
        """A label, unless it would lie on another one or reach out of the drawing; False where it was left out."""
        width = LETTER * len(words)
        start = x // 10 - {"start": 0, "middle": width // 2, "end": width}[anchor]
        box = (start, y // 10 - LINE + 2, start + width, y // 10 + 3)
        is_inside = start >= 0 and start + width <= self.width
        if not must and (not is_inside or any(_overlap(box, other) for other in self.taken)):
            return False
        self.taken.append(box)
        self.add("text", kind, x=x, y=y, text_anchor=anchor).text = words
        return True

    def label(self, kind: str, x: int, y: int, words: str, *, beside: int) -> None:
        """A label in the middle at `y`, or to the right or left of its mark at `beside`; none where there is no room."""
        places = ((x, y, "middle"), (x + 100, beside, "start"), (x - 100, beside, "end"))
        _ = any(self.text(kind, at, height, words, anchor=anchor) for at, height, anchor in places)

    def written(self) -> str:
        """The drawing as text."""
        return ElementTree.tostring(self.root, encoding="unicode")


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def px(value: str | int) -> str:
    """Tenths of pixels in pixels; a text stays what it is."""
    return value if isinstance(value, str) else format(Decimal(value).scaleb(-1).normalize(), "f")


def days_to_name(since: datetime, until: datetime) -> list[tuple[datetime, str]]:
    """The days to name below a drawing: firsts of months, or every so many days where there are too few of those."""
    if until - since < timedelta(days=75):
        every = max(1, (until - since) // timedelta(days=1) // 7)
        start = midnight(since.astimezone(UTC).date() + timedelta(days=1))
        days = [start + timedelta(days=every * number) for number in range(8)]
        return [
            (day, f"{day:%-d %b %Y}" if number == 0 else f"{day:%-d %b}")
            for number, day in enumerate(days)
            if day <= until
        ]
    firsts = []
    year, month = since.year, since.month
    while (first := midnight(date(year, month, 1))) <= until:
        firsts.append(first)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    every = next((one for one in MONTHS if len(firsts) <= 9 * one), 12)
    chosen = [day for day in firsts if day >= since and (day.month - 1) % every == 0]
    return [
        (day, f"{day:%b %Y}" if number == 0 or day.month == 1 else f"{day:%b}") for number, day in enumerate(chosen)
    ]

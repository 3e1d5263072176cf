"""What charts are drawn on: SVG elements with classes and no style of their own, placed in whole tenths of pixels, without
floats; and labels that never lie on each other."""

from dataclasses import dataclass, field
from decimal import Decimal
from xml.etree import ElementTree

# What a letter takes at most, at the size of the labels.
LETTER, LINE = 7, 13


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

"""The chart of a balance as SVG, drawn from its picture: whole pixels and tenths of them, worked out without floats.

What it looks like stands in `STYLE`, by classes alone: a page that forbids inline styles can serve that as a file. Nothing
is told by its colour alone: what is still to come is dashed or hollow, and each mark has a shape of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from xml.etree import ElementTree

from connector import canvas as canvases
from connector import money
from connector.balances.held import last_moment
from connector.balances.picture import Picture, summary
from connector.canvas import LETTER, Canvas, days_to_name, px
from connector.moments import midnight

WIDTH, HEIGHT = 960, 430
LEFT, RIGHT, TOP, BOTTOM = 104, 936, 44, 296
LANE, LANE_LABELS = 346, (366, 381)
LEGEND = 414
STEPS_OF_TICKS = (1, 2, 5)

STYLE = """
.balance-chart { --ink: #1f2328; --quiet: #59636e; --grid: #d8dee4; --held: #0b5cad; --area: #dbeafe; --credit: #176f2c;
  --debit: #b3261e; --expected: #6639ba; --threshold: #8a4600; --charge: #9a2a6b; --ground: #ffffff;
  display: block; width: 100%; min-width: 56rem; height: auto; font: 12px system-ui, sans-serif; }
@media (prefers-color-scheme: dark) {
  .balance-chart { --ink: #e6edf3; --quiet: #9da7b3; --grid: #30363d; --held: #6cb6ff; --area: #14304f; --credit: #57c26d;
    --debit: #ff8a80; --expected: #c4a7ff; --threshold: #f0a55a; --charge: #f29ac9; --ground: #0d1117; }
}
.balance-chart text { fill: var(--quiet); paint-order: stroke; stroke: var(--ground); stroke-width: 3px;
  stroke-linejoin: round; font-variant-numeric: tabular-nums; }
.balance-chart .ground { fill: var(--ground); }
.balance-chart .grid { stroke: var(--grid); stroke-width: 1; }
.balance-chart .axis { stroke: var(--quiet); stroke-width: 1; }
.balance-chart .area { fill: var(--area); stroke: none; }
.balance-chart .held { fill: none; stroke: var(--held); stroke-width: 2; stroke-linejoin: round; }
.balance-chart .expected { fill: none; stroke: var(--expected); stroke-width: 2; stroke-dasharray: 6 4; }
.balance-chart .runs-out { fill: var(--ground); stroke: var(--expected); stroke-width: 2; }
.balance-chart .threshold { stroke: var(--threshold); stroke-width: 1.5; stroke-dasharray: 2 3; }
.balance-chart .moment { stroke: var(--quiet); stroke-width: 1; stroke-dasharray: 1 3; }
.balance-chart .credit { fill: var(--credit); stroke: var(--ground); stroke-width: 1; }
.balance-chart .debit { fill: var(--debit); stroke: var(--ground); stroke-width: 1; }
.balance-chart .charge { fill: var(--charge); stroke: var(--ground); stroke-width: 1; }
.balance-chart .coming { fill: var(--ground); stroke-width: 1.5; stroke-dasharray: 2 2; }
.balance-chart .credit.coming { stroke: var(--credit); }
.balance-chart .charge.coming { stroke: var(--charge); }
.balance-chart .stem { stroke: var(--credit); stroke-width: 1; stroke-dasharray: 2 2; }
.balance-chart text.credit-text { fill: var(--credit); }
.balance-chart text.debit-text { fill: var(--debit); }
.balance-chart text.charge-text { fill: var(--charge); }
.balance-chart text.expected-text { fill: var(--expected); }
.balance-chart text.threshold-text { fill: var(--threshold); }
.balance-chart text.ink { fill: var(--ink); }
"""


@dataclass
class _Canvas(Canvas):
    """Where a picture is drawn, and between which amounts."""

    picture: Picture
    low: Decimal
    high: Decimal

    def x(self, at: datetime) -> int:
        """Tenths of pixels from the left, inside the plot."""
        whole = self.picture.until - self.picture.since
        inside = min(max(at, self.picture.since), self.picture.until) - self.picture.since
        return LEFT * 10 + (RIGHT - LEFT) * 10 * inside // whole

    def y(self, value: Decimal) -> int:
        """Tenths of pixels from the top."""
        return BOTTOM * 10 - int((value - self.low) * (BOTTOM - TOP) * 10 // (self.high - self.low))


def standalone(picture: Picture) -> str:
    """The chart as a file of its own, which holds its looks."""
    return svg(picture, with_style=True) + "\n"


def svg(picture: Picture, *, with_style: bool = False) -> str:
    """The chart as an element to put into a page that has `STYLE`."""
    title = f"Balance {picture.balance.name} over time, in {picture.balance.currency}"
    root = canvases.root(f"chart-{picture.balance.id}", "balance-chart", WIDTH, HEIGHT, title, summary(picture))
    if with_style:
        ElementTree.SubElement(root, "style").text = STYLE
    ticks = _ticks(_values(picture))
    canvas = _Canvas(root, WIDTH, picture, ticks[0], ticks[-1])
    canvas.add("rect", "ground", x=0, y=0, width=WIDTH * 10, height=HEIGHT * 10)
    _axes(canvas, ticks)
    _moments(canvas)
    _line_of_what_was_held(canvas)
    _threshold(canvas)
    _expected(canvas)
    _movements(canvas)
    _coming_credits(canvas)
    _charges(canvas)
    _legend(canvas)
    return canvas.written()


def _up(x: int, y: int) -> str:
    """A triangle that stands on this point."""
    return f"M{px(x - 55)} {px(y)}H{px(x + 55)}L{px(x)} {px(y - 90)}Z"


def _down(x: int, y: int) -> str:
    """A triangle that hangs from this point."""
    return f"M{px(x - 55)} {px(y)}H{px(x + 55)}L{px(x)} {px(y + 90)}Z"


def _diamond(x: int, y: int) -> str:
    """A square on its corner, around this point."""
    return f"M{px(x)} {px(y - 60)}L{px(x + 60)} {px(y)}L{px(x)} {px(y + 60)}L{px(x - 60)} {px(y)}Z"


def _values(picture: Picture) -> list[Decimal]:
    """All that has to find its place between the lowest and the highest line."""
    values = [held for _, held in picture.steps] + [held for _, held in picture.forecast.path]
    return [Decimal(0), *values, *([] if picture.threshold is None else [picture.threshold])]


def _ticks(values: Sequence[Decimal]) -> list[Decimal]:
    """Round amounts at equal distances, at most seven of them, around all of the values."""
    low = min(values)
    high = max(*values, low + 1)
    span = high - low
    place = span.adjusted() - 2
    while True:
        for step in (Decimal(one).scaleb(place) for one in STEPS_OF_TICKS):
            first, last = low // step - (1 if low % step < 0 else 0), high // step + (1 if high % step > 0 else 0)
            if last - first <= 5:
                return [step * number for number in range(int(first), max(int(last), int(first) + 1) + 1)]
        place += 1


def _axes(canvas: _Canvas, ticks: Sequence[Decimal]) -> None:
    for value in ticks:
        y = canvas.y(value)
        canvas.line("axis" if value == 0 else "grid", LEFT * 10, y, RIGHT * 10, y)
        words = money.shown(value, canvas.picture.balance.currency)
        canvas.text("tick", LEFT * 10 - 80, y + 40, words, anchor="end", must=True)
    for day, words in days_to_name(canvas.picture.since, canvas.picture.until):
        x = canvas.x(day)
        canvas.line("axis", x, BOTTOM * 10, x, BOTTOM * 10 + 50)
        canvas.text("tick", x, BOTTOM * 10 + 180, words)


def _moments(canvas: _Canvas) -> None:
    """Now, the balance's end, and the end of its rollover, as far as they are in the picture."""
    picture = canvas.picture
    named = [(picture.now, "now")] if picture.now <= picture.until else []
    if picture.balance.rollover_end is not None:
        named += [(picture.balance.end, "ends, rolls over")]
    named += [(last_moment(picture.balance), "ends")]
    for at, words in named:
        if picture.since <= at <= picture.until:
            x = canvas.x(at)
            canvas.line("moment", x, TOP * 10 - 60, x, BOTTOM * 10)
            canvas.text("ink", x, TOP * 10 - 110, words, anchor="end" if x > (RIGHT - 50) * 10 else "middle")


def _line_of_what_was_held(canvas: _Canvas) -> None:
    steps = [(canvas.x(at), canvas.y(held)) for at, held in canvas.picture.steps]
    path = f"M{px(steps[0][0])} {px(steps[0][1])}" + "".join(f"H{px(x)}V{px(y)}" for x, y in steps[1:])
    ground = px(canvas.y(Decimal(0)))
    canvas.add("path", "area", d=f"{path}V{ground}H{px(steps[0][0])}Z")
    canvas.add("path", "held", d=path)


def _threshold(canvas: _Canvas) -> None:
    threshold = canvas.picture.threshold
    if threshold is not None:
        y = canvas.y(threshold)
        canvas.line("threshold", LEFT * 10, y, RIGHT * 10, y)
        words = f"threshold {money.shown(threshold, canvas.picture.balance.currency)}"
        canvas.text("threshold-text", LEFT * 10 + 40, y - 50, words, anchor="start")


def _expected(canvas: _Canvas) -> None:
    told = canvas.picture.forecast
    if not told.path:
        return
    # It begins with a drop by what is used and not drawn yet.
    turns = [(canvas.picture.now, canvas.picture.stands.held), *told.path]
    points = " ".join(f"{px(canvas.x(at))},{px(canvas.y(held))}" for at, held in turns)
    canvas.add("polyline", "expected", points=points)
    if told.runs_out is not None:
        x, y = canvas.x(told.runs_out), canvas.y(Decimal(0))
        canvas.add("circle", "runs-out", cx=x, cy=y, r=45)
        canvas.label("expected-text", x, y - 110, f"runs out {told.runs_out:%Y-%m-%d}", beside=y - 60)


def _movements(canvas: _Canvas) -> None:
    """A triangle that points up for what came in and down for what went out, with its amount where there is room."""
    inside = [one for one in canvas.picture.movements if canvas.picture.since <= one.at <= canvas.picture.until]
    marks = [(one, canvas.x(one.at), canvas.y(one.held)) for one in inside]
    # No label lies on a mark, not even on that of a movement which comes later.
    for one, x, y in marks:
        top = y // 10 - (9 if one.amount > 0 else 0)
        canvas.taken.append((x // 10 - 6, top, x // 10 + 6, top + 9))
    for one, x, y in marks:
        words = _signed(one.amount, canvas.picture.balance.currency)
        if one.amount > 0:
            canvas.add("path", "credit", d=_up(x, y))
            canvas.label("credit-text", x, y - 130, words, beside=y - 30)
        else:
            canvas.add("path", "debit", d=_down(x, y))
            canvas.label("debit-text", x, y + 210, words, beside=y + 80)


def _signed(amount: Decimal, currency: str) -> str:
    return ("+" if amount > 0 else "") + money.shown(amount, currency)


def _coming_credits(canvas: _Canvas) -> None:
    """On stems that stand on the line of nothing: how much will be held then is only expected."""
    ground = canvas.y(Decimal(0))
    for one in canvas.picture.coming_credits:
        if one.at <= canvas.picture.until:
            x = canvas.x(one.at)
            canvas.line("stem", x, ground, x, ground - 260)
            canvas.add("path", "credit coming", d=_up(x, ground - 260))
            canvas.text("credit-text", x, ground - 390, _signed(one.amount, canvas.picture.balance.currency))


def _charges(canvas: _Canvas) -> None:
    """A lane of their own below the chart: charges may be in any currency, and change nothing of the balance."""
    picture = canvas.picture
    canvas.line("grid", LEFT * 10, LANE * 10, RIGHT * 10, LANE * 10)
    canvas.text("tick", LEFT * 10 - 80, LANE * 10 + 40, "charges", anchor="end", must=True)
    marks = [(one.day, one.amount, one.currency, "charge") for one in picture.charges]
    marks += [(one.day, one.amount, one.currency, "charge coming") for one in picture.coming_charges]
    for day, amount, currency, kind in sorted(marks):
        at = midnight(day)
        # The day on which the picture begins may have begun before it.
        if picture.since - timedelta(days=1) < at <= picture.until:
            x, words = canvas.x(at), money.shown(amount, currency)
            canvas.add("path", kind, d=_diamond(x, LANE * 10))
            _ = any(canvas.text("charge-text", x, row * 10, words) for row in LANE_LABELS)


LEGEND_LINES = ("held", "expected", "threshold")
LEGEND_MARKS = {
    "credit": ("credit", _up), "debit": ("debit", _down), "charge": ("charge", _diamond),
    "credit coming": ("credit to come", _up), "charge coming": ("charge to come", _diamond),
}  # fmt: skip


def _legend(canvas: _Canvas) -> None:
    """What each kind of line and mark means."""
    picture, x, y = canvas.picture, LEFT * 10, LEGEND * 10
    absent = {"threshold"} if picture.threshold is None else set()
    absent |= set() if picture.forecast.path else {"expected"}
    for kind in LEGEND_LINES:
        if kind not in absent:
            canvas.line(kind, x, y - 40, x + 240, y - 40)
            canvas.text("ink", x + 300, y, kind, anchor="start", must=True)
            x += 300 + LETTER * 10 * len(kind) + 160
    for kind, (words, shape) in LEGEND_MARKS.items():
        middle = {_up: y, _down: y - 80, _diamond: y - 40}[shape]
        canvas.add("path", kind, d=shape(x + 60, middle))
        canvas.text("ink", x + 160, y, words, anchor="start", must=True)
        x += 160 + LETTER * 10 * len(words) + 160

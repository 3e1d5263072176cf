"""Throughput and latency as SVG, drawn from counts by hour or day. What they look like stands in a style sheet, by classes;
nothing is told by its colour alone: each kind of bar, line and mark differs in its shape too."""

from collections.abc import Callable, Sequence
from datetime import datetime

from connector import canvas as canvases
from connector.canvas import LETTER, Canvas, px
from connector.histogram import BEYOND, bucket_of, in_words
from connector.tallies import HOUR, Slot

WIDTH, HEIGHT = 960, 262
LEFT, RIGHT, TOP, BOTTOM = 64, 948, 18, 204
LEGEND = 250
# How much of its slot a bar takes, of ten.
BAR = 7
STEPS = (1, 2, 5)
MOST_TICKS = 5
# The times to name beside the chart of latency, in seconds.
NAMED = (1, 10, 60, 600, 3600, 28_800, 86_400, 604_800)
# From the bottom of a bar to its top.
BARS = ("succeeded", "superseded", "parked")
PERCENTILES = ("p50", "p95")


def throughput(slots: Sequence[Slot], period: str) -> str:
    """Events received as a line, and syncs by how they ended as bars."""
    most = max(max(one.received, one.succeeded + one.superseded + one.parked) for one in slots)
    ticks = _ticks(most)
    canvas = _canvas("throughput", f"Events and syncs by {period}", throughput_in_words(slots, period))

    def y(number: int) -> int:
        return BOTTOM * 10 - number * (BOTTOM - TOP) * 10 // ticks[-1]

    _axes(canvas, slots, period, [(y(one), f"{one:,}") for one in ticks])
    for number, slot in enumerate(slots):
        low = 0
        for kind in BARS:
            high = low + getattr(slot, kind)
            _bar(canvas, kind, number, len(slots), y(low), y(high))
            low = high
    _line(canvas, "received", [(_middle(n, len(slots)), y(one.received)) for n, one in enumerate(slots)], _dot)
    legend = (("received", "events received"), *((kind, f"syncs {kind}") for kind in BARS))
    _legend(canvas, legend, {"received": _dot})
    return canvas.written()


def latency(slots: Sequence[Slot], period: str) -> str:
    """The times within which half, and nineteen of twenty, of the syncs succeeded, counted from when their event came in."""
    top = max([bucket_of(600), *(one.p95 for one in slots if one.p95 is not None)]) + 1
    canvas = _canvas("latency", f"From received to succeeded, by {period}", latency_in_words(slots, period))

    def y(bucket: int) -> int:
        return BOTTOM * 10 - (bucket + 1) * (BOTTOM - TOP) * 10 // (top + 1)

    named = [bucket_of(seconds) for seconds in NAMED]
    ticks = [(y(one), in_words(one)) for one in named if one <= top]
    _axes(canvas, slots, period, [(BOTTOM * 10, ""), *ticks])
    marks: dict[str, Callable[[Canvas, str, int, int], None]] = {"p50": _dot, "p95": _diamond}
    for kind, mark in marks.items():
        run: list[tuple[int, int]] = []
        for number, slot in enumerate(slots):
            bucket = getattr(slot, kind)
            if bucket is not None:
                run.append((_middle(number, len(slots)), y(min(bucket, BEYOND))))
            if run and (bucket is None or number == len(slots) - 1):
                _line(canvas, kind, run, mark)
                run = []
    _legend(canvas, (("p50", "half of them"), ("p95", "95 of 100")), marks)
    return canvas.written()


def throughput_in_words(slots: Sequence[Slot], period: str) -> str:
    """What the chart of throughput says, in a sentence."""
    ends = ", ".join(f"{sum(getattr(one, kind) for one in slots):,} {kind}" for kind in BARS)
    return f"In the last {len(slots)} {period}s {sum(one.received for one in slots):,} events came in; syncs: {ends}."


def latency_in_words(slots: Sequence[Slot], period: str) -> str:
    """What the chart of latency says, in a sentence."""
    last = next((one for one in reversed(slots) if one.p50 is not None and one.p95 is not None), None)
    if last is None or last.p50 is None or last.p95 is None:
        return f"No sync has succeeded in the last {len(slots)} {period}s."
    when = f"{last.start:%Y-%m-%d %H:%M}" if period == HOUR else f"{last.start:%Y-%m-%d}"
    return f"In the {period} from {when}, half took {in_words(last.p50)} or less, and 95 of 100 {in_words(last.p95)} or less."


def _canvas(name: str, title: str, described: str) -> Canvas:
    return Canvas(canvases.root(f"chart-{name}", "chart", WIDTH, HEIGHT, title, described), WIDTH)


def _ticks(most: int) -> list[int]:
    """Round numbers at equal distances from nothing to the first that is not less than `most`."""
    place = 1
    while True:
        for step in (one * place for one in STEPS):
            if -(-most // step) <= MOST_TICKS:
                return [step * number for number in range(max(1, -(-most // step)) + 1)]
        place *= 10


def _axes(canvas: Canvas, slots: Sequence[Slot], period: str, ticks: Sequence[tuple[int, str]]) -> None:
    for number, (y, words) in enumerate(ticks):
        canvas.line("grid" if number else "axis", LEFT * 10, y, RIGHT * 10, y)
        canvas.text("tick", LEFT * 10 - 80, y + 40, words, anchor="end")
    every = 3 if period == HOUR else 5
    for number, slot in enumerate(slots):
        if number % every == 0 or (period == HOUR and slot.start.hour == 0):
            canvas.text("tick", _middle(number, len(slots)), BOTTOM * 10 + 180, _named(slot.start, period))


def _named(start: datetime, period: str) -> str:
    return f"{start:%-d %b}" if period != HOUR or start.hour == 0 else f"{start:%H:%M}"


def _middle(number: int, of: int) -> int:
    return LEFT * 10 + (RIGHT - LEFT) * 10 * (2 * number + 1) // (2 * of)


def _bar(canvas: Canvas, kind: str, number: int, of: int, low: int, high: int) -> None:
    if low > high:
        width = (RIGHT - LEFT) * BAR // of
        canvas.add("rect", f"bar {kind}", x=_middle(number, of) - width // 2, y=high, width=width, height=low - high)


def _line(
    canvas: Canvas, kind: str, points: Sequence[tuple[int, int]], mark: Callable[[Canvas, str, int, int], None]
) -> None:
    canvas.add("polyline", f"line {kind}", points=" ".join(f"{px(x)},{px(y)}" for x, y in points))
    for x, y in points:
        mark(canvas, kind, x, y)


def _dot(canvas: Canvas, kind: str, x: int, y: int) -> None:
    canvas.add("circle", f"mark {kind}", cx=x, cy=y, r=30)


def _diamond(canvas: Canvas, kind: str, x: int, y: int) -> None:
    d = f"M{px(x)} {px(y - 45)}L{px(x + 45)} {px(y)}L{px(x)} {px(y + 45)}L{px(x - 45)} {px(y)}Z"
    canvas.add("path", f"mark {kind}", d=d)


def _legend(
    canvas: Canvas,
    kinds: Sequence[tuple[str, str]],
    marks: dict[str, Callable[[Canvas, str, int, int], None]],
) -> None:
    x, y = LEFT * 10, LEGEND * 10
    for kind, words in kinds:
        if kind in marks:
            canvas.add("polyline", f"line {kind}", points=f"{px(x)},{px(y - 40)} {px(x + 240)},{px(y - 40)}")
            marks[kind](canvas, kind, x + 120, y - 40)
        else:
            canvas.add("rect", f"bar {kind}", x=x + 60, y=y - 90, width=120, height=100)
        canvas.text("ink", x + 300, y, words, anchor="start", must=True)
        x += 300 + LETTER * 10 * len(words) + 200

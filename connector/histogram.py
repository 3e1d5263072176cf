"""How long things took, kept as counts in fixed buckets, from which percentiles are read: small, and it adds up."""

from bisect import bisect_left
from collections.abc import Mapping

# The longest time of each bucket, in seconds; what takes longer than the last of them is in one more.
BOUNDS = (
    1, 2, 3, 5, 7, 10, 15, 20, 30, 45,
    60, 90, 120, 180, 300, 420, 600, 900, 1200, 1800, 2700,
    3600, 5400, 7200, 10_800, 18_000, 28_800, 43_200,
    86_400, 172_800, 345_600, 604_800, 1_209_600, 2_592_000,
)  # fmt: skip
BEYOND = len(BOUNDS)


def bucket_of(seconds: int) -> int:
    """The bucket of a time in whole seconds; a clock that went back counts as no time at all."""
    return bisect_left(BOUNDS, seconds)


def bound_of(bucket: int) -> int | None:
    """The longest time in this bucket, in seconds; None for the last one, which has no end."""
    return BOUNDS[bucket] if bucket < BEYOND else None


def percentile(counts: Mapping[int, int], percent: int) -> int | None:
    """The bucket in which the time lies that so many percent do not exceed; None where nothing was counted."""
    whole = sum(counts.values())
    rank = -(-whole * percent // 100)
    for bucket in sorted(counts):
        rank -= counts[bucket]
        if rank <= 0 and whole:
            return bucket
    return None


UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def in_words(bucket: int) -> str:
    """The longest time in this bucket in its largest whole unit: `20 s`, `90 min`; or what the last one is longer than."""
    bound = bound_of(bucket)
    if bound is None:
        return f"more than {in_words(BEYOND - 1)}"
    unit, name = next((unit, name) for unit, name in UNITS if bound % unit == 0)
    return f"{bound // unit} {name}"

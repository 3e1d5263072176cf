"""Percentiles read from counts in buckets."""

import pytest

from connector.histogram import BEYOND, BOUNDS, bound_of, bucket_of, in_words, percentile


@pytest.mark.parametrize(
    ("seconds", "bound"),
    [
        pytest.param(-5, 1, id="a clock that went back"),
        pytest.param(0, 1, id="no time"),
        pytest.param(1, 1, id="just the first bound"),
        pytest.param(2, 2, id="just a bound"),
        pytest.param(4, 5, id="between two"),
        pytest.param(61, 90, id="one more than a bound"),
        pytest.param(BOUNDS[-1], BOUNDS[-1], id="the last bound"),
        pytest.param(BOUNDS[-1] + 1, None, id="beyond all of them"),
    ],
)
def test_time_is_in_the_bucket_that_ends_at_it_or_after_it(seconds: int, bound: int | None):
    assert bound_of(bucket_of(seconds)) == bound


@pytest.mark.parametrize(
    ("counts", "percent", "bucket"),
    [
        pytest.param({}, 50, None, id="nothing"),
        pytest.param({3: 0}, 50, None, id="counts of nothing"),
        pytest.param({3: 1}, 50, 3, id="half of one"),
        pytest.param({3: 1}, 95, 3, id="nearly all of one"),
        pytest.param({1: 1, 2: 1}, 50, 1, id="half of two is the first"),
        pytest.param({1: 1, 2: 1}, 51, 2, id="more than half of two is the second"),
        pytest.param({7: 5, 0: 95}, 95, 0, id="just 95 of 100, in any order"),
        pytest.param({7: 6, 0: 94}, 95, 7, id="one too few for 95"),
        pytest.param({0: 10, BEYOND: 90}, 95, BEYOND, id="beyond all bounds"),
        pytest.param({4: 0, 5: 3}, 50, 5, id="an empty bucket is passed over"),
    ],
)
def test_percentile_is_the_bucket_that_so_many_do_not_exceed(
    counts: dict[int, int], percent: int, bucket: int | None
) -> None:
    assert percentile(counts, percent) == bucket


def test_percentile_is_never_below_what_sorting_the_times_would_say():
    times = [(n * 7919) % 5000 for n in range(301)]
    counts: dict[int, int] = {}
    for one in times:
        counts[bucket_of(one)] = counts.get(bucket_of(one), 0) + 1
    for percent in (1, 50, 95, 99, 100):
        exact = sorted(times)[-(-len(times) * percent // 100) - 1]
        assert percentile(counts, percent) == bucket_of(exact)


def test_buckets_are_said_in_their_largest_whole_unit():
    assert [in_words(bucket_of(seconds)) for seconds in (1, 45, 60, 90, 3600, 5400, 86_400, 2_592_000, 2_592_001)] == [
        "1 s", "45 s", "1 min", "90 s", "1 h", "90 min", "1 d", "30 d", "more than 30 d",
    ]  # fmt: skip

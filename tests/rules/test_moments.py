"""Moments as people write and read them."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.errors import BadInput
from connector.moments import midnight, read_moment, written_moment

BERLIN = ZoneInfo("Europe/Berlin")
# Its clocks went back at midnight on the first Sunday of November: that day's midnight came twice.
HAVANA = ZoneInfo("America/Havana")
ZONES = [UTC, BERLIN, HAVANA, ZoneInfo("Pacific/Apia")]


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone
    | st.builds(midnight, st.dates(date(1970, 1, 2), date(2999, 1, 1)), st.sampled_from(ZONES)),
    st.sampled_from(ZONES),
)
def test_what_is_written_is_read_as_the_very_same(at, zone):
    assert read_moment(written_moment(at, zone), zone) == at


def test_only_the_first_of_two_midnights_is_written_as_its_day():
    first = datetime(2026, 11, 1, 4, tzinfo=UTC)
    assert written_moment(first, HAVANA) == "2026-11-01"
    assert written_moment(first.replace(hour=5), HAVANA) == "2026-11-01T00:00:00-05:00"


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "2026-03-01T09:30:00", "0001-01-01T00:00:00+14:00"])
def test_what_is_no_moment_is_refused_with_what_to_write(text):
    with pytest.raises(BadInput, match="is neither a day like 2026-03-01 nor a time with its offset"):
        read_moment(text)


def test_a_fault_repeats_only_so_much_of_what_was_written():
    with pytest.raises(BadInput) as refused:
        read_moment("x" * 5000)
    assert len(str(refused.value)) < 200

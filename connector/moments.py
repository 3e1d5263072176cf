"""Moments as people write and read them: a day stands for the midnight at which it begins, all else has its offset from UTC."""

from datetime import UTC, date, datetime, tzinfo

from connector.errors import BadInput


def midnight(day: date, zone: tzinfo = UTC) -> datetime:
    """The moment at which the day begins in the zone, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def read_moment(text: str, zone: tzinfo = UTC) -> datetime:
    """The moment in UTC that a person wrote; raises BadInput."""
    try:
        return midnight(date.fromisoformat(text), zone)
    except (OverflowError, ValueError):
        pass
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    except (OverflowError, ValueError):
        pass
    raise BadInput(
        f"{text[:40]!r} is neither a day like 2026-03-01 nor a time with its offset from UTC like 2026-03-01T09:30:00+01:00"
    )


def written_moment(at: datetime, zone: tzinfo = UTC) -> str:
    """The moment so that `read_moment` reads the very same again: midnight as its day."""
    local = at.astimezone(zone)
    return local.date().isoformat() if midnight(local.date(), zone) == at else local.isoformat()

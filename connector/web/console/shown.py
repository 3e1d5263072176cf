"""How values look on a page."""

from datetime import datetime, timedelta
from decimal import Decimal

from markupsafe import Markup, escape

from connector.money import grouped, shown


def moment(at: datetime | None) -> Markup | str:
    """A time to the second, in UTC, that machines can read too."""
    if at is None:
        return "–"
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S}")


def span(length: timedelta) -> str:
    """A length of time in its largest units: `3 d 4 h`, `12 min`."""
    seconds = max(0, int(length.total_seconds()))
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def money(value: Decimal | str | None, currency: str) -> Markup | str:
    """An exact amount with its currency, as it is written everywhere for people."""
    if value is None:
        return "not said"
    text = shown(Decimal(value), currency).replace(" ", "\N{NO-BREAK SPACE}")
    return Markup('<span class="money">{}</span>').format(text)


def digits(value: Decimal | str) -> Markup:
    """An exact number in groups of thousands, where the page names the currency once for all."""
    return Markup('<span class="money">{}</span>').format(grouped(Decimal(value)))


def words(text: str | None) -> Markup:
    """A sentence with the commands in it, which stand between backticks, as code."""
    parts = (text or "").split("`")
    # Between each pair of backticks is code; a last one without its pair is a backtick.
    whole = len(parts) if len(parts) % 2 else len(parts) - 1
    said = [Markup("<code>{}</code>").format(part) if n % 2 else escape(part) for n, part in enumerate(parts[:whole])]
    return Markup("").join([*said, *(escape(f"`{part}") for part in parts[whole:])])


FILTERS = {"moment": moment, "span": span, "money": money, "digits": digits, "words": words}

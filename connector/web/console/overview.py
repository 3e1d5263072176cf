"""Is everything in step?"""

from flask import render_template
from flask.typing import ResponseReturnValue
from markupsafe import Markup

from connector import charts, overview, tallies
from connector.histogram import in_words
from connector.models import OPEN
from connector.web.console import forms
from connector.web.console.here import services


def show() -> ResponseReturnValue:
    """The numbers of the whole installation, what stands still for which cause, and how it went by hour or by day."""
    found = overview.of_installation(services(), forms.wanted("span", tallies.SHOWN) or tallies.HOUR)
    return render_template(
        "overview.html",
        found=found,
        statuses=OPEN,
        # The drawing escapes all that it is given.
        throughput=Markup(charts.throughput(found.flow, found.period)),  # noqa: S704
        latency=Markup(charts.latency(found.flow, found.period)),  # noqa: S704
        throughput_said=charts.throughput_in_words(found.flow, found.period),
        latency_said=charts.latency_in_words(found.flow, found.period),
        in_words=in_words,
    )

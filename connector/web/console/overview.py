"""Is everything in step?"""

from flask import render_template
from flask.typing import ResponseReturnValue

from connector import overview
from connector.models import OPEN
from connector.web.console.here import services


def show() -> ResponseReturnValue:
    """The numbers of the whole installation, and what stands still for which cause."""
    return render_template("overview.html", found=overview.of_installation(services()), statuses=OPEN)

"""What people are told of, and what they do not want to hear of for a while."""

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from connector.alerts import book, shown
from connector.alerts.conditions import CONDITIONS
from connector.explain import moment
from connector.web.console import forms
from connector.web.console.here import me, services

# For how long an alert is muted, in hours, as a person says it.
MUTED_FOR = {"1": "1 hour", "4": "4 hours", "24": "1 day", "72": "3 days", "168": "1 week", "720": "30 days"}


def index() -> ResponseReturnValue:
    """What stands and what is over, how sending goes, and everything that is looked for."""
    settings = services().settings
    return render_template(
        "alerts.html",
        found=shown.of_installation(services()),
        addresses=len(settings.alert_urls),
        conditions=CONDITIONS,
        muted_for=MUTED_FOR,
        heartbeat=settings.heartbeat_url is not None,
    )


def mute() -> ResponseReturnValue:
    """Say nothing of an alert for a while."""
    hours = int(forms.choice("hours", MUTED_FOR))
    key = forms.text("key")
    until = shown.mute_for(services(), key, hours, forms.text("reason"), me().actor)
    flash(f"{key} is muted until {moment(until)}.", "good")
    return redirect(url_for("alerts"), 303)


def unmute() -> ResponseReturnValue:
    """Say again what is to be said of it."""
    key = forms.text("key")
    book.unmute(services(), key, me().actor)
    flash(f"{key} is not muted any more.", "good")
    return redirect(url_for("alerts"), 303)

"""What belongs to the request at hand: the services, and who is logged in."""

from flask import abort, current_app, g

from connector.access import Person
from connector.services import Services


def services() -> Services:
    """The services of this process."""
    found: Services = current_app.extensions["services"]
    return found


def visitor() -> Person | None:
    """Who is logged in; None for whoever is not."""
    found: Person | None = g.get("person")
    return found


def me() -> Person:
    """The person who is logged in; for pages that the table of routes gives to a role."""
    return visitor() or abort(403)

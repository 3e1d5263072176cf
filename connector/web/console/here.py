"""What belongs to the request at hand: the services, and who is logged in."""

from flask import abort, current_app, g

from connector import links
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


def in_chargebee(connection: str, kind: str, id: str) -> str | None:
    """The address of something in Chargebee's own pages; None where there is none, or the connection is no longer set up."""
    found = services().connections.get(connection)
    return links.to_chargebee(found, kind, id) if found else None


def in_m3ter(connection: str, kind: str, id: str) -> str | None:
    """The address of something in m3ter's console; None where that is not set up."""
    found = services().connections.get(connection)
    return links.to_m3ter(found, kind, id) if found else None

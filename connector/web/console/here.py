"""What belongs to the request at hand: the services, and who is logged in."""

from flask import abort, current_app, g

from connector.access import Person
from connector.services import Services


def services() -> Services:
    """The services of this process."""
    found: Services = current_app.extensions["services"]
    return found


class _Somebody:
    """Who is logged in."""

    def set(self, found: Person | None) -> None:
        g.person = found

    def get(self) -> Person | None:
        """The person, or None before anybody has logged in."""
        found: Person | None = g.get("person")
        return found


person = _Somebody()


def me() -> Person:
    """The person who is logged in; for pages that the table of routes gives to a role."""
    found = person.get()
    if found is None:
        abort(403)
    return found

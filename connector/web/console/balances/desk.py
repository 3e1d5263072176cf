"""What the pages about balances share: where they work, what there is to choose from, and how what was asked for goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from functools import cached_property
from hashlib import sha256
from uuid import UUID

from flask import abort, request

from connector import actions
from connector.balances import asking, requests, typed
from connector.balances.requests import Asked
from connector.clients.m3ter_balance_objects import Balance
from connector.clients.m3ter_balances import BalanceBilling
from connector.errors import NotFound
from connector.mappings.table import customers_of
from connector.moments import midnight
from connector.services import Services
from connector.web.console.here import services

Options = dict[str, list[tuple[str, str]]]


@dataclass(frozen=True)
class Desk:
    """One connection, with the time zone in which its days begin, and the moment at which a form was drawn.

    That moment is what "now" and "today" mean for the form: sent twice, it says the same twice.
    """

    connection: str
    zone: tzinfo
    at: datetime
    balance: Balance | None = None

    @property
    def services(self) -> Services:
        return services()

    @property
    def m3ter(self) -> BalanceBilling:
        return self.services.connection(self.connection).m3ter.balance_billing

    @property
    def on(self) -> Balance:
        """The balance that the page is about."""
        if self.balance is None:
            abort(404)
        return self.balance

    def today(self) -> date:
        """The day that it is in the organization's time zone."""
        return self.at.astimezone(self.zone).date()

    def begins(self) -> datetime:
        """The moment at which today began."""
        return midnight(self.today(), self.zone)

    def day_of(self, moment: datetime) -> date:
        """The day in the organization's time zone."""
        return moment.astimezone(self.zone).date()

    def shown(self, at: datetime | None) -> str:
        """A moment as a person reads it in that zone."""
        return typed.shown(at, self.zone)

    def customers(self, account_ids: Sequence[str]) -> dict[str, str]:
        """The Chargebee customers that these accounts stand for, where one does."""
        with self.services.reading() as db:
            return customers_of(db, self.connection, list(dict.fromkeys(account_ids)))

    @cached_property
    def types(self) -> list[tuple[str, str]]:
        """The transaction types that are in use, to choose from."""
        return [
            (one.id, f"{one.name} ({one.code})" if one.code and one.code != one.name else one.name)
            for one in self.m3ter.list_transaction_types()
            if not one.archived
        ]

    @cached_property
    def currencies(self) -> list[tuple[str, str]]:
        """The organization's currencies, to choose from."""
        return [(one, one) for one in sorted(asking.known_currencies(self.services, self.connection))]


def at(name: str, balance_id: UUID | None = None) -> Desk:
    """The desk of the connection, and its balance read from m3ter; 404 where there is none."""
    connected = services().connections.get(name)
    if connected is None:
        abort(404)
    desk = Desk(name, typed.zone_of(connected.settings), _drawn_at())
    if balance_id is None:
        return desk
    try:
        balance = desk.m3ter.get_balance(str(balance_id))
    except NotFound:
        abort(404)
    return Desk(name, desk.zone, desk.at, balance)


def _drawn_at() -> datetime:
    """When the form was drawn, as it says itself; now, to the second, for a page that draws one."""
    now = services().now().replace(microsecond=0)
    said = request.form.get("drawn_at")
    if said is None:
        return now
    try:
        drawn = datetime.fromisoformat(said)
    except ValueError:
        abort(400)
    if drawn.tzinfo is None or not now - timedelta(days=1) <= drawn <= now:
        abort(400)
    return drawn


def reference() -> str:
    """The reference that the form has carried since it was drawn, or one made up for it."""
    said = request.form.get("drawn_reference")
    if said is None:
        return asking.reference(services(), None)
    if not requests.is_made_up(said):
        abort(400)
    return said


def go_on(asked: Sequence[Asked]) -> None:
    """Queue what was asked for; where the queue is away, the clock finds it."""
    actions.queue(services(), [one.sync_id for one in asked])


def fingerprint(shown: object) -> str:
    """What a page showed, in a few letters: what is sent is what was seen."""
    return sha256(repr(shown).encode()).hexdigest()

"""Customers: those that are mapped, one whole, and what any id of either system belongs to, from our own rows; and by name,
which Chargebee is asked for.

A customer is synced now as the console's button and the command do it: by what Chargebee says of it then.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from connector import actions
from connector import search as ids
from connector.access import ADMIN
from connector.customer_overview import by_name, overview, states
from connector.models import Sync
from connector.web.api.here import Here
from connector.web.api.problems import not_found
from connector.web.api.shapes import Body, OneOf, Page, Paged, Query, Shape, Text, page
from connector.web.api.syncs import SyncShape

State = Annotated[str, OneOf(states.FILTERS)]
Kind = Literal["customer", "bill", "balance", "balance_request", "mapping", "sync", "event"]


class HitShape(Shape):
    """Something that has this id or belongs to it; `says` is in what way it was found."""

    kind: Kind
    connection: str
    id: str
    says: str


class Hits(Shape):
    """All that the id leads to, customers first."""

    hits: list[HitShape]


class FindQuery(Query):
    """Which id."""

    id: Text = Field(description="Any id of either system.")


class NameBody(Body):
    """Whom to look for; in the body, since what stands in an address is kept on its way."""

    words: str = Field(
        min_length=by_name.SHORTEST, max_length=by_name.LONGEST,
        description="How a company, or a first or last name, begins; a first and a last name; or a whole e-mail address.",
    )  # fmt: skip


class MatchShape(Shape):
    """A customer that Chargebee has found; names and addresses are null unless the token's role is admin."""

    connection: str
    customer_id: str
    says: str = Field(description="By what it was found.")
    known: bool = Field(validation_alias="is_known", description="False for what the connector does not know yet.")
    state: str | None
    account_id: str | None
    name: str | None
    company: str | None
    email: str | None


class MatchesShape(Shape):
    """The customers that were found, and how much Chargebee was asked for it."""

    matches: list[MatchShape]
    calls: int = Field(description="How many calls it took, at most six and their repeats.")
    more: bool = Field(description="Whether Chargebee has more of them than one page.")
    left_out: int = Field(description="How many Chargebee named that are not called like this.")
    faults: list[str] = Field(description="What Chargebee refused to be asked by.")


class CustomerLineShape(Shape):
    """A customer with an account in m3ter, or with one that is being made."""

    customer_id: str
    state: str
    account_id: str | None
    account_code: str


class CustomerPage(Page):
    """Customers, the newest first."""

    customers: list[CustomerLineShape]


class CustomersQuery(Paged):
    """Which customers."""

    state: State | None = Field(None, description="Only those of which something stands like this.")


class SubscriptionLineShape(Shape):
    """A subscription of the customer as it was seen last, and its newest sync."""

    subscription_id: str
    status: str | None
    term_start: datetime | None
    term_end: datetime | None
    item_prices: list[str]
    sync: int | None
    sync_status: str | None


class IntervalShape(Shape):
    """An account plan, or an item on its subscription, from `start` until `end`, which is exclusive; null is open."""

    subscription_id: str
    item_price_id: str | None
    what: str
    plan: str | None
    start: datetime
    end: datetime | None
    code: str | None
    m3ter_id: str | None


class CustomerBillShape(Shape):
    """A bill of the customer."""

    bill_id: str
    billed_until: datetime | None
    total: str | None
    currency: str | None
    pushed: str | None = Field(description="How far its newest snapshot is; null for what was never frozen.")
    invoices: list[str]
    sync: int | None
    status: str | None


class CustomerBalanceShape(Shape):
    """A balance that is watched or was asked something of, as it was read last."""

    balance_id: str
    currency: str
    held: str | None
    threshold: str | None
    watch: str | None
    open_requests: int


class CustomerEventShape(Shape):
    """An event that opened one of the syncs."""

    id: int
    event_id: str
    event_type: str
    status: str


class ChildShape(Shape):
    """A customer below another."""

    customer_id: str
    state: str


class CustomerShape(Shape):
    """A customer whole, from our own rows; names and addresses are left out."""

    connection: str
    customer_id: str
    state: str
    account_id: str | None
    account_code: str | None
    account_status: str | None
    currency: str | None
    parent_id: str | None = Field(description="The customer above it.")
    invoice_owner_id: str | None = Field(description="Who gets its invoices, where that is another customer.")
    children: list[ChildShape] = Field(description="The customers right below it that were seen.")
    more_children: bool
    deleted: bool
    unsettled: bool
    seen_at: datetime | None
    subscriptions: list[SubscriptionLineShape]
    more_subscriptions: bool
    timeline: list[IntervalShape]
    billed_until: datetime | None
    faults: list[str]
    bills: list[CustomerBillShape]
    balances: list[CustomerBalanceShape]
    open_syncs: list[SyncShape]
    latest_syncs: list[SyncShape]
    events: list[CustomerEventShape]


class SyncBody(Body):
    """Whom to sync."""

    id: Text = Field(description="Any id of either system that leads to the customer.")
    subscription: Text | None = Field(
        None, description="Only this subscription of the customer; when left out, itself and all that were seen."
    )


class AskedSyncShape(Shape):
    """A sync that runs now, and whether it is queued because of this call."""

    became: Literal["queued", "already queued"]
    sync: SyncShape


class AskedSyncs(Shape):
    """What is made right now of the customer."""

    customer_id: str
    syncs: list[AskedSyncShape]


def find(here: Here, query: FindQuery) -> Hits:
    """All of all connections that the id leads to."""
    with here.services.reading() as db:
        found = ids.find(db, list(here.services.connections), query.id)
    return Hits(hits=[HitShape.model_validate(one) for one in found])


def find_by_name(here: Here, connection: str, body: NameBody) -> MatchesShape:
    """The customers that Chargebee knows by this name, company or e-mail address; that somebody has looked is kept."""
    here.connection(connection)
    found = by_name.find(here.services, connection, body.words, who=here.who, with_names=here.caller.may(ADMIN))
    return MatchesShape.model_validate(found)


def index(here: Here, connection: str, query: CustomersQuery) -> CustomerPage:
    """A page of customers."""
    here.connection(connection)
    with here.services.reading() as db:
        found = states.listed(db, connection, state=query.state, before=query.before, limit=query.limit + 1)
    rows, older = page(found, query.limit)
    return CustomerPage(customers=[CustomerLineShape.model_validate(one) for one in rows], next=older)


def show(here: Here, connection: str, query: FindQuery) -> CustomerShape:
    """The customer that the id leads to; a problem where that is none, or several."""
    here.connection(connection)
    with here.services.reading() as db:
        customer_id = ids.customer(db, connection, query.id)
        if not overview.is_known(db, connection, customer_id):
            raise not_found("customer that this id leads to")
    return CustomerShape.model_validate(overview.as_json(overview.of_customer(here.services, connection, customer_id)))


def sync_now(here: Here, connection: str, body: SyncBody) -> AskedSyncs:
    """Let the customer and its subscriptions, or one of these, be made right now; a sync that is open is joined."""
    here.connection(connection)
    with here.services.reading() as db:
        customer_id = ids.customer(db, connection, body.id)
        if not overview.is_known(db, connection, customer_id):
            raise not_found("customer that this id leads to")
        wanted = overview.to_sync(db, connection, customer_id, body.subscription)
    made = [actions.sync_now(here.services, connection, kind, subject, here.who) for kind, subject in wanted]
    with here.services.reading() as db:
        syncs = [
            AskedSyncShape.model_validate({"became": became, "sync": db.get_one(Sync, sync_id)})
            for sync_id, became in made
        ]
    return AskedSyncs(customer_id=customer_id, syncs=syncs)

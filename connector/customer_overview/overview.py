"""All that our own rows say of one customer. Nobody is asked, and names and addresses stay out of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session, defer

from connector import inbox, mirror, syncs, transfers
from connector.account_plans import Current, owned_by
from connector.balances import requests
from connector.clients.chargebee_objects import Customer, Subscription
from connector.customer_overview import states
from connector.customer_overview.states import CustomerLine
from connector.customer_overview.timeline import Group, Timeline, group, rows, timeline
from connector.customers import accounts_that_pay
from connector.errors import ConnectorError
from connector.mappings import plans
from connector.mappings.plans import PlanChoices
from connector.mappings.table import account_of
from connector.models import (
    OPEN,
    Account,
    AccountPlan,
    BalanceRequest,
    BalanceWatch,
    BillSnapshot,
    InboxEvent,
    LinePush,
    MirroredResource,
    SeenBill,
    SoldTopUp,
    Sync,
)
from connector.services import Services
from connector.subscriptions import metering
from connector.timelines import Metering, Wanted, wanted_plans

# What is read of each at most; a page says when there is more.
SUBSCRIPTIONS, BILLS, NEWEST, CHILDREN = 40, 10, 15, 40


@dataclass(frozen=True)
class SubscriptionLine:
    """A subscription as the newest state seen says; None where none has been seen, and only account plans are known."""

    id: str
    state: Subscription | None
    sync: Sync | None


@dataclass(frozen=True)
class BillLine:
    """A bill of the account, or one of an account above it that the customer's usage was on.

    `total` is the exact total of its newest snapshot; None for what was never frozen.
    """

    bill_id: str
    billed_until: datetime | None
    total: Decimal | None
    currency: str | None
    pushed: str | None
    invoices: tuple[str, ...]
    sync: Sync | None


@dataclass(frozen=True)
class BalanceLine:
    """A balance that somebody watches or asked something of; what it held when it was last looked at, where it is watched."""

    balance_id: str
    currency: str
    held: Decimal | None
    threshold: Decimal | None
    watch: str | None
    open_requests: int


@dataclass(frozen=True)
class CustomerOverview:
    """One customer of one connection, whole."""

    connection: str
    customer_id: str
    state: str
    account_id: str | None
    account_code: str | None
    account_status: str | None
    currency: str | None
    # The customer above it, and whoever gets its invoices where that is not itself.
    parent_id: str | None
    invoice_owner_id: str | None
    # Those of the two that have a page here.
    known_above: frozenset[str]
    # The customers right below it.
    children: tuple[CustomerLine, ...]
    more_children: bool
    deleted: bool
    # Whether Chargebee will be asked at the next sync, since what was seen does not say what is newest.
    unsettled: bool
    # When it was last heard of.
    seen_at: datetime | None
    subscriptions: tuple[SubscriptionLine, ...]
    more_subscriptions: bool
    timeline: Timeline
    faults: tuple[str, ...]
    bills: tuple[BillLine, ...]
    balances: tuple[BalanceLine, ...]
    requests: tuple[BalanceRequest, ...]
    open_syncs: tuple[Sync, ...]
    latest_syncs: tuple[Sync, ...]
    events: tuple[InboxEvent, ...] = field(default=())


def is_known(db: Session, connection: str, customer_id: str) -> bool:
    """Whether anything is known of such a customer of this connection."""
    owned = select(MirroredResource.id).filter_by(
        connection=connection, resource="subscription", customer_id=customer_id
    )
    asked = select(Sync.id).filter_by(connection=connection, kind="customer", subject=customer_id)
    return (
        account_of(db, connection, customer_id) is not None
        or db.scalar(select(Account.id).filter_by(connection=connection, customer_id=customer_id)) is not None
        or mirror.seen(db, connection, "customer", customer_id) is not None
        or db.scalar(owned.limit(1)) is not None
        or db.scalar(asked.limit(1)) is not None
    )


def lives_as(db: Session, connection: str, customer_id: str) -> str:
    """The id under which the customer lives today, which most often is the same."""
    return transfers.live_id(db, connection, "customer", customer_id)


def owns(db: Session, connection: str, customer_id: str, subscription_id: str) -> bool:
    """Whether this subscription is one of the customer's."""
    seen = select(MirroredResource.id).filter_by(
        connection=connection, resource="subscription", resource_id=subscription_id, customer_id=customer_id
    )
    planned = select(AccountPlan.id).filter_by(
        connection=connection, subscription_id=subscription_id, customer_id=customer_id
    )
    return db.scalar(seen) is not None or db.scalar(planned.limit(1)) is not None


def to_sync(
    db: Session, connection: str, customer_id: str, subscription_id: str | None = None
) -> list[tuple[str, str]]:  # fmt: skip
    """The syncs, by kind and subject, that make a customer right now: its own and its subscriptions', or just that one's.

    Raises ConnectorError when nothing is known of such a customer, or it has no such subscription.
    """
    if not is_known(db, connection, customer_id):
        raise ConnectorError(f"connection {connection} has no customer {customer_id}: none was seen or mapped")
    if subscription_id is None:
        ids, _ = _subscription_ids(db, connection, customer_id)
        return [("customer", customer_id), *(("subscription", one) for one in ids)]
    if not owns(db, connection, customer_id, subscription_id):
        raise ConnectorError(f"customer {customer_id} has no subscription {subscription_id} that was seen")
    return [("subscription", subscription_id)]


def of_customer(
    services: Services, connection: str, customer_id: str, plan_names: dict[str, str] | None = None
) -> CustomerOverview:
    """The customer as our rows have it; `plan_names` are what m3ter calls plans, by their ids, where it has been asked.

    Raises ConnectorError when nothing is known of such a customer.
    """
    now = services.now()
    settings = services.connection(connection).settings
    pays = accounts_that_pay(services, connection, customer_id)
    with services.reading() as db:
        if not is_known(db, connection, customer_id):
            raise ConnectorError(f"connection {connection} has no customer {customer_id}: none was seen or mapped")
        account = db.scalar(select(Account).filter_by(connection=connection, customer_id=customer_id))
        account_id = (account.m3ter_id if account is not None else None) or account_of(db, connection, customer_id)
        seen = db.scalar(
            select(MirroredResource).filter_by(connection=connection, resource="customer", resource_id=customer_id)
        )
        ids, more = _subscription_ids(db, connection, customer_id)
        bills = _bills(db, connection, customer_id, account_id)
        concerned = _concerned(customer_id, ids, [one.bill_id for one in bills])
        latest = list(
            db.scalars(
                select(Sync).where(Sync.connection == connection, concerned).order_by(Sync.id.desc()).limit(NEWEST)
            )
        )
        opened = list(
            db.scalars(
                select(Sync)
                .where(Sync.connection == connection, concerned, Sync.status.in_(OPEN))
                .order_by(Sync.id)
                .limit(NEWEST)
            )
        )
        choices = plans.plan_choices(db, connection)
        newest = _newest_syncs(db, connection, "subscription", ids)
        billed_until = db.scalar(
            select(func.max(SeenBill.billed_until)).where(
                SeenBill.connection == connection, SeenBill.account_id.in_(pays)
            )
        )
        asked = requests.listed(db, connection, account_id=account_id, limit=NEWEST) if account_id else []
        balances = _balances(db, connection, account_id, asked) if account_id else []
        events = _events(db, connection, latest)
        state = states.of_customers(db, connection, [customer_id]).get(customer_id)
        body = seen.body if seen is not None else {}
        parent_id, invoice_owner_id = _above(body)
        known_above = {one for one in (parent_id, invoice_owner_id) if one and is_known(db, connection, one)}
        below = mirror.children_of(db, connection, customer_id, CHILDREN + 1)
        children = states.named(db, connection, below[:CHILDREN])
    groups, found, faults = _groups(services, connection, ids, choices, metering(settings), plan_names or {})
    lines = tuple(SubscriptionLine(one, found.get(one), newest.get(one)) for one in ids)
    return CustomerOverview(
        connection=connection,
        customer_id=customer_id,
        state=state or states.IN_STEP if account_id else state or states.NO_ACCOUNT,
        account_id=account_id,
        account_code=account.code if account is not None else None,
        account_status=account.status if account is not None else None,
        currency=body.get("preferred_currency_code"),
        parent_id=parent_id,
        invoice_owner_id=invoice_owner_id,
        known_above=frozenset(known_above),
        children=tuple(children),
        more_children=len(below) > CHILDREN,
        deleted=bool(body.get("deleted")),
        unsettled=seen is not None and seen.unsettled,
        seen_at=seen.seen_at if seen is not None else None,
        subscriptions=lines,
        more_subscriptions=more,
        timeline=timeline(groups, now, billed_until),
        faults=tuple(faults),
        bills=tuple(bills),
        balances=tuple(balances),
        requests=tuple(asked),
        open_syncs=tuple(opened),
        latest_syncs=tuple(latest),
        events=tuple(events),
    )


def _subscription_ids(db: Session, connection: str, customer_id: str) -> tuple[list[str], bool]:
    """The customer's subscriptions by id, and whether there are more than are shown."""
    mine = {"connection": connection, "customer_id": customer_id}
    seen = select(MirroredResource.resource_id).filter_by(resource="subscription", **mine)
    planned = select(AccountPlan.subscription_id).filter_by(**mine).distinct()
    found = {
        *db.scalars(seen.order_by(MirroredResource.resource_id).limit(SUBSCRIPTIONS + 1)),
        *db.scalars(planned.order_by(AccountPlan.subscription_id).limit(SUBSCRIPTIONS + 1)),
    }
    return sorted(found)[:SUBSCRIPTIONS], len(found) > SUBSCRIPTIONS


def _concerned(customer_id: str, subscription_ids: Sequence[str], bill_ids: Sequence[str]) -> Any:
    """The syncs of these subjects."""
    return or_(
        and_(Sync.kind == "customer", Sync.subject == customer_id),
        and_(Sync.kind == "subscription", Sync.subject.in_(subscription_ids)),
        and_(Sync.kind == "bill", Sync.subject.in_(bill_ids)),
    )


def _newest_syncs(db: Session, connection: str, kind: str, subjects: Sequence[str]) -> dict[str, Sync]:
    newest = (
        select(func.max(Sync.id))
        .where(Sync.connection == connection, Sync.kind == kind, Sync.subject.in_(subjects))
        .group_by(Sync.subject)
    )
    return {row.subject: row for row in db.scalars(select(Sync).where(Sync.id.in_(newest)))}


def _above(body: dict[str, Any]) -> tuple[str | None, str | None]:
    """The customer above, and the other customer that gets the invoices."""
    try:
        read = Customer.from_json(body) if body else None
    except ConnectorError:
        read = None  # what cannot be read is said by its sync
    if read is None:
        return None, None
    return mirror.parent_of(body), read.invoice_owner_id if read.invoice_owner_id != read.id else None


def _groups(
    services: Services,
    connection: str,
    subscription_ids: Iterable[str],
    choices: PlanChoices,
    metered: Metering,
    names: dict[str, str],
) -> tuple[list[Group], dict[str, Subscription], list[str]]:
    """Each subscription for the timeline, its newest state, and what could not be worked out."""
    groups, newest, faults = [], {}, []
    for one in subscription_ids:
        standing: list[Current] = owned_by(services, connection, one)
        history: tuple[Subscription, ...] = ()
        wanted = Wanted((), (), ())
        try:
            with services.reading() as db:
                history = mirror.history(db, connection, one)
                body = None if history else mirror.seen(db, connection, "subscription", one)
            if history:
                newest[one] = history[-1]
            elif body is not None:
                newest[one] = Subscription.from_json(body)
            wanted = wanted_plans(history, choices, metered)
            groups.append(
                group(
                    one, newest[one].status if one in newest else "not seen", history, wanted, standing, metered,
                    not_metered=_not_metered(wanted, choices), names=names,
                )
            )  # fmt: skip
        except ConnectorError as error:
            faults.append(f"what subscription {one} wants cannot be worked out: {error}")
            groups.append(group(one, "not understood", (), Wanted((), (), ()), standing, metered, names=names))
    return groups, newest, faults


def _not_metered(wanted: Wanted, choices: PlanChoices) -> list[str]:
    """The item prices of which somebody has said that no plan bills them."""
    return [
        one.item_price_id
        for one in wanted.stretches
        if not one.is_empty
        and all(plan is None for plan, _, _ in choices.pieces(one.item_price_id, one.customer_id, one.start, one.end))
        and one.item_price_id not in wanted.unmapped
    ]


def _bills(db: Session, connection: str, customer_id: str, account_id: str | None) -> list[BillLine]:
    """The newest bills, the newest first."""
    seen = {}
    if account_id is not None:
        rows = select(SeenBill).filter_by(connection=connection, account_id=account_id)
        seen = {row.bill_id: row for row in db.scalars(rows.order_by(SeenBill.id.desc()).limit(BILLS))}
    pushes = (
        select(LinePush.bill_id, func.max(LinePush.id))
        .where(LinePush.connection == connection, LinePush.customer_id == customer_id)
        .group_by(LinePush.bill_id)
        .order_by(func.max(LinePush.id).desc())
        .limit(BILLS)
    )
    ids = list(dict.fromkeys([*seen, *(bill_id for bill_id, _ in db.execute(pushes))]))
    snapshots = select(BillSnapshot).where(BillSnapshot.connection == connection, BillSnapshot.bill_id.in_(ids))
    snapshot = {row.bill_id: row for row in db.scalars(snapshots.order_by(BillSnapshot.generation))}
    newest = _newest_syncs(db, connection, "bill", ids)
    found = [
        BillLine(
            bill_id=one,
            billed_until=seen[one].billed_until if one in seen else None,
            total=snapshot[one].exact_total if one in snapshot else None,
            currency=snapshot[one].currency if one in snapshot else None,
            pushed=snapshot[one].status if one in snapshot else None,
            invoices=_invoices(db, snapshot[one].id, customer_id) if one in snapshot else (),
            sync=newest.get(one),
        )
        for one in ids
    ]
    return sorted(found, key=lambda one: one.sync.id if one.sync else 0, reverse=True)[:BILLS]


def _invoices(db: Session, snapshot_id: int, customer_id: str) -> tuple[str, ...]:
    """The invoices that the customer's charges of a push are on, by the ids that they have now."""
    now = func.coalesce(LinePush.final_invoice_id, LinePush.invoice_id)
    wanted = select(now).where(
        LinePush.snapshot_id == snapshot_id, LinePush.customer_id == customer_id, now.is_not(None)
    )
    return tuple(sorted(db.scalars(wanted.distinct().limit(BILLS))))


def _balances(db: Session, connection: str, account_id: str, asked: Sequence[BalanceRequest]) -> list[BalanceLine]:
    """What is known of the account's balances without asking m3ter."""
    watched = {
        row.balance_id: row
        for row in db.scalars(select(BalanceWatch).filter_by(connection=connection, account_id=account_id))
    }
    currencies = {one.balance_id: one.currency for one in reversed(asked) if one.balance_id is not None}
    sold = select(SoldTopUp.balance_id).filter_by(connection=connection, account_id=account_id).distinct()
    ids = list(dict.fromkeys([*watched, *currencies, *db.scalars(sold.limit(NEWEST))]))
    waiting = [one.balance_id for one in asked if one.status not in (requests.DONE, requests.WITHDRAWN)]
    return [
        BalanceLine(
            balance_id=one,
            currency=watched[one].currency if one in watched else currencies.get(one, ""),
            held=watched[one].last_held if one in watched else None,
            threshold=watched[one].threshold if one in watched else None,
            watch=(watched[one].state if watched[one].enabled else "off") if one in watched else None,
            open_requests=waiting.count(one),
        )
        for one in ids
    ]


def _events(db: Session, connection: str, found: Iterable[Sync]) -> list[InboxEvent]:
    """The events that opened these syncs, the newest first, without their bodies."""
    start = inbox.trigger_of("")
    ids = [one.trigger.removeprefix(start) for one in found if one.trigger.startswith(start)]
    wanted = select(InboxEvent).where(
        InboxEvent.connection == connection, InboxEvent.source.in_(inbox.SOURCES), InboxEvent.event_id.in_(ids)
    )
    return sorted(db.scalars(wanted.options(defer(InboxEvent.body))), key=lambda row: -row.id)


def as_json(one: CustomerOverview) -> dict[str, Any]:
    """The customer as the command line and scripts see it; the keys are stable, amounts are texts in major units."""
    return {
        "connection": one.connection,
        "customer_id": one.customer_id,
        "state": one.state,
        "account_id": one.account_id,
        "account_code": one.account_code,
        "account_status": one.account_status,
        "currency": one.currency,
        "parent_id": one.parent_id,
        "invoice_owner_id": one.invoice_owner_id,
        "children": [{"customer_id": child.customer_id, "state": child.state} for child in one.children],
        "more_children": one.more_children,
        "deleted": one.deleted,
        "unsettled": one.unsettled,
        "seen_at": _iso(one.seen_at),
        "subscriptions": [_subscription_json(line) for line in one.subscriptions],
        "more_subscriptions": one.more_subscriptions,
        "timeline": [
            {
                "subscription_id": row.subscription_id, "item_price_id": row.item_price_id, "what": row.what,
                "plan": row.plan, "start": _iso(row.start), "end": _iso(row.end), "code": row.code,
                "m3ter_id": row.m3ter_id,
            }
            for row in rows(one.timeline)
        ],
        "billed_until": _iso(one.timeline.billed_until),
        "faults": list(one.faults),
        "bills": [
            {
                "bill_id": bill.bill_id, "billed_until": _iso(bill.billed_until), "total": _amount(bill.total),
                "currency": bill.currency, "pushed": bill.pushed, "invoices": list(bill.invoices),
                "sync": bill.sync and bill.sync.id, "status": bill.sync and bill.sync.status,
            }
            for bill in one.bills
        ],
        "balances": [
            {
                "balance_id": balance.balance_id, "currency": balance.currency, "held": _amount(balance.held),
                "threshold": _amount(balance.threshold), "watch": balance.watch, "open_requests": balance.open_requests,
            }
            for balance in one.balances
        ],
        "open_syncs": [syncs.as_json(row) for row in one.open_syncs],
        "latest_syncs": [syncs.as_json(row) for row in one.latest_syncs],
        "events": [
            {"id": row.id, "event_id": row.event_id, "event_type": row.event_type, "status": row.status}
            for row in one.events
        ],
    }  # fmt: skip


def _subscription_json(line: SubscriptionLine) -> dict[str, Any]:
    state = line.state
    return {
        "subscription_id": line.id,
        "status": state and state.status,
        "term_start": _iso(state.current_term_start if state else None),
        "term_end": _iso(state.current_term_end if state else None),
        "item_prices": [item.item_price_id for item in state.items] if state else [],
        "sync": line.sync and line.sync.id,
        "sync_status": line.sync and line.sync.status,
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _amount(value: Decimal | None) -> str | None:
    return None if value is None else format(value, "f")

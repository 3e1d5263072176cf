"""A subscription's metered items become m3ter account plans, worked out from every state of it that has been seen."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from connector import account_plans, catalogue, mirror, scope, transfers
from connector.account_plans import Current
from connector.clients.chargebee_objects import Subscription
from connector.customers import accounts_that_pay, ensure_account, only_worker_at
from connector.errors import NotFound, OutOfScope, Parked
from connector.mappings import plans
from connector.plan_changes import (
    Change,
    Create,
    Move,
    Rebill,
    Remove,
    Replace,
    gives_way,
    plan_changes,
    reaches_back_to,
)
from connector.services import Services
from connector.settings import Connection
from connector.syncs import Run
from connector.timelines import Metering, Wanted, undated_change, wanted_plans


def sync_subscription(services: Services, run: Run) -> str:
    """Make the m3ter account plans of one subscription match all we know of it."""
    history = _history(services, run)
    if not history:
        return _nothing_known(services, run)
    current = account_plans.owned_by(services, run.connection, run.subject)
    _check_scope(services, run, current)
    dated = _dated(services, run, history)
    with services.reading() as db:
        choices = plans.plan_choices(db, run.connection)
    settings = services.connection(run.connection).settings
    wanted = wanted_plans(_items_in_scope(services, run, dated), choices, metering(settings))
    with ExitStack() as leases:
        for customer_id in sorted({state.customer_id for state in history}):
            leases.enter_context(only_worker_at(services, run, customer_id))
        _make(services, run, history[-1].customer_id, wanted)
    if len(dated) < len(history):
        raise _undated(history[len(dated)])
    if wanted.unmapped:
        raise _unmapped(wanted.unmapped)
    return "; ".join(run.did) or "nothing to change"


def metering(settings: Connection) -> Metering:
    """How the connection's settings want its subscriptions metered."""
    return Metering(
        meter_trials=settings.meter_trials,
        every_change=settings.subscription_changes == "always",
        bill_by_term=settings.plan_bill_epoch == "term",
        zone=ZoneInfo(settings.m3ter_timezone),
    )


def _history(services: Services, run: Run) -> tuple[Subscription, ...]:
    """All states seen; Chargebee is asked where two have one version, or none has been seen."""
    with services.reading() as db:
        settled = mirror.newest(db, run.connection, "subscription", run.subject) is not None
        history = mirror.history(db, run.connection, run.subject)
    if settled and history:
        return _with_live_customers(services, run, history)
    try:
        answer = services.connection(run.connection).chargebee.retrieve_subscription(run.subject)
    except NotFound:
        return history
    run.note(f"asked Chargebee for subscription {run.subject}")
    with services.transaction() as db:
        for resource in ("customer", "subscription"):
            if resource in answer:
                mirror.keep(db, run.connection, resource, answer[resource], services.now(), settled=True)
        history = mirror.history(db, run.connection, run.subject)
    return _with_live_customers(services, run, history)


def _with_live_customers(services: Services, run: Run, history: tuple[Subscription, ...]) -> tuple[Subscription, ...]:
    """The same states; of a transferred subscription, Chargebee is asked whether its customers are one and the same.

    A subscription goes to another business entity with its customer, but the event that says so may come later.
    """
    before = {state.customer_id for state in history} - {history[-1].customer_id} if history else set()
    with services.reading() as db:
        if not before or not transfers.came_by_transfer(db, run.connection, "subscription", run.subject):
            return history
    for customer_id in sorted(before):
        body = services.connection(run.connection).chargebee.retrieve_customer(customer_id)
        run.note(f"asked Chargebee where customer {customer_id} lives")
        with services.transaction() as db:
            mirror.keep(db, run.connection, "customer", body, services.now(), settled=True)
    with services.reading() as db:
        return mirror.history(db, run.connection, run.subject)


def _nothing_known(services: Services, run: Run) -> str:
    with services.reading() as db:
        live_id = transfers.live_id(db, run.connection, "subscription", run.subject)
    if live_id != run.subject:
        return f"transferred to another business entity, where it is subscription {live_id}"
    return "Chargebee has no such subscription, and we never saw one"


def _dated(services: Services, run: Run, history: Sequence[Subscription]) -> Sequence[Subscription]:
    """The states up to a backdated change that does not say since when it holds.

    A person who retries the sync has it hold since it was made.
    """
    index = undated_change(history)
    while index is not None and run.lets_pass("backdated_change"):
        state = history[index]
        moment = state.updated_at or services.now()
        with services.transaction() as db:
            mirror.date_change(db, run.connection, run.subject, state.resource_version or 0, moment)
            history = mirror.history(db, run.connection, run.subject)
        run.note(f"took the backdated change to hold since {moment:%Y-%m-%d %H:%M}, as {run.retried_by} let it go on")
        index = undated_change(history)
    return history[:index]


def _check_scope(services: Services, run: Run, current: Sequence[Current]) -> None:
    """Raises OutOfScope, or Parked where plans of ours stand already."""
    settings = services.connection(run.connection).settings
    with services.reading() as db:
        body = mirror.seen(db, run.connection, "subscription", run.subject) or {}
        customer = mirror.seen(db, run.connection, "customer", str(body.get("customer_id")))
    why_not = scope.why_not_subscription(settings, body, customer)
    if why_not is None:
        return
    if any(one.end is None or one.end > services.now() for one in current):
        raise Parked(
            "left_scope",
            f"account plans of the subscription stand in m3ter, but it is out of scope now: {why_not}",
            "Bring it back into scope, or end its plans in m3ter by hand and skip the sync.",
        )
    raise OutOfScope(why_not)


def _items_in_scope(services: Services, run: Run, history: Sequence[Subscription]) -> Sequence[Subscription]:
    """The same states without the items of families that are not in scope."""
    settings = services.connection(run.connection).settings
    if not settings.scope_item_families:
        return history
    names = {item.item_price_id for state in history for item in state.items if item.item_type != "charge"}
    families = {name: catalogue.family_of(services, run, name) for name in sorted(names)}
    _, out = scope.items_in_scope(settings, families, sorted(names))
    if out:
        run.note(f"left out what is of another item family: {', '.join(out)}")
    return [
        replace(state, items=tuple(one for one in state.items if one.item_price_id not in out)) for state in history
    ]


def _make(services: Services, run: Run, customer_id: str, wanted: Wanted) -> None:
    current = account_plans.settle(services, run)
    run.wanted = [str(one) for one in wanted.intervals]
    run.found = [str(one) for one in current]
    if wanted.intervals or current:
        changes = plan_changes(wanted, current)
        billed = {} if run.lets_pass("billed_period") else _billed(services, run, changes)
        ensure_account(services, run, customer_id)
        refused = [change for change in changes if not _may_be_made(change, billed)]
        for change in changes:
            if change not in refused:
                apply_change(services, run, change)
        if refused:
            raise _into_billed_time(run, refused[0], billed)
    account_plans.map_all(services, run)


def _billed(services: Services, run: Run, changes: Sequence[Change]) -> dict[str, datetime]:
    """For each customer with a change that reaches into billed time, until when m3ter has billed it."""
    earliest: dict[str, datetime] = {}
    for change in changes:
        moment = reaches_back_to(change)
        earliest[_whose(change)] = min(moment, earliest.get(_whose(change), moment))
    found: dict[str, datetime] = {}
    for customer_id, since in earliest.items():
        accounts = accounts_that_pay(services, run.connection, customer_id)
        until = account_plans.billed_until(services, run, accounts, since) if accounts else None
        if until is not None:
            found[customer_id] = until
    return found


def _whose(change: Change) -> str:
    return change.wanted.customer_id if isinstance(change, Create) else change.current.customer_id


def _may_be_made(change: Change, billed: dict[str, datetime]) -> bool:
    """Whether the change leaves billed time alone; beside one that does not, only what takes time away is safe."""
    until = billed.get(_whose(change))
    return until is None or (gives_way(change) and reaches_back_to(change) >= until)


def _into_billed_time(run: Run, change: Change, billed: dict[str, datetime]) -> Parked:
    until, since = billed[_whose(change)], reaches_back_to(change)
    return Parked(
        "billed_period",
        f"to {change} would change what is billed since {since:%Y-%m-%d %H:%M}, but an approved bill reaches until "
        f"{until:%Y-%m-%d %H:%M}",
        f"If it is right, `connector syncs retry {run.sync_id}` makes it, and the bill has to be calculated again in m3ter to "
        "follow it. If not, settle the difference by hand and skip the sync.",
    )


def _undated(state: Subscription) -> Parked:
    return Parked(
        "backdated_change",
        "a change of items was backdated, and Chargebee's event does not say since when it holds",
        f"Look at the subscription in Chargebee. Retry the sync to have the change hold since it was made "
        f"({state.updated_at:%Y-%m-%d %H:%M}), or set the plans in m3ter by hand and skip the sync.",
    )


def _unmapped(names: Sequence[str]) -> Parked:
    first = names[0]
    return Parked(
        "unmapped_item_price",
        f"no m3ter plan is mapped to {', '.join(names)}",
        f"`connector mappings add Plan <m3ter plan id> ItemPrice {first}`, "
        f"or `connector mappings add NotMetered '*' ItemPrice {first}`; it goes on by itself then.",
        wakes_on=plans.plan_wish(first),
    )


def apply_change(services: Services, run: Run, change: Change) -> None:
    """Make one change in m3ter and note it in our rows."""
    run.check(services)
    match change:
        case Remove(current):
            account_plans.remove(services, run, current)
        case Move(current, start, end):
            account_plans.move(services, run, current, start=start, end=end)
        case Rebill(current, bill_epoch):
            account_plans.rebill(services, run, current, bill_epoch)
        case Replace(current, wanted):
            new = account_plans.plan(services, run, current.account_id, wanted)
            account_plans.replace(services, run, current, new)
        case Create(wanted):
            account_id = ensure_account(services, run, wanted.customer_id)
            new = account_plans.plan(services, run, account_id, wanted)
            account_plans.create(services, run, new)

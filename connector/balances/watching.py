"""Look at the balances that are watched: keep what they hold, and see to those that run low.

The clock reads each one and opens a sync where something is to be done. The sync tops up, or parks with what is known about
the balance; it succeeds once the balance holds enough again. An alert is given once for each change, in the log.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.orm import Session

from connector import money, pauses, syncs
from connector.balances import held, requests, top_ups, upcoming, watches
from connector.balances.drafts import TRANSACTION
from connector.balances.forecast import HORIZON, Credit, Forecast, forecast
from connector.balances.held import Standing, last_moment
from connector.balances.watches import (
    CAP_REACHED,
    ENDED,
    GONE,
    KIND,
    LOW,
    OK,
    REFUSED,
    TOPPING_UP,
    Decision,
    is_low,
)
from connector.clients.m3ter_balance_objects import Balance, Transaction
from connector.errors import BadInput, ConnectorError, NotFound, Parked, Retryable, Waiting
from connector.models import BalanceRequest, BalanceWatch
from connector.services import Services
from connector.syncs import Run

log = structlog.get_logger(__name__)

# How many balances the clock looks at before it does its other work again.
AT_A_TIME = 20
MADE_BY = "connector"
# What holds back looking at balances.
HELD_BACK_BY = (pauses.ALL, pauses.M3TER)


@dataclass(frozen=True)
class Look:
    """A balance as m3ter shows it now."""

    balance: Balance
    transactions: Sequence[Transaction]
    stands: Standing


def look(services: Services, connection: str, balance_id: str) -> Look:
    """Two calls: the balance, and its transactions."""
    m3ter = services.connection(connection).m3ter.balance_billing
    balance = m3ter.get_balance(balance_id)
    transactions = list(m3ter.list_transactions(balance_id))
    return Look(balance, transactions, held.standing(balance, transactions, services.now()))


def coming_credits(services: Services, connection: str, seen: Look) -> list[Credit]:
    """What is still to come in within the horizon: what is booked for later, and what schedules are going to make."""
    now, last = seen.stands.at, last_moment(seen.balance)
    until = min(now + HORIZON, last)
    m3ter = services.connection(connection).m3ter.balance_billing
    booked = [Credit(held.applied_at(seen.balance, one), one.amount) for one in seen.transactions]
    scheduled = upcoming.credits(m3ter, seen.balance, now, until) if now < last else []
    return sorted([*(one for one in booked if now < one.at < until), *scheduled], key=lambda one: one.at)


def outlook(services: Services, seen: Look, threshold: Decimal | None, coming: Sequence[Credit]) -> Forecast:
    """When the balance runs out, what comes in until then counted, and what to top it up with."""
    settings = services.settings
    shortfall = Decimal(0) if threshold is None else money.total((threshold, seen.stands.held.copy_negate()))
    return forecast(
        seen.balance, seen.transactions, seen.stands.held, seen.stands.at, coming=coming, shortfall=shortfall,
        history_days=settings.balance_history_days, suggest_days=settings.balance_suggest_days,
    )  # fmt: skip


# The clock


def check(services: Services) -> None:
    """Look at the balances whose time has come, connection by connection; a sync is opened for what is to be done."""
    for connection in services.connections:
        now = services.now()
        with services.transaction() as db:
            if {pause.what for pause in pauses.of_connection(db, connection)} & {*HELD_BACK_BY}:
                continue
            seconds = services.settings.balance_check_seconds
            due = watches.take_due(db, connection, now, seconds=seconds, limit=AT_A_TIME)
        while due:
            try:
                _check(services, connection, due[0])
            except Retryable as error:
                # The others would wait for the same provider.
                log.warning("watched balances could not be read", connection=connection, error=str(error)[:300])
                until = now + timedelta(seconds=min(seconds, services.settings.recheck_seconds))
                with services.transaction() as db:
                    watches.put_off(db, connection, due, until)
                break
            except ConnectorError as error:
                log.warning(
                    "a watched balance could not be read", connection=connection, balance=due[0], error=str(error)[:300]
                )
            due = due[1:]


def _check(services: Services, connection: str, balance_id: str) -> None:
    try:
        seen = look(services, connection, balance_id)
    except NotFound:
        seen = None
    with services.transaction() as db:
        watch = watches.find(db, connection, balance_id)
        if watch is None or not watch.enabled:
            return
        if seen is not None:
            watches.keep_reading(db, connection, balance_id, seen.stands)
        decision = _decision(services, watch, seen, watches.own_top_ups(db, connection, balance_id))
        if _calls_for_work(watch, seen, decision):
            syncs.ask(
                db, connection=connection, kind=KIND, subject=balance_id, trigger="the clock looked at the balance",
                now=services.now(),
            )  # fmt: skip


def _decision(services: Services, watch: BalanceWatch, seen: Look | None, own: Sequence[watches.Own]) -> Decision:
    if seen is None:
        return Decision(GONE)
    if seen.stands.at >= last_moment(seen.balance):
        return Decision(ENDED)
    if seen.stands.at < seen.balance.start:
        return Decision(OK)
    month = watches.month_of(watch.balance_id, _today(services, watch.connection, seen.stands.at))
    return watches.decide(watch, seen.stands.held, month, own, {one.id for one in seen.transactions})


def _calls_for_work(watch: BalanceWatch, seen: Look | None, decision: Decision) -> bool:
    """Whether a sync would find anything new: hourly looks at a balance that stays low leave what is said of it alone."""
    if decision.state != watch.state or decision.top_up:
        return True
    is_quiet = decision.state in (OK, ENDED, GONE) or seen is None
    return not is_quiet and seen is not None and seen.stands.held != watch.last_held


def _today(services: Services, connection: str, now: datetime) -> datetime:
    """Now in the organisation's time zone, in which its days and months begin."""
    return now.astimezone(ZoneInfo(services.connection(connection).settings.m3ter_timezone))


# The work


def sync_balance_watch(services: Services, run: Run) -> str:
    """See to one watched balance: nothing where it holds enough, else a top-up, or a person."""
    with services.reading() as db:
        watch = watches.find(db, run.connection, run.subject)
    if watch is None or not watch.enabled:
        return "the balance is not watched"
    try:
        seen = look(services, run.connection, run.subject)
    except NotFound:
        seen = None
    told = None
    if seen is not None:
        _compare(services, run, seen)
        if seen.stands.at < last_moment(seen.balance) and is_low(seen.stands.held, watch.threshold):
            told = outlook(services, seen, watch.threshold, coming_credits(services, run.connection, seen))
    decision, on_its_way = _settle(services, run, seen)
    return _said(services, run, watch, seen, told, decision, on_its_way)


def _compare(services: Services, run: Run, seen: Look) -> None:
    summary = services.connection(run.connection).m3ter.balance_billing.transaction_summary(run.subject)
    for sentence in held.disagreements(seen.balance, seen.transactions, summary):
        run.note(f"{sentence}; the transactions count")


def _settle(services: Services, run: Run, seen: Look | None) -> tuple[Decision, BalanceRequest | None]:
    """Decide, and ask for a top-up where that is it; answers the credit that is on its way too."""
    run.check(services)
    try:
        with services.transaction() as db:
            # Two workers, one of them late, decide one after the other.
            watch = watches.find(db, run.connection, run.subject, to_change=True)
            if watch is None:
                return Decision(OK), None  # nobody watches it any more
            if seen is not None:
                watches.keep_reading(db, run.connection, run.subject, seen.stands)
            own = watches.own_top_ups(db, run.connection, run.subject)
            decision = _decision(services, watch, seen, own)
            if decision.top_up and seen is not None:
                decision = replace(decision, why=_ask(services, db, run, watch, seen, own))
            alert = _enter(watch, seen, decision, services.now())
            on_its_way = next(iter(_on_their_way(db, run)), None) if decision.state == TOPPING_UP else None
    except BadInput as fault:  # nothing was kept of either half
        decision, on_its_way = Decision(REFUSED, why=str(fault)), None
        with services.transaction() as db:
            watch = watches.find(db, run.connection, run.subject, to_change=True)
            alert = None if watch is None else _enter(watch, seen, decision, services.now())
    if alert is not None:
        alert()
    return decision, on_its_way


def _ask(
    services: Services, db: Session, run: Run, watch: BalanceWatch, seen: Look, own: Sequence[watches.Own]
) -> str:  # fmt: skip
    """Ask for the month's next top-up, in one transaction with the decision; raises BadInput."""
    now = services.now()
    today = _today(services, run.connection, now).date()
    month = watches.month_of(watch.balance_id, today)
    number = 1 + sum(one.reference.startswith(month) for one in own)
    reference = watches.reference(watch.balance_id, today, number)
    pair = watches.top_up(seen.balance, watch, reference=reference, now=now, day=today)
    asked = top_ups.ask(db, run.connection, pair, made_by=MADE_BY, now=now, source=watches.source(watch.balance_id))
    run.note(f"asked for {requests.described(asked[-1].request)}")
    return f"{requests.described(asked[-1].request)} was asked for"


def _enter(watch: BalanceWatch, seen: Look | None, decision: Decision, now: datetime) -> Callable[[], None] | None:
    """Note what the watch has come to; answers the alert to give where that is new."""
    is_new = decision.state != watch.state
    if is_new:
        watch.state, watch.state_since = decision.state, now
    watch.last_held = None if seen is None else seen.stands.held
    return _alert(watch, seen, decision) if is_new or decision.top_up else None


def _on_their_way(db: Session, run: Run) -> list[BalanceRequest]:
    """The credits of this watch that are on their way."""
    mine = requests.of_source(db, run.connection, watches.source(run.subject))
    return [one for one in mine if one.kind == TRANSACTION and one.status != requests.DONE]


# How loud each change is said, and in which words.
ALERTS = {
    OK: ("info", "a balance holds enough again"),
    LOW: ("warning", "a balance runs low"),
    TOPPING_UP: ("warning", "a balance ran low and is topped up"),
    CAP_REACHED: ("error", "a balance runs low and its automatic top-ups have reached their cap"),
    REFUSED: ("error", "a balance runs low and its automatic top-up does not go through"),
    ENDED: ("info", "a watched balance has ended"),
    GONE: ("error", "a watched balance is gone"),
}


def _alert(watch: BalanceWatch, seen: Look | None, decision: Decision) -> Callable[[], None]:
    """The alert, to be given once what it says is committed."""
    level, words = ALERTS[decision.state]
    said = {
        "connection": watch.connection, "balance": watch.balance_id, "account": watch.account_id,
        "held": None if seen is None else money.shown(seen.stands.held, watch.currency),
        "threshold": money.shown(watch.threshold, watch.currency), "why": decision.why or None,
    }  # fmt: skip
    return lambda: getattr(log, level)(words, **said)


def _said(
    services: Services, run: Run, watch: BalanceWatch, seen: Look | None, told: Forecast | None, decision: Decision,
    on_its_way: BalanceRequest | None,
) -> str:  # fmt: skip
    """How the sync ends, in words for a person: raises Parked or Waiting for what is not over."""
    if seen is None:
        raise Parked(
            "balance_gone",
            f"m3ter no longer has balance {run.subject}, which is watched",
            f"Find out who deleted it, and `connector balances watches remove {run.subject}`.",
        )
    text = described(seen, watch.threshold, told)
    if decision.state == ENDED:
        return f"{text}; it has ended"
    if decision.state == OK:
        return text
    if decision.state == TOPPING_UP:
        raise Waiting(
            "topping_up",
            f"{text}; {decision.why}",
            "Nothing: it goes on by itself.",
            seconds=services.settings.recheck_seconds,
            wakes_on=None if on_its_way is None else requests.made_wish(on_its_way),
        )
    code, next_step = NEXT[decision.state]
    because = f"; {decision.why}" if decision.why else ""
    raise Parked(code, text + because, next_step.format(balance=run.subject))


GOES_ON = "it goes on by itself once the balance holds enough."
NEXT = {
    LOW: ("balance_low", f"Top it up, or change what is watched for by `connector balances watches set`; {GOES_ON}"),
    CAP_REACHED: (
        "top_up_cap_reached",
        f"Top it up by hand, raise the cap by `connector balances watches set {{balance}}`, or wait for the next month; "
        f"{GOES_ON}",
    ),
    REFUSED: (
        "top_up_refused",
        f"Mend what the top-up's sync says and retry that, or withdraw the request; {GOES_ON}",
    ),
}


def described(seen: Look, threshold: Decimal | None, told: Forecast | None) -> str:
    """What a balance holds, when it runs out and what to do about that, in a sentence with its amounts."""
    balance, currency = seen.balance, seen.balance.currency
    text = f"balance {balance.code} of account {balance.account_id} holds {money.shown(seen.stands.held, currency)}"
    if threshold is not None:
        how = "below its threshold of" if seen.stands.held < threshold else "its threshold is"
        text += f", {how} {money.shown(threshold, currency)}"
    if told is None:
        return text
    text += f"; {said_of(seen, told)}"
    if told.suggested is not None:
        text += f"; a top-up of {money.shown(told.suggested, currency)} is suggested"
    return text


def said_of(seen: Look, told: Forecast) -> str:
    """When the balance runs out, as a person reads it."""
    currency = seen.balance.currency
    if seen.stands.held <= 0:
        return "it is empty"
    if told.daily is None:
        return "too little has been drawn of it to say when it runs out"
    rate = f"{money.shown(told.daily, currency)} a day are drawn"
    used = f", {money.shown(told.used, currency)} are used and not drawn yet" if told.used else ""
    day = told.runs_out or told.looked_until
    return (
        f"{rate}{used}, so that it {'runs out on' if told.runs_out else 'lasts beyond'} {day.astimezone(UTC):%Y-%m-%d}"
    )

"""Which m3ter entity stands for which Chargebee record. The local table is trusted; m3ter's External Mappings show it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar

from sqlalchemy import Text, and_, cast, delete, or_, select, update
from sqlalchemy.orm import Session

from connector import syncs, transfers
from connector.clients.chargebee import ItemPrice
from connector.clients.http import Unreadable
from connector.database import insert
from connector.errors import ConnectorError, NotFound, Rejected
from connector.models import ALWAYS, Account, AccountPlan, Mapping, SubscriptionState
from connector.services import Connected, Services

T = TypeVar("T")
SYSTEM = "Chargebee"
ITEM_PRICE = "ItemPrice"
PLAN = "Plan"
NOT_METERED = "NotMetered"
ANY = "*"
# Instead of a charge item price: a charge without an item, under the description of its line.
AD_HOC = "AdHoc"
SUBSCRIPTION = "Subscription"
# What may stand for a bill line, the most telling first (DESIGN §3).
CHARGE_ENTITIES = ("Pricing", "Aggregation", "CompoundAggregation", "Product", "LineItemType", "Default")
# The rows that people make; all others are the connector's own.
PLAN_ENTITIES = (PLAN, NOT_METERED)
SET_UP_ENTITIES = (*PLAN_ENTITIES, *CHARGE_ENTITIES, "Contract")
# What each kind of m3ter entity may be mapped to in Chargebee.
TABLES = {
    **dict.fromkeys(PLAN_ENTITIES, (ITEM_PRICE,)),
    **dict.fromkeys(CHARGE_ENTITIES, (ITEM_PRICE, AD_HOC)),
    "Account": ("Customer", SUBSCRIPTION),
    "Contract": (SUBSCRIPTION,),
}
# Where m3ter keeps what a mapping names; a plan is read for its currency as well.
COLLECTIONS = {
    "Account": "accounts",
    "Pricing": "pricings",
    "Aggregation": "aggregations",
    "CompoundAggregation": "compoundaggregations",
    "Product": "products",
}
LINE_ITEM_TYPES = (
    "STANDING_CHARGE", "USAGE", "USAGE_CREDIT", "COUNTER_RUNNING_TOTAL_CHARGE", "COUNTER_ADJUSTMENT_DEBIT",
    "COUNTER_ADJUSTMENT_CREDIT", "MINIMUM_SPEND", "MINIMUM_SPEND_REFUND", "CREDIT_DEDUCTION", "MANUAL_ADJUSTMENT",
    "CREDIT_MEMO", "DEBIT_MEMO", "COMMITMENT_CONSUMED", "COMMITMENT_FEE", "OVERAGE_SURCHARGE", "OVERAGE_USAGE",
    "BALANCE_CONSUMED", "BALANCE_FEE", "AD_HOC",
)  # fmt: skip

# A row with all of these the same is the same row.
UNIQUE = ("connection", "m3ter_entity", "m3ter_id", "external_table", "external_id", "customer_id", "valid_from")
# How many ids or conditions one statement takes.
BATCH = 100


class BadMapping(ConnectorError):
    """A mapping that cannot be right; the text says what to change."""


@dataclass(frozen=True)
class Pair:
    """One mapping as a person writes it; `m3ter_id` is `*` where the entity needs none.

    What a plan or addon item price means can be said of one customer's subscriptions (`*`: everybody's), and of the time from
    `valid_from` to `valid_until`, which is exclusive and None where it is open.
    """

    m3ter_entity: str
    m3ter_id: str
    external_table: str
    external_id: str
    currency: str | None = None
    customer_id: str = ANY
    valid_from: datetime = ALWAYS
    valid_until: datetime | None = None

    @classmethod
    def of(cls, row: Mapping) -> "Pair":
        """What a row of the table says."""
        return cls(*(getattr(row, field.name) for field in fields(cls)))

    def __str__(self) -> str:
        return (
            f"{self.m3ter_entity} {self.m3ter_id} → {self.external_table} {self.external_id}"
            + (f" for {self.customer_id}" if self.customer_id != ANY else "")
            + (f" from {day_or_time(self.valid_from)}" if self.valid_from != ALWAYS else "")
            + (f" until {day_or_time(self.valid_until)}" if self.valid_until else "")
        )


def read_moment(text: str) -> datetime:
    """The moment that a person wrote, a day as its midnight in UTC; raises BadMapping."""
    try:
        day = date.fromisoformat(text)
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
    except ValueError:
        pass
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    except (OverflowError, ValueError):
        pass
    raise BadMapping(
        f"{text!r} is neither a day like 2026-03-01 nor a time with its offset from UTC like 2026-03-01T09:30:00+01:00"
    )


def day_or_time(when: datetime) -> str:
    """The moment as a person writes it: midnight in UTC as its day."""
    text = when.astimezone(UTC).isoformat()
    return text.removesuffix("T00:00:00+00:00")


@dataclass(frozen=True)
class PlanChoice:
    """What an item price means, for whom and when; `plan_id` is None where it is not metered, `valid_until` is exclusive."""

    plan_id: str | None
    customer_id: str
    valid_from: datetime
    valid_until: datetime | None

    def holds_at(self, customer_id: str, moment: datetime) -> bool:
        """Whether this is said of the customer's items at that moment."""
        return (
            self.customer_id in (customer_id, ANY)
            and self.valid_from <= moment
            and (self.valid_until is None or moment < self.valid_until)
        )


Piece = tuple[str | None, datetime, datetime | None]


@dataclass(frozen=True)
class PlanChoices:
    """What is said of each plan and addon item price.

    At each moment what is said of one customer goes before what is said of everybody, and then what holds since later.
    """

    of_price: Table[str, Sequence[PlanChoice]]

    @classmethod
    def always(cls, plans: Table[str, str | None]) -> "PlanChoices":
        """One plan for each item price, or None where it is not metered, for everybody and at all times."""
        return cls({price: (PlanChoice(plan_id, ANY, ALWAYS, None),) for price, plan_id in plans.items()})

    def pieces(self, item_price_id: str, customer_id: str, start: datetime, end: datetime | None) -> list[Piece]:
        """The time from start to end as plan (None: not metered), start and end; what nothing is said of is left out.

        Ends are exclusive, None is open; pieces of one plan that touch are one.
        """
        found: list[Piece] = []
        for choice, since, until in self.spans(item_price_id, customer_id, start, end):
            if choice is None:
                continue
            goes_on = found and found[-1][0] == choice.plan_id and found[-1][2] == since
            begun = found.pop()[1] if goes_on else since
            found.append((choice.plan_id, begun, until))
        return found

    def gaps(self, item_price_id: str, customer_id: str, start: datetime, end: datetime | None) -> bool:
        """Whether nothing is said of the item price at some moment from start to end, which is exclusive."""
        return any(choice is None for choice, _, _ in self.spans(item_price_id, customer_id, start, end))

    def spans(
        self, item_price_id: str, customer_id: str, start: datetime, end: datetime | None
    ) -> list[tuple[PlanChoice | None, datetime, datetime | None]]:
        """The time from start to end, cut wherever some choice begins or ends, each part with the choice that counts."""
        choices = self.of_price.get(item_price_id, ())
        moments = {moment for one in choices for moment in (one.valid_from, one.valid_until) if moment is not None}
        cuts = sorted(moment for moment in moments if start < moment and (end is None or moment < end))
        edges = [start, *cuts, end] if end is None or start < end else []
        return [
            (_counting([one for one in choices if one.holds_at(customer_id, since)]), since, until)
            for since, until in pairwise(edges)
            if since is not None
        ]


def _counting(holding: Sequence[PlanChoice]) -> PlanChoice | None:
    return max(holding, key=lambda one: (one.customer_id != ANY, one.valid_from), default=None)


def plan_choices(db: Session, connection: str) -> PlanChoices:
    """What is said of each plan and addon item price of the connection."""
    return _choices(db, connection, _plan_rows(db, connection))


def _plan_rows(db: Session, connection: str) -> list[Pair]:
    rows = db.execute(
        select(*(getattr(Mapping, field.name) for field in fields(Pair)))
        .where(
            Mapping.connection == connection,
            Mapping.external_table == ITEM_PRICE,
            Mapping.m3ter_entity.in_(PLAN_ENTITIES),
        )
        .order_by(Mapping.id)
    )
    return [Pair(*row) for row in rows]


def _choices(db: Session, connection: str, pairs: Iterable[Pair]) -> PlanChoices:
    """What these say together; of two about the same price, customer and first day the last one counts."""
    said = [pair for pair in pairs if pair.m3ter_entity in PLAN_ENTITIES]
    live = transfers.live_ids(db, connection, "customer", {pair.customer_id for pair in said} - {ANY}) | {ANY: ANY}
    of_price: dict[str, dict[tuple[str, datetime], PlanChoice]] = {}
    for pair in said:
        customer_id = live[pair.customer_id]
        plan_id = pair.m3ter_id if pair.m3ter_entity == PLAN else None
        of_price.setdefault(pair.external_id, {})[customer_id, pair.valid_from] = PlanChoice(
            plan_id, customer_id, pair.valid_from, pair.valid_until
        )
    return PlanChoices({price: tuple(found.values()) for price, found in of_price.items()})


def plan_wish(item_price_id: str) -> str:
    """What a sync waits for when nobody has said which m3ter plan an item price means."""
    return f"mapping:{ITEM_PRICE}:{item_price_id}"


CHARGE_WISH = "mapping:charges"


def charge_prices(db: Session, connection: str) -> dict[tuple[str, str, str], str]:
    """The charge item price for each (m3ter entity, m3ter id, currency), or AD_HOC."""
    rows = db.scalars(
        select(Mapping).where(
            Mapping.connection == connection,
            Mapping.external_table.in_((ITEM_PRICE, AD_HOC)),
            Mapping.m3ter_entity.in_(CHARGE_ENTITIES),
        )
    )
    return {
        (row.m3ter_entity, row.m3ter_id, str(row.currency)): AD_HOC if row.external_table == AD_HOC else row.external_id
        for row in rows
    }


def named_subscriptions(db: Session, connection: str) -> dict[tuple[str, str], str]:
    """The subscription on whose invoices the lines of an account or a contract go, where a person has said so."""
    rows = db.scalars(
        select(Mapping).where(
            Mapping.connection == connection,
            Mapping.external_table == SUBSCRIPTION,
            Mapping.m3ter_entity.in_(("Account", "Contract")),
        )
    )
    return {(row.m3ter_entity, row.m3ter_id): row.external_id for row in rows}


def customers_of(db: Session, connection: str, account_ids: Sequence[str]) -> dict[str, str]:
    """The Chargebee customer that each of these m3ter accounts stands for."""
    rows = db.scalars(
        select(Mapping)
        .where(
            Mapping.connection == connection,
            Mapping.m3ter_entity == "Account",
            Mapping.external_table == "Customer",
            Mapping.m3ter_id.in_(account_ids),
        )
        .order_by(Mapping.id.desc())
    )
    return {row.m3ter_id: row.external_id for row in rows}


def forget(
    services: Services, connection: str, m3ter_entity: str, m3ter_id: str, table: str, keep: Sequence[str] = ()
) -> None:
    """Take the connector's own mappings of this entity to anything but `keep` out of both systems."""
    with services.reading() as db:
        rows = db.scalars(
            select(Mapping).where(
                Mapping.connection == connection, Mapping.m3ter_entity == m3ter_entity, Mapping.m3ter_id == m3ter_id,
                Mapping.external_table == table, Mapping.external_id.not_in(keep), Mapping.made_by == "connector",
            )
        ).all()  # fmt: skip
    for row in rows:
        if row.m3ter_mapping_id is not None:
            services.connection(connection).m3ter.delete_external_mapping(row.m3ter_mapping_id)
        with services.transaction() as db:
            db.execute(delete(Mapping).where(Mapping.id == row.id))


def external_id(db: Session, connection: str, m3ter_entity: str, m3ter_id: str, table: str) -> str | None:
    """The Chargebee id that this m3ter entity stands for."""
    return db.scalar(
        select(Mapping.external_id)
        .where(
            Mapping.connection == connection,
            Mapping.m3ter_entity == m3ter_entity,
            Mapping.m3ter_id == m3ter_id,
            Mapping.external_table == table,
        )
        .order_by(Mapping.id)
        .limit(1)
    )


def listed(db: Session, connection: str) -> Sequence[Mapping]:
    """Every mapping of the connection, people's rows first."""
    rows = db.scalars(select(Mapping).where(Mapping.connection == connection).order_by(Mapping.id)).all()
    return sorted(rows, key=lambda row: row.m3ter_entity not in SET_UP_ENTITIES)


def record(services: Services, connection: str, pair: Pair) -> None:
    """Keep a mapping of the connector's own here and in m3ter, once in each however often it is called."""
    now = services.now()
    with services.transaction() as db:
        db.execute(_insert(db, connection, pair, made_by="connector", now=now).on_conflict_do_nothing())
        row = db.scalars(_find(connection, pair)).one()
        tried_before, written = row.sent_at is not None, row.m3ter_mapping_id is not None
        row.sent_at = row.sent_at or now
    if written:
        return
    m3ter = services.connection(connection).m3ter
    # m3ter has no uniqueness of its own (m3ter.md §6): after a try without an answer, look before repeating. Of doubles the
    # oldest counts, which it lists last.
    found = (
        [one for one in m3ter.external_mappings_of(pair.m3ter_entity, pair.m3ter_id) if _same(one, pair)]
        if tried_before
        else []
    )
    made = found[-1] if found else m3ter.create_external_mapping(
        m3ter_entity=pair.m3ter_entity, m3ter_id=pair.m3ter_id,
        external_system=SYSTEM, external_table=pair.external_table, external_id=pair.external_id,
    )  # fmt: skip
    with services.transaction() as db:
        db.execute(update(Mapping).where(Mapping.id == row.id).values(m3ter_mapping_id=made.id))


def _same(found: Any, pair: Pair) -> bool:
    return (found.external_system, found.external_table, found.external_id) == (
        SYSTEM,
        pair.external_table,
        pair.external_id,
    )


def checked(services: Services, connection: str, pairs: Iterable[Pair], *, check: bool = True) -> list[Pair]:
    """The pairs with what the live catalogues add to them; raises BadMapping with every fault at once."""
    catalogues = _Catalogues(services.connection(connection)) if check else None
    right: list[Pair] = []
    faults: list[str] = []
    for pair in pairs:
        try:
            right.append(_compared(catalogues, pair) if catalogues else _well_formed(pair))
        except BadMapping as fault:
            faults.append(f"{pair}: {fault}")
    _refuse(faults + _said_twice(right))
    return right


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        raise BadMapping("\n".join(faults))


def _said_twice(pairs: Iterable[Pair]) -> list[str]:
    """A sentence for each two that say different things about the same."""
    said: dict[tuple[Any, ...], Pair] = {}
    return [
        f"{pair}: another row says {first}" for pair in pairs if (first := said.setdefault(topic(pair), pair)) != pair
    ]


def topic(pair: Pair) -> tuple[Any, ...]:
    """What a mapping says something about: another that says the same of it is a repeat, any other a correction."""
    if pair.m3ter_entity in PLAN_ENTITIES:
        return (PLAN, pair.external_table, pair.external_id, pair.customer_id, pair.valid_from)
    if pair.m3ter_entity in CHARGE_ENTITIES:
        return (pair.m3ter_entity, pair.external_table, pair.m3ter_id, pair.currency)
    return (pair.m3ter_entity, pair.external_table, pair.external_id)


def _on_topic(connection: str, pair: Pair) -> list[Any]:
    """The conditions under which a row is about the same as the pair."""
    conditions = [Mapping.connection == connection, Mapping.external_table == pair.external_table]
    if pair.m3ter_entity in PLAN_ENTITIES:
        return [
            *conditions, Mapping.m3ter_entity.in_(PLAN_ENTITIES), Mapping.external_id == pair.external_id,
            Mapping.customer_id == pair.customer_id, Mapping.valid_from == pair.valid_from,
        ]  # fmt: skip
    conditions.append(Mapping.m3ter_entity == pair.m3ter_entity)
    if pair.m3ter_entity in CHARGE_ENTITIES:
        return [
            Mapping.connection == connection, Mapping.m3ter_entity == pair.m3ter_entity,
            Mapping.m3ter_id == pair.m3ter_id, Mapping.currency == pair.currency,
        ]  # fmt: skip
    if pair.external_table == SUBSCRIPTION:
        return [*conditions, Mapping.m3ter_id == pair.m3ter_id]
    return [*conditions, Mapping.external_id == pair.external_id]


def add(
    services: Services,
    connection: str,
    pairs: Iterable[Pair],
    *,
    made_by: str,
    check: bool = True,
    rewrite: bool = False,
    dry_run: bool = False,
) -> list[int]:
    """Set up these mappings, all or none; answers the syncs that waited for them or now have something to change.

    Each is checked first against both live catalogues unless `check` is False. What is mapped already gets the new mapping
    instead. Raises BadMapping, also where a mapping without a first day would change the plan of what has been metered,
    unless `rewrite` says that this is meant. With `dry_run` it only checks.
    """
    right = checked(services, connection, pairs, check=check)
    with services.reading() as db:
        _refuse([*refusals(db, connection, right), *([] if rewrite else rewritten(db, connection, right))])
        outdated = [] if dry_run else _shown_otherwise(db, connection, right)
    if dry_run:
        return []
    _take_back(services, connection, outdated)
    with services.transaction() as db:
        return put(db, connection, right, made_by=made_by, now=services.now())


def refusals(db: Session, connection: str, pairs: Iterable[Pair]) -> list[str]:
    """A sentence for each account or customer that is another's already."""
    return [
        f"{pair}: {fault}"
        for pair in pairs
        if (pair.m3ter_entity, pair.external_table) == ("Account", "Customer")
        for fault in sorted(_other_owners(db, connection, pair))
    ]


def _other_owners(db: Session, connection: str, pair: Pair) -> set[str]:
    accounts = db.execute(
        select(Account.customer_id, Account.m3ter_id).where(
            Account.connection == connection,
            Account.m3ter_id.is_not(None),
            or_(Account.customer_id == pair.external_id, Account.m3ter_id == pair.m3ter_id),
        )
    )
    mapped = db.execute(
        select(Mapping.external_id.label("customer_id"), Mapping.m3ter_id).where(
            Mapping.connection == connection,
            Mapping.m3ter_entity == "Account",
            Mapping.external_table == "Customer",
            Mapping.m3ter_id == pair.m3ter_id,
        )
    )
    return {
        f"customer {row.customer_id} has the account {row.m3ter_id} already"
        for row in (*accounts, *mapped)
        if (row.customer_id, row.m3ter_id) != (pair.external_id, pair.m3ter_id)
    }


def rewritten(db: Session, connection: str, pairs: Iterable[Pair]) -> list[str]:
    """A sentence for each item price of which standing account plans would get another plan from their beginning."""
    rows = _plan_rows(db, connection)
    before, after = _choices(db, connection, rows), _choices(db, connection, [*rows, *pairs])
    anew = {
        (price, choice)
        for price, choices in after.of_price.items()
        for choice in choices
        if choice.valid_from == ALWAYS and choice not in before.of_price.get(price, ())
    }
    codes: dict[str, list[str]] = {}
    for row in _standing(db, connection, {price for price, _ in anew}):
        for choice, since, until in after.spans(row.item_price_id, row.customer_id, row.start, row.end):
            if choice is None or choice.plan_id == row.plan_id or (row.item_price_id, choice) not in anew:
                continue
            if before.pieces(row.item_price_id, row.customer_id, since, until) != [(choice.plan_id, since, until)]:
                codes.setdefault(row.item_price_id, []).append(row.code)
                break
    return [
        f"{price}: {_counted(found)} under what it meant so far, and would get another plan from the beginning. "
        "With --from <day> (in a file: valid_from) the new plan starts on that day, and what it meant before stays valid "
        "until then. With --rewrite it is changed from the beginning; a period that m3ter has billed already parks for review."
        for price, found in sorted(codes.items())
    ]


def _counted(codes: Sequence[str]) -> str:
    shown = ", ".join(codes[:3]) + (", …" if len(codes) > 3 else "")
    return f"{len(codes)} account plan{'s' if len(codes) > 1 else ''} ({shown}) stand{'' if len(codes) > 1 else 's'}"


def _standing(db: Session, connection: str, item_price_ids: set[str]) -> Sequence[Any]:
    """What our account plan rows of these item prices say."""
    columns = (
        AccountPlan.item_price_id, AccountPlan.customer_id, AccountPlan.plan_id, AccountPlan.code,
        AccountPlan.start, AccountPlan.end,
    )  # fmt: skip
    found = select(*columns).where(AccountPlan.connection == connection).order_by(AccountPlan.id)
    return [
        row
        for some in batches(sorted(item_price_ids))
        for row in db.execute(found.where(AccountPlan.item_price_id.in_(some)))
    ]


def batches(whole: Iterable[T]) -> Iterator[list[T]]:
    """The whole in numbers that fit into one statement."""
    rest = list(whole)
    yield from (rest[i : i + BATCH] for i in range(0, len(rest), BATCH))


def _shown_otherwise(db: Session, connection: str, pairs: Iterable[Pair]) -> list[str]:
    """The ids of what m3ter shows of rows that are about to say something else."""
    return [
        row.m3ter_mapping_id
        for pair in pairs
        for row in db.scalars(select(Mapping).where(*_on_topic(connection, pair)))
        if row.m3ter_mapping_id is not None and _shown(row) != _shown(pair)
    ]


def _shown(one: Mapping | Pair) -> tuple[str, str, str, str]:
    """As much of a mapping as m3ter shows."""
    return (one.m3ter_entity, one.m3ter_id, one.external_table, one.external_id)


def _take_back(services: Services, connection: str, mapping_ids: Iterable[str]) -> None:
    """Take these out of m3ter before our rows say something else: a crash in between leaves nothing wrong there."""
    for mapping_id in mapping_ids:
        services.connection(connection).m3ter.delete_external_mapping(mapping_id)


def put(db: Session, connection: str, pairs: Sequence[Pair], *, made_by: str, now: datetime) -> list[int]:
    """Make these rows, or correct those that say something else about the same, for a caller that has checked them.

    Answers the syncs that waited for them or now have something to change.
    """
    before = plan_choices(db, connection)
    for pair in pairs:
        _put(db, connection, pair, made_by, now)
    woken = syncs.wake(db, connection, wishes(pairs), now)
    return woken + _ask_concerned(db, connection, before, now, known=woken)


def note_shown(db: Session, connection: str, pair: Pair, mapping_id: str, *, made_by: str, now: datetime) -> None:
    """Keep this row, made where it is missing, with the id under which m3ter shows it."""
    db.execute(_insert(db, connection, pair, made_by=made_by, now=now).on_conflict_do_nothing())
    row = db.scalars(_find(connection, pair)).one()
    row.m3ter_mapping_id, row.sent_at = mapping_id, row.sent_at or now


def wishes(pairs: Iterable[Pair]) -> set[str]:
    """What syncs may wait for that these fulfil."""
    return {f"mapping:{pair.external_table}:{pair.external_id}" for pair in pairs} | {CHARGE_WISH}


def _put(db: Session, connection: str, pair: Pair, made_by: str, now: datetime) -> None:
    row = db.scalars(select(Mapping).where(*_on_topic(connection, pair)).order_by(Mapping.id.desc())).first()
    if row is None:
        made = _insert(db, connection, pair, made_by=made_by, now=now)
        db.execute(made.on_conflict_do_update(index_elements=UNIQUE, set_={"currency": pair.currency}))
        return
    if _shown(row) != _shown(pair):
        row.sent_at = row.m3ter_mapping_id = None
    if Pair.of(row) != pair:
        row.made_by = made_by
    row.m3ter_entity, row.m3ter_id = pair.m3ter_entity, pair.m3ter_id
    row.external_table, row.external_id = pair.external_table, pair.external_id
    row.currency, row.valid_until = pair.currency, pair.valid_until


def _ask_concerned(
    db: Session, connection: str, before: PlanChoices, now: datetime, *, known: Sequence[int] = ()
) -> list[int]:
    """The syncs, opened or joined, of every subscription that ever had an item of which something else is said now."""
    after = plan_choices(db, connection)
    changed = {
        (price, choice.customer_id)
        for price in {*before.of_price, *after.of_price}
        for choice in {*before.of_price.get(price, ())} ^ {*after.of_price.get(price, ())}
    }
    subscription_ids = _subscriptions_with(db, connection, changed)
    asked = [
        syncs.ask(
            db, connection=connection, kind="subscription", subject=subscription_id, trigger="mapping changed", now=now
        )
        for subscription_id in subscription_ids
    ]
    return [sync_id for sync_id in asked if sync_id not in known]


def _subscriptions_with(db: Session, connection: str, changed: Iterable[tuple[str, str]]) -> list[str]:
    """The subscriptions of that customer (`*`: anybody) of whose states one names that item price.

    The text of the state is searched, which may find some too many; their syncs change nothing.
    """
    body = cast(SubscriptionState.body, Text)
    conditions = [
        and_(*(body.contains(json.dumps(word), autoescape=True) for word in (price, customer_id) if word != ANY))
        for price, customer_id in sorted(changed)
    ]
    found: set[str] = set()
    for some in batches(conditions):
        found.update(
            db.scalars(
                select(SubscriptionState.subscription_id)
                .where(SubscriptionState.connection == connection, or_(*some))
                .distinct()
            )
        )
    return sorted(found)


def remove(
    services: Services, connection: str, pair: Pair, *, rewrite: bool = False, dry_run: bool = False
) -> list[int]:
    """Take away this mapping, which a person made, here and in m3ter; answers the syncs that now have something to change.

    Raises BadMapping where there is none, where it is the connector's own, and, unless `rewrite` says that this is meant,
    where it would change what has been metered.
    """
    with services.reading() as db:
        row = _removable(db, connection, pair)
        if not rewrite:
            _refuse(_left_without(db, connection, row, services.now()))
    if dry_run:
        return []
    _take_back(services, connection, [row.m3ter_mapping_id] if row.m3ter_mapping_id else [])
    with services.transaction() as db:
        before = plan_choices(db, connection)
        db.execute(delete(Mapping).where(Mapping.id == row.id))
        return _ask_concerned(db, connection, before, services.now())


def _removable(db: Session, connection: str, pair: Pair) -> Mapping:
    row: Mapping | None = db.scalars(_find(connection, pair)).first()
    if row is None:
        raise BadMapping(f"there is no mapping {pair}; `connector mappings list` shows them all")
    if row.made_by == "connector":
        raise BadMapping(f"{pair}: the connector made this mapping and needs it")
    live = select(Account.id).where(
        Account.connection == connection,
        Account.m3ter_id == pair.m3ter_id,
        Account.customer_id == pair.external_id,
    )
    if pair.m3ter_entity == "Account" and db.scalar(live) is not None:
        raise BadMapping(f"{pair}: the customer's subscriptions are metered under this account already")
    return row


def _left_without(db: Session, connection: str, row: Mapping, now: datetime) -> list[str]:
    """A sentence where standing account plans would have got another plan, or none, in time that has passed."""
    rows = _plan_rows(db, connection)
    gone = Pair.of(row)
    before, after = _choices(db, connection, rows), _choices(db, connection, [one for one in rows if one != gone])
    codes = [
        plan.code
        for plan in _standing(db, connection, {gone.external_id} if gone.m3ter_entity in PLAN_ENTITIES else set())
        for passed in [(plan.item_price_id, plan.customer_id, plan.start, min(filter(None, (plan.end, now))))]
        if before.pieces(*passed) != after.pieces(*passed)
    ]
    return (
        [
            f"{gone}: {_counted(codes)} under it. `connector mappings add` with the same words and --until <day> ends it on that "
            "day. With --rewrite it is taken away for all time; a period that m3ter has billed already parks for review."
        ]
        if codes
        else []
    )


def _insert(db: Session, connection: str, pair: Pair, *, made_by: str, now: datetime) -> Any:
    return insert(db, Mapping).values(
        connection=connection, m3ter_entity=pair.m3ter_entity, m3ter_id=pair.m3ter_id, external_system=SYSTEM,
        external_table=pair.external_table, external_id=pair.external_id, currency=pair.currency,
        customer_id=pair.customer_id, valid_from=pair.valid_from, valid_until=pair.valid_until,
        made_by=made_by, created_at=now,
    )  # fmt: skip


def _find(connection: str, pair: Pair) -> Any:
    return select(Mapping).where(
        Mapping.connection == connection,
        Mapping.m3ter_entity == pair.m3ter_entity,
        Mapping.m3ter_id == pair.m3ter_id,
        Mapping.external_table == pair.external_table,
        Mapping.external_id == pair.external_id,
        Mapping.customer_id == pair.customer_id,
        Mapping.valid_from == pair.valid_from,
    )


def _well_formed(pair: Pair) -> Pair:
    """The pair if it could be right; raises BadMapping."""
    if pair.m3ter_entity not in TABLES:
        raise BadMapping(f"{pair.m3ter_entity!r} is not one of {', '.join(TABLES)}")
    if pair.external_table not in TABLES[pair.m3ter_entity]:
        raise BadMapping(f"{pair.m3ter_entity} is mapped to a Chargebee {' or '.join(TABLES[pair.m3ter_entity])}")
    if (pair.external_table == AD_HOC) != (pair.external_id == ANY):
        raise BadMapping(f"{AD_HOC} takes `*` as its Chargebee id, and nothing else does")
    if not pair.external_id.strip() or not pair.m3ter_id.strip():
        raise BadMapping("both ids are needed (m3ter id `*` for NotMetered and Default)")
    if pair.m3ter_entity in (NOT_METERED, "Default") and pair.m3ter_id != ANY:
        raise BadMapping(f"{pair.m3ter_entity} takes `*` as its m3ter id")
    if pair.m3ter_entity == "LineItemType" and pair.m3ter_id not in LINE_ITEM_TYPES:
        raise BadMapping(f"{pair.m3ter_id!r} is not one of m3ter's line item types: {', '.join(LINE_ITEM_TYPES)}")
    if pair.m3ter_entity in CHARGE_ENTITIES and not pair.currency:
        raise BadMapping("the currency of the charge item price is needed")
    return _well_dated(pair)


def _well_dated(pair: Pair) -> Pair:
    limited = (pair.customer_id, pair.valid_from, pair.valid_until) != (ANY, ALWAYS, None)
    if limited and pair.m3ter_entity not in PLAN_ENTITIES:
        raise BadMapping(f"only {' and '.join(PLAN_ENTITIES)} can be limited to a customer or to a time")
    if not pair.customer_id.strip():
        raise BadMapping("the customer's id is empty; `*` stands for everybody")
    if pair.valid_from < ALWAYS:
        raise BadMapping(f"the first day cannot be before {day_or_time(ALWAYS)}")
    if pair.valid_until is not None and pair.valid_until <= pair.valid_from:
        raise BadMapping("it must end after it begins")
    return pair


class _Catalogues:
    """Both live catalogues, each thing asked for once."""

    def __init__(self, connected: Connected) -> None:
        self.item_price = cache(connected.chargebee.retrieve_item_price)
        self.customer = cache(connected.chargebee.retrieve_customer)
        self.subscription = cache(connected.chargebee.retrieve_subscription)
        self.plan = cache(connected.m3ter.get_plan)
        self.plan_template = cache(connected.m3ter.get_plan_template)
        self.must_exist = cache(connected.m3ter.must_exist)


def _compared(catalogues: _Catalogues, pair: Pair) -> Pair:
    """The pair with what the catalogues say of it; raises BadMapping when they contradict it."""
    if pair.external_table != ITEM_PRICE:
        _well_formed(pair)
        if pair.external_table == "Customer":
            _look_up(lambda: catalogues.customer(pair.external_id), "Chargebee has no customer of this id")
        elif pair.external_table == SUBSCRIPTION:
            _look_up(lambda: catalogues.subscription(pair.external_id), "Chargebee has no subscription of this id")
    else:
        price = _look_up(lambda: catalogues.item_price(pair.external_id), "Chargebee has no item price of this id")
        pair = _well_formed(_fitting(pair, price))
        if pair.m3ter_entity == PLAN:
            _must_fit_plan(catalogues, pair, price)
    if pair.customer_id != ANY:
        _look_up(lambda: catalogues.customer(pair.customer_id), f"Chargebee has no customer {pair.customer_id}")
    if collection := COLLECTIONS.get(pair.m3ter_entity):
        _look_up(
            lambda: catalogues.must_exist(collection, pair.m3ter_id), f"m3ter has no {pair.m3ter_entity} of this id"
        )
    return pair


def _must_fit_plan(catalogues: _Catalogues, pair: Pair, price: ItemPrice) -> None:
    plan = _look_up(lambda: catalogues.plan(pair.m3ter_id), "m3ter has no Plan of this id")
    template = _look_up(
        lambda: catalogues.plan_template(plan.plan_template_id), "m3ter does not have the template of this Plan"
    )
    if template.currency != price.currency_code:
        raise BadMapping(f"the m3ter plan is in {template.currency}, the item price in {price.currency_code}")
    if plan.account_id is not None and pair.customer_id == ANY:
        raise BadMapping("m3ter made this plan for one account only; say whose it is with --customer")


def _fitting(pair: Pair, price: ItemPrice) -> Pair:
    """The pair with the item price's currency; raises BadMapping when the price cannot be what it is mapped to."""
    if pair.m3ter_entity not in CHARGE_ENTITIES:
        if price.item_type == "charge":
            raise BadMapping("the item price is of a charge; a plan or addon is metered by a m3ter plan")
        return pair
    if pair.currency and price.currency_code and pair.currency != price.currency_code:
        raise BadMapping(f"the item price is in {price.currency_code}, not {pair.currency}")
    if price.item_type != "charge":
        raise BadMapping(f"the item price is of a {price.item_type}; a bill line needs a charge item's price")
    if price.pricing_model != "flat_fee":
        raise BadMapping(f"the item price is {price.pricing_model}; amounts of bill lines need a flat_fee price")
    return replace(pair, currency=pair.currency or price.currency_code)


def _look_up(call: Any, absent: str) -> Any:
    try:
        return call()
    except NotFound as error:
        raise BadMapping(absent) from error
    except (Rejected, Unreadable) as error:
        raise BadMapping(str(error)) from error

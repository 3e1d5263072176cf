"""What stands still for want of a mapping, and how much money waits on it.

A bill that waits for a mapping is not frozen, so that what it comes to is read from m3ter, a bounded number of bills at once.
Sums are by currency and never across.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from connector import money
from connector.bills import around, ledger, routing
from connector.bills.lines import keyed_lines
from connector.bills.plan import plan_push
from connector.bills.routing import Surroundings
from connector.clients.m3ter_objects import Bill, BillLine
from connector.database import batches
from connector.errors import ConnectorError, NotFound, Retryable
from connector.mappings import charges, table
from connector.mappings.charges import CHARGE_WISH
from connector.mappings.plans import PlanChoices, plan_wish
from connector.models import SubscriptionState, Sync
from connector.services import Services

# How many bills are read from m3ter for one look, and how many parked subscriptions are gone through.
MOST_BILLS = 20
MOST_SYNCS = 500
HELD = ("parked", "waiting")
Prices = Mapping[tuple[str, str, str], str]


@dataclass(frozen=True)
class Source:
    """What bill lines have in common that a charge item price can be mapped to, in one currency."""

    entity: str
    m3ter_id: str
    currency: str


@dataclass(frozen=True)
class HeldBill:
    """A bill that stands still; amounts are in major units of its currency, and still to be charged.

    `open_lines` are its lines that are to be charged, each with its amount; `accounts` those that it names, each with the
    Chargebee customer that it stands for, where it stands for one.
    """

    bill_id: str
    sync_id: int
    cause: str | None
    currency: str
    total: Decimal
    open_lines: tuple[tuple[BillLine, Decimal], ...]
    accounts: tuple[tuple[str, str | None], ...]

    def unmapped(self, prices: Prices) -> list[tuple[BillLine, Decimal]]:
        """Its lines of which these mappings do not say what they become."""
        return [
            (line, amount)
            for line, amount in self.open_lines
            if routing.charge_price(line, self.currency, prices) is None
        ]


@dataclass(frozen=True)
class HeldBills:
    """The bills that stand still for want of a mapping, as far as they were read.

    `held` is how many there are, `unread` says of each that m3ter gave no sense of why not, and `away` why no more were asked.
    """

    bills: tuple[HeldBill, ...] = ()
    held: int = 0
    unread: tuple[tuple[str, str], ...] = ()
    away: str | None = None

    @property
    def not_read(self) -> int:
        """How many more there are than those whose amounts are known."""
        return self.held - len(self.bills)


@dataclass(frozen=True)
class WaitingLines:
    """Bill lines that one mapping would let go on: `amount` is theirs, `whole` that of the bills which they are on."""

    source: Source
    descriptions: tuple[str, ...]
    bills: tuple[HeldBill, ...]
    amount: Decimal
    whole: Decimal


@dataclass
class WaitingPrice:
    """The parked subscriptions that have an item price of which nothing is said."""

    syncs: list[int] = field(default_factory=list)
    subscriptions: list[str] = field(default_factory=list)


def bills(services: Services, connection: str, *, sync_id: int | None = None, most: int = MOST_BILLS) -> HeldBills:
    """The bills that wait for a mapping, oldest first, or just that of one sync; one call to m3ter for each."""
    with services.reading() as db:
        wanted = (
            Sync.connection == connection,
            Sync.kind == "bill",
            Sync.wakes_on == CHARGE_WISH,
            Sync.status.in_(HELD),
        )
        held = db.scalar(select(func.count()).select_from(Sync).where(*wanted)) or 0
        one = () if sync_id is None else (Sync.id == sync_id,)
        rows = db.scalars(select(Sync).where(*wanted, *one).order_by(Sync.id).limit(most)).all()
    found: list[HeldBill] = []
    unread: list[tuple[str, str]] = []
    for row in rows:
        try:
            read = services.connection(connection).m3ter.get_bill(row.subject)
            found.append(_held(services, connection, row, read))
        except NotFound:
            unread.append((row.subject, "m3ter has no such bill any more"))
        except Retryable as error:
            return HeldBills(tuple(found), held, tuple(unread), str(error))
        except ConnectorError as error:
            unread.append((row.subject, str(error)))
    return HeldBills(tuple(found), held if sync_id is None else len(rows), tuple(unread))


def _held(services: Services, connection: str, row: Sync, bill: Bill) -> HeldBill:
    """What of the bill is still to be charged, to the minor unit, just as a push of it would work it out."""
    accounts = sorted({bill.account_id, *(line.child_account_id for line in bill.lines if line.child_account_id)})
    with services.reading() as db:
        sent = ledger.sent_amounts(db, connection, bill.id)
        customers = table.customers_of(db, connection, accounts)
    policies = around.policies(services.connection(connection).settings)
    nothing_known = Surroundings(
        now=services.now(),
        charge_prices={},
        account_plans=(),
        customers={},
        subscriptions={},
        sent=sent,
        policies=policies,
    )
    plan = plan_push(bill, nothing_known)
    if bill.lines and not plan.lines:
        raise ConnectorError("; ".join(one.cause.text for one in plan.problems))
    by_key = dict(keyed_lines(bill))
    return HeldBill(
        bill_id=bill.id,
        sync_id=row.id,
        cause=row.cause,
        currency=bill.currency,
        total=money.to_major(sum(one.open_minor for one in plan.lines), plan.decimals),
        open_lines=tuple(
            (by_key[one.key], money.to_major(one.open_minor, plan.decimals))
            for one in plan.lines
            if one.open_minor > 0 and one.exact >= 0
        ),
        accounts=tuple((one, customers.get(one)) for one in accounts),
    )


def by_source(held: Iterable[HeldBill], prices: Prices) -> list[WaitingLines]:
    """The lines that wait, by what a person would map, where most money waits first within each currency."""
    lines: dict[Source, list[tuple[HeldBill, BillLine, Decimal]]] = {}
    for bill in held:
        for line, amount in bill.unmapped(prices):
            lines.setdefault(Source(*routing.source(line), bill.currency), []).append((bill, line, amount))
    found = []
    for source, rows in lines.items():
        on = tuple({bill.bill_id: bill for bill, _, _ in rows}.values())
        names = tuple(dict.fromkeys(line.description or line.type for _, line, _ in rows))
        amount, whole = money.total(amount for _, _, amount in rows), money.total(bill.total for bill in on)
        found.append(WaitingLines(source, names, on, amount, whole))
    return sorted(found, key=lambda one: (one.source.currency, -one.amount, one.source.entity, one.source.m3ter_id))


def totals(held: Iterable[HeldBill]) -> dict[str, Decimal]:
    """What the bills come to, by currency."""
    found: dict[str, list[Decimal]] = {}
    for bill in held:
        found.setdefault(bill.currency, []).append(bill.total)
    return {currency: money.total(amounts) for currency, amounts in sorted(found.items())}


def freed(held: Iterable[HeldBill], before: Prices, after: Prices) -> list[HeldBill]:
    """The bills that had lines of which nothing was said, and with the other mappings have none."""
    return [bill for bill in held if bill.unmapped(before) and not bill.unmapped(after)]


def prices(
    db: Session, connection: str, choices: PlanChoices, *, sync_id: int | None = None
) -> dict[str, WaitingPrice]:
    """The oldest parked subscriptions by each of their item prices of which nothing is said, or just that of one sync."""
    wanted = _parked_subscriptions(connection)
    if sync_id is not None:
        wanted.append(Sync.id == sync_id)
    rows = db.scalars(select(Sync).where(*wanted).order_by(Sync.id).limit(MOST_SYNCS)).all()
    items = _items(db, connection, [row.subject for row in rows])
    found: dict[str, WaitingPrice] = {}
    for row in rows:
        named = str(row.wakes_on).removeprefix(plan_wish(""))
        others = [price for price in items.get(row.subject, ()) if price not in choices.of_price]
        for price in dict.fromkeys((named, *others)):
            one = found.setdefault(price, WaitingPrice())
            one.syncs.append(row.id)
            one.subscriptions.append(row.subject)
    return found


def number_of_subscriptions(db: Session, connection: str) -> int:
    """How many subscriptions are parked for an item price; only the oldest `MOST_SYNCS` are gone through."""
    return db.scalar(select(func.count()).select_from(Sync).where(*_parked_subscriptions(connection))) or 0


def _parked_subscriptions(connection: str) -> list[ColumnElement[bool]]:
    return [
        Sync.connection == connection, Sync.kind == "subscription", Sync.status.in_(HELD),
        Sync.wakes_on.startswith(plan_wish(""), autoescape=True),
    ]  # fmt: skip


def _items(db: Session, connection: str, subscription_ids: Sequence[str]) -> dict[str, list[str]]:
    """The plan and addon item prices that each subscription ever had."""
    found: dict[str, list[str]] = {}
    for some in batches(subscription_ids):
        rows = db.execute(
            select(SubscriptionState.subscription_id, SubscriptionState.body).where(
                SubscriptionState.connection == connection, SubscriptionState.subscription_id.in_(some)
            )
        )
        for subscription_id, body in rows:
            for item in body.get("subscription_items", ()):
                if item.get("item_type") != "charge" and item.get("item_price_id"):
                    found.setdefault(subscription_id, []).append(str(item["item_price_id"]))
    return found


def charge_prices(services: Services, connection: str) -> Prices:
    """What is said of bill lines now."""
    with services.reading() as db:
        return charges.charge_prices(db, connection)

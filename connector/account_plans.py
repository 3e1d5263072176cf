"""The m3ter account plans that subscriptions own: one row each, planned before the call and live after its answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import count

from sqlalchemy import delete, func, select, update

from connector import codes, days
from connector.clients.m3ter_objects import AccountPlan as M3terPlan
from connector.errors import Rejected
from connector.mappings import own
from connector.mappings.pairs import Pair
from connector.models import AccountPlan, SeenBill
from connector.services import Services
from connector.syncs import Run

# How far back the poll of approved bills is sure to have looked.
POLLED = timedelta(days=1)


@dataclass(frozen=True)
class Interval:
    """When an item of a subscription is to be billed by which m3ter plan; `end` is exclusive, None is open.

    `bill_epoch` is the day of its first bill; m3ter goes by the organization's epoch where it is None.
    """

    item_price_id: str
    plan_id: str
    customer_id: str
    start: datetime
    end: datetime | None
    bill_epoch: date | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.item_price_id} as plan {self.plan_id} {span(self.start, self.end)}"


@dataclass(frozen=True)
class Current:
    """An account plan as we believe it stands in m3ter; in doubt while the answer to its creation is missing."""

    id: int
    account_id: str
    subscription_id: str
    customer_id: str
    item_price_id: str
    plan_id: str
    code: str
    start: datetime
    end: datetime | None
    m3ter_id: str | None
    bill_epoch: date | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"account plan {self.code} {span(self.start, self.end)}"

    @property
    def in_doubt(self) -> bool:
        """Whether m3ter must be asked before anything else is done."""
        return self.m3ter_id is None


def span(start: datetime, end: datetime | None) -> str:
    """The time as a person reads it."""
    return f"from {start:%Y-%m-%d %H:%M} to {f'{end:%Y-%m-%d %H:%M}' if end else 'open end'}"


def owned_by(services: Services, connection: str, subscription_id: str) -> list[Current]:
    """The account plans of this subscription, oldest first."""
    with services.reading() as db:
        rows = db.scalars(
            select(AccountPlan)
            .where(AccountPlan.connection == connection, AccountPlan.subscription_id == subscription_id)
            .order_by(AccountPlan.start, AccountPlan.id)
        )
        return [_current(row) for row in rows]


def of_account(services: Services, connection: str, account_id: str) -> list[Current]:
    """The account plans of this m3ter account, oldest first."""
    with services.reading() as db:
        rows = db.scalars(
            select(AccountPlan)
            .where(AccountPlan.connection == connection, AccountPlan.account_id == account_id)
            .order_by(AccountPlan.start, AccountPlan.id)
        )
        return [_current(row) for row in rows]


def _current(row: AccountPlan) -> Current:
    return Current(
        id=row.id, account_id=row.account_id, subscription_id=row.subscription_id, customer_id=row.customer_id,
        item_price_id=row.item_price_id, plan_id=row.plan_id, code=row.code, start=row.start, end=row.end,
        m3ter_id=row.m3ter_id, bill_epoch=row.bill_epoch,
    )  # fmt: skip


def billed_until(services: Services, run: Run, account_ids: Sequence[str], since: datetime) -> datetime | None:
    """Until when an approved bill of one of these accounts reaches, if that is after `since`.

    The poll knows the bills of the last day; m3ter is asked about what lies further back.
    """
    with services.reading() as db:
        known = db.scalar(
            select(func.max(SeenBill.billed_until)).where(
                SeenBill.connection == run.connection, SeenBill.account_id.in_(account_ids)
            )
        )
    if (known is None or known <= since) and since < services.now() - POLLED:
        m3ter = services.connection(run.connection).m3ter
        ends = [
            days.billed_until(bill)
            for account_id in account_ids
            for bill in m3ter.list_bills(status="APPROVED", account_id=account_id, bill_date_start=since.date())
        ]
        known = max(filter(None, (known, *ends)), default=None)
    return known if known is not None and known > since else None


def settle(services: Services, run: Run) -> list[Current]:
    """The plans of the run's subscription; where the answer to a creation is missing, as m3ter has them."""
    current = owned_by(services, run.connection, run.subject)
    for account_id in {one.account_id for one in current if one.in_doubt}:
        found = {one.code: one for one in services.connection(run.connection).m3ter.account_plans(account_id)}
        for one in current:
            theirs = found.get(one.code)
            if theirs is not None:
                _note_live(services, one.id, theirs)
                if one.in_doubt:
                    run.note(f"found account plan {one.code}, whose creation had not been answered")
            elif one.in_doubt and one.account_id == account_id:
                _forget(services, one)
        current = owned_by(services, run.connection, run.subject)
    return current


def plan(services: Services, run: Run, account_id: str, wanted: Interval) -> Current:
    """Our row for a new account plan, committed before m3ter hears of it."""
    with services.transaction() as db:
        for code in _codes(run.subject, wanted):
            row = db.scalar(
                select(AccountPlan).where(AccountPlan.connection == run.connection, AccountPlan.code == code)
            )
            if row is None:
                row = AccountPlan(
                    connection=run.connection, subscription_id=run.subject, customer_id=wanted.customer_id, account_id=account_id,
                    item_price_id=wanted.item_price_id, plan_id=wanted.plan_id, code=code, start=wanted.start,
                    end=wanted.end, bill_epoch=wanted.bill_epoch, status="planned", created_at=services.now(),
                )  # fmt: skip
                db.add(row)
                db.flush()
            # A plan that began here and has been moved since keeps its code: the next one gets another.
            if row.m3ter_id is None and row.start == wanted.start:
                return _current(row)
    raise AssertionError("there is always another code")


def _codes(subscription_id: str, wanted: Interval) -> Iterator[str]:
    parts = (subscription_id, wanted.item_price_id, str(int(wanted.start.timestamp())))
    yield codes.code(*parts)
    for number in count(2):
        yield codes.code(*parts, str(number))


def create(services: Services, run: Run, new: Current) -> None:
    """Create the planned account plan in m3ter; one that has this code already is adopted, never doubled."""
    m3ter = services.connection(run.connection).m3ter
    try:
        made = m3ter.create_account_plan(
            account_id=new.account_id, plan_id=new.plan_id, start=new.start, end=new.end, code=new.code,
            bill_epoch=new.bill_epoch,
        )  # fmt: skip
        run.note(f"started account plan {new.code} from {new.start:%Y-%m-%d %H:%M}")
    except Rejected:
        known = _by_code(services, run, new)
        if known is None:
            _forget(services, new)
            raise
        made = known
    _note_live(services, new.id, made)


def replace(services: Services, run: Run, old: Current, new: Current) -> None:
    """End one account plan where the new one starts; in two calls where m3ter does not take the one."""
    m3ter = services.connection(run.connection).m3ter
    try:
        ended, made = m3ter.replace_account_plan(
            str(old.m3ter_id),
            account_id=new.account_id,
            plan_id=new.plan_id,
            start=new.start,
            end=new.end,
            code=new.code,
            bill_epoch=new.bill_epoch,
        )
    except Rejected as refused:
        run.note(f"m3ter did not replace the plan in one call ({refused}), so in two")
        move(services, run, old, start=old.start, end=new.start)
        create(services, run, new)
        return
    run.note(f"replaced account plan {old.code} by {new.code} at {new.start:%Y-%m-%d %H:%M}")
    _note_live(services, old.id, ended)
    _note_live(services, new.id, made)


def move(services: Services, run: Run, one: Current, *, start: datetime, end: datetime | None) -> None:
    """Give a standing account plan another start or end."""
    moved = services.connection(run.connection).m3ter.change_account_plan(str(one.m3ter_id), start=start, end=end)
    run.note(f"account plan {one.code} now runs {span(start, end)}")
    _note_live(services, one.id, moved)


def rebill(services: Services, run: Run, one: Current, bill_epoch: date) -> None:
    """Give a standing account plan another day for its first bill."""
    services.connection(run.connection).m3ter.change_account_plan(
        str(one.m3ter_id), start=one.start, end=one.end, bill_epoch=bill_epoch
    )
    run.note(f"account plan {one.code} is now billed on {bill_epoch} first")
    with services.transaction() as db:
        db.execute(update(AccountPlan).where(AccountPlan.id == one.id).values(bill_epoch=bill_epoch))


def remove(services: Services, run: Run, one: Current) -> None:
    """Take a plan that was never billed out of m3ter, and its mappings out of both systems."""
    m3ter = services.connection(run.connection).m3ter
    own.forget(services, run.connection, "AccountPlan", str(one.m3ter_id), "Subscription")
    m3ter.delete_account_plan(str(one.m3ter_id))
    run.note(f"removed account plan {one.code}, of whose time nothing is left")
    with services.transaction() as db:
        db.execute(delete(AccountPlan).where(AccountPlan.id == one.id))


def map_all(services: Services, run: Run) -> None:
    """Keep a mapping for each live account plan of the run's subscription, here and in m3ter."""
    for one in owned_by(services, run.connection, run.subject):
        if one.m3ter_id is not None:
            external_id = f"{one.subscription_id} - {one.item_price_id}"
            own.forget(services, run.connection, "AccountPlan", one.m3ter_id, "Subscription", keep=[external_id])
            own.record(services, run.connection, Pair("AccountPlan", one.m3ter_id, "Subscription", external_id))


def _by_code(services: Services, run: Run, new: Current) -> M3terPlan | None:
    """The plan that m3ter refused to make again, because it has it."""
    for one in services.connection(run.connection).m3ter.account_plans(new.account_id):
        if one.code == new.code and one.plan_id == new.plan_id:
            run.note(f"adopted account plan {new.code}, which m3ter had already")
            return one
    return None


def _note_live(services: Services, row_id: int, found: M3terPlan) -> None:
    with services.transaction() as db:
        db.execute(
            update(AccountPlan)
            .where(AccountPlan.id == row_id)
            .values(status="live", m3ter_id=found.id, start=found.start, end=found.end)
        )


def _forget(services: Services, one: Current) -> None:
    with services.transaction() as db:
        db.execute(delete(AccountPlan).where(AccountPlan.id == one.id, AccountPlan.m3ter_id.is_(None)))

"""The m3ter account plans that subscriptions own: one row each, planned before the call and live after its answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from sqlalchemy import delete, select, update

from connector import codes, mappings
from connector.clients.m3ter_objects import AccountPlan as M3terPlan
from connector.errors import Rejected
from connector.mappings import Pair
from connector.models import AccountPlan
from connector.services import Services
from connector.syncs import Run


@dataclass(frozen=True)
class Interval:
    """When an item of a subscription is to be billed by which m3ter plan; `end` is exclusive, None is open."""

    item_price_id: str
    plan_id: str
    start: datetime
    end: datetime | None


@dataclass(frozen=True)
class Current:
    """An account plan as we believe it stands in m3ter; in doubt while the answer to its creation is missing."""

    id: int
    account_id: str
    subscription_id: str
    item_price_id: str
    plan_id: str
    code: str
    start: datetime
    end: datetime | None
    m3ter_id: str | None

    @property
    def in_doubt(self) -> bool:
        """Whether m3ter must be asked before anything else is done."""
        return self.m3ter_id is None


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
        id=row.id, account_id=row.account_id, subscription_id=row.subscription_id, item_price_id=row.item_price_id,
        plan_id=row.plan_id, code=row.code, start=row.start, end=row.end, m3ter_id=row.m3ter_id,
    )  # fmt: skip


def settle(services: Services, run: Run, account_id: str, current: Sequence[Current]) -> list[Current]:
    """The plans as m3ter has them, after a creation whose answer is missing: adopted by its code, or never made."""
    found = {one.code: one for one in services.connection(run.connection).m3ter.account_plans(account_id)}
    for one in current:
        theirs = found.get(one.code)
        if theirs is not None:
            _note_live(services, one.id, theirs)
            if one.in_doubt:
                run.note(f"found account plan {one.code}, whose creation had not been answered")
        elif one.in_doubt:
            _forget(services, one)
    return owned_by(services, run.connection, run.subject)


def plan(services: Services, run: Run, account_id: str, customer_id: str, wanted: Interval) -> Current:
    """Our row for a new account plan, committed before m3ter hears of it."""
    with services.transaction() as db:
        for code in _codes(run.subject, wanted):
            row = db.scalar(
                select(AccountPlan).where(AccountPlan.connection == run.connection, AccountPlan.code == code)
            )
            if row is None:
                row = AccountPlan(
                    connection=run.connection, subscription_id=run.subject, customer_id=customer_id, account_id=account_id,
                    item_price_id=wanted.item_price_id, plan_id=wanted.plan_id, code=code, start=wanted.start,
                    end=wanted.end, status="planned", created_at=services.now(),
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
            account_id=new.account_id, plan_id=new.plan_id, start=new.start, end=new.end, code=new.code
        )
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
    run.note(
        f"account plan {one.code} now runs from {start:%Y-%m-%d %H:%M} to {f'{end:%Y-%m-%d %H:%M}' if end else 'open end'}"
    )
    _note_live(services, one.id, moved)


def map_all(services: Services, run: Run) -> None:
    """Keep a mapping for each live account plan of the run's subscription, here and in m3ter."""
    for one in owned_by(services, run.connection, run.subject):
        if one.m3ter_id is not None:
            external_id = f"{one.subscription_id} - {one.item_price_id}"
            mappings.record(services, run.connection, Pair("AccountPlan", one.m3ter_id, "Subscription", external_id))


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

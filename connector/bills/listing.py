"""Bills in lists: by filter and a page at a time, with what waits in each section. All of it from our own rows."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, false, literal, or_, select
from sqlalchemy.orm import Session, aliased

from connector import money
from connector.bills import receipts
from connector.bills.ledger import DONE
from connector.bills.plan import YEARS
from connector.database import batches
from connector.mappings.table import customers_of
from connector.models import (
    IS_BILL,
    IS_OPEN,
    Account,
    AccountPlan,
    BillSnapshot,
    LinePush,
    Receipt,
    SeenBill,
    Sync,
)
from connector.models import Mapping as MappingRow
from connector.services import Services
from connector.settings import Connection

WAITING, LATE, STOPPED, PUSHED = "waiting", "late", "parked", "pushed"
# Causes for which a bill waits for its invoice, and those that say that the invoice was closed or never came.
FOR_INVOICE = ("no_pending_invoice",)
TOO_LATE = ("late_bill", "invoice_closed", "period_mismatch")
# Of what is open so many bills are added up; more than these make "2000+".
MOST = 2000
# Up to so many bills are looked up one by one.
FEW = 5000


@dataclass(frozen=True)
class Filter:
    """Which bills: those to which all apply that are given.

    `about` is the id of a bill, account, customer, subscription or invoice; `section` one of SECTIONS; `status` that of the
    bill's newest sync.
    """

    connection: str | None = None
    section: str | None = None
    status: str | None = None
    about: str | None = None
    currency: str | None = None


@dataclass(frozen=True)
class Listed:
    """A bill in a list; amounts are in major units of `currency`, None where they are not known yet.

    `total` is the bill's as it was frozen or, where nothing was, as m3ter's list gave it; `added` and `equal` say what of a
    frozen bill is on invoices. `deadline` is until when it waits for its invoice.
    """

    sync: Sync
    account_id: str | None
    customer_id: str | None
    currency: str | None
    total: Decimal | None
    added: Decimal | None
    equal: bool | None
    invoices: Sequence[str]
    billed_until: datetime | None
    deadline: datetime | None

    @property
    def id(self) -> int:
        """What a page of the list ends before."""
        return self.sync.id

    @property
    def bill_id(self) -> str:
        return self.sync.subject


@dataclass
class Sum:
    """How many bills of a section there are, and what they come to by currency; `unknown` have no known total."""

    bills: int = 0
    amounts: dict[str, Decimal] = field(default_factory=dict)
    unknown: int = 0


SECTIONS: Mapping[str, ColumnElement[bool]] = {
    WAITING: and_(Sync.status == "waiting", Sync.cause.in_(FOR_INVOICE)),
    LATE: and_(Sync.status.in_(("waiting", "parked")), Sync.cause.in_(TOO_LATE)),
    STOPPED: Sync.status == "parked",
    PUSHED: exists().where(Receipt.connection == Sync.connection, Receipt.bill_id == Sync.subject),
}


def listed(services: Services, db: Session, wanted: Filter, *, before: int | None = None, limit: int) -> list[Listed]:
    """The bills like this whose syncs were opened last, the newest first; older than that of sync `before`."""
    newer = aliased(Sync)
    is_newest = ~exists().where(
        newer.connection == Sync.connection, newer.kind == Sync.kind, newer.subject == Sync.subject, newer.id > Sync.id
    )
    names = [wanted.connection] if wanted.connection else list(services.connections)
    conditions: list[ColumnElement[bool]] = [Sync.connection.in_(names), is_newest]
    conditions += [] if before is None else [Sync.id < before]
    conditions += [] if wanted.section is None else [SECTIONS[wanted.section]]
    conditions += (
        _few(db, select(Receipt.bill_id).where(Receipt.connection.in_(names))) if wanted.section == PUSHED else []
    )
    conditions += [] if wanted.status is None else [Sync.status == wanted.status]
    conditions += [] if wanted.about is None else [_about(db, names, wanted.about)]
    conditions += [] if wanted.currency is None else _in_currency(db, names, wanted.currency)
    found = select(Sync).where(IS_BILL, *conditions).order_by(Sync.id.desc()).limit(limit)
    return _told(services, db, list(db.scalars(found)))


def _about(db: Session, names: Collection[str], text: str) -> ColumnElement[bool]:
    """The bills that this id names, or of the accounts that it stands for, or with a charge on the invoice that it is."""
    accounts = {text}
    accounts.update(
        db.scalars(select(Account.m3ter_id).where(Account.customer_id == text, Account.m3ter_id.is_not(None)))
    )
    mapped = select(MappingRow.m3ter_id).where(
        MappingRow.connection.in_(names), MappingRow.external_table == "Customer", MappingRow.external_id == text,
        MappingRow.m3ter_entity == "Account",
    )  # fmt: skip
    accounts.update(db.scalars(mapped))
    billed = select(AccountPlan.account_id).where(
        AccountPlan.connection.in_(names), AccountPlan.subscription_id == text
    )
    accounts.update(db.scalars(billed))
    told = (
        select(SeenBill.bill_id).where(SeenBill.connection.in_(names), SeenBill.account_id.in_(accounts)),
        select(BillSnapshot.bill_id).where(BillSnapshot.connection.in_(names), BillSnapshot.account_id.in_(accounts)),
        select(LinePush.bill_id).where(LinePush.connection.in_(names), LinePush.invoice_id == text),
        select(LinePush.bill_id).where(LinePush.connection.in_(names), LinePush.final_invoice_id == text),
    )
    # Written out, so that the index of subjects finds them: none has more than a few.
    return Sync.subject.in_({text, *(bill for one in told for bill in db.scalars(one.distinct()))})


def _in_currency(db: Session, names: Collection[str], currency: str) -> list[ColumnElement[bool]]:
    tables = (SeenBill, BillSnapshot)
    told = (
        exists().where(table.connection == Sync.connection, table.bill_id == Sync.subject, table.currency == currency)
        for table in tables
    )
    known = (
        select(table.bill_id).where(table.connection.in_(names), table.currency == currency) for table in tables
    )  # fmt: skip
    return [or_(*told), *_few(db, *known)]


def _few(db: Session, *known: Select[Any]) -> list[ColumnElement[bool]]:
    """That a bill is one of these, where they are few: written out, so that the index of subjects finds them at once. Among
    many the newest are soon come by."""
    found: set[str] = set()
    for one in known:
        found.update(db.scalars(one.limit(FEW + 1)))
    return [Sync.subject.in_(found)] if len(found) <= FEW else []


def _told(services: Services, db: Session, syncs: Sequence[Sync]) -> list[Listed]:
    """Each with what our rows know of its bill."""
    snapshots: dict[tuple[str, str], BillSnapshot] = {}
    done: dict[tuple[str, str], list[LinePush]] = defaultdict(list)
    seen: dict[tuple[str, str], SeenBill] = {}
    for some in batches({one.subject for one in syncs}):
        frozen = select(BillSnapshot).where(BillSnapshot.bill_id.in_(some), _of(BillSnapshot, syncs))
        snapshots |= {_key(one): one for one in db.scalars(frozen.order_by(BillSnapshot.generation))}
        sent = select(LinePush).where(LinePush.bill_id.in_(some), _of(LinePush, syncs), LinePush.status == DONE)
        for row in db.scalars(sent):
            done[_key(row)].append(row)
        polled = select(SeenBill).where(SeenBill.bill_id.in_(some), _of(SeenBill, syncs))
        seen |= {_key(one): one for one in db.scalars(polled)}
    customers: dict[tuple[str, str], str] = {}
    for name in {one.connection for one in syncs}:
        accounts = {row.account_id for key, row in seen.items() if key[0] == name}
        accounts |= {row.account_id for key, row in snapshots.items() if key[0] == name}
        for some in batches(accounts):
            customers |= {(name, account): found for account, found in customers_of(db, name, some).items()}
    rows = []
    for one in syncs:
        key = (one.connection, one.subject)
        rows.append(_row(services, one, snapshots.get(key), done.get(key, ()), seen.get(key), customers))
    return rows


def _of(table: Any, syncs: Sequence[Sync]) -> ColumnElement[bool]:
    names = {one.connection for one in syncs}
    return table.connection.in_(names) if names else false()


def _key(row: BillSnapshot | LinePush | SeenBill) -> tuple[str, str]:
    return row.connection, row.bill_id


def _row(
    services: Services, sync: Sync, snapshot: BillSnapshot | None, done: Sequence[LinePush], seen: SeenBill | None,
    customers: Mapping[tuple[str, str], str],
) -> Listed:  # fmt: skip
    account_id = snapshot.account_id if snapshot else seen.account_id if seen else None
    currency, total = (seen.currency, seen.total) if seen else (None, None)
    added = equal = None
    if snapshot is not None:
        minor = sum(part for row in done for _, part in row.parts)
        currency, total = snapshot.currency, money.to_major(snapshot.total_minor, snapshot.decimals)
        added, equal = money.to_major(minor, snapshot.decimals), minor == snapshot.total_minor
    connected = services.connections.get(sync.connection)
    billed_until = seen.billed_until if seen else None
    return Listed(
        sync=sync, account_id=account_id, customer_id=customers.get((sync.connection, account_id or "")),
        currency=currency, total=total, added=added, equal=equal, invoices=receipts.invoice_ids(done),
        billed_until=billed_until,
        deadline=deadline(connected.settings, sync.cause, billed_until) if connected else None,
    )  # fmt: skip


def deadline(settings: Connection, cause: str | None, billed_until: datetime | None) -> datetime | None:
    """Until when a bill waits for its invoice; None where it does not, or where no poll has seen its period."""
    if cause not in FOR_INVOICE or settings.late_bills == "next_invoice":
        return None
    if billed_until is None or billed_until.year not in YEARS:
        return None
    return billed_until + timedelta(days=settings.wait_for_invoice_days)


def sums(db: Session, names: Collection[str]) -> dict[str, Sum]:
    """What waits, is late and is parked, each currency for itself, as far as m3ter's list gave the totals."""
    found = {name: Sum() for name in (WAITING, LATE, STOPPED)}
    rows = db.execute(
        select(Sync.status, Sync.cause, SeenBill.currency, SeenBill.total)
        .outerjoin(SeenBill, and_(SeenBill.connection == Sync.connection, SeenBill.bill_id == Sync.subject))
        .where(IS_OPEN, Sync.kind == literal("bill"), Sync.connection.in_(names))
        .limit(MOST)
    )
    for status, cause, currency, total in rows:
        is_in = {
            WAITING: status == "waiting" and cause in FOR_INVOICE,
            LATE: status in ("waiting", "parked") and cause in TOO_LATE,
            STOPPED: status == "parked",
        }
        for name in [name for name, yes in is_in.items() if yes]:
            _add(found[name], currency, total)
    return found


def _add(to: Sum, currency: str | None, total: Decimal | None) -> None:
    to.bills += 1
    if currency is None or total is None:
        to.unknown += 1
    else:
        to.amounts[currency] = money.total([to.amounts.get(currency, Decimal(0)), total])


def as_json(one: Listed) -> dict[str, Any]:
    """The bill for scripts: amounts as texts, times in ISO 8601."""
    return {
        "id": one.id,
        "connection": one.sync.connection,
        "bill_id": one.bill_id,
        "account_id": one.account_id,
        "customer_id": one.customer_id,
        "sync": one.sync.id,
        **{name: getattr(one.sync, name) for name in ("status", "cause", "text", "next_step")},
        "currency": one.currency,
        "bill_total": None if one.total is None else format(one.total, "f"),
        "invoice_total_added": None if one.added is None else str(one.added),
        "equal": one.equal,
        "invoices": list(one.invoices),
        "billed_until": one.billed_until and one.billed_until.isoformat(),
        "deadline": one.deadline and one.deadline.isoformat(),
        "updated_at": one.sync.updated_at.isoformat(),
    }

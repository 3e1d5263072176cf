"""How one bill stands, from our own rows: what is known of it, where its lines went, what is to come. No provider is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector import syncs
from connector.bills import closing, ledger, listing, receipts, shadow, versions
from connector.bills.closing import Work
from connector.bills.versions import Version
from connector.mappings.table import customers_of
from connector.models import OPEN, BillApproval, BillSnapshot, Receipt, SeenBill, Sync
from connector.services import Services

# What is told of each charge of a push that is under way.
UNDER_WAY = ("item_price_id", "invoice_id", "amount_minor", "currency", "status", "chargebee_line_id")


@dataclass(frozen=True)
class Standing:
    """One bill. `now` is `receipts.report` of the push that is under way, else of the last one; None where nothing was frozen.

    `frozen` is the snapshot that `now` is about, and `receipt` the newest receipt.
    """

    connection: str
    bill_id: str
    account_id: str | None
    customer_id: str | None
    sync: Sync | None
    seen: SeenBill | None
    frozen: BillSnapshot | None
    now: Mapping[str, Any] | None
    receipt: Receipt | None
    invoices: Sequence[str]
    under_way: Sequence[ledger.Intent]
    versions: Sequence[Version]
    compared: Mapping[str, Any] | None
    approvals: Sequence[BillApproval]
    deadline: datetime | None

    @property
    def is_known(self) -> bool:
        """Whether there is any row of it."""
        return bool(self.sync or self.seen or self.frozen or self.approvals)


def of_bill(services: Services, connection: str, bill_id: str) -> Standing:
    """All that our rows say of the bill; where they say nothing, its `is_known` is false."""
    with services.reading() as db:
        receipt = receipts.latest(db, connection, bill_id)
        live = ledger.live_snapshot(db, connection, bill_id)
        frozen = live or (db.get(BillSnapshot, receipt.snapshot_id) if receipt else None)
        sync = newest_sync(db, connection, bill_id)
        seen = db.scalars(select(SeenBill).filter_by(connection=connection, bill_id=bill_id)).first()
        account_id = frozen.account_id if frozen else seen.account_id if seen else None
        return Standing(
            connection=connection,
            bill_id=bill_id,
            account_id=account_id,
            customer_id=customers_of(db, connection, [account_id]).get(account_id) if account_id else None,
            sync=sync,
            seen=seen,
            frozen=frozen,
            now=receipts.report(db, live) if live else receipts.current(db, connection, bill_id),
            receipt=receipt,
            invoices=receipts.invoice_ids(ledger.done_lines(db, connection, bill_id)),
            under_way=ledger.intents(db, live.id) if live else (),
            versions=versions.of_bill(db, connection, bill_id),
            compared=shadow.of_bill(db, connection, bill_id),
            approvals=_approvals(db, connection, bill_id),
            deadline=listing.deadline(
                services.connection(connection).settings, sync.cause if sync else None, seen.billed_until if seen else None
            ),
        )  # fmt: skip


def work_of(services: Services, found: Standing) -> list[Work]:
    """What is left to do of the bill before its invoices close; nothing where its sync is closed.

    When it will be done depends on all bills that are open, so that it is asked for apart.
    """
    if found.sync is None or found.sync.status not in OPEN:
        return []
    return [one for one in closing.of_bills(services, found.connection) if one.bill_id == found.bill_id]


def newest_sync(db: Session, connection: str, bill_id: str) -> Sync | None:
    """The bill's newest sync."""
    latest = select(Sync).where(Sync.connection == connection, Sync.kind == "bill", Sync.subject == bill_id)
    return db.scalars(latest.order_by(Sync.id.desc())).first()


def _approvals(db: Session, connection: str, bill_id: str) -> Sequence[BillApproval]:
    rows = select(BillApproval).filter_by(connection=connection, bill_id=bill_id)
    return db.scalars(rows.order_by(BillApproval.id.desc())).all()


def as_json(found: Standing) -> dict[str, Any]:
    """The same for scripts: amounts as texts in major units, times in ISO 8601; the keys are stable."""
    return {
        "bill_id": found.bill_id,
        "account_id": found.account_id,
        "customer_id": found.customer_id,
        "sync": syncs.as_json(found.sync) if found.sync else None,
        "deadline": found.deadline.isoformat() if found.deadline else None,
        "invoices": list(found.invoices),
        "receipt": found.receipt.body | {"sha256": found.receipt.sha256} if found.receipt else None,
        "now": found.now,
        "shadow": found.compared,
        "under_way": [{name: getattr(one, name) for name in UNDER_WAY} for one in found.under_way],
        "versions": [_version(one) for one in found.versions],
        "approvals": [{"actor": one.actor, "at": one.at.isoformat(), "content": one.sha256} for one in found.approvals],
    }


def _version(one: Version) -> dict[str, Any]:
    return {
        "number": one.number,
        "status": one.status,
        "bill_version": one.bill_version,
        "currency": one.currency,
        "total": str(one.total),
        "sent_before": str(one.sent_before),
        "frozen_at": one.frozen_at.isoformat(),
        "finished_at": one.finished_at and one.finished_at.isoformat(),
        "differences": [
            {"line": line.what, "sent": str(line.sent), "now": str(line.now), "differs": str(line.differs)}
            for line in one.differences
        ],
    }

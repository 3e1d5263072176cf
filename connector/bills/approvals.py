"""How we learn that a bill was approved: by polling, which is the authority, and sooner by a webhook, which is a hint.

m3ter has no "bill approved" event and no filter on the time of approval (m3ter.md §9), so the poll lists the approved
bills of the last weeks and opens a sync for each whose version it has not seen.
"""

import re
from collections.abc import Iterable
from datetime import timedelta
from itertools import islice
from typing import Any

from sqlalchemy.orm import Session

from connector import days, syncs
from connector.clients.m3ter_objects import Bill
from connector.database import insert
from connector.models import SeenBill
from connector.services import Services

PAGE = 100
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_DEPTH = 8


def poll(services: Services, connection: str) -> int:
    """Open a sync for each approved bill that is new or has changed; answers how many."""
    since = (services.now() - timedelta(days=services.settings.bill_poll_days)).date()
    bills = services.connection(connection).m3ter.list_bills(status="APPROVED", bill_date_start=since)
    opened = 0
    while page := list(islice(bills, PAGE)):
        with services.transaction() as db:
            opened += sum(_note(services, db, connection, bill) for bill in page)
    return opened


def _note(services: Services, db: Session, connection: str, bill: Bill) -> bool:
    """Remember this version of the bill; opens a sync, in the same transaction, if it had not been seen."""
    now = services.now()
    values: dict[str, Any] = {
        "account_id": bill.account_id, "version": bill.version, "last_calculated": bill.last_calculated,
        "approved_at": bill.approved_at, "billed_until": days.billed_until(bill), "currency": bill.currency,
        "total": bill.total, "seen_at": now,
    }  # fmt: skip
    is_new = db.scalar(
        insert(db, SeenBill)
        .values(connection=connection, bill_id=bill.id, **values)
        .on_conflict_do_update(
            index_elements=["connection", "bill_id"], set_=values, where=SeenBill.version != bill.version
        )
        .returning(SeenBill.id)
    )
    if is_new is None:
        return False
    syncs.ask(db, connection=connection, kind="bill", subject=bill.id, trigger="approved bill polled", now=now)
    return True


def bills_named(event: dict[str, Any]) -> list[str]:
    """The ids of the bills that a m3ter notification seems to name; its shape is not documented, so look everywhere."""
    found: dict[str, None] = {}
    for entity in _objects(event, _DEPTH):
        bill_id = entity.get("billId") or (entity.get("id") if _looks_like_bill(entity) else None)
        if isinstance(bill_id, str) and _UUID.fullmatch(bill_id):
            found[bill_id] = None
    return list(found)


def _looks_like_bill(entity: dict[str, Any]) -> bool:
    return entity.get("status") in ("APPROVED", "PENDING") and "accountId" in entity


def _objects(value: Any, depth: int) -> Iterable[dict[str, Any]]:
    if depth == 0:
        return
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _objects(item, depth - 1)
    elif isinstance(value, list):
        for item in value:
            yield from _objects(item, depth - 1)

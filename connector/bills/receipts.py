"""The proof of a pushed bill: every m3ter line beside its Chargebee charges, both totals, hashes, when."""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector import mappings, money
from connector.bills import ledger
from connector.bills.plan import CREDIT
from connector.database import insert
from connector.mappings import Pair
from connector.models import BillSnapshot, LinePush, Receipt
from connector.services import Services
from connector.syncs import Run


def store(db: Session, connection: str, snapshot: BillSnapshot, now: datetime) -> None:
    """Keep the receipt of a verified snapshot; a second call changes nothing."""
    body = compose(snapshot, ledger.done_lines(db, connection, snapshot.bill_id), now)
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    made = insert(db, Receipt).values(
        connection=connection,
        bill_id=snapshot.bill_id,
        snapshot_id=snapshot.id,
        body=body,
        sha256=digest,
        created_at=now,
    )
    db.execute(made.on_conflict_do_nothing(index_elements=["snapshot_id"]))


def compose(snapshot: BillSnapshot, charges: list[LinePush], now: datetime) -> dict[str, Any]:
    """The receipt's document: amounts as texts in major units, times in ISO 8601 UTC."""
    by_line: dict[str, list[dict[str, Any]]] = {}
    for charge in charges:
        for key, minor in charge.parts:
            by_line.setdefault(key, []).append(_charge(charge, minor, snapshot.decimals))
    added = sum(minor for charge in charges for _, minor in charge.parts)
    return {
        "bill_id": snapshot.bill_id,
        "bill_version": snapshot.bill_version,
        "account_id": snapshot.account_id,
        "currency": snapshot.currency,
        "bill_total_exact": format(snapshot.exact_total, "f"),
        "bill_total": str(money.to_major(snapshot.total_minor, snapshot.decimals)),
        "invoice_total_added": str(money.to_major(added, snapshot.decimals)),
        "equal": added == snapshot.total_minor,
        "invoices": sorted({charge.invoice_id for charge in charges if charge.chargebee_line_id and charge.invoice_id}),
        "lines": [
            {
                "m3ter_line_id": line["m3ter_line_id"],
                "line_type": line["line_type"],
                "description": line["description"],
                "exact": line["exact"],
                "amount": line["amount"],
                "charges": by_line.get(line["key"], []),
            }
            for line in snapshot.lines
        ],
        "bill_sha256": snapshot.sha256,
        "pushed_at": now.isoformat(),
        "pushed_by": "connector",
    }


def _charge(charge: LinePush, minor: int, decimals: int) -> dict[str, Any]:
    """What of a line went into a charge (`amount`; negative where it was netted), and what the charge is in Chargebee."""
    return {
        "kind": charge.kind,
        "amount": str(money.to_major(minor, decimals)),
        "of": str(money.to_major(charge.amount_minor, decimals)),
        "invoice_id": charge.invoice_id,
        "chargebee_line_id": charge.chargebee_line_id,
        "item_price_id": charge.item_price_id,
        "description": charge.description,
        "date_from": charge.date_from.isoformat(),
        "date_to": charge.date_to.isoformat(),
        "found_by": charge.found_by,
    }


def summary(db: Session, connection: str, bill_id: str) -> str:
    """What the newest push of the bill came to."""
    receipt = latest(db, connection, bill_id)
    if receipt is None:
        return "nothing was sent"
    body = receipt.body
    where = ", ".join(invoice_ids(ledger.done_lines(db, connection, bill_id))) or "no invoice"
    return f"{body['invoice_total_added']} of {body['bill_total']} {body['currency']} on {where}"


def invoice_ids(charges: Iterable[LinePush]) -> list[str]:
    """The invoices that these charges are on, by their final ids where they have those."""
    on_invoices = [one for one in charges if one.invoice_id is not None and one.chargebee_line_id is not None]
    return sorted({one.final_invoice_id or str(one.invoice_id) for one in on_invoices})


def sync_receipt(services: Services, run: Run) -> str:
    """Keep the mappings of a pushed bill and of its lines here and in m3ter, and follow an invoice that got its final id."""
    with services.reading() as db:
        charges = ledger.done_lines(db, run.connection, run.subject)
        snapshot = ledger.last_pushed(db, run.connection, run.subject)
    if snapshot is None:
        return "nothing was sent"
    line_ids = {line["key"]: line["m3ter_line_id"] for line in snapshot.lines}
    items: dict[str, list[str]] = {}
    for one in charges:
        for key, _ in one.parts:
            if one.kind != CREDIT and one.chargebee_line_id is not None and line_ids.get(key):
                items.setdefault(line_ids[key], []).append(one.chargebee_line_id)
    wanted = {("Bill", run.subject): invoice_ids(charges)} | {("BillItem", one): found for one, found in items.items()}
    for (entity, m3ter_id), external_ids in wanted.items():
        mappings.forget(services, run.connection, entity, m3ter_id, "Invoice", keep=external_ids)
        for external_id in external_ids:
            mappings.record(services, run.connection, Pair(entity, m3ter_id, "Invoice", external_id))
    return f"mappings of the bill and {len(items)} of its lines are in m3ter"


def latest(db: Session, connection: str, bill_id: str) -> Receipt | None:
    """The newest receipt of the bill."""
    return db.scalars(
        select(Receipt).where(Receipt.connection == connection, Receipt.bill_id == bill_id).order_by(Receipt.id.desc())
    ).first()

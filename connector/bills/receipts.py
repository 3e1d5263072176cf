"""The proof of a pushed bill: every m3ter line beside its Chargebee charges, both totals, hashes, when.

What is stored is never changed. `report` says the same with what has become of the charges since, for a bill that is being
pushed as well; a receipt is given out as CSV and as a page, too.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import jinja2
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from connector import money, spreadsheet
from connector.bills import ledger
from connector.bills.ledger import DONE
from connector.bills.planned import GIVEN, NOTHING
from connector.database import insert
from connector.mappings import own
from connector.mappings.pairs import Pair
from connector.models import BillSnapshot, LinePush, Receipt
from connector.services import Services
from connector.syncs import Run

COLUMNS = (
    "bill", "currency", "line_type", "description", "exact", "amount", "how", "part", "charge", "charge_amount",
    "item_price", "invoice", "chargebee_line", "date_from", "date_to", "found_by",
)  # fmt: skip
# Numbers of our own: their minus begins no formula, and a spreadsheet is to count with them.
AMOUNTS = ("exact", "amount", "part", "charge_amount")


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
    added, total = (_words("amount", body[one]) for one in ("invoice_total_added", "bill_total"))
    return f"{added} of {total} {body['currency']} on {where}"


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
            if one.kind not in GIVEN and one.chargebee_line_id is not None and line_ids.get(key):
                items.setdefault(line_ids[key], []).append(one.chargebee_line_id)
    wanted = {("Bill", run.subject): invoice_ids(charges)} | {("BillItem", one): found for one, found in items.items()}
    for (entity, m3ter_id), external_ids in wanted.items():
        own.forget(services, run.connection, entity, m3ter_id, "Invoice", keep=external_ids)
        for external_id in external_ids:
            own.record(services, run.connection, Pair(entity, m3ter_id, "Invoice", external_id))
    return f"mappings of the bill and {len(items)} of its lines are in m3ter"


def latest(db: Session, connection: str, bill_id: str) -> Receipt | None:
    """The newest receipt of the bill."""
    return db.scalars(
        select(Receipt).where(Receipt.connection == connection, Receipt.bill_id == bill_id).order_by(Receipt.id.desc())
    ).first()


def report(db: Session, snapshot: BillSnapshot) -> dict[str, Any]:
    """Each line of a frozen bill with its charges as they are now, and both totals.

    A charge that is not `done` is still to come; lines that only an earlier push knew stand at the end.
    """
    rows = db.scalars(
        select(LinePush)
        .where(
            LinePush.connection == snapshot.connection,
            LinePush.bill_id == snapshot.bill_id,
            LinePush.snapshot_id <= snapshot.id,
            or_(LinePush.status == DONE, LinePush.snapshot_id == snapshot.id),
        )
        .order_by(LinePush.position, LinePush.id)
    ).all()
    charges: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        now = {"status": row.status, "final_invoice_id": row.final_invoice_id}
        for key, minor in row.parts:
            charges.setdefault(key, []).append(_charge(row, minor, snapshot.decimals) | now)
    done = [row for row in rows if row.status == DONE]
    moments = [line[name] for line in snapshot.lines for name in ("date_from", "date_to") if line[name]]
    return _totals(snapshot, done) | {
        "bill_id": snapshot.bill_id,
        "account_id": snapshot.account_id,
        "period_from": min(moments, default=None),
        "period_to": max(moments, default=None),
        "bill_total_exact": format(snapshot.exact_total, "f"),
        "to_come": str(money.to_major(_minor(row for row in rows if row.status != DONE), snapshot.decimals)),
        "invoices": invoice_ids(done),
        "lines": [
            {name: line[name] for name in ("m3ter_line_id", "line_type", "description", "exact", "amount")}
            | {"charges": charges.pop(line["key"], [])}
            for line in snapshot.lines
        ] + [
            {"m3ter_line_id": None, "line_type": "", "description": "a line that the bill no longer has", "exact": "0",
             "amount": str(money.to_major(0, snapshot.decimals)), "charges": gone}
            for gone in charges.values()
        ],
    }  # fmt: skip


def _minor(rows: Iterable[LinePush]) -> int:
    """What of the bill these charges are."""
    return sum(minor for row in rows for _, minor in row.parts)


def _totals(snapshot: BillSnapshot, done: Iterable[LinePush]) -> dict[str, Any]:
    added = _minor(done)
    return {
        "currency": snapshot.currency,
        "bill_total": str(money.to_major(snapshot.total_minor, snapshot.decimals)),
        "invoice_total_added": str(money.to_major(added, snapshot.decimals)),
        "equal": added == snapshot.total_minor,
    }


def current(db: Session, connection: str, bill_id: str) -> dict[str, Any] | None:
    """The bill's newest receipt, with its hash, and with its charges as they are now: as which lines of which invoices."""
    receipt = latest(db, connection, bill_id)
    if receipt is None:
        return None
    now = report(db, db.get_one(BillSnapshot, receipt.snapshot_id))
    stored = {name: value for name, value in receipt.body.items() if name not in ("invoices", "lines")}
    return now | stored | {"sha256": receipt.sha256}


def document(db: Session, connection: str, bill_id: str) -> dict[str, Any] | None:
    """The newest receipt for scripts: as it was stored, its hash, and the same with its charges as they are `now`."""
    stored = latest(db, connection, bill_id)
    if stored is None:
        return None
    now = current(db, connection, bill_id)
    return {"bill_id": bill_id, "receipt": stored.body, "sha256": stored.sha256, "now": now}


def how(charge: Mapping[str, Any]) -> str:
    """What a line's part in a charge is, in a word or two."""
    if charge["kind"] in GIVEN:
        return "given as credit"
    if charge["kind"] == NOTHING:
        return "netted away"
    return "netted into" if Decimal(charge["amount"]) < 0 else "charged"


def charge_name(charge: Mapping[str, Any]) -> str:
    """What a charge is called on the invoice: its item price, or its description where it has none."""
    return str(charge["item_price_id"] or charge["description"])


def invoice_of(charge: Mapping[str, Any]) -> str | None:
    """The invoice that a charge is on, by its final id where it has that."""
    found: str | None = charge["final_invoice_id"] or charge["invoice_id"]
    return found


def _rows(receipt: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row for each line and charge, by column; None where there is nothing to say."""
    return [
        {
            "bill": receipt["bill_id"],
            "currency": receipt["currency"],
            **{name: line[name] for name in ("line_type", "description", "exact", "amount")},
            **(_of_charge(charge) if charge else {"how": "nothing to charge"}),
        }
        for line in receipt["lines"]
        for charge in line["charges"] or [None]
    ]


def _of_charge(charge: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "how": how(charge),
        "part": charge["amount"],
        "charge": charge["description"],
        "charge_amount": charge["of"],
        "item_price": charge["item_price_id"],
        "invoice": invoice_of(charge),
        "chargebee_line": charge["chargebee_line_id"],
        **{name: charge[name] for name in ("date_from", "date_to", "found_by")},
    }


def to_csv(receipt: Mapping[str, Any]) -> str:
    """What `current` says as CSV, a row for each line and charge; the column `part` adds up to what was added."""
    out = io.StringIO()
    # With its usual ends of lines: told otherwise it would leave the \r in a description bare.
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in _rows(receipt):
        writer.writerow([_cell(name, row.get(name)) for name in COLUMNS])
    return out.getvalue()


def _cell(column: str, value: str | None) -> str:
    text = value or ""
    return text if column in AMOUNTS else spreadsheet.harmless(text)


def to_page(receipt: Mapping[str, Any]) -> str:
    """What `current` says as one page that needs nothing else, for a person to keep or to print."""
    shown = [{name: _words(name, row.get(name)) for name in COLUMNS} for row in _rows(receipt)]
    totals = {
        name: _words("amount", receipt[name]) for name in ("bill_total", "bill_total_exact", "invoice_total_added")
    }
    return _PAGE.render(receipt=receipt, totals=totals, rows=shown) + "\n"


def _words(column: str, value: str | None) -> str:
    text = value or ""
    return money.grouped(Decimal(text)) if text and column in AMOUNTS else text


_PAGE = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True).from_string(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Receipt of bill {{ receipt.bill_id }}</title>
<style>
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border-bottom: 1px solid #ccc; padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: top; }
.amount { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.verdict { font-weight: bold; }
</style>
</head>
<body>
<h1>Receipt of bill {{ receipt.bill_id }}</h1>
<table>
<tr><th>Bill in m3ter</th><td class="amount">{{ totals.bill_total }} {{ receipt.currency }}</td>
<td>exactly {{ totals.bill_total_exact }}</td></tr>
<tr><th>Added in Chargebee</th><td class="amount">{{ totals.invoice_total_added }} {{ receipt.currency }}</td>
<td class="verdict">{{ "equal" if receipt.equal else "NOT EQUAL" }}</td></tr>
</table>
<table>
<tr><th>Invoices</th><td>{{ receipt.invoices | join(", ") or "none" }}</td></tr>
<tr><th>Account in m3ter</th><td>{{ receipt.account_id }}</td></tr>
<tr><th>Period</th><td>{{ receipt.period_from or "?" }} to {{ receipt.period_to or "?" }}</td></tr>
<tr><th>Pushed</th><td>{{ receipt.pushed_at }} by {{ receipt.pushed_by }}</td></tr>
<tr><th>SHA-256 of the bill</th><td>{{ receipt.bill_sha256 }}</td></tr>
<tr><th>SHA-256 of the receipt</th><td>{{ receipt.sha256 }}</td></tr>
</table>
<table>
<tr><th>Type</th><th>Line of the bill</th><th class="amount">Exactly</th><th class="amount">Amount</th><th>How</th>
<th class="amount">Part</th><th>Charge</th><th class="amount">Charged</th><th>Item price</th><th>Invoice</th>
<th>Line in Chargebee</th><th>From</th><th>To</th></tr>
{% for row in rows %}
<tr><td>{{ row.line_type }}</td><td>{{ row.description }}</td><td class="amount">{{ row.exact }}</td>
<td class="amount">{{ row.amount }}</td><td>{{ row.how }}</td><td class="amount">{{ row.part }}</td>
<td>{{ row.charge }}</td><td class="amount">{{ row.charge_amount }}</td><td>{{ row.item_price }}</td>
<td>{{ row.invoice }}</td><td>{{ row.chargebee_line }}</td><td>{{ row.date_from[:10] }}</td>
<td>{{ row.date_to[:10] }}</td></tr>
{% endfor %}
</table>
</body>
</html>"""
)

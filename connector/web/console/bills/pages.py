"""Bills to look at: the lists, one bill beside its invoices, both systems at this moment, and the receipt to take away."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from flask import abort, render_template
from flask.typing import ResponseReturnValue

from connector import pauses
from connector.bills import beside, closing, listing, receipts, standing
from connector.bills.standing import Standing
from connector.errors import ConnectorError
from connector.models import OPEN
from connector.syncs import HELD_BACK, STATUSES
from connector.web.console import forms, next_steps
from connector.web.console.here import services

CLOSING = "closing"
# The sections of the list by their names, and what stands in the address.
TABS = (
    ("All", None), ("Waiting for an invoice", listing.WAITING), ("Late", listing.LATE), ("Parked", listing.STOPPED),
    ("Closing soon", CLOSING), ("Pushed", listing.PUSHED),
)  # fmt: skip
# Of a long bill so many lines are shown at first.
LINES = 200
CURRENCY = re.compile(r"[A-Z]{3}")


def index() -> ResponseReturnValue:
    """Bills by section and filter, the newest first, a page at a time."""
    section = forms.wanted("section", [one for _, one in TABS if one])
    if section == CLOSING:
        return _closing()
    chosen = listing.Filter(
        connection=forms.wanted("connection", services().connections),
        section=section,
        status=forms.wanted("status", STATUSES),
        about=forms.wanted("about"),
        currency=_currency(),
    )
    with services().reading() as db:
        found = listing.listed(services(), db, chosen, before=forms.before(), limit=forms.PAGE_ROWS + 1)
        sums = listing.sums(db, [chosen.connection] if chosen.connection else list(services().connections))
    rows, older = forms.page(found)
    return render_template("bills/index.html", rows=rows, older=older, sums=sums, **_shared(chosen))


def _currency() -> str | None:
    found = (forms.wanted("currency") or "").upper()
    if found and not CURRENCY.fullmatch(found):
        abort(400)
    return found or None


def _shared(chosen: listing.Filter) -> dict[str, Any]:
    given = {name: value for name, value in vars(chosen).items() if value is not None}
    # Another section keeps the filter, but for what only this one has.
    kept = {name: value for name, value in given.items() if name not in ("section", "status")}
    return {
        "chosen": given, "kept": kept, "tabs": TABS, "statuses": STATUSES, "connections": list(services().connections),
        "most": listing.MOST,
    }  # fmt: skip


def _closing() -> ResponseReturnValue:
    """What was left to do for pending invoices when the clock last looked, those first that close first."""
    name = forms.wanted("connection", services().connections)
    names, now = [name] if name else list(services().connections), services().now()
    with services().reading() as db:
        looks = closing.looked(db, names, now)
    found = [one for look in looks for one in look.left]
    found.sort(key=lambda one: (one.work.closes_at is None, one.work.closes_at or now))
    more = max(0, len(found) - closing.MOST) + sum(look.more for look in looks)
    return render_template(
        "bills/closing.html", work=found[: closing.MOST], left_out=more, looks=looks,
        unseen=[one for one in names if one not in {look.connection for look in looks}],
        unset=[one for one in names if services().connections[one].settings.auto_close_days is None],
        at_risk=sum(look.at_risk for look in looks), **_shared(listing.Filter(connection=name, section=CLOSING)),
    )  # fmt: skip


def look_up(name: str, bill_id: str) -> Standing:
    """What our rows say of the bill; 404 where they say nothing and it cannot be one of m3ter's either."""
    if name not in services().connections:
        abort(404)
    found = standing.of_bill(services(), name, bill_id)
    if not found.is_known:
        try:
            UUID(bill_id)
        except ValueError:
            abort(404)
    return found


def show(name: str, bill_id: str) -> ResponseReturnValue:
    """One bill from our own rows: how it stands, beside its invoices line by line, its versions, approvals and receipt."""
    found = look_up(name, bill_id)
    work = standing.work_of(services(), found)
    with services().reading() as db:
        held_by = pauses.holding(db, found.sync) if found.sync and found.sync.status in OPEN else []
    lines = found.now["lines"] if found.now else []
    shown = lines if forms.wanted("lines", ("all",)) else lines[:LINES]
    rows = [(line, charge, not number) for line in shown for number, charge in enumerate(line["charges"] or [None])]
    return render_template(
        "bills/show.html", bill=found, work=work, held_by=held_by, rows=rows, left_out=len(lines) - len(shown), how=_how,
        charge_name=receipts.charge_name, invoice_of=receipts.invoice_of,
        content=found.frozen.sha256 if found.frozen else None, two_people=two_people_above(name),
        step=next_steps.of(found.sync) if found.sync else None,
        can_retry=found.sync is not None and found.sync.status in HELD_BACK,
    )  # fmt: skip


def two_people_above(name: str) -> Any:
    """From which amount on two people have to approve a bill; None where no bill needs it."""
    return services().connection(name).settings.two_people_above


def _how(charge: Mapping[str, Any]) -> str:
    return receipts.how(charge) if charge["status"] == "done" else str(charge["status"])


def ask_both(name: str, bill_id: str) -> ResponseReturnValue:
    """Both systems at this moment: the bill, what a push would send, and each invoice with our charges on it."""
    found = look_up(name, bill_id)
    both, why = None, None
    try:
        both = beside.of_bill(services(), name, bill_id)
    except ConnectorError as error:
        why = str(error)
    return render_template("bills/now.html", bill=found, both=both, why=why)


def receipt(name: str, bill_id: str, form: str) -> ResponseReturnValue:
    """The newest receipt as a file: JSON as it was stored and as it is now, CSV, or a page that needs nothing else."""
    if name not in services().connections or form not in FORMS:
        abort(404)
    with services().reading() as db:
        found = receipts.document(db, name, bill_id)
    if found is None:
        abort(404)
    kind, written = FORMS[form]
    # The id is m3ter's, and stands in a header here.
    file = f"receipt-{re.sub('[^A-Za-z0-9-]', '_', bill_id)}.{form}"
    headers = {"Content-Type": f"{kind}; charset=utf-8", "Content-Disposition": f"attachment; filename={file}"}
    return written(found), 200, headers


FORMS: Mapping[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "json": ("application/json", lambda found: json.dumps(found, indent=2) + "\n"),
    "csv": ("text/csv", lambda found: receipts.to_csv(found["now"])),
    "html": ("text/html", lambda found: receipts.to_page(found["now"])),
}

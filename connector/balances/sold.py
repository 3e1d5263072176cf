"""Top-ups sold in Chargebee: what is due for an invoice becomes credit in m3ter, once, and is taken back once.

Chargebee is asked for the invoice and its credit notes each time. What is due for a line, less what has been asked for it
already, is one new transaction request, of credit or of its opposite; `making` makes it. So events in any order, twice or
never end the same. A line's first credit settles its terms and its balance for good. Nothing is charged in m3ter for it:
the line of the invoice is the money (chargebee.md §8.2).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector import codes, leases, mirror, money, scope, syncs, transfers
from connector.balances import drafts, products, requests
from connector.balances.drafts import BALANCE, REFERENCE, TRANSACTION, Draft, located
from connector.balances.due import PAID, Due, Terms, credits_due
from connector.balances.requests import BY_CHARGEBEE, DONE, WITHDRAWN, described
from connector.clients.chargebee_objects import Invoice
from connector.clients.m3ter_balance_objects import Balance
from connector.days import months_later
from connector.errors import BadInput, NotFound, OutOfScope, Parked, Waiting
from connector.leases import Held
from connector.mappings import table
from connector.models import BalanceRequest, SoldTopUp, Sync, TopUpProduct
from connector.services import Connected, Services
from connector.syncs import Run

KIND = "top_up"
PENDING = "pending"
MADE_BY = "connector"
# A balance without expiry needs an end all the same (m3ter.md §12.1).
NO_END = datetime(2100, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Line:
    """One line of the invoice that is a top-up: its product, gross or net, what is due, and its row once it was credited."""

    product: TopUpProduct
    basis: str
    due: Due
    sold: SoldTopUp | None


@dataclass(frozen=True)
class Standing:
    """An invoice with its top-ups; `unit` is how many decimals its minor unit has, `skipped` says what is not credited."""

    invoice: Invoice
    unit: int
    lines: Sequence[Line]
    skipped: Sequence[str]


def sync_top_up(services: Services, run: Run) -> str:
    """Bring the credit for one Chargebee invoice to what is due for it; answers what that took."""
    connected = services.connection(run.connection)
    lock = f"{run.connection}/{KIND}/{run.subject}"
    with leases.held(services, lock, services.settings.lease_seconds) as lease:
        standing = look_up(services, connected, run.subject)
        if standing is None:
            return "Chargebee has no such invoice, and nothing was credited for it"
        run.wanted.extend(_wanted(services, run.connection, standing))
        changes = [(line, change) for line in standing.lines if (change := _change(services, run.connection, line))]
        if not changes:
            settled = ["all that is due is credited"] if standing.lines else []
            return "; ".join([*settled, *standing.skipped]) or "the invoice has no top-up"
        if connected.settings.shadow:
            raise OutOfScope("SHADOW is on, nothing was asked for; " + "; ".join(run.wanted))
        done: list[str] = []
        stopped: list[Waiting | Parked] = []
        for line, _ in changes:
            try:
                done.append(_settle(services, run, lease, standing, line))
            except (Waiting, Parked) as why:
                stopped.append(why)
        if stopped:
            # What goes on by itself first: it comes back here, and then to what needs a person.
            raise min(stopped, key=lambda why: isinstance(why, Parked))
        return "; ".join([*done, *standing.skipped])


def look_up(services: Services, connected: Connected, invoice_id: str) -> Standing | None:
    """How the invoice stands now, as Chargebee says; None where there is none and nothing was credited for it.

    Raises Parked where what is due cannot be said.
    """
    with services.reading() as db:
        sold = of_invoice(db, connected.name, invoice_id)
        every = products.listed(db, connected.name, removed=True)
    invoice = _invoice(connected, invoice_id)
    if invoice is None:
        if not sold:
            return None
        raise Parked(
            "invoice_gone",
            f"{len(sold)} line(s) of invoice {invoice_id} were credited, and Chargebee no longer has it, not even as deleted",
            "Find out what became of it. If the credit is to go, book the opposite with `connector balances`.",
        )
    if invoice.status == PENDING and not invoice.deleted:
        return Standing(
            invoice, 0, (), ("the invoice is pending: it is credited under its final number, when it is paid",)
        )
    unit = _unit(connected, invoice)
    by_line, skipped = _products(invoice, every, sold)
    if (
        invoice.status == PAID
        and not invoice.deleted
        and (gone := sorted(set(sold) - {line.id for line in invoice.lines}))
    ):
        raise Parked(
            "line_gone",
            f"line(s) {', '.join(gone)} of invoice {invoice.id} were credited, and the invoice no longer has them",
            "Find out what became of them. If the credit is to go, book the opposite with `connector balances`.",
        )
    notes = connected.chargebee.credits_on_invoice(invoice.id) if by_line else []
    usual = connected.settings.top_up_amount
    terms = {
        line_id: Terms(one.rate, sold[line_id].basis if line_id in sold else one.basis or usual, one.decimals)
        for line_id, one in by_line.items()
    }
    dues = credits_due(invoice, notes, terms, unit)
    lines = [Line(by_line[due.line_id], terms[due.line_id].basis, due, sold.get(due.line_id)) for due in dues]
    return Standing(invoice, unit, lines, skipped)


def listed(
    db: Session,
    connection: str,
    *,
    customer_id: str | None = None,
    invoice_id: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[tuple[SoldTopUp, TopUpProduct]]:
    """The top-ups that were credited, each with its product, the newest first."""
    named = {"customer_id": customer_id, "invoice_id": invoice_id}
    rows = (
        select(SoldTopUp, TopUpProduct)
        .join(TopUpProduct, TopUpProduct.id == SoldTopUp.product_id)
        .where(SoldTopUp.connection == connection)
        .filter(*(getattr(SoldTopUp, column) == value for column, value in named.items() if value is not None))
    )
    if before is not None:
        rows = rows.where(SoldTopUp.id < before)
    return [(row, product) for row, product in db.execute(rows.order_by(SoldTopUp.id.desc()).limit(limit))]


def as_json(db: Session, row: SoldTopUp, product: TopUpProduct) -> dict[str, Any]:
    """A credited top-up with what stands of it, as the command line and scripts see it; amounts are texts."""
    return {
        "invoice_id": row.invoice_id, "line_id": row.line_id, "customer_id": row.customer_id,
        "item_price_id": product.item_price_id, "balance_id": row.balance_id, "currency": product.currency,
        "credited": format(credited(db, row.connection, row.invoice_id, row.line_id), "f"),
        "transactions": row.requests, "at": row.created_at.isoformat(),
    }  # fmt: skip


def standing_as_json(db: Session, connection: str, standing: Standing, invoice_id: str) -> dict[str, Any]:
    """What is due for an invoice beside what is credited, as the command line and scripts see it."""
    lines = [
        {
            "line_id": line.due.line_id,
            "item_price_id": line.product.item_price_id,
            "due": None if line.due.unclear else format(line.due.credit, "f"),
            "credited": format(credited(db, connection, invoice_id, line.due.line_id), "f"),
            "currency": line.product.currency,
            "unclear": line.due.unclear,
        }
        for line in standing.lines
    ]
    return {"invoice_id": invoice_id, "lines": lines, "skipped": list(standing.skipped)}


def of_invoice(db: Session, connection: str, invoice_id: str) -> dict[str, SoldTopUp]:
    """What has been credited for the invoice, by its lines' ids."""
    rows = db.scalars(select(SoldTopUp).filter_by(connection=connection, invoice_id=invoice_id))
    return {row.line_id: row for row in rows}


def is_known(db: Session, connection: str, invoice_id: str) -> bool:
    """Whether the invoice has been looked at before, because it had a top-up."""
    return (
        db.scalar(select(Sync.id).filter_by(connection=connection, kind=KIND, subject=invoice_id).limit(1)) is not None
    )


def credited(db: Session, connection: str, invoice_id: str, line_id: str) -> Decimal:
    """What has been asked for because of this line, made or on its way, in the balance's currency."""
    found = requests.of_source(db, connection, _source(invoice_id, line_id))
    return sum((one.amount for one in found if one.kind == TRANSACTION and one.amount is not None), Decimal(0))


def _invoice(connected: Connected, invoice_id: str) -> Invoice | None:
    try:
        return connected.chargebee.retrieve_invoice(invoice_id)
    except NotFound:
        return connected.chargebee.deleted_invoice(invoice_id)


def _unit(connected: Connected, invoice: Invoice) -> int:
    try:
        return money.exponent(invoice.currency_code, dict(connected.settings.currency_exponents))
    except money.BadMoney as unclear:
        raise Parked(
            "currency_unclear",
            f"invoice {invoice.id}: {unclear}",
            "Set CURRENCY_EXPONENTS, then `connector syncs retry`.",
        ) from unclear


def _products(
    invoice: Invoice, every: Sequence[TopUpProduct], sold: dict[str, SoldTopUp]
) -> tuple[dict[str, TopUpProduct], list[str]]:
    """The product of each line that is a top-up, and a sentence for each that was paid for in no product's time."""
    by_id = {one.id: one for one in every}
    known = {one.item_price_id for one in every}
    by_line = {line_id: by_id[row.product_id] for line_id, row in sold.items()}
    skipped = []
    if invoice.status != PAID or invoice.deleted:
        return by_line, ["the invoice is deleted" if invoice.deleted else f"the invoice is {invoice.status}"]
    for line in invoice.lines:
        if line.entity_id not in known or line.id in by_line:
            continue
        product = products.sold_at(every, line.entity_id, paid_at(invoice))
        if product is None:
            skipped.append(f"line {line.id} was paid when {line.entity_id} was no top-up")
        else:
            by_line[line.id] = product
    return by_line, skipped


def paid_at(invoice: Invoice) -> datetime:
    """When a paid invoice was paid; where Chargebee leaves that out, as it may where nothing was due, when it was made."""
    moment = invoice.paid_at or invoice.generated_at or invoice.date
    if moment is None:
        raise Parked(
            "no_date",
            f"invoice {invoice.id} is paid and has no date",
            "Look at the invoice, then `connector syncs retry`.",
        )
    return moment


def _change(services: Services, connection: str, line: Line) -> bool:
    """Whether there is anything to ask for, or something that a person has to look at."""
    with services.reading() as db:
        return line.due.unclear is not None or line.due.credit != _credited(db, connection, line)


def _credited(db: Session, connection: str, line: Line) -> Decimal:
    return Decimal(0) if line.sold is None else credited(db, connection, line.sold.invoice_id, line.sold.line_id)


def _wanted(services: Services, connection: str, standing: Standing) -> list[str]:
    with services.reading() as db:
        return [
            line.due.unclear
            or f"line {line.due.line_id} of {line.product.item_price_id}: "
            f"{money.shown(line.due.credit, line.product.currency)} due, "
            f"{money.shown(_credited(db, connection, line), line.product.currency)} credited"
            for line in standing.lines
        ]


def _owner(services: Services, run: Run, invoice: Invoice) -> tuple[str, str]:
    """The customer that gets the invoice, and its m3ter account; Waiting until it has one."""
    now = services.now()
    with services.transaction() as db:
        customer_id = transfers.live_id(db, run.connection, "customer", invoice.customer_id)
        account_id = table.account_of(db, run.connection, customer_id)
        if account_id is not None:
            return customer_id, account_id
        body = mirror.seen(db, run.connection, "customer", customer_id)
        key = {"connection": run.connection, "kind": "customer", "subject": customer_id}
        if db.scalar(select(Sync.id).filter_by(**key).limit(1)) is None:
            syncs.ask(db, **key, trigger=f"top-up on invoice {invoice.id}", now=now)
    why_not = scope.why_not_customer(services.connection(run.connection).settings, body) if body is not None else None
    if why_not is not None:
        raise OutOfScope(f"customer {customer_id} has no account: {why_not}")
    raise Waiting(
        "waiting_for_account",
        f"customer {customer_id} has no account in m3ter yet; its top-up on invoice {invoice.id} is credited when it has",
        f"Nothing, unless the customer's own sync is parked: `connector syncs list --kind customer --subject {customer_id}`.",
        seconds=services.settings.recheck_seconds,
        wakes_on=f"mapping:Customer:{customer_id}",
    )


def _settle(services: Services, run: Run, lease: Held, standing: Standing, line: Line) -> str:
    """Ask for what is due for one line and not credited yet; raises Waiting or Parked where its balance is not there."""
    if line.due.unclear is not None:
        raise Parked(
            "discount_unclear",
            f"invoice {standing.invoice.id}: {line.due.unclear}",
            "Book the credit by hand with `connector balances`, then skip the sync.",
        )
    owner = (line.sold.customer_id, line.sold.account_id) if line.sold else _owner(services, run, standing.invoice)
    balance = _balance(services, run, standing, line, *owner)
    if balance.currency != line.product.currency:
        raise Parked(
            "balance_currency",
            f"balance {balance.code} is in {balance.currency}, and {line.product.item_price_id} credits {line.product.currency}",
            "Name another balance code for the top-up: remove it and add it anew from the day it was first sold.",
        )
    now = services.now()
    with services.transaction() as db:
        lease.confirm(db)
        sold = _sold(db, run.connection, standing, line, owner, balance, now)
        change = line.due.credit - credited(db, run.connection, sold.invoice_id, sold.line_id)
        if change == 0:
            return f"line {sold.line_id} is credited"
        draft = _transaction(standing, line, sold, balance, change, now)
        sold.requests += 1
        sold.paid_minor = line.due.paid_minor
        asked = requests.ask(
            db, run.connection, draft, made_by=MADE_BY, now=now, paid_by=BY_CHARGEBEE,
            source=_source(sold.invoice_id, sold.line_id),
        )  # fmt: skip
        text = f"asked for {described(asked.request)} (request {asked.request.id})"
    run.note(text)
    return text


def _sold(
    db: Session,
    connection: str,
    standing: Standing,
    line: Line,
    owner: tuple[str, str],
    balance: Balance,
    now: datetime,
) -> SoldTopUp:
    """The row of the line, made at its first credit."""
    key = {"connection": connection, "invoice_id": standing.invoice.id, "line_id": line.due.line_id}
    row = db.scalars(select(SoldTopUp).filter_by(**key).with_for_update()).first()
    if row is None:
        row = SoldTopUp(
            **key, product_id=line.product.id, basis=line.basis, customer_id=owner[0], account_id=owner[1],
            balance_id=balance.id, paid_minor=0, requests=0, created_at=now,
        )  # fmt: skip
        db.add(row)
    return row


def _transaction(
    standing: Standing, line: Line, sold: SoldTopUp, balance: Balance, change: Decimal, now: datetime
) -> Draft:
    """The next transaction of the line: its first credit counts since it was paid, whatever follows since now."""
    invoice = standing.invoice
    first, last = balance.start, (balance.rollover_end or balance.end) - SECOND
    moment = paid_at(invoice) if sold.requests == 0 else now
    if moment > last and sold.requests == 0:
        raise Parked(
            "balance_ended",
            f"balance {balance.code} ended on {balance.end:%Y-%m-%d}, before invoice {invoice.id} was paid",
            "Move the balance's end in m3ter, or remove the top-up and add it with another balance code.",
        )
    # A reversal that comes after the end is booked in the last second in which the balance could still be drawn.
    applied = max(first, min(moment, last))
    money_now = line.due.paid_minor - sold.paid_minor
    with_paid = balance.currency != invoice.currency_code and change > 0 and money_now > 0
    text = f"{'Top-up' if change > 0 else 'Reversal of a top-up'} sold in Chargebee, invoice {invoice.id}"
    draft = drafts.transaction(
        balance_id=balance.id, reference=reference("sold", invoice.id, sold.line_id, str(sold.requests + 1)),
        amount=change, type_id=line.product.transaction_type_id, description=text, applied=applied, occurred=moment,
        paid=money.to_major(money_now, standing.unit) if with_paid else None,
        currency_paid=invoice.currency_code if with_paid else None,
    )  # fmt: skip
    return located(draft, balance)


def _balance(
    services: Services, run: Run, standing: Standing, line: Line, customer_id: str, account_id: str
) -> Balance:
    """The balance of the line; asked for where it is missing, and Waiting until it is there."""
    m3ter = services.connection(run.connection).m3ter.balance_billing
    if line.sold is not None:
        try:
            return m3ter.get_balance(line.sold.balance_id)
        except NotFound as absent:
            raise _missing(f"the balance {line.sold.balance_id}, to which it was credited,", standing) from absent
    draft = _new_balance(services, run.connection, standing, line, customer_id, account_id)
    # Ours before one that people made under the plain code, so that it stays the same one.
    names = [draft.reference, *([line.product.balance_code] if line.product.expires_after_months is None else [])]
    by_code = {one.code: one for one in m3ter.list_balances(account_id)}
    found = next((by_code[name] for name in names if name in by_code), None)
    return found or _ask_for_balance(services, run, standing, line, draft)


def _new_balance(
    services: Services, connection: str, standing: Standing, line: Line, customer_id: str, account_id: str
) -> Draft:
    """The balance as it is made where it is missing: one of the account's for all purchases, or one for this alone."""
    product, invoice = line.product, standing.invoice
    months, zone = product.expires_after_months, services.connection(connection).settings.m3ter_timezone
    if months is None:
        # In case m3ter wants codes to be unique among all accounts, which is not documented.
        code, start, end = reference(product.balance_code, customer_id), product.sold_from, NO_END
    else:
        start = paid_at(invoice)
        code, end = reference(product.balance_code, invoice.id, line.due.line_id), months_later(start, months, zone)
    return drafts.balance(
        account_id=account_id, code=code, name=product.balance_name, currency=product.currency, start=start, end=end
    )


def _ask_for_balance(services: Services, run: Run, standing: Standing, line: Line, draft: Draft) -> Balance:
    source = _source(standing.invoice.id, line.due.line_id)
    try:
        with services.transaction() as db:
            request = requests.by_reference(db, run.connection, BALANCE, draft.reference)
            if request is None:
                request = requests.ask(
                    db, run.connection, draft, made_by=MADE_BY, now=services.now(), source=source
                ).request
                run.note(f"asked for {described(request)} (request {request.id})")
    except BadInput as meanwhile:
        # Another invoice's sync has asked for it in this moment, in the words of another top-up.
        raise Waiting(
            "busy", str(meanwhile), "Nothing: it goes on by itself.", seconds=leases.BUSY_SECONDS
        ) from meanwhile
    if request.status in (DONE, WITHDRAWN):
        raise _missing(f"{described(request)}, request {request.id}, is {request.status} and", standing)
    raise Waiting(
        "waiting_for_balance",
        f"the credit for invoice {standing.invoice.id} waits for {described(request)} (request {request.id})",
        "Nothing, unless that one is parked: `connector syncs list --kind balance_request`.",
        seconds=services.settings.recheck_seconds,
        wakes_on=requests.made_wish(request),
    )


def _missing(what: str, standing: Standing) -> Parked:
    return Parked(
        "balance_missing",
        f"{what} is not in m3ter: nothing can be booked on it for invoice {standing.invoice.id}",
        "Make the balance in m3ter under the code that is named, then `connector syncs retry`; or book by hand and skip.",
    )


def reference(*parts: str) -> str:
    """A reference that is derived from these, or their hash where that is too long or holds what a reference may not."""
    code = codes.code(*parts)
    return code if REFERENCE.fullmatch(code) else codes.hashed(*parts)


def _source(invoice_id: str, line_id: str) -> str:
    return f"{invoice_id}/{line_id}"


def requests_of(db: Session, connection: str, invoice_id: str) -> list[BalanceRequest]:
    """Every transaction that was asked for because of the invoice, line by line."""
    return [
        one
        for line_id in sorted(of_invoice(db, connection, invoice_id))
        for one in requests.of_source(db, connection, _source(invoice_id, line_id))
        if one.kind == TRANSACTION
    ]

"""A bill beside its invoices as both systems have them at this moment: m3ter and Chargebee are asked, nothing is changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from connector import money
from connector.bills import ledger, moved, preview, versions
from connector.bills.invoices import is_ours
from connector.bills.lines import content_hash
from connector.bills.moved import CHARGE_TYPES
from connector.bills.planned import GIVEN, NOTHING
from connector.bills.preview import Preview
from connector.bills.versions import Difference
from connector.clients.chargebee_objects import Invoice, InvoiceLine
from connector.errors import Cause, ConnectorError, NotFound
from connector.models import BillSnapshot
from connector.services import Services

# So many of a bill's invoices are read at most, each with all its lines.
MOST_INVOICES = 10
EQUAL, OTHER, MISSING, APART = "equal", "differs", "missing", "not on an invoice"


@dataclass(frozen=True)
class Line:
    """One charge that was sent, beside the invoice line that it is; `found` is None where there is no such line."""

    what: str
    sent: Decimal
    found: Decimal | None
    line_id: str | None
    verdict: str


@dataclass(frozen=True)
class OnInvoice:
    """One invoice with our charges on it; `others` are charges there that are none of ours, `why` says what could not be read."""

    id: str
    status: str
    lines: tuple[Line, ...]
    others: tuple[tuple[str, Decimal], ...] = ()
    why: str | None = None

    @property
    def found(self) -> Decimal:
        """What our charges on the invoice come to."""
        return money.total(one.found for one in self.lines if one.found is not None)


@dataclass(frozen=True)
class Beside:
    """Both systems at this moment; amounts in major units of `currency`.

    `total` is the bill's in m3ter now and `added` what of it our charges come to where they are; None where nothing was sent.
    `preview` is what a push would send now, `held_back` why it may not, and `differences` what the bill is now beside what was
    sent of it. `changed` says that m3ter has calculated another result since the last push was frozen.
    """

    bill_id: str
    status: str
    currency: str
    total: Decimal
    added: Decimal | None
    changed: bool
    preview: Preview
    held_back: Cause | None
    differences: tuple[Difference, ...]
    invoices: tuple[OnInvoice, ...] = ()
    left_out: int = 0
    problems: tuple[str, ...] = field(default=())

    @property
    def is_equal(self) -> bool:
        """Whether all of the bill, as it is now, stands where it was sent, and each charge as it was sent."""
        return (
            self.added == self.total
            and not (self.problems or self.left_out)
            and all(line.verdict in (EQUAL, APART) for one in self.invoices for line in one.lines)
        )


def of_bill(services: Services, connection: str, bill_id: str) -> Beside:
    """The bill as m3ter has it, what a push would do, and each of its invoices; ConnectorError when m3ter cannot be asked.

    It costs the calls of a plan and one for each invoice with a hundred lines, of MOST_INVOICES at most.
    """
    looked = preview.look(services, connection, bill_id)
    bill = looked.bill or services.connection(connection).m3ter.get_bill(bill_id)
    with services.reading() as db:
        sent = ledger.sent_amounts(db, connection, bill_id)
        names = versions.line_names(db, connection, bill_id)
        frozen = ledger.live_snapshot(db, connection, bill_id) or ledger.last_pushed(db, connection, bill_id)
        done = [ledger.as_intent(row) for row in ledger.done_lines(db, connection, bill_id) if row.kind != NOTHING]
    invoices, left_out = _invoices(services, connection, frozen, done) if frozen else ((), 0)
    plan = looked.plan
    return Beside(
        bill_id=bill_id,
        status=bill.status,
        currency=looked.preview.currency,
        total=looked.preview.total,
        added=money.total(one.found for one in invoices) if frozen else None,
        changed=frozen is not None and frozen.sha256 != content_hash(bill),
        preview=looked.preview,
        held_back=preview.held_back(services, connection, looked, by_a_person=True),
        differences=tuple(versions.since(plan, sent, names))
        if plan and not _is_unplannable(plan.problems, plan.lines)
        else (),
        invoices=invoices,
        left_out=left_out,
        problems=tuple(one.why for one in invoices if one.why),
    )


def _is_unplannable(problems: Sequence[object], lines: Sequence[object]) -> bool:
    """Whether the bill could not even be read: its lines say nothing then."""
    return bool(problems) and not lines


def _invoices(
    services: Services, connection: str, frozen: BillSnapshot, done: Sequence[ledger.Intent]
) -> tuple[tuple[OnInvoice, ...], int]:
    """Each invoice with the charges that were put on it, and how many invoices there are beyond those that were read."""
    on: dict[str, list[ledger.Intent]] = {}
    apart: list[ledger.Intent] = []
    for one in done:
        where = one.final_invoice_id or one.invoice_id
        if where is None or one.kind in GIVEN:
            apart.append(one)
        else:
            on.setdefault(where, []).append(one)
    chosen = list(on.items())[:MOST_INVOICES]
    found = [_one(services, connection, frozen, where, charges) for where, charges in chosen]
    if apart:
        lines = tuple(_apart(one, frozen.decimals) for one in apart)
        found.append(OnInvoice("", APART, lines))
    return tuple(found), len(on) - len(chosen)


def _one(
    services: Services, connection: str, frozen: BillSnapshot, where: str, charges: Sequence[ledger.Intent]
) -> OnInvoice:
    try:
        invoice = services.connection(connection).chargebee.retrieve_invoice(where)
    except NotFound:
        gone = tuple(_line(one, None, frozen.decimals) for one in charges)
        return OnInvoice(
            where, "gone", gone, why=f"Chargebee has no invoice {where} any more: closing gives it another id"
        )
    except ConnectorError as error:
        return OnInvoice(where, "not read", (), why=str(error))
    by_id = {line.id: line for line in invoice.lines}
    lines = tuple(_line(one, by_id.get(str(one.chargebee_line_id)), frozen.decimals) for one in charges)
    return OnInvoice(where, invoice.status, lines, _others(services, connection, invoice, frozen.decimals))


def _others(services: Services, connection: str, invoice: Invoice, decimals: int) -> tuple[tuple[str, Decimal], ...]:
    """Charges on the invoice that no push has made."""
    with services.reading() as db:
        ours = moved.our_lines(db, connection, [invoice])
    return tuple(
        (line.entity_id or line.description, money.to_major(line.amount, decimals))
        for line in invoice.lines
        if line.entity_type in CHARGE_TYPES and line.id not in ours
    )


def _line(charge: ledger.Intent, line: InvoiceLine | None, decimals: int) -> Line:
    verdict = MISSING if line is None else EQUAL if is_ours(line, charge) else OTHER
    return Line(
        charge.item_price_id or charge.description,
        money.to_major(charge.amount_minor, decimals),
        None if line is None else money.to_major(line.amount, decimals),
        charge.chargebee_line_id,
        verdict,
    )


def _apart(charge: ledger.Intent, decimals: int) -> Line:
    """A credit, or a charge that waits for an invoice: taken as it was sent, since no invoice is there to be read."""
    minor = -charge.amount_minor if charge.kind in GIVEN else charge.amount_minor
    amount = money.to_major(minor, decimals)
    return Line(charge.item_price_id or charge.description, amount, amount, charge.chargebee_line_id, APART)


def as_json(found: Beside) -> Mapping[str, object]:
    """The same for scripts: amounts as texts."""
    return {
        "bill_id": found.bill_id,
        "status": found.status,
        "currency": found.currency,
        "total": str(found.total),
        "added": None if found.added is None else str(found.added),
        "equal": found.is_equal,
        "changed": found.changed,
        "to_send": str(found.preview.to_send),
        "held_back": found.held_back.text if found.held_back else None,
        "problems": [*found.problems, *(one.text for one in found.preview.problems)],
        "differences": [
            {"line": one.what, "sent": str(one.sent), "now": str(one.now), "differs": str(one.differs)}
            for one in found.differences
        ],
        "invoices": [
            {
                "id": one.id or None,
                "status": one.status,
                "lines": [
                    {"charge": line.what, "sent": str(line.sent), "found": None if line.found is None else str(line.found),
                     "line_id": line.line_id, "verdict": line.verdict}
                    for line in one.lines
                ],
                "others": [{"charge": what, "amount": str(amount)} for what, amount in one.others],
            }
            for one in found.invoices
        ],
        "left_out": found.left_out,
    }  # fmt: skip

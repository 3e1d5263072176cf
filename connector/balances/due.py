"""How much credit is due for the top-ups on a Chargebee invoice, whatever has happened to it: a pure function of what stands.

An invoice that is not paid is worth nothing. What its lines are worth is lowered by credit notes: by those that name a line
on that line, by the others in proportion to what each line is still worth. What is left of a line's money times the rate is
the credit, rounded once, half to even, to the decimals of the balance's currency. All money is before tax where the site's
prices are, as the amounts of bill lines are.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from connector.clients.chargebee_objects import Invoice, InvoiceCredit, InvoiceLine
from connector.money import to_major

PAID = "paid"
ADJUSTMENT, VOIDED = "adjustment", "voided"
GROSS, NET = "gross", "net"


@dataclass(frozen=True)
class Terms:
    """What a line buys: `rate` units of credit for one unit of money, of its price (gross) or less its discounts (net)."""

    rate: Decimal
    basis: str
    decimals: int


@dataclass(frozen=True)
class Due:
    """What is due for one line: credit in the balance's currency, and the money behind it in the invoice's minor units.

    `unclear` says why it cannot be said, and the rest means nothing then.
    """

    line_id: str
    credit: Decimal
    paid_minor: int
    unclear: str | None = None


def credits_due(
    invoice: Invoice, credit_notes: Sequence[InvoiceCredit], terms: Mapping[str, Terms], money_decimals: int
) -> list[Due]:
    """What is due for each line that has terms, by its id, in the order of their ids; `money_decimals` of the invoice.

    Lines with terms that the invoice does not have are due nothing.
    """
    if invoice.deleted or invoice.status != PAID:
        return [_due(line_id, one, Fraction(0), 0, money_decimals) for line_id, one in sorted(terms.items())]
    lines = {line.id: line for line in invoice.lines}
    discounts = {line_id: discount(line, invoice) for line_id, line in lines.items()}
    # A discount that is not understood is one as long as nobody looks: lines without terms only take their share.
    worth = {
        line_id: max(0, line.amount - (line.discount_amount if (found := discounts[line_id]) is None else found))
        for line_id, line in lines.items()
    }
    left = what_is_left(worth, credit_notes, invoice.adjusted)
    dues = []
    for line_id, one in sorted(terms.items()):
        line = lines.get(line_id)
        if line is None:
            dues.append(_due(line_id, one, Fraction(0), 0, money_decimals))
        elif discounts[line_id] is None:
            dues.append(Due(line_id, Decimal(0), 0, _unclear(line)))
        else:
            money = _money(line, one.basis, worth[line_id], left[line_id])
            dues.append(_due(line_id, one, money, left[line_id], money_decimals))
    return dues


def discount(line: InvoiceLine, invoice: Invoice) -> int | None:
    """What was taken off the line in minor units, promotional credits left out: they pay. None where that cannot be told.

    Whether a line's `discount_amount` holds the promotional credits is not documented, so both are understood.
    """
    of_line = [one for one in invoice.line_discounts if one.line_id == line.id]
    real = sum(one.amount for one in of_line if not one.is_payment)
    promotional = sum(one.amount for one in of_line if one.is_payment)
    if line.discount_amount in (real, real + promotional):
        return real
    if not of_line and not invoice.promotional:
        return line.discount_amount
    return None


def _unclear(line: InvoiceLine) -> str:
    return (
        f"line {line.id} has {line.discount_amount} taken off in minor units, and Chargebee does not say how much of that "
        "are promotional credits, which pay, and how much is a discount"
    )


def what_is_left(worth: Mapping[str, int], credit_notes: Sequence[InvoiceCredit], adjusted: int = 0) -> dict[str, int]:
    """What each line is worth after these credit notes, in minor units; never below zero.

    `adjusted` is what the invoice says was adjusted or written off, and counts where the credit notes say less.
    """
    live = [note for note in credit_notes if note.status != VOIDED]
    named: Counter[str] = Counter()
    unnamed = max(0, adjusted - sum(note.total for note in live if note.type == ADJUSTMENT))
    for note in live:
        if not note.lines:
            unnamed += note.sub_total
        for line in note.lines:
            if line.invoice_line_id is not None and line.invoice_line_id in worth:
                named[line.invoice_line_id] += line.amount
            else:
                unnamed += line.amount
    left = {line_id: max(0, value - named[line_id]) for line_id, value in worth.items()}
    taken = _spread(min(unnamed, sum(left.values())), left)
    return {line_id: value - taken[line_id] for line_id, value in left.items()}


def _spread(amount: int, over: Mapping[str, int]) -> dict[str, int]:
    """The amount over these in proportion; what is left over goes to the largest remainders, of equal ones by id."""
    total = sum(over.values())
    if total == 0 or amount <= 0:
        return dict.fromkeys(over, 0)
    shares = {line_id: divmod(amount * value, total) for line_id, value in over.items()}
    spread = {line_id: share for line_id, (share, _) in shares.items()}
    for line_id in sorted(over, key=lambda one: (-shares[one][1], one))[: amount - sum(spread.values())]:
        spread[line_id] += 1
    return spread


def _money(line: InvoiceLine, basis: str, worth: int, left: int) -> Fraction:
    """The money that is credited, in minor units: what is left, or of the whole price as large a part as is left of the net."""
    if basis == NET:
        return Fraction(left)
    if worth == 0:
        return Fraction(max(0, line.amount))
    return Fraction(line.amount * left, worth)


def _due(line_id: str, terms: Terms, amount: Fraction, paid_minor: int, money_decimals: int) -> Due:
    credit = round(amount * Fraction(terms.rate) * Fraction(10**terms.decimals, 10**money_decimals))
    return Due(line_id, to_major(credit, terms.decimals), paid_minor)

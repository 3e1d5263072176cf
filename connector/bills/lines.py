"""A bill's lines as the money sees them: a key for what each is for, its exact amount, and one hash for all of it."""

import hashlib
import json
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from typing import Any

from connector.clients.m3ter_objects import Bill, BillLine


def content_hash(bill: Bill) -> str:
    """One hash for all that the money of a bill depends on; the same for a bill calculated again with the same result."""
    amounts = [(key, in_bill_currency(bill, line)) for key, line in keyed_lines(bill)]
    # As a fraction in lowest terms: 1.0 and 1.00 are one amount.
    lines = sorted(json.dumps([key, None if value is None else str(Fraction(value))]) for key, value in amounts)
    whole = [bill.id, bill.account_id, bill.currency, str(bill.start_date), str(bill.end_date), lines]
    return hashlib.sha256(json.dumps(whole).encode()).hexdigest()


def keyed_lines(bill: Bill) -> list[tuple[str, BillLine]]:
    """Each line with a key of what it is for: line ids change whenever m3ter calculates a bill again (m3ter.md §16.16)."""
    counts: Counter[str] = Counter()
    keyed = []
    for line in sorted(bill.lines, key=lambda line: (_nature(line), in_bill_currency(bill, line) or Decimal(0))):
        nature = hashlib.sha256(_nature(line).encode()).hexdigest()[:20]
        counts[nature] += 1
        keyed.append((f"{nature}-{counts[nature]}", line))
    order = {id(line): position for position, line in enumerate(bill.lines)}
    return sorted(keyed, key=lambda pair: order[id(pair[1])])


def _nature(line: BillLine) -> str:
    parts: list[Any] = [
        line.type, line.plan_id, line.plan_group_id, line.pricing_id, line.aggregation_id, line.compound_aggregation_id,
        line.counter_id, line.charge_id, line.balance_id, line.commitment_id, line.contract_id, line.product_id,
        line.child_account_id, sorted(line.segment.items()), str(line.start), str(line.end),
    ]  # fmt: skip
    return json.dumps(parts)


def in_bill_currency(bill: Bill, line: BillLine) -> Decimal | None:
    """The line's exact amount in the bill's currency; None where m3ter does not give it."""
    if line.converted_subtotal is not None:
        return line.converted_subtotal
    return line.subtotal if line.currency in (None, bill.currency) else None

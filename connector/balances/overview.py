"""One balance whole: what m3ter says of it, what is worked out from that, and who asked for what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from connector import money
from connector.balances import drift, held, requests
from connector.balances.drafts import CHARGE, CHARGE_SCHEDULE, TRANSACTION, TRANSACTION_SCHEDULE
from connector.balances.drift import Finding, There
from connector.balances.held import Standing
from connector.balances.in_m3ter import price_of
from connector.balances.making import reference_in
from connector.balances.requests import DONE, PAYS, WITHDRAWN
from connector.clients.m3ter_balance_objects import (
    Balance,
    BalanceSummary,
    Charge,
    ChargeSchedule,
    Transaction,
    TransactionSchedule,
)
from connector.models import BalanceRequest
from connector.services import Services


@dataclass(frozen=True)
class Booked:
    """A transaction with who made it: by m3ter's word (`maker`), and by ours where we asked for it.

    `charge` is what pays for it, where it is half of a top-up, and `free` where a top-up has none.
    """

    transaction: Transaction
    maker: str
    request: BalanceRequest | None
    charge: Charge | None


@dataclass(frozen=True)
class Overview:
    """All that there is to see of a balance; amounts are in its currency, those of charges in their own.

    `summary` is m3ter's, `stands` is worked out here, and `disagreements` are sentences on where the two differ. `to_come` is
    the sum of the transactions that count later, and `ended` is whether its end, or its rollover's, is past. Transactions are
    newest first, by when they count.
    """

    balance: Balance
    summary: BalanceSummary
    stands: Standing
    to_come: Decimal
    disagreements: tuple[str, ...]
    ended: bool
    transactions: tuple[Booked, ...]
    charges: tuple[tuple[Charge, BalanceRequest | None], ...]
    transaction_schedules: tuple[TransactionSchedule, ...]
    charge_schedules: tuple[ChargeSchedule, ...]
    open_requests: tuple[BalanceRequest, ...]
    findings: tuple[Finding, ...]


def of(services: Services, connection: str, balance: Balance) -> Overview:
    """The balance as it is now; reads m3ter, changes nothing."""
    there, now = drift.read(services, connection, balance), services.now()
    summary = services.connection(connection).m3ter.balance_billing.transaction_summary(balance.id)
    with services.reading() as db:
        asked = requests.listed(db, connection, balance_id=balance.id, limit=drift.MANY)
    now = services.now()
    made = {(one.kind, one.m3ter_id): one for one in asked if one.status == DONE}
    by_key = {(one.kind, one.reference): one for one in asked if one.status != WITHDRAWN}
    charges = {one.id: one for one in there.charges}
    return Overview(
        balance,
        summary,
        held.standing(balance, there.transactions, now),
        money.total(one.amount for one in there.transactions if held.applied_at(balance, one) > now),
        tuple(held.disagreements(balance, there.transactions, summary)),
        held.last_moment(balance) <= now,
        tuple(_booked(one, there, by_key, charges) for one in _newest_first(there.transactions)),
        tuple((one, made.get((CHARGE, one.id))) for one in there.charges),
        tuple(there.transaction_schedules),
        tuple(there.charge_schedules),
        tuple(one for one in asked if one.status not in (DONE, WITHDRAWN)),
        tuple(drift.findings(balance, asked, there)),
    )


def _newest_first(transactions: Sequence[Transaction]) -> list[Transaction]:
    """By when they count; those of one moment stay in m3ter's order, which is newest first."""
    undated = [one for one in transactions if one.applied is None]
    dated = [(one.applied, one) for one in transactions if one.applied is not None]
    return [*undated, *(one for _, one in sorted(dated, key=lambda pair: pair[0], reverse=True))]


def _booked(
    one: Transaction,
    there: There,
    asked: Mapping[tuple[str, str], BalanceRequest],
    charges: Mapping[str, Charge],
) -> Booked:
    request = asked.get((TRANSACTION, reference_in(one.description)))
    charge = None
    if request is not None and request.paid_by == requests.BY_CHARGE:
        paying = asked.get((PAYS[TRANSACTION], request.reference))
        charge = charges.get(str(paying.m3ter_id)) if paying else None
    return Booked(one, _maker(one, there), request, charge)


def _maker(one: Transaction, there: There) -> str:
    """Who or what booked it, in m3ter's words, with the bill or schedule where that is known."""
    if one.entity_type == "SCHEDULER":
        code = next((schedule.code for schedule in there.transaction_schedules if schedule.id == one.entity_id), None)
        return f"SCHEDULER {code or one.entity_id or ''}".strip()
    if one.entity_type in ("BILL", "COMMITMENT"):
        return f"{one.entity_type} {one.entity_id or ''}".strip()
    return one.entity_type or "unknown"


def balance_as_json(balance: Balance) -> dict[str, Any]:
    """A balance as the command line and scripts see it; the keys are stable, amounts are texts in its currency."""
    return {
        "id": balance.id,
        "account_id": balance.account_id,
        "code": balance.code,
        "name": balance.name,
        "description": balance.description,
        "currency": balance.currency,
        "start": balance.start.isoformat(),
        "end": balance.end.isoformat(),
        "rollover_end": balance.rollover_end.isoformat() if balance.rollover_end else None,
        "rollover_amount": _text(balance.rollover_amount),
        "amount": _text(balance.amount),
        "draw_down_description": balance.draw_down_description,
        "overage_surcharge_percent": _text(balance.overage_surcharge_percent),
        "overage_description": balance.overage_description,
        "product_ids": list(balance.product_ids),
        "line_item_types": list(balance.line_item_types),
        "contract_id": balance.contract_id,
    }


def transaction_as_json(one: Transaction) -> dict[str, Any]:
    """A transaction as scripts see it; its amount is in the balance's currency."""
    return {
        "id": one.id,
        "amount": _text(one.amount),
        "transaction_type_id": one.transaction_type_id,
        "description": one.description,
        "reference": reference_in(one.description) or None,
        "applied": one.applied.isoformat() if one.applied else None,
        "transaction_date": one.transaction_date.isoformat() if one.transaction_date else None,
        "paid": _text(one.paid),
        "currency_paid": one.currency_paid,
        "entity_type": one.entity_type,
        "entity_id": one.entity_id,
    }


def charge_as_json(one: Charge) -> dict[str, Any]:
    """A charge as scripts see it; `price` is its amount, or its units times their price."""
    return {
        "id": one.id,
        "code": one.code,
        "name": one.name,
        "account_id": one.account_id,
        "balance_id": one.entity_id if one.entity_type == "BALANCE" else None,
        "line_item_type": one.line_item_type,
        "price": _text(price_of(one)),
        "amount": _text(one.amount),
        "units": _text(one.units),
        "unit_price": _text(one.unit_price),
        "currency": one.currency,
        "bill_date": one.bill_date.isoformat() if one.bill_date else None,
        "service_period_start": one.start.isoformat(),
        "service_period_end": one.end.isoformat(),
        "description": one.description,
        "notes": one.notes,
        "bill_id": one.bill_id,
        "schedule_id": one.schedule_id,
    }


def schedule_as_json(one: TransactionSchedule | ChargeSchedule) -> dict[str, Any]:
    """A schedule of either kind as scripts see it."""
    common = {
        "id": one.id,
        "balance_id": one.balance_id,
        "code": one.code,
        "name": one.name,
        "description": one.description,
        "amount": _text(one.amount),
        "start": one.start.isoformat(),
        "end": one.end.isoformat(),
        "frequency": one.frequency,
        "every": one.frequency_interval,
        "next_run": one.next_run.isoformat() if one.next_run else None,
        "previous_run": one.previous_run.isoformat() if one.previous_run else None,
    }
    if isinstance(one, TransactionSchedule):
        return common | {
            "kind": TRANSACTION_SCHEDULE,
            "transaction_type_id": one.transaction_type_id,
            "paid": _text(one.paid),
            "currency_paid": one.currency_paid,
        }
    return common | {
        "kind": CHARGE_SCHEDULE,
        "price": _text(price_of(one)),
        "units": _text(one.units),
        "unit_price": _text(one.unit_price),
        "currency": one.currency,
        "in_advance": one.in_advance,
        "bill_epoch": one.bill_epoch.isoformat() if one.bill_epoch else None,
    }


def finding_as_json(one: Finding) -> dict[str, Any]:
    """A finding as scripts see it."""
    return {"code": one.code, "text": one.text, "next_step": one.next_step, "needs_a_person": one.needs_a_person}


def as_json(seen: Overview) -> dict[str, Any]:
    """The overview as the command line and scripts see it; the keys are stable."""
    summary = seen.summary
    return {
        "balance": balance_as_json(seen.balance),
        "summary": {
            "total_credit": _text(summary.total_credit),
            "total_debit": _text(summary.total_debit),
            "initial_credit": _text(summary.initial_credit),
            "consumed": _text(summary.consumed),
            "rollover_consumed": _text(summary.rollover_consumed),
            "expired": _text(summary.expired),
        },
        "held": {
            "now": _text(seen.stands.held),
            "to_come": _text(seen.to_come),
            "disagreements": list(seen.disagreements),
        },
        "ended": seen.ended,
        "transactions": [
            transaction_as_json(one.transaction)
            | {
                "maker": one.maker,
                "request_id": one.request.id if one.request else None,
                "asked_by": one.request.made_by if one.request else None,
                "paid_by": one.request.paid_by if one.request else None,
                "charge": charge_as_json(one.charge) if one.charge else None,
            }
            for one in seen.transactions
        ],
        "charges": [
            charge_as_json(one) | {"request_id": request.id if request else None} for one, request in seen.charges
        ],
        "transaction_schedules": [schedule_as_json(one) for one in seen.transaction_schedules],
        "charge_schedules": [schedule_as_json(one) for one in seen.charge_schedules],
        "open_requests": [requests.as_json(one) for one in seen.open_requests],
        "findings": [finding_as_json(one) for one in seen.findings],
    }


def _text(amount: Any) -> str | None:
    return None if amount is None else format(amount, "f")

"""Make what was asked for, once: look whether m3ter has it, commit that it is being sent, send it, and note its id.

m3ter knows no idempotency key (m3ter.md §12). A transaction is found again by the reference in its description, everything
else by its code. Both are looked for before every send, also before the first: after the loss of the database the same
request of a person still finds what an earlier one has made.
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any

from connector import leases, money, syncs
from connector.balances import requests
from connector.balances.drafts import (
    BALANCE,
    CHARGE,
    CHARGE_SCHEDULE,
    TRANSACTION,
    TRANSACTION_SCHEDULE,
    as_sent,
)
from connector.balances.requests import BY_CHARGE, DONE, PARKED, SENDING, WITHDRAWN, described
from connector.clients.m3ter_balance_objects import Balance, Charge, ChargeSchedule, Transaction, TransactionSchedule
from connector.clients.m3ter_balances import BalanceBilling
from connector.errors import BadInput, Parked, Rejected, Retryable, Uncertain, Waiting
from connector.leases import Held
from connector.models import BalanceRequest
from connector.services import Services
from connector.syncs import Run

MARK = "ref:"


@dataclass(frozen=True)
class Made:
    """Something that m3ter has: its id and its fields."""

    id: str
    fields: Mapping[str, Any]


Found = Iterable[tuple[str, Made]]


@dataclass(frozen=True)
class Kind:
    """How one kind of thing is made, answering its id, and all that could be it, each with its reference."""

    create: Callable[[BalanceBilling, BalanceRequest, dict[str, Any]], str]
    listed: Callable[[BalanceBilling, BalanceRequest], Found]


def coded(rows: Iterable[Balance | Charge | ChargeSchedule | TransactionSchedule]) -> Found:
    """Each with its code, which is its reference."""
    return ((one.code, Made(one.id, one.raw)) for one in rows)


def referenced(rows: Iterable[Transaction]) -> Found:
    """Each with the reference in its description."""
    for one in rows:
        fields = {"amount": one.amount, "paid": one.paid, "currencyPaid": one.currency_paid}
        yield reference_in(one.description), Made(one.id, fields)


def reference_in(description: str | None) -> str:
    """The reference that a transaction's description bears, empty where it bears none; ours comes after what people say."""
    words = reversed((description or "").split())
    return next((word.removeprefix(MARK) for word in words if word.startswith(MARK)), "")


KINDS: dict[str, Kind] = {
    BALANCE: Kind(
        lambda m3ter, _, body: m3ter.create_balance(body).id,
        lambda m3ter, request: coded(m3ter.list_balances(request.account_id)),
    ),
    TRANSACTION: Kind(
        lambda m3ter, request, body: m3ter.create_transaction(_balance(request), body).id,
        lambda m3ter, request: referenced(m3ter.list_transactions(_balance(request))),
    ),
    TRANSACTION_SCHEDULE: Kind(
        lambda m3ter, request, body: m3ter.create_transaction_schedule(_balance(request), body).id,
        lambda m3ter, request: coded(m3ter.list_transaction_schedules(_balance(request))),
    ),
    CHARGE: Kind(
        lambda m3ter, _, body: m3ter.create_charge(body).id,
        lambda m3ter, request: coded(m3ter.list_charges(account_id=request.account_id, entity_id=request.balance_id)),
    ),
    CHARGE_SCHEDULE: Kind(
        lambda m3ter, request, body: m3ter.create_charge_schedule(_balance(request), body).id,
        lambda m3ter, request: coded(m3ter.list_charge_schedules(_balance(request))),
    ),
}


def sync_balance_request(services: Services, run: Run) -> str:
    """Make what one request asks for, unless m3ter has it already; answers what it has come to."""
    with services.reading() as db:
        request = requests.get(db, run.connection, int(run.subject))
    if request.status in (DONE, WITHDRAWN):
        return f"{described(request)} is {request.status}"
    _wait_for_its_charge(services, run, request)
    with _only_maker(services, run, request) as lease:
        if request.status in (SENDING, PARKED):
            _wait_until_settled(services, run, request)
        found = _found(services, run, request)
        if found is not None:
            found_by = "answer" if found.id == request.m3ter_id else "look-up"
            return _finish(services, run, request, lease, found.id, found_by)
        if request.status == SENDING and request.m3ter_id is not None:
            return _finish(services, run, request, lease, request.m3ter_id, "answer")
        if request.status in (SENDING, PARKED):
            with services.transaction() as db:
                lease.confirm(db)
                requests.send_again(db, request)
            run.note(f"{described(request)} was not there after a missing answer")
        made_id = _send(services, run, request, lease)
        if request.sends and request.kind == TRANSACTION:
            _wait_for_the_first_send(services, request, lease, made_id)
        return _finish(services, run, request, lease, made_id, "answer")


def _only_maker(services: Services, run: Run, request: BalanceRequest) -> AbstractContextManager[Held]:
    """Keeps every other worker from this balance, or this account, during the block."""
    what = request.balance_id or request.account_id
    return leases.held(services, f"{run.connection}/balance/{what}", services.settings.lease_seconds)


def _wait_for_its_charge(services: Services, run: Run, request: BalanceRequest) -> None:
    """A credit comes after the charge that pays for it: a charge can be deleted, a transaction cannot."""
    if request.paid_by != BY_CHARGE:
        return
    with services.reading() as db:
        charge = requests.partner(db, request)
    if charge is None or charge.status == WITHDRAWN:
        raise Parked(
            "charge_withdrawn",
            f"nothing pays for {described(request)}: its charge was withdrawn",
            f"`connector balances requests withdraw {request.id}`, or ask for a new top-up under another reference.",
        )
    if charge.status != DONE:
        raise Waiting(
            "waiting_for_charge",
            f"{described(request)} is made when its {described(charge)} is",
            "Nothing: it goes on by itself; where the charge is parked, look at that.",
            seconds=services.settings.recheck_seconds,
            wakes_on=requests.made_wish(charge),
        )


def _wait_until_settled(services: Services, run: Run, request: BalanceRequest) -> None:
    """An answer that never came may still be on its way into effect; what was parked in doubt is a person's to open."""
    if request.status == PARKED and run.retried_by is None:
        raise Parked(
            "in_doubt",
            f"{described(request)} was parked in doubt, and nobody has looked at it since",
            "Compare it with m3ter, put right what is there, then `connector syncs retry`.",
        )
    settled_at = (request.sent_at or services.now()) + timedelta(seconds=services.settings.settle_wait_seconds)
    seconds = ceil((settled_at - services.now()).total_seconds())
    if seconds > 0:
        raise _settling(request, seconds)


def _wait_for_the_first_send(services: Services, request: BalanceRequest, lease: Held, made_id: str) -> None:
    """Raises Waiting: an earlier send may take effect after all, and m3ter would take both, as a code would not let it."""
    with services.transaction() as db:
        lease.confirm(db)
        requests.answered(db, request, made_id)
    seconds = services.settings.settle_wait_seconds
    raise Waiting(
        "sent_again",
        f"{described(request)} is made, after a first send without an answer; it is looked up whether that took effect too",
        "Nothing: it goes on by itself.",
        seconds=seconds,
    )


def _settling(request: BalanceRequest, seconds: int) -> Waiting:
    return Waiting(
        "settling",
        f"m3ter has not answered for {described(request)}; it is looked up when that has settled",
        "Nothing: it goes on by itself.",
        seconds=seconds,
    )


def _found(services: Services, run: Run, request: BalanceRequest) -> Made | None:
    """What m3ter has under the request's reference; parks where there are several, or one that is something else."""
    m3ter = services.connection(run.connection).m3ter.balance_billing
    listed = KINDS[request.kind].listed(m3ter, request)
    found = [made for reference, made in listed if reference == request.reference]
    if not found:
        return None
    if len(found) > 1:
        _park(services, request)
        raise Parked(
            "made_twice",
            f"m3ter has {len(found)} of {described(request)}: {', '.join(one.id for one in found)}",
            "Undo all but one in m3ter (a transaction by its opposite, everything else by deleting it), then "
            f"`connector balances requests accept {request.id} <id of the one that stays>`.",
        )
    if different := differences(request.body, found[0].fields):
        _park(services, request)
        raise Parked(
            "reference_taken",
            f"m3ter has another {requests.TITLES[request.kind]} under {request.reference} ({found[0].id}): it differs in "
            + ", ".join(different),
            "Ask again under another reference, and withdraw this request.",
        )
    return found[0]


# What m3ter may write in another way, or fill in by itself.
NOT_COMPARED = frozenset({"description", "transactionTypeId", "appliedDate", "transactionDate"})


def differences(body: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """The fields, by m3ter's names, in which what is there is not what was asked for."""
    wanted = as_sent(body)
    return [name for name in wanted if name not in NOT_COMPARED and not _equal(wanted[name], there.get(name))]


def _equal(wanted: Any, there: Any) -> bool:
    if wanted is False:
        return not there  # m3ter leaves out what is not set
    if isinstance(wanted, Decimal):
        return there is not None and _amount(there) == wanted
    if isinstance(wanted, str) and isinstance(there, str) and wanted != there:
        return (moment := _moment(wanted)) is not None and moment == _moment(there)
    if isinstance(wanted, list) and isinstance(there, list):
        return sorted(wanted) == sorted(there)
    return bool(wanted == there)


def _amount(there: Any) -> Decimal | None:
    try:
        return money.amount(there)
    except money.BadMoney:
        return None


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _park(services: Services, request: BalanceRequest) -> None:
    with services.transaction() as db:
        requests.park(db, request)


def _send(services: Services, run: Run, request: BalanceRequest, lease: Held) -> str:
    """The id under which m3ter has it now; raises what the call raised, the row saying what that leaves open."""
    m3ter = services.connection(run.connection).m3ter.balance_billing
    run.check(services)
    with services.transaction() as db:
        if not requests.start_sending(db, request, lease, services.now()):
            raise Waiting(
                "busy", f"{described(request)} has changed meanwhile", "Nothing: it is looked at again.", seconds=1
            )
    run.check(services)
    try:
        body = sent_body(request.kind, request.reference, request.body)
        made_id = KINDS[request.kind].create(m3ter, request, body)
    except Uncertain as unknown:
        run.note(f"no answer for {described(request)}: {unknown}")
        raise _settling(request, services.settings.settle_wait_seconds) from unknown
    except (Rejected, Retryable) as refused:
        with services.transaction() as db:
            requests.not_taken(db, request)
        if isinstance(refused, Rejected) and request.kind == TRANSACTION and (request.amount or 0) < 0:
            raise _refused_debit(m3ter, request, refused) from refused
        raise
    run.note(f"made {described(request)}")
    return made_id


def _refused_debit(m3ter: BalanceBilling, request: BalanceRequest, refused: Rejected) -> Parked:
    """A debit may be more than the balance still holds; whether m3ter then takes it is not documented (m3ter.md §12.1)."""
    summary = m3ter.transaction_summary(_balance(request))
    moved = [f" {what} {money.shown(sum_, request.currency)}" for what, sum_ in (
        ("credited", summary.total_credit), ("drawn or taken back", summary.total_debit)
    ) if sum_ is not None]  # fmt: skip
    return Parked(
        "debit_refused",
        f"m3ter refused {described(request)}: {refused}; so far{','.join(moved) or ' nothing is known'} on the balance",
        "Where the credit is spent, settle it with the customer, then skip the sync with your reason; or let m3ter overdraw "
        "the balance and `connector syncs retry`.",
    )


def sent_body(kind: str, reference: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The body as m3ter gets it: a transaction bears its reference as the last word of its description."""
    body = as_sent(stored)
    if kind == TRANSACTION:
        body["description"] = f"{body.get('description', '')} {MARK}{reference}".strip()
    return body


def _finish(services: Services, run: Run, request: BalanceRequest, lease: Held, m3ter_id: str, found_by: str) -> str:
    with services.transaction() as db:
        lease.confirm(db)
        requests.finish(db, request, m3ter_id, found_by, services.now())
        syncs.wake(db, run.connection, [requests.made_wish(request)], services.now())
    if found_by == "look-up":
        run.note(f"{described(request)} was there already: {m3ter_id}")
    return f"{described(request)} is {m3ter_id}"


def _balance(request: BalanceRequest) -> str:
    if request.balance_id is None:
        raise BadInput(f"{described(request)} has no balance")
    return request.balance_id

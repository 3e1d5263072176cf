"""Whether what stands in m3ter is what was asked for: a credit without its charge, or the reverse, is drift."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connector import money
from connector.balances import making, requests
from connector.balances.drafts import BALANCE, CHARGE, CHARGE_SCHEDULE, TRANSACTION, TRANSACTION_SCHEDULE
from connector.balances.making import Made, coded, reference_in, referenced
from connector.balances.requests import BY_CHARGE, DONE, PAYS, TITLES, WITHDRAWN, described
from connector.clients.m3ter_balance_objects import Balance, Charge, ChargeSchedule, Transaction, TransactionSchedule
from connector.models import BalanceRequest
from connector.services import Services

# Who books by hand; a bill, a commitment and a schedule have their own reasons (m3ter.md §12.3).
PEOPLE = ("USER", "SERVICE_USER")
MANY = 10_000
# What is only shown: somebody else may have good reasons for it.
FOR_INFORMATION = frozenset({"unknown_transaction", "unknown_charge"})
# What m3ter has, by kind and id.
Standing = Mapping[str, Mapping[str, Made]]


@dataclass(frozen=True)
class There:
    """What m3ter has on one balance."""

    transactions: Sequence[Transaction]
    charges: Sequence[Charge]
    transaction_schedules: Sequence[TransactionSchedule]
    charge_schedules: Sequence[ChargeSchedule]


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be, or that nobody here knows of; `code` is stable."""

    code: str
    text: str
    next_step: str

    @property
    def needs_a_person(self) -> bool:
        """Whether somebody has to act on it."""
        return self.code not in FOR_INFORMATION


def check(services: Services, connection: str, balance: Balance) -> list[Finding]:
    """Everything on this balance that does not fit together; reads m3ter, changes nothing."""
    there = read(services, connection, balance)
    with services.reading() as db:
        asked = requests.listed(db, connection, balance_id=balance.id, limit=MANY)
    return findings(balance, asked, there)


def read(services: Services, connection: str, balance: Balance) -> There:
    """All that m3ter has on the balance."""
    m3ter = services.connection(connection).m3ter.balance_billing
    return There(
        list(m3ter.list_transactions(balance.id)),
        list(m3ter.list_charges(account_id=balance.account_id, entity_id=balance.id)),
        m3ter.list_transaction_schedules(balance.id),
        m3ter.list_charge_schedules(balance.id),
    )


def findings(balance: Balance, asked: Sequence[BalanceRequest], there: There) -> list[Finding]:
    """What does not fit together, from what was asked for and what is there."""
    on_it = [one for one in asked if one.kind != BALANCE]
    live = [one for one in on_it if one.status != WITHDRAWN]
    made = _made(there)
    found = [finding for request in live if (finding := _of_request(request, made))]
    # One half may be withdrawn when the other is made already.
    by_key = {(one.kind, one.reference): one for one in on_it}
    found += [finding for request in on_it if (finding := _of_pair(request, by_key, made))]
    return [*found, *_doubled(there), *_strangers(balance, live, there)]


def _made(there: There) -> Standing:
    return {
        kind: {made.id: made for _, made in rows}
        for kind, rows in (
            (TRANSACTION, referenced(there.transactions)),
            (CHARGE, coded(there.charges)),
            (TRANSACTION_SCHEDULE, coded(there.transaction_schedules)),
            (CHARGE_SCHEDULE, coded(there.charge_schedules)),
        )
    }


def _of_request(request: BalanceRequest, made: Standing) -> Finding | None:
    """That what was made is gone, or is no longer what was asked for."""
    if request.status != DONE:
        return None
    row = made[request.kind].get(str(request.m3ter_id))
    if row is None:
        return Finding(
            "missing",
            f"{described(request)} was made as {request.m3ter_id}, and m3ter no longer has it",
            "Find out who deleted it; ask again under another reference if it is still wanted.",
        )
    if different := making.differences(request.body, row.fields):
        return Finding(
            "changed",
            f"{described(request)} ({request.m3ter_id}) was changed in m3ter: {', '.join(different)}",
            "Compare the two; nothing is put back by itself.",
        )
    return None


def _of_pair(request: BalanceRequest, by_key: dict[tuple[str, str], BalanceRequest], made: Standing) -> Finding | None:
    """That one half of a top-up is made and the other is not there."""
    if request.kind not in PAYS or request.paid_by != BY_CHARGE:
        return None
    charge = by_key.get((PAYS[request.kind], request.reference))
    has_credit, has_charge = (_stands(one, made) for one in (request, charge))
    if has_credit and not has_charge:
        return Finding(
            "credit_without_charge",
            f"{described(request)} is credited, but the {TITLES[PAYS[request.kind]]} that pays for it is not there",
            "Charge it by hand under another code, or book the opposite transaction.",
        )
    if has_charge and not has_credit and charge is not None:
        return Finding(
            "charge_without_credit",
            f"{described(charge)} will be billed, but {described(request)} is not credited ({request.status})",
            "Let the credit's sync go on (`connector syncs list --kind balance_request`), or delete the charge.",
        )
    return None


def _stands(request: BalanceRequest | None, made: Standing) -> bool:
    return request is not None and request.status == DONE and request.m3ter_id in made[request.kind]


def _doubled(there: There) -> list[Finding]:
    """References that several transactions bear."""
    count = Counter(reference for one in there.transactions if (reference := reference_in(one.description)))
    return [
        Finding(
            "credited_twice",
            f"{times} transactions bear the reference {reference}",
            "Book the opposite of all but one, with a description of its own.",
        )
        for reference, times in sorted(count.items())
        if times > 1
    ]


def _strangers(balance: Balance, live: Sequence[BalanceRequest], there: There) -> list[Finding]:
    """What was made by somebody else: nobody here knows what it is paid by, or what it pays for."""
    known = {one.m3ter_id for one in live} | {f"{one.kind}:{one.reference}" for one in live}
    schedules = {one.id for one in there.charge_schedules}
    found = [
        Finding(
            "unknown_transaction",
            f"{money.shown(one.amount, balance.currency)} ({one.description or one.id}) was booked outside of the connector",
            "Nothing, if somebody knows what it is for: no charge is tied to it.",
        )
        for one in there.transactions
        if one.entity_type in PEOPLE
        and one.id not in known
        and f"{TRANSACTION}:{reference_in(one.description)}" not in known
    ]
    found += [
        Finding(
            "unknown_charge",
            f"charge {one.code} was made outside of the connector, and no credit is tied to it",
            "Nothing, if somebody knows what it is for.",
        )
        for one in there.charges
        if one.id not in known and f"{CHARGE}:{one.code}" not in known and one.schedule_id not in schedules
    ]
    return found

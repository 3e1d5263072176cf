"""Ask for something to be made: checked against m3ter as it is now, kept, and left to its sync.

The same for the command line, the console and code of one's own. Nothing here sends anything that changes m3ter.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connector import audit
from connector.balances import making, requests, top_ups, watches
from connector.balances.drafts import (
    BALANCE,
    CHARGE,
    CHARGE_SCHEDULE,
    TRANSACTION,
    TRANSACTION_SCHEDULE,
    Draft,
    as_stored,
    located,
    must_be_known,
)
from connector.balances.requests import Asked
from connector.balances.top_ups import TopUp
from connector.balances.watches import Terms
from connector.clients.m3ter_balance_objects import Balance
from connector.errors import BadInput
from connector.models import BalanceRequest, BalanceWatch
from connector.services import Services

# Stands for an id that is looked up only when all else is right.
ANY_ID = "00000000-0000-0000-0000-000000000000"
# Where m3ter makes each kind, below the organization's path.
PATHS = {
    BALANCE: "/balances", TRANSACTION: "/balances/{}/transactions", CHARGE: "/charges",
    TRANSACTION_SCHEDULE: "/balances/{}/balancetransactionschedules",
    CHARGE_SCHEDULE: "/balances/{}/balancechargeschedules",
}  # fmt: skip


@dataclass(frozen=True)
class WouldSend:
    """What m3ter would be sent for a draft: a POST of `body` to `path`, and what its reference stands for already."""

    draft: Draft
    path: str
    body: Mapping[str, Any]
    before: BalanceRequest | None


def reference(services: Services, given: str | None) -> str:
    """What a person gave, or one made up for them."""
    return given if given is not None else requests.made_up_reference(services.chance.getrandbits(64))


def as_before(services: Services, connection: str, kind: str, own: str, field: str) -> str | None:
    """What this field was when the same reference was asked for before; None where it was not.

    A default that goes with the clock has to be the first one again, or a repeat would be another request.
    """
    with services.reading() as db:
        before = requests.asked_before(db, connection, kind, own)
    return None if before is None else before.body.get(field)


def placed(services: Services, connection: str, draft: Draft, balance: Balance | None = None) -> Draft:
    """The draft with all that its balance says, its currencies known to m3ter; raises BadInput.

    The balance is read unless it is given. Drafts without one have to name their account themselves.
    """
    if balance is None and draft.balance_id is not None:
        balance = services.connection(connection).m3ter.balance_billing.get_balance(draft.balance_id)
    complete = draft if balance is None else located(draft, balance)
    used = (complete.currency, complete.body.get("currencyPaid"))
    must_be_known(known_currencies(services, connection), *used)
    return complete


def placed_top_up(services: Services, connection: str, top_up: TopUp) -> TopUp:
    """The pair with its currencies known to m3ter; raises BadInput."""
    must_be_known(
        known_currencies(services, connection),
        *(one for half in top_up.halves for one in (half.currency, half.body.get("currencyPaid"))),
    )
    return top_up


def would_send(services: Services, connection: str, complete: Sequence[Draft]) -> list[WouldSend]:
    """What m3ter would be sent for these, in their order; nothing is."""
    found = []
    for draft in complete:
        with services.reading() as db:
            before = requests.asked_before(db, connection, draft.kind, draft.reference)
        body = making.sent_body(draft.kind, draft.reference, as_stored(draft.body))
        found.append(WouldSend(draft, PATHS[draft.kind].format(draft.balance_id), body, before))
    return found


def known_currencies(services: Services, connection: str) -> list[str]:
    """The codes of the organization's currencies that are in use."""
    every = services.connection(connection).m3ter.balance_billing.list_currencies()
    return [one.code for one in every if not one.archived]


def ask(services: Services, connection: str, draft: Draft, *, who: str, again: bool = False) -> Asked:
    """Keep what a person asks for and open its sync; raises BadInput, and then nothing is kept."""
    complete = placed(services, connection, draft)
    now = services.now()
    with services.transaction() as db:
        asked = requests.ask(db, connection, complete, made_by=who, now=now, again=again)
        audit.note(
            db, who=who, action=f"balances {complete.kind}", connection=connection, subject=complete.reference, now=now,
            request=asked.request.id, is_new=asked.is_new,
        )  # fmt: skip
    return asked


def ask_top_up(services: Services, connection: str, top_up: TopUp, *, who: str, again: bool = False) -> list[Asked]:
    """Keep both halves of a top-up and open their syncs, the charge's first; raises BadInput, and then neither is kept."""
    placed_top_up(services, connection, top_up)
    now = services.now()
    with services.transaction() as db:
        asked = top_ups.ask(db, connection, top_up, made_by=who, now=now, again=again)
        audit.note(
            db, who=who, action="balances top-up", connection=connection, subject=top_up.credit.reference, now=now,
            requests=[one.request.id for one in asked],
        )  # fmt: skip
    return asked


def withdraw(services: Services, connection: str, request_id: int, *, who: str, reason: str) -> None:
    """Take back what has never reached m3ter; raises BadInput."""
    _must_say(reason)
    now = services.now()
    with services.transaction() as db:
        requests.withdraw(db, requests.get(db, connection, request_id), reason, now)
        audit.note(
            db, who=who, action="balances withdraw", connection=connection, subject=str(request_id), now=now,
            reason=reason,
        )  # fmt: skip


def accept(services: Services, connection: str, request_id: int, m3ter_id: str, *, who: str, reason: str) -> None:
    """Note a person's word that this is what m3ter has of a request in doubt; raises BadInput."""
    _must_say(reason)
    now = services.now()
    with services.transaction() as db:
        requests.accept(db, requests.get(db, connection, request_id), m3ter_id, who, now)
        audit.note(
            db, who=who, action="balances accept", connection=connection, subject=str(request_id), now=now,
            m3ter_id=m3ter_id, reason=reason,
        )  # fmt: skip


def watch(services: Services, connection: str, balance: Balance, terms: Terms, *, who: str) -> BalanceWatch:
    """Watch the balance on these terms from now on, in place of those before; raises BadInput for terms that cannot be."""
    now = services.now()
    watches.checked(balance, terms, now)
    if terms.price_currency is not None:
        must_be_known(known_currencies(services, connection), terms.price_currency)
    with services.transaction() as db:
        before = watches.find(db, connection, balance.id)
        replaced = None if before is None else watches.as_json(before)
        kept = watches.put(db, connection, balance, terms, made_by=who, now=now)
        audit.note(
            db, who=who, action="balances watches set", connection=connection, subject=balance.id, now=now,
            terms=watches.as_json(kept), replaced=replaced,
        )  # fmt: skip
    return kept


def unwatch(services: Services, connection: str, balance_id: str, *, who: str, reason: str) -> None:
    """Watch the balance no more; raises BadInput where it is not watched, and where no reason is given."""
    _must_say(reason)
    now = services.now()
    with services.transaction() as db:
        before = watches.find(db, connection, balance_id)
        if before is None:
            raise BadInput(f"balance {balance_id} is not watched: `connector balances watches list` shows what is")
        terms = watches.as_json(before)
        watches.remove(db, connection, balance_id, reason=reason, now=now)
        audit.note(
            db, who=who, action="balances watches remove", connection=connection, subject=balance_id, now=now,
            reason=reason, terms=terms,
        )  # fmt: skip


def _must_say(reason: str) -> None:
    if not reason.strip():
        raise BadInput("say why: the reason is kept with your name")

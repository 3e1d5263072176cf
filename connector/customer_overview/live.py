"""What m3ter itself has of a customer, asked when a person wants to know: a handful of calls, and nothing is changed."""

from dataclasses import dataclass

from sqlalchemy import select

from connector.account_plans import of_account, span
from connector.clients.m3ter_balance_objects import Balance
from connector.clients.m3ter_objects import AccountPlan as M3terPlan
from connector.errors import Rejected
from connector.models import Account
from connector.services import Services

# Each name of a plan is a call.
NAMES = 10


@dataclass(frozen=True)
class Live:
    """m3ter's own word: names of plans by id, the account's balances, and where its plans differ from our rows."""

    plan_names: dict[str, str]
    balances: tuple[Balance, ...]
    differences: tuple[str, ...]


def of_account_in_m3ter(services: Services, connection: str, account_id: str) -> Live:
    """Read the account's plans, up to ten names of plans, and its balances; raises ConnectorError."""
    m3ter = services.connection(connection).m3ter
    theirs = m3ter.account_plans(account_id)
    ours = of_account(services, connection, account_id)
    # Those that stand longest come first: they are what most people ask for.
    ids = dict.fromkeys([one.plan_id for one in reversed(ours)] + [one.plan_id for one in theirs if one.plan_id])
    names = {}
    for plan_id in list(ids)[:NAMES]:
        name = m3ter.get_plan(plan_id).name
        if name:
            names[plan_id] = name
    differences = _code_differs(services, connection, account_id)
    by_id = {one.id: one for one in theirs}
    for one in ours:
        there = by_id.pop(one.m3ter_id, None) if one.m3ter_id else None
        if one.m3ter_id is None:
            differences.append(f"{one} is not confirmed by m3ter yet")
        elif there is None:
            differences.append(f"{one} is not in m3ter any more")
        elif (there.start, there.end, there.plan_id) != (one.start, one.end, one.plan_id):
            differences.append(f"{one} is there {_said(there)}")
    differences += [f"m3ter also has {one.code or one.id} {_said(one)}, which is not ours" for one in by_id.values()]
    return Live(names, tuple(m3ter.balance_billing.list_balances(account_id)), tuple(differences))


def _said(there: M3terPlan) -> str:
    return f"as plan {there.plan_id} {span(there.start, there.end)}"


def _code_differs(services: Services, connection: str, account_id: str) -> list[str]:
    """What is wrong with the account itself: it is gone, or its code is another account's."""
    with services.reading() as db:
        row = db.scalar(select(Account).filter_by(connection=connection, m3ter_id=account_id))
    if row is None:
        return []
    try:
        found = services.connection(connection).m3ter.account_by_code(row.code)
    except Rejected:  # a code that m3ter cannot look up
        return []
    if found is None:
        return [f"m3ter has no account with the code {row.code}"]
    return [] if found.id == account_id else [f"the code {row.code} is that of account {found.id} in m3ter"]

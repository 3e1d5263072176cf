"""Why a mapping cannot be set up or taken away as things stand here: what is another's, and what has been metered under it."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from connector.database import batches
from connector.mappings import plans
from connector.mappings.kinds import CHARGE_ENTITIES, ITEM_PRICE, PLAN, PLAN_ENTITIES
from connector.mappings.pairs import Pair
from connector.models import ALWAYS, Account, AccountPlan, Mapping, TopUpProduct


def refusals(db: Session, connection: str, pairs: Iterable[Pair]) -> list[str]:
    """A sentence for each account or customer that is another's already, and each item price that is sold as a top-up."""
    return [
        f"{pair}: {fault}"
        for pair in pairs
        for fault in (
            *(sorted(_other_owners(db, connection, pair)) if _is_account(pair) else ()),
            *(_sold_as_top_up(db, connection, pair) if pair.m3ter_entity in (PLAN, *CHARGE_ENTITIES) else ()),
        )
    ]


def _is_account(pair: Pair) -> bool:
    return (pair.m3ter_entity, pair.external_table) == ("Account", "Customer")


def _sold_as_top_up(db: Session, connection: str, pair: Pair) -> list[str]:
    """What a customer has paid for as credit must not be billed, nor taken for one of our charges."""
    is_sold = select(TopUpProduct.id).where(
        TopUpProduct.connection == connection, TopUpProduct.item_price_id == pair.external_id,
        TopUpProduct.removed_at.is_(None),
    )  # fmt: skip
    if pair.external_table != ITEM_PRICE or db.scalar(is_sold) is None:
        return []
    return [
        f"{pair.external_id} is sold as a top-up; take another item price, or `connector top-ups products remove` it first"
    ]


def _other_owners(db: Session, connection: str, pair: Pair) -> set[str]:
    accounts = db.execute(
        select(Account.customer_id, Account.m3ter_id).where(
            Account.connection == connection,
            Account.m3ter_id.is_not(None),
            or_(Account.customer_id == pair.external_id, Account.m3ter_id == pair.m3ter_id),
        )
    )
    mapped = db.execute(
        select(Mapping.external_id.label("customer_id"), Mapping.m3ter_id).where(
            Mapping.connection == connection,
            Mapping.m3ter_entity == "Account",
            Mapping.external_table == "Customer",
            Mapping.m3ter_id == pair.m3ter_id,
        )
    )
    return {
        f"customer {row.customer_id} has the account {row.m3ter_id} already"
        for row in (*accounts, *mapped)
        if (row.customer_id, row.m3ter_id) != (pair.external_id, pair.m3ter_id)
    }


def rewritten(db: Session, connection: str, pairs: Iterable[Pair]) -> list[str]:
    """A sentence for each item price of which standing account plans would get another plan from their beginning."""
    rows = plans.plan_pairs(db, connection)
    before, after = plans.choices_of(db, connection, rows), plans.choices_of(db, connection, [*rows, *pairs])
    anew = {
        (price, choice)
        for price, choices in after.of_price.items()
        for choice in choices
        if choice.valid_from == ALWAYS and choice not in before.of_price.get(price, ())
    }
    codes: dict[str, list[str]] = {}
    for row in standing(db, connection, {price for price, _ in anew}):
        for choice, since, until in after.spans(row.item_price_id, row.customer_id, row.start, row.end):
            if choice is None or choice.plan_id == row.plan_id or (row.item_price_id, choice) not in anew:
                continue
            if before.pieces(row.item_price_id, row.customer_id, since, until) != [(choice.plan_id, since, until)]:
                codes.setdefault(row.item_price_id, []).append(row.code)
                break
    return [
        f"{price}: {_counted(found)} under what it meant so far, and would get another plan from the beginning. "
        "With --from <day> (in a file: valid_from) the new plan starts on that day, and what it meant before stays valid "
        "until then. With --rewrite it is changed from the beginning; a period that m3ter has billed already parks for review."
        for price, found in sorted(codes.items())
    ]


def _counted(codes: Sequence[str]) -> str:
    shown = ", ".join(codes[:3]) + (", …" if len(codes) > 3 else "")
    return f"{len(codes)} account plan{'s' if len(codes) > 1 else ''} ({shown}) stand{'' if len(codes) > 1 else 's'}"


def standing(db: Session, connection: str, item_price_ids: set[str]) -> Sequence[Any]:
    """What our account plan rows of these item prices say."""
    columns = (
        AccountPlan.item_price_id, AccountPlan.customer_id, AccountPlan.plan_id, AccountPlan.code,
        AccountPlan.start, AccountPlan.end, AccountPlan.subscription_id,
    )  # fmt: skip
    found = select(*columns).where(AccountPlan.connection == connection).order_by(AccountPlan.id)
    return [
        row
        for some in batches(sorted(item_price_ids))
        for row in db.execute(found.where(AccountPlan.item_price_id.in_(some)))
    ]


def not_removable(db: Session, connection: str, row: Mapping) -> str | None:
    """Why this row cannot be taken away by a person, whatever they mean by it."""
    if row.made_by == "connector":
        return "the connector made this mapping and needs it"
    live = select(Account.id).where(
        Account.connection == connection, Account.m3ter_id == row.m3ter_id, Account.customer_id == row.external_id
    )
    if row.m3ter_entity == "Account" and db.scalar(live) is not None:
        return "the customer's subscriptions are metered under this account already"
    return None


def left_without(db: Session, connection: str, row: Mapping, now: datetime) -> list[str]:
    """A sentence where standing account plans would have got another plan, or none, in time that has passed."""
    rows = plans.plan_pairs(db, connection)
    gone = Pair.of(row)
    before, after = (
        plans.choices_of(db, connection, rows),
        plans.choices_of(db, connection, [one for one in rows if one != gone]),
    )
    codes = [
        plan.code
        for plan in standing(db, connection, {gone.external_id} if gone.m3ter_entity in PLAN_ENTITIES else set())
        for passed in [(plan.item_price_id, plan.customer_id, plan.start, min(filter(None, (plan.end, now))))]
        if before.pieces(*passed) != after.pieces(*passed)
    ]
    return (
        [
            f"{gone}: {_counted(codes)} under it. `connector mappings add` with the same words and --until <day> ends it on that "
            "day. With --rewrite it is taken away for all time; a period that m3ter has billed already parks for review."
        ]
        if codes
        else []
    )

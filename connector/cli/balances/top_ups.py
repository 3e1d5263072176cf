"""`connector balances top-up` and `top-ups list`"""

from datetime import datetime
from decimal import Decimal
from typing import Any

import click

from connector import audit, money
from connector.balances import asking, drafts, lookup, previews, requests, top_ups, typed
from connector.balances.asking import ANY_ID
from connector.balances.drafts import CHARGE, TRANSACTION, TRANSACTION_SCHEDULE
from connector.balances.top_ups import Price, TopUp
from connector.cli.balances.desk import (
    Desk,
    account_option,
    amount,
    confirm,
    day,
    dry_run_option,
    limit_option,
    made,
    would_send,
    yes_option,
)
from connector.cli.balances.schedules import epoch, in_arrears_option, pair_text, preview_text
from connector.cli.common import connection_option, output, table
from connector.clients.m3ter_balance_objects import Balance
from connector.errors import BadInput
from connector.moments import midnight


@click.command("top-up")
@click.argument("balance")
@account_option
@click.option("--credit", required=True, metavar="AMOUNT", help="What the balance gets, in its own currency.")
@click.option("--price", metavar="AMOUNT", help="What is charged for it; as much as the credit when left out.")
@click.option("--currency", metavar="CODE", help="Of the price; the balance's when left out. Another needs --price.")
@click.option("--free", is_flag=True, help="Credit without a charge.")
@click.option("--reference", help="One word of your own, such as a PO number; a repeat with it makes no second one.")
@click.option("--type", "type_", metavar="CODE", help="Transaction type; may be left out where there is only one.")
@click.option("--description", help="On the transaction and on the bill line.")
@click.option("--product-id", metavar="ID", help="Accounting product of the charge.")
@click.option(
    "--applied", metavar="DAY", help="From when on the credit counts; today when left out. Not with a schedule."
)
@click.option(
    "--bill-date", metavar="DAY", help="The day whose bill job bills it; today when left out. Not with a schedule."
)
@click.option("--monthly", is_flag=True, help="A schedule: each month.")
@click.option("--frequency", help="A schedule: DAILY, WEEKLY, MONTHLY or ANNUALLY.")
@click.option("--every", type=int, help="A schedule: each so many days, weeks, months or years; 1 when left out.")
@click.option("--start", metavar="DAY", help="When the schedule begins; today when left out.")
@click.option("--end", metavar="DAY", help="The first moment after its last period; the balance's end when left out.")
@in_arrears_option
@click.option(
    "--limit",
    default=previews.LIMIT,
    show_default=True,
    type=click.IntRange(1, previews.MAX_LIMIT),
    help="How many credits and charges of a schedule to show.",
)
@dry_run_option
@yes_option
@connection_option
@output
def top_up(
    balance: str, account: str | None, credit: str, price: str | None, currency: str | None, free: bool,
    reference: str | None, type_: str | None, limit: int, dry_run: bool, yes: bool, connection: str, **values: Any,
) -> Any:  # fmt: skip
    """Credit BALANCE and charge for it: the transaction and the charge, or the two schedules, under one reference.

    The charge is made first, the credit only when that is there. Its service period is the time in which the credit can be
    used: from the credit to the balance's end. With --monthly or --frequency both recur in one rhythm, each charge billed in
    advance or, with --in-arrears, at the end of its period; what they would make is shown before.
    """
    desk = Desk.at(connection)
    frequency = _frequency(values)
    _must_fit(values, frequency, free=free, priced=price is not None or currency is not None)
    own = asking.reference(desk.services, reference)
    worth = typed.amount(credit, "--credit")
    asked_price = None if free else Price(amount(price, "--price"), typed.currency(currency) if currency else None)
    _check_alone(desk, own, worth, asked_price, values, frequency)
    on = desk.balance(balance, account)
    type_id = lookup.transaction_type(desk.services, connection, type_).id
    common = {
        "reference": own, "credit": worth, "price": asked_price, "type_id": type_id,
        "description": values["description"],
    }  # fmt: skip
    if frequency is None:
        pair = top_ups.ad_hoc(
            on, **common, product_id=values["product_id"],
            applied=_counts_from(desk, on, values["applied"], TRANSACTION, own, "appliedDate"),
            bill_date=desk.day_of(values["bill_date"], "--bill-date", CHARGE, own, "billDate"),
        )  # fmt: skip
    else:
        start = _counts_from(desk, on, values["start"], TRANSACTION_SCHEDULE, own, "startDate")
        pair = top_ups.scheduled(
            on, **common, start=start, end=desk.moment_or(values["end"], "--end", on.end),
            first_day=epoch(desk, start), frequency=frequency, every=values["every"] or 1,
            in_advance=not values["in_arrears"],
        )  # fmt: skip
    pair = asking.placed_top_up(desk.services, connection, pair)
    document, text = _shown(desk, pair, limit if frequency else None)
    if dry_run:
        return document, text
    confirm(yes, text, "Make this top-up?")
    return made(desk, asking.ask_top_up(desk.services, connection, pair, who=audit.actor()))


def _counts_from(desk: Desk, on: Balance, text: str | None, kind: str, own: str, field: str) -> datetime:
    """What was typed; else today, or the balance's start where that is still to come."""
    moment = desk.moment_of(text, "the day", kind, own, field)
    return max(moment, on.start) if text is None else moment


def _frequency(values: dict[str, Any]) -> str | None:
    if values["monthly"] and values["frequency"]:
        raise BadInput("--monthly says the frequency already: leave --frequency out")
    return "MONTHLY" if values["monthly"] else values["frequency"] and values["frequency"].upper()


def _must_fit(values: dict[str, Any], frequency: str | None, *, free: bool, priced: bool) -> None:
    given = {name for name, value in values.items() if value} | ({"free"} if free else set())
    top_ups.must_fit(
        given | ({"price"} if priced else set()), recurs=frequency is not None,
        called=lambda name: f"--{name.replace('_', '-')}",
        once="a single top-up; --monthly or --frequency makes a schedule", again="a top-up that recurs",
    )  # fmt: skip


def _check_alone(
    desk: Desk, own: str, credit: Decimal, price: Price | None, values: dict[str, Any], frequency: str | None
) -> None:
    """All that can be wrong by itself is said before m3ter is asked for anything."""
    top_ups.must_be_worth(credit, price)
    start = desk.moment_or(values["start"], "--start", desk.begins())
    end = desk.moment_or(values["end"], "--end", midnight(typed.day("2999-01-01"), desk.zone))
    if frequency is None:
        drafts.transaction(
            balance_id=ANY_ID, reference=own, amount=credit, type_id=ANY_ID,
            applied=desk.moment(values["applied"], "--applied"),
        )  # fmt: skip
    else:
        drafts.transaction_schedule(
            balance_id=ANY_ID, code=own, name=own, amount=credit, type_id=ANY_ID, description=own, start=start, end=end,
            frequency=frequency, every=1 if values["every"] is None else values["every"],
        )  # fmt: skip
    if price is not None and price.currency is not None:
        drafts.charge(
            account_id=None, balance_id=ANY_ID, code=own, name=own, currency=price.currency,
            amount=credit if price.amount is None else price.amount, start=start, end=end,
            bill_date=day(values["bill_date"], "--bill-date") or desk.today(), product_id=values["product_id"],
        )  # fmt: skip


def _shown(desk: Desk, pair: TopUp, limit: int | None) -> tuple[dict[str, Any], list[Any]]:
    """Both halves as they would be sent and, of schedules, what they would make."""
    document, text = would_send(desk, pair.halves)
    if limit is None:
        return document, text
    credits, charges = previews.of_top_up(desk.services, desk.connection, pair, limit=limit)
    document["previews"] = {
        "credits": previews.as_json(credits), "charges": previews.as_json(charges) if charges else None,
    }  # fmt: skip
    return document, [*text, *(pair_text(desk, credits, charges) if charges else preview_text(desk, credits))]


@click.group("top-ups")
def top_ups_group() -> None:
    """Credits with the charges that pay for them."""


@top_ups_group.command("list")
@click.option("--balance", metavar="ID", help="Only of this balance: its id, or its code with --account.")
@account_option
@limit_option
@connection_option
@output
def list_top_ups(balance: str | None, account: str | None, limit: int, connection: str) -> Any:
    """List top-ups, the newest first: both halves, what they are worth, and how far each of them is."""
    desk = Desk.at(connection)
    balance_id = desk.balance(balance, account).id if balance is not None else None
    with desk.services.reading() as db:
        found = top_ups.listed(db, connection, balance_id=balance_id, limit=limit)
    customers = desk.customers([credit.account_id for credit, _ in found])
    rows = [
        [credit.reference, customers.get(credit.account_id, credit.account_id), _half(credit), credit.status,
         _half(charge) if charge else credit.paid_by, charge.status if charge else None, credit.made_by,
         f"{credit.created_at:%Y-%m-%d %H:%M} UTC"]
        for credit, charge in found
    ]  # fmt: skip
    columns = ["reference", "customer", "credit", "is", "charge", "is", "asked for by", "at"]
    document = [
        {"credit": requests.as_json(credit), "charge": requests.as_json(charge) if charge else None}
        for credit, charge in found
    ]
    return {"top_ups": document}, table("Top-ups", columns, rows)


def _half(request: Any) -> str:
    worth = money.shown(request.amount, request.currency)
    return f"{worth} at a time" if request.kind.endswith("schedule") else worth

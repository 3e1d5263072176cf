"""`connector balances charges …`"""

from itertools import islice
from typing import Any

import click

from connector.balances import asking, changes, drafts, lookup, overview, typed
from connector.balances.asking import ANY_ID
from connector.balances.drafts import CHARGE, UUID, Draft
from connector.balances.in_m3ter import price_of
from connector.cli.balances.desk import (
    Desk,
    amount,
    change,
    cleared,
    day,
    delete,
    despite_option,
    dry_run_option,
    given,
    limit_option,
    make,
    must_change,
    price_shown,
    reason_option,
    stacked,
    yes_option,
)
from connector.cli.balances.schedules import price_options
from connector.cli.common import connection_option, output, table
from connector.clients.m3ter_balance_objects import Balance, Charge
from connector.errors import BadInput
from connector.moments import midnight

CLEARABLE = ("description", "notes", "product-id")

on_options = stacked(
    click.option("--balance", metavar="ID", help="On this balance: its id, or its code with --account."),
    click.option("--account", metavar="ID", help="Of this account: Chargebee customer id or m3ter account id."),
)


@click.group("charges")
def charges_group() -> None:
    """Money to be billed on a bill date, for a balance (BALANCE_FEE) or for an account (AD_HOC); it credits no balance.

    A bill job of that date puts it on a bill. An amount below zero is a credit on the bill.
    """


@charges_group.command("list")
@on_options
@click.option("--bill-date", metavar="DAY", help="Only those of this bill date.")
@limit_option
@connection_option
@output
def list_charges(balance: str | None, account: str | None, bill_date: str | None, limit: int, connection: str) -> Any:
    """List charges on a balance or of an account, the newest first, with the bills that they are on."""
    desk = Desk.at(connection)
    of_day = day(bill_date, "--bill-date")
    _must_be_one(balance, account)
    m3ter = desk.services.connection(connection).m3ter.balance_billing
    if balance is not None:
        on = desk.balance(balance, account)
        rows = m3ter.list_charges(account_id=on.account_id, entity_id=on.id, bill_date=of_day)
    else:
        rows = m3ter.list_charges(account_id=desk.account_id(str(account)), bill_date=of_day)
    found = list(islice(rows, limit + 1))
    columns = ["code", "price", "bill date", "service period", "bill", "made by schedule", "id"]
    text: list[Any] = [table("Charges", columns, [_row(desk, one) for one in found[:limit]])]
    document = {"charges": [overview.charge_as_json(one) for one in found[:limit]], "more": len(found) > limit}
    return document, [*text, "… and more, with a greater --limit"] if len(found) > limit else text


def _row(desk: Desk, one: Charge) -> list[Any]:
    period = f"{desk.shown(one.start)} to {desk.shown(one.end)}"
    price = price_shown(price_of(one), one.currency)
    return [one.code, price, one.bill_date, period, one.bill_id or "not billed yet", one.schedule_id, one.id]


@charges_group.command("show")
@click.argument("charge")
@on_options
@connection_option
@output
def show_charge(charge: str, balance: str | None, account: str | None, connection: str) -> Any:
    """Show CHARGE, by its id, or by its code with --balance or --account."""
    desk = Desk.at(connection)
    one = _find(desk, charge, balance, account)
    document = overview.charge_as_json(one)
    price = price_shown(price_of(one), one.currency)
    if one.units is not None and one.unit_price is not None:
        price += f" ({format(one.units, 'f')} at {price_shown(one.unit_price, one.currency)})"
    facts = [
        ("Of", desk.customer(one.account_id) + (f", balance {document['balance_id']}" if document["balance_id"] else "")),
        ("Name", one.name), ("Description", one.description), ("Price", price), ("Bill date", one.bill_date),
        ("Service period", f"{desk.shown(one.start)} to {desk.shown(one.end)}"), ("Bill line", one.line_item_type),
        ("Bill", one.bill_id or "not billed yet"), ("Made by schedule", one.schedule_id), ("Notes", one.notes),
    ]  # fmt: skip
    return document, table(f"Charge {one.code}, {one.id}", ["", ""], [list(fact) for fact in facts if fact[1]])


@charges_group.command("create")
@on_options
@click.option("--code", help="Its own among all charges; made up when left out. A repeat with it makes no second one.")
@click.option("--name", required=True, help="Begins the text of the bill line.")
@click.option("--currency", required=True, metavar="CODE", help="What is charged in; need not be the balance's.")
@price_options
@click.option("--bill-date", metavar="DAY", help="The day whose bill job bills it; today when left out.")
@click.option("--start", metavar="DAY", help="When its service period begins; today when left out.")
@click.option(
    "--end", metavar="DAY", help="The first moment after its service period; the balance's end when left out."
)
@click.option("--description", help="Goes on with the text of the bill line.")
@click.option("--notes", help="For people; never on a bill.")
@click.option("--product-id", metavar="ID", help="Accounting product of the line.")
@click.option("--contract-id", metavar="ID", help="The m3ter contract that it is of.")
@dry_run_option
@yes_option
@connection_option
@output
def create_charge(
    balance: str | None, account: str | None, code: str | None, name: str, currency: str, amount_: str | None,
    units: str | None, unit_price: str | None, bill_date: str | None, start: str | None, end: str | None,
    dry_run: bool, yes: bool, connection: str, **texts: Any,
) -> Any:  # fmt: skip
    """Charge once, on a balance or an account, without crediting anything: `top-up` does both."""
    desk = Desk.at(connection)
    _must_be_one(balance, account)
    own = asking.reference(desk.services, code)
    begins = desk.moment_of(start, "--start", CHARGE, own, "servicePeriodStartDate")
    billed = desk.day_of(bill_date, "--bill-date", CHARGE, own, "billDate")
    ends = desk.moment(end, "--end")

    def draft(on: Balance | None) -> Draft:
        on_balance = balance is not None
        return drafts.charge(
            account_id=None if on_balance else desk.account_id(str(account)),
            balance_id=(on.id if on else ANY_ID) if on_balance else None, code=own, name=name,
            currency=typed.currency(currency), amount=amount(amount_, "--amount"), units=amount(units, "--units"),
            unit_price=amount(unit_price, "--unit-price"), start=begins,
            end=ends or (on.end if on else None) or (_later(desk) if on_balance else None),
            bill_date=billed, **texts,
        )  # fmt: skip

    draft(None)  # all that can be wrong by itself is said before m3ter is asked for anything
    on = desk.balance(balance, account) if balance is not None else None
    return make(desk, draft(on), on, dry_run=dry_run, yes=yes)


def _later(desk: Desk) -> Any:
    """Stands for the end of a balance that is looked up only when all else is right."""
    return midnight(typed.day("2999-01-01"), desk.zone)


def _must_be_one(balance: str | None, account: str | None) -> None:
    """An account beside a balance's id would say the same twice, or something else."""
    if balance is None and account is None:
        raise BadInput("a charge is either on a balance or of an account: give --balance or --account")
    if balance is not None and account is not None and UUID.fullmatch(balance):
        raise BadInput("a charge is either on a balance or of an account: give one of --balance and --account")


def _find(desk: Desk, charge: str, balance: str | None, account: str | None) -> Charge:
    if UUID.fullmatch(charge):
        return lookup.charge(desk.services, desk.connection, charge, None, None)
    on = desk.balance(balance, account) if balance is not None else None
    return lookup.charge(desk.services, desk.connection, charge, on, account)


@charges_group.command("update")
@click.argument("charge")
@on_options
@click.option("--name", help="Begins the text of the bill line.")
@click.option("--currency", metavar="CODE", help="What is charged in.")
@price_options
@click.option("--bill-date", metavar="DAY", help="The day whose bill job bills it.")
@click.option("--start", metavar="DAY", help="When its service period begins.")
@click.option("--end", metavar="DAY", help="The first moment after its service period.")
@click.option("--description", help="Goes on with the text of the bill line.")
@click.option("--notes", help="For people; never on a bill.")
@click.option("--product-id", metavar="ID", help="Accounting product of the line.")
@click.option("--clear", multiple=True, type=click.Choice(CLEARABLE), help="Take this field away.")
@despite_option(CHARGE)
@dry_run_option
@yes_option
@connection_option
@output
def update_charge(
    charge: str, balance: str | None, account: str | None, currency: str | None, amount_: str | None,
    units: str | None, unit_price: str | None, bill_date: str | None, start: str | None, end: str | None,
    clear: tuple[str, ...], despite: tuple[str, ...], dry_run: bool, yes: bool, connection: str, **texts: Any,
) -> Any:  # fmt: skip
    """Change fields of CHARGE (its id, or its code with --balance or --account) and keep all others.

    Refused, unless you say that you know, where it is on a bill already or is half of a top-up.
    """
    desk = Desk.at(connection)
    wanted = given(
        currency=currency and typed.currency(currency), amount=amount(amount_, "--amount"),
        units=amount(units, "--units"), unit_price=amount(unit_price, "--unit-price"),
        bill_date=day(bill_date, "--bill-date"), start=desk.moment(start, "--start"), end=desk.moment(end, "--end"),
        **texts,
    )  # fmt: skip
    wanted = cleared(wanted, clear)
    must_change(wanted)
    standing = _find(desk, charge, balance, account)
    planned = changes.update(desk.services, connection, CHARGE, standing, wanted)
    return change(desk, planned, dry_run=dry_run, yes=yes, despite=despite)


@charges_group.command("delete")
@click.argument("charge")
@on_options
@reason_option
@despite_option(CHARGE)
@dry_run_option
@yes_option
@connection_option
@output
def delete_charge(
    charge: str, balance: str | None, account: str | None, reason: str, despite: tuple[str, ...], dry_run: bool,
    yes: bool, connection: str,
) -> Any:  # fmt: skip
    """Delete CHARGE in m3ter; refused, unless you say that you know, where it is on a bill or is half of a top-up."""
    desk = Desk.at(connection)
    return delete(
        desk, CHARGE, charge, lambda: _find(desk, charge, balance, account),
        dry_run=dry_run, yes=yes, despite=despite, reason=reason,
    )  # fmt: skip

"""`connector balances charge-schedules …`"""

from collections.abc import Callable
from typing import Any

import click

from connector.balances import asking, changes, drafts, lookup, overview, previews, typed
from connector.balances.asking import ANY_ID
from connector.balances.drafts import CHARGE_SCHEDULE, Draft
from connector.cli.balances.desk import (
    Desk,
    account_option,
    amount,
    change,
    cleared,
    day,
    delete,
    despite_option,
    dry_run_option,
    given,
    make,
    must_change,
    reason_option,
    stacked,
    yes_option,
)
from connector.cli.balances.schedules import (
    balance_of_schedule,
    charge_schedule_rows,
    epoch,
    in_arrears_option,
    preview_limit,
    preview_text,
    price_options,
    recurrence,
)
from connector.cli.common import connection_option, output, table
from connector.clients.m3ter_balance_objects import Balance

CLEARABLE = ("bill-epoch",)


@click.group("charge-schedules")
def charge_schedules_group() -> None:
    """Charges for a balance that recur: one for each service period, billed in advance (at its start) or in arrears."""


_values = stacked(
    click.option("--code", help="Its own on the balance; made up when left out. A repeat with it makes no second one."),
    click.option("--name", help="The description when left out."),
    click.option("--currency", required=True, metavar="CODE", help="What is charged in; need not be the balance's."),
    price_options,
    click.option("--description", required=True, help="Text on the bill line."),
    recurrence,
    in_arrears_option,
    click.option(
        "--bill-epoch", metavar="DAY",
        help="The day that the periods are counted from; that of --start when left out.",
    ),
)  # fmt: skip


def _drafted(
    desk: Desk, *, code: str | None, name: str | None, currency: str, amount_: str | None, units: str | None,
    unit_price: str | None, description: str, start: str | None, end: str | None, frequency: str, every: int,
    in_arrears: bool, bill_epoch: str | None,
) -> Callable[[str], Draft]:  # fmt: skip
    """The draft for a balance's id."""
    own = asking.reference(desk.services, code)
    begins = desk.moment_of(start, "--start", CHARGE_SCHEDULE, own, "servicePeriodStartDate")

    def draft(balance_id: str) -> Draft:
        return drafts.charge_schedule(
            balance_id=balance_id, code=own, name=name or description, currency=typed.currency(currency),
            amount=amount(amount_, "--amount"), units=amount(units, "--units"),
            unit_price=amount(unit_price, "--unit-price"), description=description, start=begins,
            end=desk.moment(end, "--end"), frequency=frequency.upper(), every=every, in_advance=not in_arrears,
            bill_epoch=day(bill_epoch, "--bill-epoch") or epoch(desk, begins),
        )  # fmt: skip

    return draft


def _complete(
    desk: Desk, draft: Callable[[str], Draft], balance: str, account: str | None
) -> tuple[Draft, Balance]:  # fmt: skip
    """The draft on its balance; all that can be wrong by itself is said before m3ter is asked."""
    draft(ANY_ID)
    on = desk.balance(balance, account)
    return draft(on.id), on


@charge_schedules_group.command("list")
@click.argument("balance")
@account_option
@connection_option
@output
def list_schedules(balance: str, account: str | None, connection: str) -> Any:
    """List the charge schedules of BALANCE, the newest first, also those that have ended."""
    desk = Desk.at(connection)
    on = desk.balance(balance, account)
    found = desk.services.connection(connection).m3ter.balance_billing.list_charge_schedules(on.id)
    columns, rows = charge_schedule_rows(desk, found)
    document = {"charge_schedules": [overview.schedule_as_json(one) for one in found]}
    return document, table(f"Charge schedules of balance {on.code}", columns, rows)


@charge_schedules_group.command("show")
@click.argument("schedule")
@balance_of_schedule
@account_option
@connection_option
@output
def show_schedule(schedule: str, balance: str, account: str | None, connection: str) -> Any:
    """Show SCHEDULE, by its id or code."""
    desk = Desk.at(connection)
    on = desk.balance(balance, account)
    found = lookup.charge_schedule(desk.services, connection, schedule, on)
    columns, rows = charge_schedule_rows(desk, [found])
    text = [table(f"{found.name}: {found.description}", columns, rows)]
    return overview.schedule_as_json(found), text


@charge_schedules_group.command("create")
@click.argument("balance")
@account_option
@_values
@dry_run_option
@yes_option
@connection_option
@output
def create_schedule(balance: str, account: str | None, dry_run: bool, yes: bool, connection: str, **values: Any) -> Any:
    """Charge for BALANCE again and again, without crediting it: `top-up --frequency` makes both."""
    desk = Desk.at(connection)
    complete, on = _complete(desk, _drafted(desk, **values), balance, account)
    return make(desk, complete, on, dry_run=dry_run, yes=yes)


@charge_schedules_group.command("preview")
@click.argument("balance")
@account_option
@_values
@preview_limit
@connection_option
@output
def preview_schedule(balance: str, account: str | None, limit: int, connection: str, **values: Any) -> Any:
    """Show what such a schedule of BALANCE would make, as m3ter works it out; nothing is saved."""
    desk = Desk.at(connection)
    draft, on = _complete(desk, _drafted(desk, **values), balance, account)
    preview = previews.of(desk.services, connection, asking.placed(desk.services, connection, draft, on), limit=limit)
    return previews.as_json(preview), preview_text(desk, preview)


@charge_schedules_group.command("update")
@click.argument("schedule")
@balance_of_schedule
@account_option
@click.option("--name")
@click.option("--currency", metavar="CODE", help="What is charged in.")
@price_options
@click.option("--description", help="Text on the bill line.")
@click.option("--start", metavar="DAY", help="When it begins.")
@click.option("--end", metavar="DAY", help="The first moment after its last period.")
@click.option("--frequency", help="DAILY, WEEKLY, MONTHLY or ANNUALLY.")
@click.option("--every", type=int, help="Each so many days, weeks, months or years; 1 to 365.")
@click.option(
    "--bill", type=click.Choice(["in-advance", "in-arrears"]), help="At the start of each period, or at its end."
)
@click.option("--bill-epoch", metavar="DAY", help="The day that the periods are counted from.")
@click.option("--clear", multiple=True, type=click.Choice(CLEARABLE), help="Take this field away.")
@despite_option(CHARGE_SCHEDULE)
@dry_run_option
@yes_option
@connection_option
@output
def update_schedule(
    schedule: str, balance: str, account: str | None, name: str | None, currency: str | None, amount_: str | None,
    units: str | None, unit_price: str | None, description: str | None, start: str | None, end: str | None,
    frequency: str | None, every: int | None, bill: str | None, bill_epoch: str | None, clear: tuple[str, ...],
    despite: tuple[str, ...], dry_run: bool, yes: bool, connection: str,
) -> Any:  # fmt: skip
    """Change fields of SCHEDULE and keep all others; the charges that it has made stay as they are."""
    desk = Desk.at(connection)
    wanted = given(
        name=name, currency=currency and typed.currency(currency), amount=amount(amount_, "--amount"),
        units=amount(units, "--units"), unit_price=amount(unit_price, "--unit-price"), description=description,
        start=desk.moment(start, "--start"), end=desk.moment(end, "--end"), frequency=frequency and frequency.upper(),
        every=every, in_advance=None if bill is None else bill == "in-advance",
        bill_epoch=day(bill_epoch, "--bill-epoch"),
    )  # fmt: skip
    wanted = cleared(wanted, clear)
    must_change(wanted)
    standing = lookup.charge_schedule(desk.services, connection, schedule, desk.balance(balance, account))
    planned = changes.update(desk.services, connection, CHARGE_SCHEDULE, standing, wanted)
    return change(desk, planned, dry_run=dry_run, yes=yes, despite=despite)


@charge_schedules_group.command("end")
@click.argument("schedule")
@balance_of_schedule
@account_option
@click.option("--at", metavar="DAY", help="The first moment at which it makes nothing more; now when left out.")
@click.option("--both", is_flag=True, help="Where it is half of a top-up, end the other half with it.")
@despite_option(CHARGE_SCHEDULE)
@dry_run_option
@yes_option
@connection_option
@output
def end_schedule(
    schedule: str, balance: str, account: str | None, at: str | None, both: bool, despite: tuple[str, ...], dry_run: bool,
    yes: bool, connection: str,
) -> Any:  # fmt: skip
    """End SCHEDULE; the charges that it has made stay as they are."""
    desk = Desk.at(connection)
    moment = desk.moment_or(at, "--at", desk.services.now().replace(microsecond=0))
    standing = lookup.charge_schedule(desk.services, connection, schedule, desk.balance(balance, account))
    planned = changes.end(desk.services, connection, CHARGE_SCHEDULE, standing, moment, both=both)
    return change(desk, planned, dry_run=dry_run, yes=yes, despite=despite)


@charge_schedules_group.command("delete")
@click.argument("schedule")
@balance_of_schedule
@account_option
@reason_option
@despite_option(CHARGE_SCHEDULE)
@dry_run_option
@yes_option
@connection_option
@output
def delete_schedule(
    schedule: str, balance: str, account: str | None, reason: str, despite: tuple[str, ...], dry_run: bool, yes: bool,
    connection: str,
) -> Any:  # fmt: skip
    """Delete SCHEDULE in m3ter; the charges that it has made stay. `end` keeps the schedule to be seen."""
    desk = Desk.at(connection)
    on = desk.balance(balance, account)
    return delete(
        desk, CHARGE_SCHEDULE, schedule,
        lambda: lookup.charge_schedule(desk.services, connection, schedule, on),
        dry_run=dry_run, yes=yes, despite=despite, reason=reason,
    )  # fmt: skip

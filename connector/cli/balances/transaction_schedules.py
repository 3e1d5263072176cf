"""`connector balances transaction-schedules …`"""

from collections.abc import Callable
from typing import Any

import click

from connector.balances import asking, changes, drafts, lookup, overview, previews, typed
from connector.balances.asking import ANY_ID
from connector.balances.drafts import TRANSACTION_SCHEDULE, Draft
from connector.cli.balances.desk import (
    Desk,
    account_option,
    amount,
    change,
    cleared,
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
    preview_limit,
    preview_text,
    recurrence,
    transaction_schedule_rows,
)
from connector.cli.common import connection_option, output, table
from connector.clients.m3ter_balance_objects import Balance

CLEARABLE = ("paid", "currency-paid")


@click.group("transaction-schedules")
def transaction_schedules_group() -> None:
    """Credits of a balance that recur: one at the start, then one each time the frequency comes round, before the end."""


_values = stacked(
    click.option("--code", help="Its own on the balance; made up when left out. A repeat with it makes no second one."),
    click.option("--name", help="The description when left out."),
    click.option("--amount", "amount_", required=True, metavar="AMOUNT", help="Credit at a time, in the balance's currency."),
    click.option("--type", "type_", metavar="CODE", help="Transaction type; may be left out where there is only one."),
    click.option("--description", required=True, help="Of the transactions."),
    recurrence,
    click.option("--paid", metavar="AMOUNT", help="What is really paid at a time, for the record only."),
    click.option("--currency-paid", metavar="CODE", help="The currency of --paid."),
)  # fmt: skip


def _drafted(
    desk: Desk, *, code: str | None, name: str | None, amount_: str, description: str, start: str | None,
    end: str | None, frequency: str, every: int, paid: str | None, currency_paid: str | None,
) -> Callable[[str, str], Draft]:  # fmt: skip
    """The draft for a balance's and a type's id."""
    own = asking.reference(desk.services, code)
    begins = desk.moment_of(start, "--start", TRANSACTION_SCHEDULE, own, "startDate")

    def draft(balance_id: str, type_id: str) -> Draft:
        return drafts.transaction_schedule(
            balance_id=balance_id, code=own, name=name or description, amount=typed.amount(amount_, "--amount"),
            type_id=type_id, description=description, start=begins,
            end=desk.moment(end, "--end"), frequency=frequency.upper(), every=every, paid=amount(paid, "--paid"),
            currency_paid=typed.currency(currency_paid) if currency_paid else None,
        )  # fmt: skip

    return draft


def _complete(
    desk: Desk, draft: Callable[[str, str], Draft], balance: str, account: str | None, type_: str | None
) -> tuple[Draft, Balance]:
    """The draft with what m3ter has to say to it; all that can be wrong by itself is said before m3ter is asked."""
    draft(ANY_ID, ANY_ID)
    on = desk.balance(balance, account)
    return draft(on.id, lookup.transaction_type(desk.services, desk.connection, type_).id), on


@transaction_schedules_group.command("list")
@click.argument("balance")
@account_option
@connection_option
@output
def list_schedules(balance: str, account: str | None, connection: str) -> Any:
    """List the transaction schedules of BALANCE, the newest first, also those that have ended."""
    desk = Desk.at(connection)
    on = desk.balance(balance, account)
    found = desk.services.connection(connection).m3ter.balance_billing.list_transaction_schedules(on.id)
    columns, rows = transaction_schedule_rows(desk, found, on.currency)
    document = {"transaction_schedules": [overview.schedule_as_json(one) for one in found]}
    return document, table(f"Transaction schedules of balance {on.code}", columns, rows)


@transaction_schedules_group.command("show")
@click.argument("schedule")
@balance_of_schedule
@account_option
@connection_option
@output
def show_schedule(schedule: str, balance: str, account: str | None, connection: str) -> Any:
    """Show SCHEDULE, by its id or code."""
    desk = Desk.at(connection)
    on = desk.balance(balance, account)
    found = lookup.transaction_schedule(desk.services, connection, schedule, on)
    columns, rows = transaction_schedule_rows(desk, [found], on.currency)
    text = [table(f"{found.name}: {found.description}", columns, rows)]
    return overview.schedule_as_json(found), text


@transaction_schedules_group.command("create")
@click.argument("balance")
@account_option
@_values
@dry_run_option
@yes_option
@connection_option
@output
def create_schedule(
    balance: str, account: str | None, type_: str | None, dry_run: bool, yes: bool, connection: str, **values: Any
) -> Any:
    """Credit BALANCE again and again, without charges: `top-up --frequency` makes both."""
    desk = Desk.at(connection)
    complete, on = _complete(desk, _drafted(desk, **values), balance, account, type_)
    return make(desk, complete, on, dry_run=dry_run, yes=yes)


@transaction_schedules_group.command("preview")
@click.argument("balance")
@account_option
@_values
@preview_limit
@connection_option
@output
def preview_schedule(
    balance: str, account: str | None, type_: str | None, limit: int, connection: str, **values: Any
) -> Any:
    """Show what such a schedule of BALANCE would make, as m3ter works it out; nothing is saved."""
    desk = Desk.at(connection)
    draft, on = _complete(desk, _drafted(desk, **values), balance, account, type_)
    preview = previews.of(desk.services, connection, asking.placed(desk.services, connection, draft, on), limit=limit)
    return previews.as_json(preview), preview_text(desk, preview)


@transaction_schedules_group.command("update")
@click.argument("schedule")
@balance_of_schedule
@account_option
@click.option("--name")
@click.option("--amount", "amount_", metavar="AMOUNT", help="Credit at a time, in the balance's currency.")
@click.option("--type", "type_", metavar="CODE", help="Transaction type.")
@click.option("--description", help="Of the transactions.")
@click.option("--start", metavar="DAY", help="When it begins.")
@click.option("--end", metavar="DAY", help="The first moment after its last period.")
@click.option("--frequency", help="DAILY, WEEKLY, MONTHLY or ANNUALLY.")
@click.option("--every", type=int, help="Each so many days, weeks, months or years; 1 to 365.")
@click.option("--paid", metavar="AMOUNT", help="What is really paid at a time, for the record only.")
@click.option("--currency-paid", metavar="CODE", help="The currency of --paid.")
@click.option("--clear", multiple=True, type=click.Choice(CLEARABLE), help="Take this field away.")
@despite_option(TRANSACTION_SCHEDULE)
@dry_run_option
@yes_option
@connection_option
@output
def update_schedule(
    schedule: str, balance: str, account: str | None, name: str | None, amount_: str | None, type_: str | None,
    description: str | None, start: str | None, end: str | None, frequency: str | None, every: int | None,
    paid: str | None, currency_paid: str | None, clear: tuple[str, ...], despite: tuple[str, ...], dry_run: bool,
    yes: bool, connection: str,
) -> Any:  # fmt: skip
    """Change fields of SCHEDULE and keep all others; the transactions that it has made stay as they are."""
    desk = Desk.at(connection)
    wanted = given(
        name=name, amount=amount(amount_, "--amount"), description=description, start=desk.moment(start, "--start"),
        end=desk.moment(end, "--end"), frequency=frequency and frequency.upper(), every=every,
        paid=amount(paid, "--paid"), currency_paid=currency_paid and typed.currency(currency_paid),
    )  # fmt: skip
    wanted = cleared(wanted, clear)
    must_change(wanted if type_ is None else {**wanted, "type_id": type_})
    on = desk.balance(balance, account)
    if type_ is not None:
        wanted["type_id"] = lookup.transaction_type(desk.services, connection, type_).id
    standing = lookup.transaction_schedule(desk.services, connection, schedule, on)
    planned = changes.update(desk.services, connection, TRANSACTION_SCHEDULE, standing, wanted)
    return change(desk, planned, dry_run=dry_run, yes=yes, despite=despite)


@transaction_schedules_group.command("end")
@click.argument("schedule")
@balance_of_schedule
@account_option
@click.option("--at", metavar="DAY", help="The first moment at which it makes nothing more; now when left out.")
@click.option("--both", is_flag=True, help="Where it is half of a top-up, end the other half with it.")
@despite_option(TRANSACTION_SCHEDULE)
@dry_run_option
@yes_option
@connection_option
@output
def end_schedule(
    schedule: str, balance: str, account: str | None, at: str | None, both: bool, despite: tuple[str, ...], dry_run: bool,
    yes: bool, connection: str,
) -> Any:  # fmt: skip
    """End SCHEDULE; the transactions that it has made stay as they are."""
    desk = Desk.at(connection)
    moment = desk.moment_or(at, "--at", desk.services.now().replace(microsecond=0))
    standing = lookup.transaction_schedule(desk.services, connection, schedule, desk.balance(balance, account))
    planned = changes.end(desk.services, connection, TRANSACTION_SCHEDULE, standing, moment, both=both)
    return change(desk, planned, dry_run=dry_run, yes=yes, despite=despite)


@transaction_schedules_group.command("delete")
@click.argument("schedule")
@balance_of_schedule
@account_option
@reason_option
@despite_option(TRANSACTION_SCHEDULE)
@dry_run_option
@yes_option
@connection_option
@output
def delete_schedule(
    schedule: str, balance: str, account: str | None, reason: str, despite: tuple[str, ...], dry_run: bool, yes: bool,
    connection: str,
) -> Any:  # fmt: skip
    """Delete SCHEDULE in m3ter; the transactions that it has made stay. `end` keeps the schedule to be seen."""
    desk = Desk.at(connection)
    on = desk.balance(balance, account)
    return delete(
        desk, TRANSACTION_SCHEDULE, schedule,
        lambda: lookup.transaction_schedule(desk.services, connection, schedule, on),
        dry_run=dry_run, yes=yes, despite=despite, reason=reason,
    )  # fmt: skip

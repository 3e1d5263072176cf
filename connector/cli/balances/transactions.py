"""`connector balances transactions …` and `transaction-types …`"""

from itertools import islice
from typing import Any

import click

from connector import audit
from connector.balances import drafts, lookup, transaction_types, typed
from connector.balances.asking import ANY_ID
from connector.balances.asking import reference as reference_or_new
from connector.balances.overview import transaction_as_json
from connector.cli.balances.desk import (
    Desk,
    account_option,
    amount,
    dry_run_option,
    limit_option,
    make,
    price_shown,
    yes_option,
)
from connector.cli.common import connection_option, output, table


@click.group("transactions")
def transactions_group() -> None:
    """What raised (credit) or lowered (debit) a balance; it is never billed, and can never be changed or deleted."""


@transactions_group.command("list")
@click.argument("balance")
@account_option
@limit_option
@connection_option
@output
def list_transactions(balance: str, account: str | None, limit: int, connection: str) -> Any:
    """List the transactions of BALANCE, the newest first, in its currency."""
    desk = Desk.at(connection)
    on = desk.balance(balance, account)
    rows = desk.services.connection(connection).m3ter.balance_billing.list_transactions(on.id)
    found = list(islice(rows, limit + 1))
    shown = found[:limit]
    cells = [
        [desk.shown(one.applied), price_shown(one.amount, on.currency), one.entity_type, one.description,
         price_shown(one.paid, one.currency_paid) if one.paid is not None else None, one.id]
        for one in shown
    ]  # fmt: skip
    document = {"transactions": [transaction_as_json(one) for one in shown], "more": len(found) > limit}
    columns = ["counts from", "amount", "made by", "description", "paid", "id"]
    text: list[Any] = [table(f"Transactions of balance {on.code}", columns, cells)]
    return document, [*text, "… and more, with a greater --limit"] if len(found) > limit else text


@transactions_group.command("create")
@click.argument("balance")
@account_option
@click.option(
    "--amount", "amount_", required=True, metavar="AMOUNT", help="In the balance's currency; below zero is a debit."
)
@click.option("--type", "type_", metavar="CODE", help="Transaction type; may be left out where there is only one.")
@click.option("--reference", help="One word of your own, such as a PO number; a repeat with it makes no second one.")
@click.option("--description", help="The reference is put behind it.")
@click.option("--applied", metavar="DAY", help="From when on it counts; now when left out.")
@click.option("--occurred", metavar="DAY", help="When it took place, for the record only.")
@click.option("--paid", metavar="AMOUNT", help="What was really paid, for the record only: nothing is converted.")
@click.option("--currency-paid", metavar="CODE", help="The currency of --paid.")
@dry_run_option
@yes_option
@connection_option
@output
def create_transaction(
    balance: str, account: str | None, amount_: str, type_: str | None, reference: str | None, description: str | None,
    applied: str | None, occurred: str | None, paid: str | None, currency_paid: str | None, dry_run: bool, yes: bool,
    connection: str,
) -> Any:  # fmt: skip
    """Credit or debit BALANCE once, without a charge: `top-up` makes both.

    It is for good: m3ter takes no transaction back, and another with the opposite amount is the way to undo it.
    """
    desk = Desk.at(connection)

    def draft(balance_id: str, type_id: str) -> drafts.Draft:
        return drafts.transaction(
            balance_id=balance_id, reference=own, amount=typed.amount(amount_, "--amount"), type_id=type_id,
            description=description, applied=desk.moment(applied, "--applied"),
            occurred=desk.moment(occurred, "--occurred"), paid=amount(paid, "--paid"),
            currency_paid=typed.currency(currency_paid) if currency_paid else None,
        )  # fmt: skip

    own = reference_or_new(desk.services, reference)
    draft(ANY_ID, ANY_ID)  # all that can be wrong by itself is said before m3ter is asked for anything
    on = desk.balance(balance, account)
    complete = draft(on.id, lookup.transaction_type(desk.services, connection, type_).id)
    return make(desk, complete, on, dry_run=dry_run, yes=yes)


@click.group("transaction-types")
def types_group() -> None:
    """What transactions are for: the organization's own list, of which each transaction names one."""


@types_group.command("list")
@connection_option
@output
def list_types(connection: str) -> Any:
    """List the transaction types, the newest first."""
    desk = Desk.at(connection)
    found = desk.services.connection(connection).m3ter.balance_billing.list_transaction_types()
    document = [{"id": one.id, "code": one.code, "name": one.name, "archived": one.archived} for one in found]
    rows = [[one.code, one.name, "archived" if one.archived else "in use", one.id] for one in found]
    return {"transaction_types": document}, table("Transaction types", ["code", "name", "state", "id"], rows)


@types_group.command("create")
@click.argument("code")
@click.option("--name", help="The code when left out.")
@dry_run_option
@connection_option
@output
def create_type(code: str, name: str | None, dry_run: bool, connection: str) -> Any:
    """Make a transaction type with this CODE (letters, digits and underscores); one that is there already stays as it is."""
    desk = Desk.at(connection)
    wanted = transaction_types.wanted(code, name)
    if dry_run:
        document = {"dry_run": True, "would_send": [{"method": "POST", "path": transaction_types.PATH, "body": wanted}]}
        return document, table(
            f"POST {transaction_types.PATH}", ["field", "value"], [list(one) for one in wanted.items()]
        )
    made, is_new = transaction_types.create(desk.services, connection, wanted, who=audit.actor())
    document = {"id": made.id, "code": made.code, "name": made.name, "is_new": is_new}
    return document, f"Transaction type {made.code} {'is made' if is_new else 'was there already'}: {made.id}."

"""`connector balances list|show|create|update|delete|check`"""

from typing import Any

import click

from connector import money
from connector.balances import changes, drafts, drift, overview, typed
from connector.balances.drafts import BALANCE
from connector.balances.in_m3ter import price_of
from connector.balances.overview import Overview
from connector.balances.requests import TITLES
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
from connector.cli.balances.schedules import charge_schedule_rows, transaction_schedule_rows
from connector.cli.common import connection_option, output, table
from connector.clients.m3ter_balance_objects import Balance
from connector.clients.m3ter_objects import DRAWABLE

CLEARABLE = (
    "description", "rollover-end", "rollover-amount", "draw-down-description", "overage-percent",
    "overage-description", "product-ids", "line-item-types", "consumptions-product-id", "fees-product-id",
)  # fmt: skip


@click.group("balances")
def balances_group() -> None:
    """Balance Billing: credit that accounts hold in m3ter, what raises and draws it down, and what is charged for it.

    A transaction changes a balance and is never billed; a charge is billed and never changes a balance; a top-up makes both.
    Amounts are in major units (1250.50). A day (2026-03-01) begins at midnight in the organization's time zone
    (M3TER_TIMEZONE), a time needs its offset from UTC (2026-03-01T09:30:00+01:00). Every end is exclusive.
    """


@balances_group.command("list")
@account_option
@connection_option
@output
def list_balances(account: str | None, connection: str) -> Any:
    """List balances, of one account or of all, the newest first."""
    desk = Desk.at(connection)
    account_id = desk.account_id(account) if account else None
    found = desk.services.connection(connection).m3ter.balance_billing.list_balances(account_id)
    customers = desk.customers([one.account_id for one in found])
    rows = [
        [one.id, customers.get(one.account_id, one.account_id), one.code, one.name, _amount(one),
         desk.shown(one.start), desk.shown(one.end), desk.shown(one.rollover_end)]
        for one in found
    ]  # fmt: skip
    columns = ["id", "customer or account", "code", "name", "amount as m3ter has it", "from", "until", "rollover until"]
    document = [overview.balance_as_json(one) | {"customer_id": customers.get(one.account_id)} for one in found]
    return {"balances": document}, table("Balances", columns, rows)


def _amount(balance: Balance) -> str:
    return balance.currency if balance.amount is None else money.shown(balance.amount, balance.currency)


@balances_group.command("show")
@click.argument("balance")
@account_option
@click.option(
    "--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many of each kind to print."
)
@connection_option
@output
def show_balance(balance: str, account: str | None, limit: int, connection: str) -> Any:
    """Show BALANCE (its id, or its code with --account) whole: what it holds, its history, charges, schedules and drift.

    m3ter's own summary stands beside what is worked out here from the transactions.
    """
    desk = Desk.at(connection)
    seen = overview.of(desk.services, connection, desk.balance(balance, account))
    return overview.as_json(seen), _text(desk, seen, limit)


def _text(desk: Desk, seen: Overview, limit: int) -> list[Any]:
    balance, currency = seen.balance, seen.balance.currency
    text: list[Any] = [
        f"Balance {balance.code}, {balance.name}, of {desk.customer(balance.account_id)}",
        f"Id {balance.id}; in {currency}; from {desk.shown(balance.start)} until {desk.shown(balance.end)} ({desk.zone})"
        + _rollover(desk, balance),
        f"Held now: {money.shown(seen.stands.held, currency)}, worked out as the sum of the transactions that count by now, "
        "less what has expired",
    ]
    if seen.ended:
        text.append("It has ended, with its rollover: nothing of it can be drawn down any more.")
    if seen.to_come:
        text.append(f"To come: {money.shown(seen.to_come, currency)} of transactions that count later")
    text += [f"Look at this before you rely on either: {sentence}." for sentence in seen.disagreements]
    text.append(table("m3ter's summary", ["credits", "debits", "first credit", "consumed", "in the rollover", "expired"],
                      [_summary(seen)]))  # fmt: skip
    tables = (
        ("Transactions", ["counts from", "amount", "made by", "description", "asked for by", "paid by"],
         [_transaction(desk, one, currency) for one in seen.transactions]),
        ("Charges", ["bill date", "price", "code", "service period", "bill", "made by"],
         [_charge(desk, one, request) for one, request in seen.charges]),
        ("Transaction schedules", *transaction_schedule_rows(desk, seen.transaction_schedules, currency)),
        ("Charge schedules", *charge_schedule_rows(desk, seen.charge_schedules)),
        ("Asked for and not made yet", ["request", "what", "reference", "amount", "status", "asked for by"],
         [[one.id, TITLES[one.kind], one.reference,
           None if one.amount is None else money.shown(one.amount, one.currency), one.status, one.made_by]
          for one in seen.open_requests]),
    )  # fmt: skip
    for title, columns, rows in tables:
        if rows:
            text += ["", table(title, columns, rows[:limit])]
        if len(rows) > limit:
            text.append(f"… and {len(rows) - limit} more, with --limit {len(rows)}")
    if seen.findings:
        text += ["", *_findings(seen.findings)]
    return text


def _rollover(desk: Desk, balance: Balance) -> str:
    if balance.rollover_end is None:
        return ""
    most = "all of it" if balance.rollover_amount is None else money.shown(balance.rollover_amount, balance.currency)
    return f"; at most {most} rolls over until {desk.shown(balance.rollover_end)}"


def _summary(seen: Overview) -> list[str]:
    summary = seen.summary
    amounts = (
        summary.total_credit, summary.total_debit, summary.initial_credit, summary.consumed,
        summary.rollover_consumed, summary.expired,
    )  # fmt: skip
    return ["not said" if one is None else money.shown(one, seen.balance.currency) for one in amounts]


def _transaction(desk: Desk, one: overview.Booked, currency: str) -> list[Any]:
    row, request = one.transaction, one.request
    asked = f"{request.made_by}, request {request.id}" if request else None
    paid = None
    if request is not None and request.paid_by:
        paid = request.paid_by
        if one.charge is not None:
            worth = money.shown(price_of(one.charge), one.charge.currency)
            paid = f"charge of {worth}" + (f", bill {one.charge.bill_id}" if one.charge.bill_id else ", not billed yet")
    return [desk.shown(row.applied), money.shown(row.amount, currency), one.maker, row.description, asked, paid]


def _charge(desk: Desk, one: Any, request: Any) -> list[Any]:
    maker = f"{request.made_by}, request {request.id}" if request else None
    maker = maker or (f"schedule {one.schedule_id}" if one.schedule_id else "others")
    period = f"{desk.shown(one.start)} to {desk.shown(one.end)}"
    worth = money.shown(price_of(one), one.currency)
    return [one.bill_date, worth, one.code, period, one.bill_id or "not billed yet", maker]


def _findings(findings: Any) -> list[Any]:
    return [f"{'!' if one.needs_a_person else '·'} {one.code}: {one.text}\n  Next: {one.next_step}" for one in findings]


_fields = stacked(
    click.option("--description", help="Of the balance, for people."),
    click.option("--rollover-end", metavar="DAY", help="Until when what is unused at the end lives on."),
    click.option("--rollover-amount", metavar="AMOUNT", help="At most so much of it; all of it when left out."),
    click.option("--draw-down-description", help="Text of the lines that draw it down, at most 200 characters."),
    click.option("--overage-percent", metavar="PERCENT", help="Surcharge on usage beyond the balance; 10 is 10 %."),
    click.option("--overage-description", help="Text of the overage lines, at most 200 characters."),
    click.option("--product-ids", multiple=True, metavar="ID", help="Only these products draw it down; all when left out."),
    click.option(
        "--line-item-types", multiple=True, metavar="TYPE",
        help=f"Only these lines draw it down; all when left out: {', '.join(DRAWABLE)}.",
    ),
    click.option("--consumptions-product-id", metavar="ID", help="Accounting product of the lines that draw it down."),
    click.option("--fees-product-id", metavar="ID", help="Accounting product of its fees."),
)  # fmt: skip


@balances_group.command("create")
@click.option("--account", required=True, metavar="ID", help="Chargebee customer id or m3ter account id.")
@click.option("--code", required=True, help="Its own among all balances; a repeat with it makes no second one.")
@click.option("--name", help="The code when left out.")
@click.option("--currency", required=True, metavar="CODE", help="Of the credit; cannot change later.")
@click.option("--start", metavar="DAY", help="From when on it can be drawn down; today when left out.")
@click.option("--end", metavar="DAY", help="The first moment at which it can no longer be drawn down; needed.")
@_fields
@click.option("--contract-id", metavar="ID", help="Only charges on this m3ter contract draw it down.")
@click.option("--allow-overdraft", is_flag=True, help="It may fall below zero; m3ter has to switch that on.")
@dry_run_option
@connection_option
@output
def create_balance(
    account: str, code: str, name: str | None, currency: str, start: str | None, end: str | None, allow_overdraft: bool,
    rollover_end: str | None, rollover_amount: str | None, overage_percent: str | None, contract_id: str | None,
    dry_run: bool, connection: str, **texts: Any,
) -> Any:  # fmt: skip
    """Create an empty balance for an account: a top-up or a transaction fills it."""
    desk = Desk.at(connection)
    draft = drafts.balance(
        account_id=desk.account_id(account),
        code=code,
        name=name or code,
        currency=typed.currency(currency),
        start=desk.moment_of(start, "--start", BALANCE, code, "startDate"),
        end=desk.moment(end, "--end"),
        rollover_end=desk.moment(rollover_end, "--rollover-end"),
        rollover_amount=amount(rollover_amount, "--rollover-amount"),
        overage_percent=amount(overage_percent, "--overage-percent"),
        contract_id=contract_id,
        allow_overdraft=allow_overdraft or None,
        **texts,
    )
    return make(desk, draft, None, dry_run=dry_run, yes=True)


@balances_group.command("update")
@click.argument("balance")
@account_option
@click.option("--name")
@click.option("--start", metavar="DAY", help="From when on it can be drawn down.")
@click.option("--end", metavar="DAY", help="The first moment at which it can no longer be drawn down.")
@_fields
@click.option("--clear", multiple=True, type=click.Choice(CLEARABLE), help="Take this field away.")
@despite_option(BALANCE)
@dry_run_option
@yes_option
@connection_option
@output
def update_balance(
    balance: str, account: str | None, name: str | None, start: str | None, end: str | None, rollover_end: str | None,
    rollover_amount: str | None, overage_percent: str | None, clear: tuple[str, ...], despite: tuple[str, ...],
    dry_run: bool, yes: bool, connection: str, **texts: Any,
) -> Any:  # fmt: skip
    """Change fields of BALANCE and keep all others; its account, code and currency stay."""
    desk = Desk.at(connection)
    wanted = given(
        name=name,
        start=desk.moment(start, "--start"),
        end=desk.moment(end, "--end"),
        rollover_end=desk.moment(rollover_end, "--rollover-end"),
        rollover_amount=amount(rollover_amount, "--rollover-amount"),
        overage_percent=amount(overage_percent, "--overage-percent"),
        **texts,
    )
    wanted = cleared(wanted, clear)
    must_change(wanted)
    planned = changes.update(desk.services, connection, BALANCE, desk.balance(balance, account), wanted)
    return change(desk, planned, dry_run=dry_run, yes=yes, despite=despite)


@balances_group.command("delete")
@click.argument("balance")
@account_option
@reason_option
@despite_option(BALANCE)
@dry_run_option
@yes_option
@connection_option
@output
def delete_balance(
    balance: str, account: str | None, reason: str, despite: tuple[str, ...], dry_run: bool, yes: bool, connection: str
) -> Any:
    """Delete BALANCE in m3ter; refused while it holds credit, has running schedules or charges on no bill yet."""
    desk = Desk.at(connection)
    return delete(
        desk, BALANCE, balance, lambda: desk.balance(balance, account),
        dry_run=dry_run, yes=yes, despite=despite, reason=reason,
    )  # fmt: skip


@balances_group.command("check")
@click.argument("balance", required=False)
@account_option
@connection_option
@output
def check_balances(balance: str | None, account: str | None, connection: str) -> Any:
    """Compare what was asked for with what m3ter has, for BALANCE, an account's or all; exits with 1 where a person is needed.

    A credit without its charge, a charge without its credit, anything changed, missing or doubled is drift. What others have
    booked is shown, and needs nobody.
    """
    desk = Desk.at(connection)
    m3ter = desk.services.connection(connection).m3ter.balance_billing
    if balance is not None:
        found = [desk.balance(balance, account)]
    else:
        found = m3ter.list_balances(desk.account_id(account) if account else None)
    checked = [(one, drift.check(desk.services, connection, one)) for one in found]
    needed = sum(finding.needs_a_person for _, findings in checked for finding in findings)
    document = {
        "balances": [
            {"id": one.id, "code": one.code, "account_id": one.account_id,
             "findings": [overview.finding_as_json(finding) for finding in findings]}
            for one, findings in checked
        ],
        "need_a_person": needed,
        "exit_status": 1 if needed else 0,
    }  # fmt: skip
    text: list[Any] = []
    for one, findings in checked:
        if findings:
            text += [f"Balance {one.code} of {desk.customer(one.account_id)}", *_findings(findings)]
    return document, [*text, f"{len(checked)} balance(s) checked, {needed} finding(s) need a person."]

"""`connector balances bill-jobs …`"""

from collections.abc import Sequence
from itertools import islice
from typing import Any

import click

from connector import audit, money
from connector.balances import bill_jobs
from connector.balances.bill_jobs import Plan, Result, Started
from connector.balances.in_m3ter import price_of
from connector.cli.balances.desk import Desk, confirm, day, dry_run_option, limit_option, yes_option
from connector.cli.common import connection_option, output, table
from connector.clients.m3ter_balance_objects import BillJob
from connector.clients.m3ter_objects import Bill
from connector.errors import BadInput


@click.group("bill-jobs")
def bill_jobs_group() -> None:
    """What turns charges into bill lines: a bill job of accounts for a bill date.

    Its bills are PENDING. Once they are approved in m3ter, their lines go to Chargebee like any other (`connector bills`).
    """


@bill_jobs_group.command("run")
@click.option(
    "--account", "accounts", multiple=True, metavar="ID", help="Chargebee customer id or m3ter account id; several."
)
@click.option("--due", is_flag=True, help="All accounts that have a charge of that date on no bill.")
@click.option("--bill-date", metavar="DAY", help="The bill date of the charges; today when left out.")
@click.option("--with-plans", is_flag=True, help="Bill not charges alone, but also the usage of plans up to that day.")
@click.option(
    "--reopen", is_flag=True, help="Approved bills of that date may be calculated anew, and are PENDING then."
)
@click.option(
    "--wait",
    default=0,
    show_default=True,
    type=click.IntRange(0, 3600),
    metavar="SECONDS",
    help="Wait so long for the end of it, then show the bills.",
)
@dry_run_option
@yes_option
@connection_option
@output
def run_job(
    accounts: tuple[str, ...], due: bool, bill_date: str | None, with_plans: bool, reopen: bool, wait: int,
    dry_run: bool, yes: bool, connection: str,
) -> Any:  # fmt: skip
    """Bill the charges of these accounts for a date, in jobs of at most 100; one that still runs is not started twice.

    A charge in the middle of a period is billed alone (frequency AD_HOC); with --with-plans the plans' usage up to that day
    is billed as well.

    m3ter calculates anew every bill of that date that is not locked, also an approved one: such bills are listed, and
    refused without --reopen. A job that is COMPLETE may have made no bill, so each account's bills are looked at.
    """
    desk = Desk.at(connection)
    if bool(accounts) is due:
        raise BadInput(
            "say which accounts are to be billed: --account, or --due for all that have a charge of that date"
        )
    of_day = day(bill_date, "--bill-date") or desk.today()
    ids = (
        bill_jobs.accounts_due(desk.services, connection, of_day) if due else [desk.account_id(one) for one in accounts]
    )
    if not ids:
        return {"jobs": [], "results": []}, f"No charge of {of_day} is without a bill: there is nothing to do."
    plan = bill_jobs.plan(desk.services, connection, ids, of_day, with_plans=with_plans)
    customers = desk.customers(plan.account_ids)
    document = bill_jobs.plan_as_json(plan, customers) | {"dry_run": dry_run}
    if dry_run:
        return document | {"exit_status": 1 if plan.reopened and not reopen else 0}, _plan_text(plan, customers, reopen)
    bill_jobs.must_be_meant(plan, reopen=reopen)
    confirm(yes, _plan_text(plan, customers, reopen), "Start this?")
    started = bill_jobs.run(desk.services, connection, plan, who=audit.actor(), reopen=reopen)
    jobs = bill_jobs.wait(desk.services, connection, started.jobs, seconds=wait)
    return _outcome(desk, document, Started(jobs, started.left, started.why), plan)


def _plan_text(plan: Plan, customers: dict[str, str], reopen: bool) -> list[Any]:
    text: list[Any] = [
        f"Bill {'charges and plans' if plan.with_plans else 'the charges'} of {len(plan.account_ids)} account(s) for "
        f"{plan.bill_date} in {len(plan.batches)} job(s): "
        + ", ".join(customers.get(one, one) for one in plan.account_ids[:20])
        + (f" and {len(plan.account_ids) - 20} more" if len(plan.account_ids) > 20 else "")
    ]
    if plan.reopened:
        rows = [
            [bill.id, customers.get(bill.account_id, bill.account_id), _total(bill),
             "on an invoice in Chargebee already" if bill.id in plan.pushed else ""]
            for bill in plan.reopened
        ]  # fmt: skip
        text.append(table("Approved bills that it makes PENDING again", ["bill", "customer", "total", ""], rows))
        if not reopen:
            text.append("It is refused like this: say --reopen if that is meant.")
    text += [f"Bill {bill.id} of {_total(bill)} is locked and stays as it is." for bill in plan.locked]
    return text


def _total(bill: Bill) -> str:
    return "?" if bill.total is None else money.shown(bill.total, bill.currency)


def _outcome(desk: Desk, document: dict[str, Any], started: Started, plan: Plan) -> Any:
    """The jobs and, where all have ended, what each account has been billed."""
    text: list[Any] = [_job_text(job) for job in started.jobs]
    document |= {"started": [bill_jobs.as_json(job) for job in started.jobs], "left": list(started.left), "results": []}
    failed = bool(started.left)
    if started.left:
        text += [f"Not started for {len(started.left)} account(s): {started.why}", "  Next: the same again, for those."]
    if all(job.ended for job in started.jobs):
        billed = [one for one in plan.account_ids if one not in started.left]
        results = bill_jobs.results(desk.services, desk.connection, billed, plan.bill_date)
        document["results"] = [bill_jobs.result_as_json(one) for one in results]
        text += _results_text(desk, results)
        failed = failed or any(one.causes for one in results)
    else:
        text.append("Next: `connector balances bill-jobs show <job>` says when it has ended, and what it has billed.")
    return document | {"exit_status": 1 if failed else 0}, text


def _job_text(job: BillJob) -> str:
    total = f", {(job.total or 0) - (job.pending or 0)} of {job.total} bills" if job.total else ""
    return f"Bill job {job.id} for {job.bill_date or 'several dates'}: {job.status}{total}"


def _results_text(desk: Desk, results: Sequence[Result]) -> list[Any]:
    text: list[Any] = []
    customers = desk.customers([one.account_id for one in results])
    for result in results:
        name = customers.get(result.account_id, result.account_id)
        if not result.bills:
            text.append(f"{name}: NO BILL. Likely: {'; or '.join(result.causes)}.")
        for bill in result.bills:
            rows = [
                [line.type, line.description, money.shown(line.subtotal, line.currency),
                 "?" if line.converted_subtotal is None else money.shown(line.converted_subtotal, bill.currency)]
                for line in bill.lines
            ]  # fmt: skip
            locked = ", locked" if bill.locked else ""
            title = f"{name}: bill {bill.id}, {bill.status}{locked}, {_total(bill)}"
            text.append(table(title, ["line", "description", "in its currency", "on the bill"], rows))
        for charge in result.unbilled:
            price = money.shown(price_of(charge), charge.currency)
            text.append(f"{name}: charge {charge.code} of {price} is on NO bill.")
        if result.bills and result.causes:
            text.append(f"  Likely: {'; or '.join(result.causes)}.")
    if any(bill.status == bill_jobs.PENDING for result in results for bill in result.bills):
        text.append("Next: approve the PENDING bills in m3ter; their lines then go to Chargebee by themselves.")
    return text


@bill_jobs_group.command("show")
@click.argument("job_id")
@connection_option
@output
def show_job(job_id: str, connection: str) -> Any:
    """Show how far bill job JOB_ID is and, once it has ended, the bills that its accounts have of that date, with lines."""
    desk = Desk.at(connection)
    job = desk.services.connection(connection).m3ter.balance_billing.get_bill_job(job_id)
    document: dict[str, Any] = bill_jobs.as_json(job) | {"ended": job.ended, "results": []}
    text: list[Any] = [_job_text(job)]
    failed = False
    if job.ended and job.bill_date is not None and job.account_ids:
        results = bill_jobs.results(desk.services, connection, job.account_ids, job.bill_date)
        document["results"] = [bill_jobs.result_as_json(one) for one in results]
        text += _results_text(desk, results)
        failed = any(one.causes for one in results)
    elif job.ended:
        text += [f"Its bills: {', '.join(job.bill_ids) or 'none'}"]
    return document | {"exit_status": 1 if failed else 0}, text


@bill_jobs_group.command("list")
@click.option("--active", is_flag=True, help="Only those that have not ended.")
@limit_option
@connection_option
@output
def list_jobs(active: bool, limit: int, connection: str) -> Any:
    """List bill jobs, the newest first, whoever started them."""
    desk = Desk.at(connection)
    rows = desk.services.connection(connection).m3ter.balance_billing.list_bill_jobs(active=active)
    found = list(islice((job for job in rows if not (active and job.ended)), limit))
    cells = [
        [job.id, job.status, job.bill_date, len(job.account_ids) or "all", len(job.bill_ids), desk.shown(job.created)]
        for job in found
    ]
    columns = ["job", "status", "bill date", "accounts", "bills so far", "started"]
    return {"bill_jobs": [bill_jobs.as_json(job) for job in found]}, table("Bill jobs", columns, cells)

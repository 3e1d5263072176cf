"""Bill jobs: what turns charges into bill lines, started after a look at what it would do, and followed to the bills."""

from itertools import islice
from uuid import UUID

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from connector.balances import bill_jobs, lookup
from connector.balances.bill_jobs import Plan, Result
from connector.balances.in_m3ter import price_of
from connector.errors import BadInput, NotFound, Retryable, Uncertain, Waiting
from connector.web.console.balances import desk as desks
from connector.web.console.balances.desk import Desk
from connector.web.console.balances.fields import Field, Filled, read
from connector.web.console.here import me, services

RECENT = 50
FIELDS = (
    Field("accounts", "Accounts", "list", "Ids of Chargebee customers or m3ter accounts, between spaces."),
    Field("due", "All accounts that have a charge of that date on no bill", "flag"),
    Field("bill_date", "Bill date", "day", "The bill date of the charges; today when left out."),
)


def index(name: str) -> ResponseReturnValue:
    """The newest bill jobs, whoever started them."""
    desk = desks.at(name)
    return render_template("balances/bill_jobs.html", desk=desk, rows=list(islice(desk.m3ter.list_bill_jobs(), RECENT)))


def form(name: str) -> ResponseReturnValue:
    """Which accounts are to be billed, and for which date."""
    desk = desks.at(name)
    return _form(desk, Filled({"accounts": request.args.get("account", "")[:200], "due": "", "bill_date": ""}))


def run(name: str) -> ResponseReturnValue:
    """What the job would do and, once that has been seen, the job; approved bills are opened again only after a tick."""
    desk = desks.at(name)
    filled = read(FIELDS, request.form, desk.zone, {})
    if "change" in request.form or filled.faults:
        return _form(desk, filled)
    try:
        plan = _plan(desk, filled)
    except BadInput as fault:
        return _form(desk, filled, str(fault))
    seen = desks.fingerprint((plan.bodies(), [one.id for one in plan.reopened], sorted(plan.pushed)))
    reopen = request.form.get("reopen") == "yes"
    if request.form.get("seen") != seen:
        return _confirm(desk, filled, plan, seen, changed="seen" in request.form)
    if plan.reopened and not reopen:
        untold = "Approved bills would be opened again: tick that if it is meant."
        return _confirm(desk, filled, plan, seen, fault=untold)
    try:
        started = bill_jobs.run(services(), name, plan, who=me().actor, reopen=reopen)
    except Uncertain as unknown:
        flash(f"{unknown}.", "warning")
        return redirect(url_for("bill_jobs", name=name), 303)
    except Waiting:
        return _confirm(
            desk, filled, plan, seen, fault="Somebody is starting a bill job right now: look again in a moment."
        )
    except Retryable as busy:
        return _confirm(desk, filled, plan, seen, fault=str(busy))
    if started.left:
        flash(
            f"Not started for {len(started.left)} of {len(plan.account_ids)} accounts: {started.why}. Do the same again for "
            f"those: {' '.join(started.left)}",
            "warning",
        )
    if len(started.jobs) == 1:
        return redirect(url_for("bill_job", name=name, job_id=started.jobs[0].id), 303)
    flash(f"{len(started.jobs)} bill jobs run.", "good")
    return redirect(url_for("bill_jobs", name=name), 303)


def _plan(desk: Desk, filled: Filled) -> Plan:
    accounts, due = filled.values["accounts"], filled.values["due"]
    of_day = filled.values["bill_date"] or desk.today()
    if bool(accounts) is due:
        raise BadInput("say which accounts are to be billed: name them, or choose all that have a charge of that date")
    if due:
        ids = bill_jobs.accounts_due(services(), desk.connection, of_day)
        if not ids:
            raise BadInput(f"no charge of {of_day} is without a bill: there is nothing to do")
    else:
        ids = [lookup.account_id(services(), desk.connection, one) for one in accounts]
    return bill_jobs.plan(services(), desk.connection, ids, of_day)


def _form(desk: Desk, filled: Filled, fault: str | None = None) -> ResponseReturnValue:
    page = render_template(
        "balances/form.html", title="New bill job", desk=desk, fields=FIELDS, filled=filled, options={}, fault=fault,
        about="Bills these accounts for a date. Its bills are PENDING; once they are approved in m3ter, their lines go to "
        "Chargebee.",
        action=url_for("run_bill_job", name=desk.connection), hidden={"drawn_at": desk.at.isoformat()},
        back=url_for("bill_jobs", name=desk.connection), press="Look at it …",
    )  # fmt: skip
    return page, 422 if fault or filled.faults else 200


def _confirm(
    desk: Desk, filled: Filled, plan: Plan, seen: str, *, changed: bool = False, fault: str | None = None
) -> ResponseReturnValue:
    page = render_template(
        "balances/confirm_bill_job.html", desk=desk, plan=plan, customers=desk.customers(plan.account_ids), fault=fault,
        changed=changed, action=url_for("run_bill_job", name=desk.connection),
        hidden=filled.texts | {"drawn_at": desk.at.isoformat(), "seen": seen},
    )  # fmt: skip
    return page, 409 if fault else 200


def show(name: str, job_id: UUID) -> ResponseReturnValue:
    """How far the job is and, once it has ended, the bills that its accounts have of that date, with their lines."""
    desk = desks.at(name)
    try:
        job = desk.m3ter.get_bill_job(str(job_id))
    except NotFound:
        abort(404)
    results: list[Result] = []
    if job.ended and job.bill_date is not None:
        results = bill_jobs.results(services(), name, job.account_ids, job.bill_date)
    return render_template(
        "balances/bill_job.html", desk=desk, job=job, results=results, customers=desk.customers(list(job.account_ids)),
        price_of=price_of, pending=bill_jobs.PENDING,
    )  # fmt: skip

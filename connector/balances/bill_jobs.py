"""Bill jobs: what turns charges into bill lines on their date, and whether it did (m3ter.md §8).

A job never fails: one that is COMPLETE may have made no bill for an account, so bills and charges are looked at themselves.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Any

from sqlalchemy import select

from connector import audit, leases
from connector.balances.in_m3ter import price_of
from connector.clients.m3ter_balance_objects import BillJob, Charge, OrganizationConfig
from connector.clients.m3ter_balances import MAX_JOB_ACCOUNTS
from connector.clients.m3ter_objects import Bill
from connector.errors import AccessRefused, BadInput, Parked, Retryable, Uncertain
from connector.models import BillSnapshot
from connector.services import Services

POLL_SECONDS = 2
# How many of the newest jobs are looked at: one page.
RECENT = 100
PENDING, APPROVED = "PENDING", "APPROVED"
# The frequency of a job that bills charges alone (m3ter.md §8, by inference); without one, the usage of plans is billed as
# well, up to that day, also in the middle of a period.
CHARGES_ALONE = "AD_HOC"


@dataclass(frozen=True)
class Plan:
    """What a bill job would do: its accounts in batches that m3ter takes, and what of that date is billed already.

    `reopened` are approved bills that it would calculate anew and make PENDING, `pushed` those of them that are on invoices
    in Chargebee already, and `locked` those that it cannot touch.
    """

    bill_date: date
    batches: tuple[tuple[str, ...], ...]
    reopened: tuple[Bill, ...]
    pushed: frozenset[str]
    locked: tuple[Bill, ...]
    with_plans: bool = False

    @property
    def account_ids(self) -> list[str]:
        return [one for batch in self.batches for one in batch]

    def bodies(self) -> list[dict[str, Any]]:
        """What m3ter is sent, job by job."""
        return [self.body(batch) for batch in self.batches]

    def body(self, batch: Sequence[str]) -> dict[str, Any]:
        """What m3ter is sent for these accounts."""
        body = {"accountIds": list(batch), "billDate": self.bill_date.isoformat()}
        return body if self.with_plans else body | {"billingFrequency": CHARGES_ALONE}


@dataclass(frozen=True)
class Started:
    """The jobs that run now; `left` are the accounts for which none was started, and `why`."""

    jobs: tuple[BillJob, ...]
    left: tuple[str, ...] = ()
    why: str | None = None


@dataclass(frozen=True)
class Result:
    """What an account has been billed for a date: its bills with their lines, and charges of that date on no bill.

    `causes` say what the likely reasons are where there is no bill, or a charge is on none.
    """

    account_id: str
    bills: tuple[Bill, ...]
    unbilled: tuple[Charge, ...]
    causes: tuple[str, ...]


def plan(
    services: Services, connection: str, account_ids: Iterable[str], bill_date: date, *, with_plans: bool = False
) -> Plan:
    """What a bill job of these accounts for that date would do; reads m3ter only. Raises BadInput for no account.

    It bills their charges alone, or `with_plans` all that is due or has been used by then.
    """
    accounts = list(dict.fromkeys(account_ids))
    if not accounts:
        raise BadInput("a bill job needs at least one account: without any, m3ter would bill every one")
    m3ter = services.connection(connection).m3ter
    bills = [bill for account_id in accounts for bill in m3ter.bills_on(account_id, bill_date)]
    reopened = tuple(bill for bill in bills if bill.status == APPROVED and not bill.locked)
    return Plan(
        bill_date,
        tuple(tuple(accounts[first : first + MAX_JOB_ACCOUNTS]) for first in range(0, len(accounts), MAX_JOB_ACCOUNTS)),
        reopened,
        _pushed(services, connection, [bill.id for bill in reopened]),
        tuple(bill for bill in bills if bill.locked),
        with_plans,
    )


def accounts_due(services: Services, connection: str, bill_date: date) -> list[str]:
    """The accounts that have a charge of that date on no bill, in the order of m3ter's list."""
    charges = services.connection(connection).m3ter.balance_billing.list_charges(bill_date=bill_date)
    return list(dict.fromkeys(one.account_id for one in charges if one.bill_id is None))


def _pushed(services: Services, connection: str, bill_ids: Collection[str]) -> frozenset[str]:
    wanted = select(BillSnapshot.bill_id).where(
        BillSnapshot.connection == connection, BillSnapshot.bill_id.in_(bill_ids)
    )
    with services.reading() as db:
        return frozenset(db.scalars(wanted))


def must_be_meant(plan: Plan, *, reopen: bool) -> None:
    """Raise Parked where approved bills would be opened again and nobody has said that this is meant."""
    if plan.reopened and not reopen:
        on_invoices = f", {len(plan.pushed)} of them on invoices in Chargebee already" if plan.pushed else ""
        raise Parked(
            "would_reopen",
            f"the job would calculate {len(plan.reopened)} approved bill(s) of {plan.bill_date} anew and make them PENDING"
            f"{on_invoices}: {', '.join(bill.id for bill in plan.reopened)}",
            "If that is meant, say --reopen; they have to be approved again then.",
        )


def run(services: Services, connection: str, plan: Plan, *, who: str, reopen: bool = False) -> Started:
    """Start the jobs, one for each batch; the same job that is still running is answered instead of another.

    Raises Parked for approved bills without `reopen`, Retryable where m3ter takes no job now, Waiting where somebody else is
    starting one, and Uncertain where it is not known whether one was started.
    """
    must_be_meant(plan, reopen=reopen)
    # Two who start the same at once would both see none that runs.
    with leases.held(services, f"{connection}/bill-jobs", services.settings.lease_seconds):
        return _run(services, connection, plan, who)


def _run(services: Services, connection: str, plan: Plan, who: str) -> Started:
    m3ter = services.connection(connection).m3ter.balance_billing
    recent = list(islice(m3ter.list_bill_jobs(), RECENT))
    active = [job for job in recent if not job.ended]
    known = {job.id for job in recent}
    jobs: list[BillJob] = []
    for number, batch in enumerate(plan.batches):
        job = _same(active, batch, plan)
        if job is None:
            _note(services, connection, plan.bill_date, batch, who)
            try:
                job = _start(services, connection, batch, plan, known)
            except (AccessRefused, Uncertain):
                raise
            except Retryable as busy:
                if not jobs:
                    raise Retryable(
                        f"{busy}; m3ter runs at most ten bill jobs at once: wait until one has ended "
                        "(`connector balances bill-jobs list --active`), then do the same again",
                        retry_after=busy.retry_after,
                    ) from busy
                left = [one for later in plan.batches[number:] for one in later]
                return Started(tuple(jobs), tuple(left), str(busy))
        jobs.append(job)
    return Started(tuple(jobs))


def _start(services: Services, connection: str, batch: Sequence[str], plan: Plan, known: Collection[str]) -> BillJob:
    """The new job; one that is there now, was not `known` before and is the same is what an answer was lost of."""
    m3ter = services.connection(connection).m3ter.balance_billing
    try:
        return m3ter.create_bill_job(plan.body(batch))
    except Uncertain as unknown:
        new = [job for job in islice(m3ter.list_bill_jobs(), RECENT) if job.id not in known]
        found = _same(new, batch, plan)
        if found is not None:
            return found
        raise Uncertain(
            f"{unknown}; m3ter does not show the job yet. Look at `connector balances bill-jobs list` in some minutes "
            "before you start another: it may still come"
        ) from unknown


def _same(jobs: Iterable[BillJob], batch: Sequence[str], plan: Plan) -> BillJob | None:
    wanted = (plan.bill_date, None if plan.with_plans else CHARGES_ALONE, sorted(batch))
    return next(
        (job for job in jobs if (job.bill_date, job.billing_frequency, sorted(job.account_ids)) == wanted), None
    )


def _note(services: Services, connection: str, bill_date: date, batch: Sequence[str], who: str) -> None:
    with services.transaction() as db:
        audit.note(
            db, who=who, action="balances bill-job", connection=connection, subject=bill_date.isoformat(),
            now=services.now(), accounts=list(batch),
        )  # fmt: skip


def wait(services: Services, connection: str, jobs: Sequence[BillJob], *, seconds: int) -> tuple[BillJob, ...]:
    """The jobs as they are when all have ended, or after so many seconds of pauses between two looks."""
    m3ter = services.connection(connection).m3ter.balance_billing
    looked = tuple(jobs)
    for _ in range(0, max(seconds, 0), POLL_SECONDS):
        if all(job.ended for job in looked):
            break
        services.sleep(POLL_SECONDS)
        looked = tuple(job if job.ended else m3ter.get_bill_job(job.id) for job in looked)
    return looked


def results(services: Services, connection: str, account_ids: Iterable[str], bill_date: date) -> list[Result]:
    """What each account has been billed for that date, read from the bills themselves."""
    m3ter = services.connection(connection).m3ter
    config: OrganizationConfig | None = None
    found = []
    for account_id in account_ids:
        bills = tuple(m3ter.bills_on(account_id, bill_date))
        charges = m3ter.balance_billing.list_charges(account_id=account_id, bill_date=bill_date)
        unbilled = tuple(one for one in charges if one.bill_id is None)
        if unbilled or not bills:
            config = config or m3ter.balance_billing.organization_config()
        causes = likely_causes(bills, unbilled, config) if config and (unbilled or not bills) else ()
        found.append(Result(account_id, bills, unbilled, causes))
    return found


def likely_causes(
    bills: Sequence[Bill], unbilled: Sequence[Charge], config: OrganizationConfig
) -> tuple[str, ...]:  # fmt: skip
    """Why an account may have no bill, or a charge of that date may be on none."""
    if not unbilled:
        return (
            "no charge has this bill date and no plan was billed for it; a charge without a bill date, or with another, "
            "is never on it",
            "an empty bill is not made where the organization suppresses those",
        )
    rates = {one.source for one in config.conversions}
    billed_in = {bill.currency for bill in bills} or {config.currency}
    currencies = sorted({one.currency for one in unbilled} - billed_in)
    missing = [one for one in currencies if one not in rates]
    causes = [
        f"m3ter's configuration has no conversion rate from {one}: without it an account that is billed in another "
        "currency gets no bill, and nothing says so"
        for one in missing
    ]
    causes += [
        f"the rates from {one} may lack the one to the account's billing currency"
        for one in currencies
        if one not in missing
    ]
    locked = [bill.id for bill in bills if bill.locked]
    if locked:
        causes.append(f"bill {', '.join(locked)} of that date is locked and takes no more lines")
    return tuple(causes) or (
        "the charge came after the job had looked, or the job has not ended: run it once more",
        f"m3ter does not document that a job of frequency {CHARGES_ALONE} takes every charge: where it took none, run it with "
        "--with-plans on a day on which the account's plans are billed",
    )  # fmt: skip


def as_json(job: BillJob) -> dict[str, Any]:
    """The job as the command line and scripts see it; the keys are stable."""
    return {
        "id": job.id,
        "status": job.status,
        "type": job.type,
        "bill_date": job.bill_date.isoformat() if job.bill_date else None,
        "billing_frequency": job.billing_frequency,
        "account_ids": list(job.account_ids),
        "bill_ids": list(job.bill_ids),
        "total": job.total,
        "pending": job.pending,
        "created": job.created.isoformat() if job.created else None,
    }


def bill_as_json(bill: Bill) -> dict[str, Any]:
    """A bill with its lines as scripts see it; amounts are exact texts, each with its currency."""
    return {
        "id": bill.id,
        "account_id": bill.account_id,
        "status": bill.status,
        "locked": bill.locked,
        "bill_date": bill.bill_date.isoformat() if bill.bill_date else None,
        "currency": bill.currency,
        "total": None if bill.total is None else format(bill.total, "f"),
        "lines": [
            {
                "type": line.type,
                "description": line.description,
                "subtotal": format(line.subtotal, "f"),
                "currency": line.currency,
                "converted_subtotal": None if line.converted_subtotal is None else format(line.converted_subtotal, "f"),
                "charge_id": line.charge_id,
                "balance_id": line.balance_id,
            }
            for line in bill.lines
        ],
    }


def result_as_json(result: Result) -> dict[str, Any]:
    """An account's result as scripts see it."""
    return {
        "account_id": result.account_id,
        "bills": [bill_as_json(bill) for bill in result.bills],
        "unbilled_charges": [
            {"id": one.id, "code": one.code, "amount": format(price_of(one), "f"), "currency": one.currency}
            for one in result.unbilled
        ],
        "likely_causes": list(result.causes),
    }


def plan_as_json(plan: Plan, customers: Mapping[str, str]) -> dict[str, Any]:
    """What would be done, as scripts see it."""
    return {
        "bill_date": plan.bill_date.isoformat(),
        "accounts": [{"account_id": one, "customer_id": customers.get(one)} for one in plan.account_ids],
        "jobs": plan.bodies(),
        "would_reopen": [
            {"bill_id": bill.id, "account_id": bill.account_id, "pushed": bill.id in plan.pushed} | _total(bill)
            for bill in plan.reopened
        ],
        "locked": [{"bill_id": bill.id, "account_id": bill.account_id} | _total(bill) for bill in plan.locked],
    }


def _total(bill: Bill) -> dict[str, Any]:
    return {"total": None if bill.total is None else format(bill.total, "f"), "currency": bill.currency}

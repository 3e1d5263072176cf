"""Bill jobs: what turns charges into bill lines, started after a look at what one would do, and followed to the bills."""

from datetime import date, datetime
from hashlib import sha256
from itertools import islice
from typing import Annotated
from uuid import UUID

from pydantic import BeforeValidator, Field

from connector.balances import bill_jobs, lookup, typed
from connector.balances.bill_jobs import Plan
from connector.clients.m3ter_balance_objects import BillJob
from connector.errors import BadInput, NotFound
from connector.mappings.table import customers_of
from connector.web.api import problems
from connector.web.api.here import Here
from connector.web.api.shapes import MAX_PAGE, PAGE, Body, Day, Query, Seen, Shape, Text, digits

MOST = 100


class JobShape(Shape):
    """A bill job as m3ter has it; no account is all of them."""

    id: str
    status: str
    type: str | None
    bill_date: date | None
    billing_frequency: str | None = Field(description="`AD_HOC`: charges alone.")
    account_ids: list[str]
    bill_ids: list[str]
    total: int | None
    pending: int | None
    created: datetime | None


class Jobs(Shape):
    """The newest bill jobs, whoever started them."""

    jobs: list[JobShape]


class JobsQuery(Query):
    """How many."""

    limit: Annotated[int, Field(ge=1, le=MAX_PAGE), BeforeValidator(digits)] = PAGE


class JobLineShape(Shape):
    """A line of a bill, in its own currency and in the bill's."""

    type: str
    description: str | None
    subtotal: str
    currency: str
    converted_subtotal: str | None
    charge_id: str | None
    balance_id: str | None


class JobBillShape(Shape):
    """A bill of the date, as m3ter has it now."""

    id: str
    account_id: str
    status: str
    locked: bool
    bill_date: date | None
    currency: str
    total: str | None
    lines: list[JobLineShape]


class UnbilledShape(Shape):
    """A charge of the date that is on no bill."""

    id: str
    code: str
    amount: str
    currency: str


class ResultShape(Shape):
    """What an account has been billed, and why something may be missing."""

    account_id: str
    bills: list[JobBillShape]
    unbilled_charges: list[UnbilledShape]
    likely_causes: list[str]


class JobDetail(JobShape):
    """One job with what its accounts have been billed, once it has ended."""

    ended: bool
    results: list[ResultShape]


class JobBody(Body):
    """Who is billed, and for which date: either `accounts` or `due`."""

    accounts: list[Text] | None = Field(
        None, max_length=MOST, description="Ids of Chargebee customers or m3ter accounts."
    )
    due: bool = Field(False, description="All accounts that have a charge of that date on no bill.")
    bill_date: Day | None = Field(None, description="The bill date of the charges; today when left out.")
    with_plans: bool = Field(False, description="Bill also the usage of plans up to that day.")
    reopen: bool = Field(False, description="Approved bills of that date may be calculated anew, and are PENDING then.")
    seen: Seen | None = None


class BilledAccount(Shape):
    """An account that is billed, and the customer it stands for."""

    account_id: str
    customer_id: str | None


class TouchedBill(Shape):
    """A bill of that date; `total` is None where m3ter has not said it."""

    bill_id: str
    account_id: str
    total: str | None
    currency: str


class ReopenedBill(TouchedBill):
    """An approved bill that would be calculated anew; `pushed` where it is on an invoice already."""

    pushed: bool


class JobPreview(Shape):
    """What the jobs would do."""

    bill_date: date
    accounts: list[BilledAccount]
    would_reopen: list[ReopenedBill]
    locked: list[TouchedBill]
    with_plans: bool
    number_of_jobs: int
    seen: Seen


class Started(Shape):
    """The jobs that run now; `left` are the accounts for which none was started, and `why`."""

    jobs: list[JobShape]
    left: list[str]
    why: str | None


def index(here: Here, connection: str, query: JobsQuery) -> Jobs:
    """The newest jobs."""
    found = islice(here.balance_billing(connection).list_bill_jobs(), query.limit)
    return Jobs(jobs=[_shape(one) for one in found])


def _shape(job: BillJob) -> JobShape:
    return JobShape.model_validate(bill_jobs.as_json(job))


def show(here: Here, connection: str, job_id: UUID) -> JobDetail:
    """How far a job is and, once it has ended, the bills that its accounts have of that date."""
    try:
        job = here.balance_billing(connection).get_bill_job(str(job_id))
    except NotFound:
        raise problems.not_found("such bill job in m3ter") from None
    results = []
    if job.ended and job.bill_date is not None:
        results = bill_jobs.results(here.services, connection, job.account_ids, job.bill_date)
    told = {"ended": job.ended, "results": [bill_jobs.result_as_json(one) for one in results]}
    return JobDetail.model_validate(bill_jobs.as_json(job) | told)


def run(here: Here, connection: str, body: JobBody) -> Started:
    """Bill these accounts for a date, as that was shown."""
    plan = _plan(here, connection, body)
    preview = _preview(here, connection, plan)
    if body.seen != preview.seen:
        raise problems.changed(preview, body.seen)
    started = bill_jobs.run(here.services, connection, plan, who=here.who, reopen=body.reopen)
    return Started(jobs=[_shape(one) for one in started.jobs], left=list(started.left), why=started.why)


def _plan(here: Here, connection: str, body: JobBody) -> Plan:
    zone = typed.zone_of(here.connection(connection).settings)
    of_day = body.bill_date or here.services.now().astimezone(zone).date()
    if bool(body.accounts) is body.due:
        raise BadInput(
            "say which accounts are to be billed: `accounts`, or `due` for all that have a charge of that date"
        )
    if body.due:
        ids = bill_jobs.accounts_due(here.services, connection, of_day)
        if not ids:
            raise BadInput(f"no charge of {of_day} is without a bill: there is nothing to do")
    else:
        ids = [lookup.account_id(here.services, connection, one) for one in body.accounts or ()]
    return bill_jobs.plan(here.services, connection, ids, of_day, with_plans=body.with_plans)


def _preview(here: Here, connection: str, plan: Plan) -> JobPreview:
    with here.services.reading() as db:
        customers = customers_of(db, connection, plan.account_ids)
    shown = (plan.bodies(), [one.id for one in plan.reopened], sorted(plan.pushed))
    told = {
        "with_plans": plan.with_plans, "number_of_jobs": len(plan.batches),
        "seen": sha256(repr(shown).encode()).hexdigest(),
    }  # fmt: skip
    return JobPreview.model_validate(bill_jobs.plan_as_json(plan, customers) | told)

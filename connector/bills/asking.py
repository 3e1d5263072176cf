"""A person's push of a bill: looked at whole, then frozen as it was seen, and left to the bill's sync.

The same for the command line and the JSON API. Nothing here sends anything.
"""

from dataclasses import dataclass
from hashlib import sha256

from connector import audit, syncs
from connector.bills import ledger, preview
from connector.bills.lines import content_hash
from connector.bills.plan import PushPlan
from connector.bills.preview import Preview
from connector.bills.push import check_guards, freeze, plan_for
from connector.clients.m3ter_objects import Bill
from connector.errors import Cause, OutOfScope, Parked
from connector.services import Services


@dataclass(frozen=True)
class Looked:
    """A bill as a push would find it now; `plan` is None while a push is under way, and `preview` is then what is left.

    `held_back` is why the connector would not push it by itself: its size, a second person, or the settings.
    """

    bill: Bill
    plan: PushPlan | None
    preview: Preview
    held_back: Cause | None

    @property
    def seen(self) -> str:
        """The same as long as a person would be shown the same."""
        code = self.held_back.code if self.held_back else ""
        return sha256(f"{self.preview.fingerprint} {code}".encode()).hexdigest()


def look(services: Services, connection: str, bill_id: str) -> Looked:
    """What a push of the bill would do now; reads both providers. Raises NotFound where m3ter has no such bill."""
    bill = services.connection(connection).m3ter.get_bill(bill_id)
    with services.reading() as db:
        under_way = ledger.live_snapshot(db, connection, bill_id) is not None
    if under_way:
        return Looked(bill, None, preview.of_bill(services, connection, bill_id), None)
    plan = plan_for(services, connection, bill)
    return Looked(bill, plan, preview.of_plan(plan), _held_back(services, connection, bill, plan))


def _held_back(services: Services, connection: str, bill: Bill, plan: PushPlan) -> Cause | None:
    try:
        check_guards(services, connection, plan, content_hash(bill), by_a_person=False)
    except (Parked, OutOfScope) as stopped:
        return stopped.cause
    return None


def must_be_approved(bill: Bill) -> None:
    """Raise Parked for a bill that nobody has approved in m3ter."""
    if bill.status != "APPROVED":
        raise Parked("not_approved", f"bill {bill.id} is {bill.status}", "Approve it in m3ter first.")


def begin(services: Services, connection: str, bill: Bill, plan: PushPlan | None, *, who: str) -> int:
    """Freeze the plan, unless a push is under way, and let the bill's sync go on; answers the sync.

    Raises Parked or OutOfScope for what may not be pushed. A person has looked: the bounds on amounts do not stop it, the
    need of two people does.
    """
    must_be_approved(bill)
    if plan is not None:
        check_guards(services, connection, plan, content_hash(bill), by_a_person=True)
        if plan.charges or plan.problems:
            freeze(services, connection, bill, plan)
    return go_on(services, connection, bill.id, who=who)


def go_on(services: Services, connection: str, bill_id: str, *, who: str) -> int:
    """Open the bill's sync, or let the one there is go on; answers it."""
    now = services.now()
    with services.transaction() as db:
        sync_id = syncs.ask(
            db, connection=connection, kind="bill", subject=bill_id, trigger=f"pushed by {who}", now=now
        )
        syncs.retry(db, sync_id, who, now)
        audit.note(db, who=who, action="bills push", connection=connection, subject=bill_id, now=now, sync=sync_id)
    return sync_id

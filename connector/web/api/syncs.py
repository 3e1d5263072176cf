"""Syncs: what the connector does, did and could not do; retried and skipped."""

from collections import Counter
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import select

from connector import actions, explain, inbox, lookup, pauses, retries
from connector.bills.preview import Preview
from connector.handlers import KINDS
from connector.lookup import Filter
from connector.models import OPEN, Attempt, Sync
from connector.syncs import HELD_BACK, MONEY_KINDS
from connector.web.api import problems
from connector.web.api.here import Here
from connector.web.api.shapes import Body, Explained, OneOf, Page, Paged, Query, Reason, RowId, Seen, Shape, Text, page

ATTEMPTS = 20
Kind = Annotated[str, OneOf(sorted(KINDS))]
Status = Literal["pending", "running", "waiting", "parked", "succeeded", "superseded"]
Held = Annotated[str, OneOf(HELD_BACK)]


class SyncShape(Shape):
    """One unit of work: make this subject right."""

    id: int
    connection: str
    kind: str
    subject: str
    trigger: str
    status: Status
    attempts: int
    runs: int
    cause: str | None
    text: str | None
    next_step: str | None
    wakes_on: str | None
    next_attempt_at: datetime
    created_at: datetime
    updated_at: datetime


class CallShape(Shape):
    """A call to a provider."""

    provider: str
    method: str
    path: str
    status: int | None
    error: str | None
    milliseconds: int


class AttemptShape(Shape):
    """One try, with what it was to come to, what stood before, what was done, and the calls that it made."""

    number: int
    started_at: datetime
    finished_at: datetime | None
    outcome: str
    cause: str | None
    text: str | None
    wanted: list[str]
    found: list[str]
    did: list[str]
    calls: list[CallShape]


class PauseShape(Shape):
    """What holds work back."""

    what: str
    cause: str
    text: str
    since: datetime
    next_probe_at: datetime | None


class SyncDetail(SyncShape):
    """One sync with its last tries, the newest first."""

    next_run: str
    event_id: int | None = Field(description="The event that opened it, by its number in the inbox.")
    held_by: list[PauseShape]
    tries: list[AttemptShape]


class SyncPage(Page):
    """Syncs, the newest first."""

    syncs: list[SyncShape]


class SyncsQuery(Paged):
    """Which syncs: those to which all applies that is given."""

    connection: Text | None = None
    status: Status | None = None
    kind: Kind | None = None
    cause: Text | None = None
    about: Text | None = Field(None, description="Any id of either system.")


class SentShape(Shape):
    """One charge, or credit where the amount is negative, that would be sent."""

    what: str
    amount: str
    where: str
    status: str


class BillPreview(Shape):
    """What of a bill would be sent now; amounts in major units of `currency`."""

    bill_id: str
    currency: str
    total: str
    to_send: str
    charges: list[SentShape]
    problems: list[Explained]


class MoneyPreview(Shape):
    """A sync that sends money: what of its bill would be sent, or why that cannot be said, or what was asked for."""

    sync_id: int
    kind: str
    subject: str
    bill: BillPreview | None
    why: str | None
    request_id: int | None


class RetryPreview(Shape):
    """What a retry would let go on."""

    count: int = Field(description="How many syncs go on.")
    sync_ids: list[int]
    counts: list["CauseCount"]
    money: list[MoneyPreview]
    totals: list["Total"] = Field(description="What the bills among them would send, by currency.")
    seen: Seen


class CauseCount(Shape):
    """How many of the syncs are of one kind and stand still for one reason."""

    connection: str
    kind: str
    status: str
    cause: str | None
    syncs: int


class Total(Shape):
    """An amount."""

    amount: str
    currency: str


class RetryBody(Body):
    """`seen` is needed where the sync sends money."""

    seen: Seen | None = None


class Retried(Shape):
    """What became of one sync."""

    became: Literal["queued", "already queued", "running", "closed"]
    sync: SyncShape


class RetriesQuery(Query):
    """Which syncs; a retry can be a decision, so it is for one cause."""

    cause: Text
    connection: Text | None = None
    status: Held | None = None
    kind: Kind | None = None
    about: Text | None = None


class RetriesBody(Body):
    """The filter of the preview, and what it showed: of its syncs those are retried that still stand where they stood."""

    cause: Text
    sync_ids: list[RowId] = Field(max_length=retries.BATCH)
    seen: Seen | None = None
    connection: Text | None = None
    status: Held | None = None
    kind: Kind | None = None
    about: Text | None = None


class RetriedAll(Shape):
    """How many syncs became what."""

    queued: int
    others: int
    sync_ids: list[int]


class SkipBody(Body):
    """Why it is closed without being done."""

    reason: Reason


def index(here: Here, query: SyncsQuery) -> SyncPage:
    """A page of syncs by filter."""
    chosen = Filter(**query.model_dump(exclude={"before", "limit"}))
    with here.services.reading() as db:
        found = lookup.syncs(db, chosen, before=query.before, limit=query.limit + 1)
    rows, older = page(found, query.limit)
    return SyncPage(syncs=[SyncShape.model_validate(one) for one in rows], next=older)


def show(here: Here, sync_id: int) -> SyncDetail:
    """One sync: why it stands where it does, what comes next, and its last tries."""
    row = _look_up(here, sync_id)
    with here.services.reading() as db:
        tries = db.scalars(
            select(Attempt).where(Attempt.sync_id == sync_id).order_by(Attempt.id.desc()).limit(ATTEMPTS)
        ).all()
        opener = inbox.opener_of(db, row)
        held_by = pauses.holding(db, row) if row.status in OPEN else []
    return SyncDetail(
        **SyncShape.model_validate(row).model_dump(),
        next_run=explain.next_run(row, here.services.now()),
        event_id=opener.id if opener else None,
        held_by=[PauseShape.model_validate(one) for one in held_by],
        tries=[_try(one) for one in tries],
    )


def _try(one: Attempt) -> AttemptShape:
    calls = [call | {"milliseconds": round(call["milliseconds"])} for call in one.calls]
    said = {name: [str(sentence) for sentence in getattr(one, name)] for name in ("wanted", "found", "did")}
    names = ("number", "started_at", "finished_at", "outcome", "cause", "text")
    return AttemptShape.model_validate({name: getattr(one, name) for name in names} | said | {"calls": calls})


def _look_up(here: Here, sync_id: int) -> Sync:
    with here.services.reading() as db:
        row = db.get(Sync, sync_id)
    if row is None:
        raise problems.not_found(f"sync {sync_id}")
    return row


def preview_retry(here: Here, sync_id: int) -> RetryPreview:
    """What a retry of this sync would send."""
    return _shown(here, [_look_up(here, sync_id)])


def retry(here: Here, sync_id: int, body: RetryBody) -> Retried:
    """Let the sync go on; money only as it was shown."""
    row = _look_up(here, sync_id)
    if row.kind in MONEY_KINDS and retries.is_held_back(here.services, row):
        preview = _shown(here, [row])
        if body.seen != preview.seen:
            raise problems.changed(preview, body.seen)
    [became] = actions.retry(here.services, [row], here.who).values()
    return Retried.model_validate({"became": became, "sync": SyncShape.model_validate(_look_up(here, sync_id))})


def preview_retries(here: Here, query: RetriesQuery) -> RetryPreview:
    """How many syncs of one cause a retry would let go on, and the money that bills among them would send."""
    return _shown(here, retries.batch(here.services, Filter(**query.model_dump())))


def retry_all(here: Here, body: RetriesBody) -> RetriedAll:
    """Let those go on that were shown: the same syncs, and money only as it was shown."""
    found = retries.batch(here.services, Filter(**body.model_dump(exclude={"seen", "sync_ids"})))
    rows = [row for row in found if row.id in set(body.sync_ids)]
    preview = _shown(here, rows)
    if body.seen != preview.seen:
        raise problems.changed(preview, body.seen)
    became = actions.retry(here.services, rows, here.who)
    counts = Counter(became.values())
    return RetriedAll(queued=counts["queued"], others=len(became) - counts["queued"], sync_ids=list(became))


def _shown(here: Here, rows: list[Sync]) -> RetryPreview:
    money = retries.money_of(here.services, rows)
    counts = Counter((row.connection, row.kind, row.status, row.cause) for row in rows)
    sums: dict[str, Any] = {}
    for one in money:
        if one.bill:
            sums[one.bill.currency] = sums.get(one.bill.currency, 0) + one.bill.to_send
    return RetryPreview(
        count=len(rows),
        sync_ids=[row.id for row in rows],
        counts=[
            CauseCount(connection=connection, kind=kind, status=status, cause=cause, syncs=number)
            for (connection, kind, status, cause), number in counts.most_common()
        ],
        money=[_money(here, one) for one in money],
        totals=[Total(amount=format(amount, "f"), currency=currency) for currency, amount in sorted(sums.items())],
        seen=retries.fingerprint(money),
    )


def _money(here: Here, one: retries.Shown) -> MoneyPreview:
    asked = retries.asked(here.services, one.sync)
    return MoneyPreview(
        sync_id=one.sync.id, kind=one.sync.kind, subject=one.sync.subject, why=one.why,
        bill=bill_preview(one.bill) if one.bill else None, request_id=asked.id if asked else None,
    )  # fmt: skip


def bill_preview(bill: Preview) -> BillPreview:
    """What of a bill would be sent."""
    return BillPreview(
        bill_id=bill.bill_id, currency=bill.currency, total=format(bill.total, "f"), to_send=format(bill.to_send, "f"),
        charges=[
            SentShape(what=one.what, amount=format(one.amount, "f"), where=one.where, status=one.status)
            for one in bill.charges
        ],
        problems=[Explained.model_validate(one) for one in bill.problems],
    )  # fmt: skip


def skip(here: Here, sync_id: int, body: SkipBody) -> SyncShape:
    """Close the sync without doing it; one that was skipped before stays so."""
    row = _look_up(here, sync_id)
    if (row.status, row.cause) != ("superseded", "skipped"):
        actions.skip(here.services, sync_id, body.reason, here.who)
    return SyncShape.model_validate(_look_up(here, sync_id))

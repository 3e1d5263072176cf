"""What somebody has asked Balance Billing for: how far it is, taking it back, and settling what is in doubt."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from connector import actions
from connector.balances import asking, lookup, requests
from connector.models import BalanceRequest
from connector.web.api import problems
from connector.web.api.here import Here
from connector.web.api.problems import Refusal
from connector.web.api.shapes import Body, Page, Paged, Reason, Shape, Text, page
from connector.web.api.syncs import SyncShape

Status = Literal["planned", "sending", "done", "parked", "withdrawn"]


class RequestShape(Shape):
    """What somebody asked Balance Billing for, and how far it is."""

    id: int
    connection: str
    kind: str
    reference: str
    account_id: str
    balance_id: str | None
    amount: str | None
    currency: str
    body: dict[str, Any]
    paid_by: str | None
    source: str | None
    status: Status
    sends: int
    m3ter_id: str | None
    found_by: str | None
    made_by: str
    sent_at: datetime | None
    created_at: datetime
    finished_at: datetime | None


class RequestDetail(RequestShape):
    """One request with its other half, where it is half of a top-up, and its sync."""

    other_half: RequestShape | None
    sync: SyncShape | None


class RequestPage(Page):
    """Requests, the newest first."""

    requests: list[RequestShape]


class RequestsQuery(Paged):
    """Which requests: those to which all applies that is given."""

    balance: UUID | None = None
    account: Text | None = Field(None, description="A Chargebee customer's id or a m3ter account's.")
    status: Status | None = None


class WithdrawBody(Body):
    """Why it is taken back."""

    reason: Reason


class AcceptBody(Body):
    """What m3ter has of a request that was parked in doubt."""

    m3ter_id: UUID
    reason: Reason


def index(here: Here, connection: str, query: RequestsQuery) -> RequestPage:
    """A page of requests."""
    here.connection(connection)
    account_id = lookup.account_id(here.services, connection, query.account) if query.account else None
    with here.services.reading() as db:
        found = requests.listed(
            db, connection, balance_id=str(query.balance) if query.balance else None, account_id=account_id,
            status=query.status, before=query.before, limit=query.limit + 1,
        )  # fmt: skip
    rows, older = page(found, query.limit)
    return RequestPage(requests=[shape_of(one) for one in rows], next=older)


def shape_of(one: BalanceRequest) -> RequestShape:
    """The request as scripts see it."""
    return RequestShape.model_validate(requests.as_json(one))


def show(here: Here, connection: str, request_id: int) -> RequestDetail:
    """One request."""
    return _detail(here, _look_up(here, connection, request_id))


def _look_up(here: Here, connection: str, request_id: int) -> BalanceRequest:
    here.connection(connection)
    with here.services.reading() as db:
        row = db.get(BalanceRequest, request_id)
    if row is None or row.connection != connection:
        raise problems.not_found(f"request {request_id}")
    return row


def _detail(here: Here, row: BalanceRequest) -> RequestDetail:
    with here.services.reading() as db:
        other, sync = requests.partner(db, row), requests.sync_of(db, row)
    return RequestDetail(
        **shape_of(row).model_dump(),
        other_half=shape_of(other) if other else None,
        sync=SyncShape.model_validate(sync) if sync else None,
    )


def withdraw(here: Here, connection: str, request_id: int, body: WithdrawBody) -> RequestDetail:
    """Take back what has never reached m3ter; what was taken back before stays so."""
    row = _look_up(here, connection, request_id)
    if row.status not in (requests.PLANNED, requests.WITHDRAWN):
        raise Refusal(
            409, f"{requests.described(row)} is {row.status}: only what has never reached m3ter can be withdrawn.",
            next_step="Undo a transaction by its opposite; all else can be deleted, by `delete` behind its address.",
        )  # fmt: skip
    if row.status == requests.PLANNED:
        asking.withdraw(here.services, connection, row.id, who=here.who, reason=body.reason)
    return _detail(here, _look_up(here, connection, request_id))


def accept(here: Here, connection: str, request_id: int, body: AcceptBody) -> RequestDetail:
    """Note somebody's word on what m3ter has of a request in doubt, and let its sync go on."""
    row, m3ter_id = _look_up(here, connection, request_id), str(body.m3ter_id)
    if (row.status, row.m3ter_id) != (requests.DONE, m3ter_id):
        asking.accept(here.services, connection, row.id, m3ter_id, who=here.who, reason=body.reason)
        with here.services.reading() as db:
            sync = requests.sync_of(db, row)
        if sync is not None:
            actions.retry(here.services, [sync], here.who)
    return _detail(here, _look_up(here, connection, request_id))

"""Balance Billing: what accounts hold, and asking for top-ups, transactions and charges.

Each is asked for in two steps. Without `seen` the answer is a problem that shows exactly what m3ter would be sent; with the
`seen` of that preview it becomes a request, which a worker makes once. The reference, or the Idempotency-Key in its place, is
what makes a repeat the same request.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Any, Literal, Protocol
from uuid import UUID

from pydantic import BaseModel, Field

from connector import actions
from connector.balances import asking, drafts, drift, held, lookup, requests, top_ups, typed
from connector.balances.drafts import BALANCE, CHARGE, TRANSACTION, Draft
from connector.balances.requests import Asked
from connector.balances.top_ups import Price, TopUp
from connector.clients.m3ter_balance_objects import Balance
from connector.clients.m3ter_objects import DRAWABLE
from connector.mappings.table import customers_of
from connector.models import BalanceRequest
from connector.web.api import problems
from connector.web.api.here import Created, Here
from connector.web.api.problems import Refusal
from connector.web.api.shapes import (
    Amount,
    Body,
    Currency,
    Day,
    Fault,
    Moment,
    OneOf,
    Page,
    Paged,
    Query,
    Reason,
    Reference,
    Seen,
    Shape,
    Text,
    page,
)
from connector.web.api.syncs import SyncShape

MANY = 200
LineType = Annotated[str, OneOf(DRAWABLE)]
Status = Literal["planned", "sending", "done", "parked", "withdrawn"]


class BalanceShape(Shape):
    """A balance as m3ter has it; `amount` is m3ter's word, which may be what was put in or what is left."""

    id: str
    code: str
    name: str
    account_id: str
    customer_id: str | None = Field(description="The Chargebee customer that the account stands for.")
    currency: str
    amount: str | None
    start: datetime
    end: datetime
    rollover_end: datetime | None


class Balances(Shape):
    """An account's balances."""

    account_id: str
    balances: list[BalanceShape]
    more: int = Field(description="How many there are beyond those shown.")


class BalancesQuery(Query):
    """Whose."""

    account: Text = Field(description="A Chargebee customer's id or a m3ter account's.")


class StandingShape(Shape):
    """What a balance holds, worked out from its transactions, in its currency."""

    at: datetime
    held: str
    credited: str
    debited: str
    consumed: str
    expired: str


class BalanceDetail(BalanceShape):
    """One balance with what it holds."""

    stands: StandingShape


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


class WouldSend(Shape):
    """One call that would be made to m3ter; numbers of the body are texts, digit for digit."""

    kind: str
    reference: str
    method: str
    path: str
    body: dict[str, Any]
    asked_before: str | None = Field(description="The state of the request with this reference, where there is one.")


class AskPreview(Shape):
    """What m3ter would be sent, in this order."""

    would_send: list[WouldSend]
    seen: Seen


class AskedFor(Shape):
    """The requests that this makes, a top-up's charge first; `is_new` is false where the same was asked for before."""

    is_new: bool
    requests: list[RequestShape]


class AskBody(Body):
    """What all of these need."""

    reference: Reference | None = Field(
        None, description="May be left out where an Idempotency-Key stands in its place."
    )
    seen: Seen | None = None
    description: Text | None = None


class TopUpBody(AskBody):
    """Credit, and the charge that pays for it."""

    credit: Amount = Field(description="In the balance's currency.")
    type: Text | None = Field(None, description="Transaction type by id, code or name; not needed where there is one.")
    price: Amount | None = Field(None, description="What is charged; as much as the credit when left out.")
    currency: Currency | None = Field(None, description="Of the price; the balance's when left out.")
    free: bool = Field(False, description="Credit without a charge.")
    applied: Moment | None = Field(None, description="From when on it counts; today's beginning when left out.")
    bill_date: Day | None = Field(None, description="The day whose bill job bills it; today when left out.")
    product_id: UUID | None = Field(None, description="Accounting product of the charge.")


class TransactionBody(AskBody):
    """A credit, or below zero a debit, that is never billed."""

    amount: Amount = Field(description="In the balance's currency.")
    type: Text | None = Field(None, description="Transaction type by id, code or name; not needed where there is one.")
    applied: Moment | None = Field(None, description="From when on it counts; when it is booked, when left out.")
    occurred: Moment | None = Field(None, description="For the record only.")
    paid: Amount | None = Field(None, description="For the record only.")
    currency_paid: Currency | None = None


class ChargeBody(AskBody):
    """Money to be billed, which credits nothing."""

    name: Text = Field(max_length=200, description="Begins the text of the bill line.")
    currency: Currency
    amount: Amount | None = Field(None, description="The price; or else `units` at `unit_price`.")
    units: Amount | None = None
    unit_price: Amount | None = None
    start: Moment | None = Field(None, description="Of the service period; today's beginning when left out.")
    end: Moment | None = Field(None, description="The first moment after it; the balance's end when left out.")
    bill_date: Day | None = Field(None, description="The day whose bill job bills it; today when left out.")
    notes: Text | None = None
    product_id: UUID | None = None
    contract_id: UUID | None = None


class AccountChargeBody(ChargeBody):
    """A charge on an account itself."""

    account: Text = Field(description="A Chargebee customer's id or a m3ter account's.")


class NewBalanceBody(AskBody):
    """An empty balance for an account: a top-up or a transaction fills it. The reference is its code."""

    account: Text = Field(description="A Chargebee customer's id or a m3ter account's.")
    name: Text | None = Field(None, max_length=200, description="The reference when left out.")
    currency: Currency = Field(description="Of the credit; cannot change later.")
    start: Moment | None = Field(
        None, description="From when on it can be drawn down; today's beginning when left out."
    )
    end: Moment = Field(description="The first moment at which it can no longer be drawn down.")
    rollover_end: Moment | None = Field(None, description="Until when what is unused at the end lives on.")
    rollover_amount: Amount | None = Field(None, description="At most so much of it; all of it when left out.")
    draw_down_description: Text | None = None
    overage_percent: Amount | None = None
    overage_description: Text | None = None
    product_ids: list[UUID] = Field([], max_length=100, description="Which draw it down; all when left out.")
    line_item_types: list[LineType] = Field([], max_length=20, description="Which draw it down; all when left out.")
    contract_id: UUID | None = None
    consumptions_product_id: UUID | None = None
    fees_product_id: UUID | None = None
    allow_overdraft: bool = False


def index(here: Here, connection: str, query: BalancesQuery) -> Balances:
    """An account's balances as m3ter has them."""
    m3ter = here.balance_billing(connection)
    account_id = lookup.account_id(here.services, connection, query.account)
    found = m3ter.list_balances(account_id)
    return Balances(
        account_id=account_id, balances=[_shape(here, connection, one) for one in found[:MANY]],
        more=max(0, len(found) - MANY),
    )  # fmt: skip


def _shape(here: Here, connection: str, one: Balance) -> BalanceShape:
    with here.services.reading() as db:
        customers = customers_of(db, connection, [one.account_id])
    names = ("id", "code", "name", "account_id", "currency", "start", "end", "rollover_end")
    return BalanceShape.model_validate(
        {name: getattr(one, name) for name in names}
        | {"customer_id": customers.get(one.account_id), "amount": _exact(one.amount)}
    )


def _exact(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount, "f")


def show(here: Here, connection: str, balance_id: UUID) -> BalanceDetail:
    """One balance with what it holds."""
    balance = here.balance(connection, balance_id)
    there = drift.read(here.services, connection, balance)
    stands = held.standing(balance, there.transactions, here.services.now())
    sums = {name: _exact(getattr(stands, name)) for name in StandingShape.model_fields if name != "at"}
    return BalanceDetail(
        **_shape(here, connection, balance).model_dump(),
        stands=StandingShape.model_validate(sums | {"at": stands.at}),
    )


def requests_index(here: Here, connection: str, query: RequestsQuery) -> RequestPage:
    """A page of requests."""
    here.connection(connection)
    account_id = lookup.account_id(here.services, connection, query.account) if query.account else None
    with here.services.reading() as db:
        found = requests.listed(
            db, connection, balance_id=str(query.balance) if query.balance else None, account_id=account_id,
            status=query.status, before=query.before, limit=query.limit + 1,
        )  # fmt: skip
    rows, older = page(found, query.limit)
    return RequestPage(requests=[_request(one) for one in rows], next=older)


def _request(one: BalanceRequest) -> RequestShape:
    return RequestShape.model_validate(requests.as_json(one))


def request_show(here: Here, connection: str, request_id: int) -> RequestDetail:
    """One request."""
    return _request_detail(here, _look_up(here, connection, request_id))


def _look_up(here: Here, connection: str, request_id: int) -> BalanceRequest:
    here.connection(connection)
    with here.services.reading() as db:
        row = db.get(BalanceRequest, request_id)
    if row is None or row.connection != connection:
        raise problems.not_found(f"request {request_id}")
    return row


def _request_detail(here: Here, row: BalanceRequest) -> RequestDetail:
    with here.services.reading() as db:
        other, sync = requests.partner(db, row), requests.sync_of(db, row)
    return RequestDetail(
        **_request(row).model_dump(),
        other_half=_request(other) if other else None,
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
    return _request_detail(here, _look_up(here, connection, request_id))


def accept(here: Here, connection: str, request_id: int, body: AcceptBody) -> RequestDetail:
    """Note somebody's word on what m3ter has of a request in doubt, and let its sync go on."""
    row, m3ter_id = _look_up(here, connection, request_id), str(body.m3ter_id)
    if (row.status, row.m3ter_id) != (requests.DONE, m3ter_id):
        asking.accept(here.services, connection, row.id, m3ter_id, who=here.who, reason=body.reason)
        with here.services.reading() as db:
            sync = requests.sync_of(db, row)
        if sync is not None:
            actions.retry(here.services, [sync], here.who)
    return _request_detail(here, _look_up(here, connection, request_id))


# Asking


@dataclass(frozen=True)
class Plan:
    """What would be asked for, in the order in which it is made, and how it is asked for."""

    drafts: Sequence[Draft]
    ask: Callable[[], Sequence[Asked]]


@dataclass(frozen=True)
class Times:
    """What "today" means for one reference: a repeat says the same as the first time, whatever day it is by then."""

    here: Here
    connection: str
    reference: str

    @property
    def zone(self) -> tzinfo:
        return typed.zone_of(self.here.connection(self.connection).settings)

    def begins(self) -> datetime:
        """The moment at which today began, in the organization's time zone."""
        return typed.midnight(self.today(), self.zone)

    def today(self) -> date:
        return self.here.services.now().astimezone(self.zone).date()

    def moment(self, given: datetime | None, kind: str, field: str, otherwise: datetime) -> datetime:
        """What was given; else what was first asked for under the reference; else the default."""
        before = None if given else self._before(kind, field)
        return given or (datetime.fromisoformat(before) if before else otherwise)

    def day(self, given: date | None, kind: str, field: str) -> date:
        """What was given; else what was first asked for under the reference; else today."""
        before = None if given else self._before(kind, field)
        return given or (date.fromisoformat(before) if before else self.today())

    def _before(self, kind: str, field: str) -> str | None:
        return asking.as_before(self.here.services, self.connection, kind, self.reference, field)


def create(here: Here, connection: str, body: NewBalanceBody) -> Created | AskedFor:
    """Ask for an empty balance."""
    own = own_reference(here, body)
    times = Times(here, connection, own)
    account_id = lookup.account_id(here.services, connection, body.account)
    draft = drafts.balance(
        account_id=account_id, code=own, name=body.name or own, currency=body.currency,
        start=times.moment(body.start, BALANCE, "startDate", times.begins()), end=body.end,
        description=body.description, rollover_end=body.rollover_end,
        rollover_amount=amount_of(body.rollover_amount, "`rollover_amount`"),
        draw_down_description=body.draw_down_description,
        overage_percent=amount_of(body.overage_percent, "`overage_percent`"),
        overage_description=body.overage_description, product_ids=tuple(map(str, body.product_ids)),
        line_item_types=tuple(body.line_item_types), contract_id=_id(body.contract_id),
        consumptions_product_id=_id(body.consumptions_product_id), fees_product_id=_id(body.fees_product_id),
        allow_overdraft=body.allow_overdraft or None,
    )  # fmt: skip
    return _one(here, connection, draft, None, body.seen)


def top_up(here: Here, connection: str, balance_id: UUID, body: TopUpBody) -> Created | AskedFor:
    """Ask for credit and the charge that pays for it, as a pair."""
    own = own_reference(here, body)
    must_fit(body, recurs=False)
    credit, price = typed.amount(body.credit, "`credit`"), price_of(body)
    top_ups.must_be_worth(credit, price)
    on, times = here.balance(connection, balance_id), Times(here, connection, own)
    pair = top_ups.ad_hoc(
        on, reference=own, credit=credit, price=price, type_id=type_id(here, connection, body.type),
        applied=times.moment(body.applied, TRANSACTION, "appliedDate", max(times.begins(), on.start)),
        bill_date=times.day(body.bill_date, CHARGE, "billDate"), description=body.description,
        product_id=_id(body.product_id),
    )  # fmt: skip
    return ask_pair(here, connection, asking.placed_top_up(here.services, connection, pair), body.seen)


def must_fit(body: Body, *, recurs: bool) -> None:
    """BadInput for a top-up that contradicts itself."""
    given = {name for name, value in body.model_dump(exclude_unset=True).items() if value}
    top_ups.must_fit(
        given, recurs=recurs, called=lambda name: f"`{name}`", once="a single top-up", again="one that recurs"
    )


class Priced(Protocol):
    """What says what a top-up costs."""

    free: bool
    price: str | None
    currency: str | None


def price_of(body: Priced) -> Price | None:
    """What the top-up costs; None where it is free."""
    if body.free:
        return None
    return Price(None if body.price is None else typed.amount(body.price, "`price`"), body.currency)


def transaction(here: Here, connection: str, balance_id: UUID, body: TransactionBody) -> Created | AskedFor:
    """Ask for a credit or debit."""
    own = own_reference(here, body)
    on = here.balance(connection, balance_id)
    draft = drafts.transaction(
        balance_id=on.id, reference=own, amount=typed.amount(body.amount, "`amount`"),
        type_id=type_id(here, connection, body.type), description=body.description, applied=body.applied,
        occurred=body.occurred, paid=amount_of(body.paid, "`paid`"), currency_paid=body.currency_paid,
    )  # fmt: skip
    return _one(here, connection, draft, on, body.seen)


def charge(here: Here, connection: str, balance_id: UUID, body: ChargeBody) -> Created | AskedFor:
    """Ask for a charge on a balance."""
    return _charge(here, connection, here.balance(connection, balance_id), None, body)


def account_charge(here: Here, connection: str, body: AccountChargeBody) -> Created | AskedFor:
    """Ask for a charge on an account itself."""
    here.connection(connection)
    return _charge(here, connection, None, lookup.account_id(here.services, connection, body.account), body)


def _charge(
    here: Here, connection: str, on: Balance | None, account_id: str | None, body: ChargeBody
) -> Created | AskedFor:
    own = own_reference(here, body)
    times = Times(here, connection, own)
    draft = drafts.charge(
        account_id=account_id, balance_id=on.id if on else None, code=own, name=body.name, currency=body.currency,
        amount=amount_of(body.amount, "`amount`"), units=amount_of(body.units, "`units`"),
        unit_price=amount_of(body.unit_price, "`unit_price`"),
        start=times.moment(body.start, CHARGE, "servicePeriodStartDate", times.begins()),
        end=body.end or (on.end if on else None), bill_date=times.day(body.bill_date, CHARGE, "billDate"),
        description=body.description, notes=body.notes, product_id=_id(body.product_id),
        contract_id=_id(body.contract_id),
    )  # fmt: skip
    return _one(here, connection, draft, on, body.seen)


def amount_of(text: str | None, what: str) -> Decimal | None:
    """The amount, where one is given; BadInput for what is none."""
    return None if text is None else typed.amount(text, what)


def _id(given: UUID | None) -> str | None:
    return None if given is None else str(given)


def type_id(here: Here, connection: str, named: str | None) -> str:
    """The id of the transaction type that is named, or of the only one."""
    return lookup.transaction_type(here.services, connection, named).id


def own_reference(here: Here, body: AskBody) -> str:
    """The reference: given, or the Idempotency-Key."""
    if body.reference and here.key and body.reference != here.key:
        fault = Fault(where="header.Idempotency-Key", text="It is another than the `reference`: leave one of them out.")
        raise Refusal(422, "The reference contradicts the Idempotency-Key.", faults=[fault])
    own = body.reference or here.key
    if own is None:
        fault = Fault(where="body.reference", text="Give one, or an Idempotency-Key: by it a repeat is recognised.")
        raise Refusal(422, "Without a reference the same could be made twice.", faults=[fault])
    return own


def _one(here: Here, connection: str, draft: Draft, on: Balance | None, seen: str | None) -> Created | AskedFor:
    return ask_one(here, connection, asking.placed(here.services, connection, draft, on), seen)


def ask_one(
    here: Here,
    connection: str,
    complete: Draft,
    seen: str | None,
    shown: Callable[[AskPreview], BaseModel] | None = None,
) -> Created | AskedFor:
    """The request that a placed draft becomes, once it has been seen; `shown` says what else there is to see before."""
    ask = lambda: [asking.ask(here.services, connection, complete, who=here.who)]  # noqa: E731 - one line says it
    return _asked(here, connection, Plan([complete], ask), seen, shown)


def ask_pair(
    here: Here,
    connection: str,
    complete: TopUp,
    seen: str | None,
    shown: Callable[[AskPreview], BaseModel] | None = None,
) -> Created | AskedFor:
    """The two requests that a placed top-up becomes, once it has been seen."""
    ask = lambda: asking.ask_top_up(here.services, connection, complete, who=here.who)  # noqa: E731 - one line says it
    return _asked(here, connection, Plan(complete.halves, ask), seen, shown)


def _asked(
    here: Here, connection: str, plan: Plan, seen: str | None, shown: Callable[[AskPreview], BaseModel] | None = None
) -> Created | AskedFor:
    """The request, once that has been seen which it makes; a problem that shows it before."""
    sends = asking.would_send(here.services, connection, plan.drafts)
    preview = AskPreview(
        would_send=[
            WouldSend(
                kind=one.draft.kind, reference=one.draft.reference, method="POST", path=one.path,
                body={name: _exact(value) if isinstance(value, Decimal) else value for name, value in one.body.items()},
                asked_before=one.before.status if one.before else None,
            )
            for one in sends
        ],
        seen=sha256(repr([(one.path, sorted(one.body.items())) for one in sends]).encode()).hexdigest(),
    )  # fmt: skip
    if seen != preview.seen:
        raise problems.changed(shown(preview) if shown else preview, seen)
    asked = plan.ask()
    actions.queue(here.services, [one.sync_id for one in asked])
    answer = AskedFor(is_new=any(one.is_new for one in asked), requests=[_request(one.request) for one in asked])
    location = f"/connections/{connection}/balance-requests/{asked[-1].request.id}"
    return Created(answer, location) if answer.is_new else answer

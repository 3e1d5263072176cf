"""Any id of either system, and what it belongs to: each look-up goes by an index, and answers only so many rows."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.orm import Session

from connector import inbox, transfers
from connector.balances import requests
from connector.errors import ConnectorError
from connector.mappings.kinds import ITEM_PRICE, SET_UP_ENTITIES
from connector.models import (
    Account,
    AccountPlan,
    BalanceRequest,
    BalanceWatch,
    EventRecord,
    InboxEvent,
    LinePush,
    Mapping,
    MirroredResource,
    SeenBill,
    SoldTopUp,
    Sync,
    Transfer,
)

# Rows of one look-up, and hits in all.
EACH, MOST = 10, 50
MAX_ROW = 2**63 - 1
# The syncs of these are found by what they are about.
FOLLOWED = ("customer", "subscription", "bill", "receipt", requests.KIND, "balance_watch")


@dataclass(frozen=True)
class Hit:
    """Something that has this id or belongs to it. `kind` is customer, bill, balance, balance_request, mapping, sync or event;
    `says` is in what way it was found. A mapping's id is what it was found by."""

    kind: str
    connection: str
    id: str
    says: str


def find(db: Session, connections: Collection[str], text: str) -> list[Hit]:
    """All of these connections that the id leads to, customers first; the same thing once, by what was found first.

    What only tells of the id, such as an event, is looked for where nothing else has it.
    """
    # What m3ter's console shows as an External Mapping leads to where what it maps leads to.
    mapped = select(Mapping.m3ter_id).where(Mapping.connection.in_(connections), Mapping.m3ter_mapping_id == text)
    return _hits(db, connections, text) or [
        hit for one in db.scalars(mapped.limit(1)) for hit in _hits(db, connections, one)
    ]


def _hits(db: Session, connections: Collection[str], text: str) -> list[Hit]:
    hits: dict[tuple[str, str, str], Hit] = {}
    for look in (_by_id, _by_what_tells_of_it):
        for hit in _found(db, look(connections, text)):
            hits.setdefault((hit.kind, hit.connection, hit.id), hit)
        if hits:
            break
    # A number of our own may be an invoice's id as well.
    for hit in _found(db, _by_number(connections, text)):
        hits.setdefault((hit.kind, hit.connection, hit.id), hit)
    return list(hits.values())[:MOST]


def customer(db: Session, connection: str, text: str) -> str:
    """The customer that the id leads to, or the id itself where it leads to none; ConnectorError where it is not just one."""
    found = [one.id for one in find(db, [connection], text) if one.kind == "customer"]
    if text in found:
        return text
    if len(found) > 1:
        raise ConnectorError(f"{text} leads to several customers: {', '.join(found)}")
    return found[0] if found else text


def as_json(hit: Hit) -> dict[str, str]:
    """The hit as the command line and scripts see it; the keys are stable."""
    return asdict(hit)


# Kind, how it was found, and what answers connection and id of it.
Look = tuple[str, str, Select[Any, Any]]


def _found(db: Session, looks: Iterable[Look]) -> Iterator[Hit]:
    for kind, says, asked in looks:
        for connection, found in db.execute(asked.limit(EACH)):
            if found is None:
                continue
            # The old copy of what went to another business entity has no page of its own.
            known = transfers.live_id(db, connection, "customer", found) if kind == "customer" else str(found)
            yield Hit(kind, connection, known, says)


def _looker(connections: Collection[str]) -> Callable[..., Look]:
    def rows(kind: str, says: str, found: Any, *is_it: ColumnElement[bool]) -> Look:
        table = found.class_
        return kind, says, select(table.connection, found).where(table.connection.in_(connections), *is_it)

    return rows


def _by_id(connections: Collection[str], text: str) -> Iterator[Look]:
    """What has the id."""
    rows = _looker(connections)
    mirrored, mapped = MirroredResource, Mapping
    yield rows(
        "customer", "customer", mirrored.resource_id, mirrored.resource == "customer", mirrored.resource_id == text
    )
    yield rows("customer", "customer", Account.customer_id, Account.customer_id == text)
    of_customers = (mapped.m3ter_entity == "Account", mapped.external_table == "Customer")
    yield rows(
        "customer", "customer", mapped.external_id, mapped.external_table == "Customer", mapped.external_id == text
    )
    yield rows("customer", "old customer", Transfer.live_id, Transfer.resource == "customer", Transfer.old_id == text)
    yield rows("customer", "account", Account.customer_id, or_(Account.m3ter_id == text, Account.code == text))
    yield rows("customer", "account", mapped.external_id, *of_customers, mapped.m3ter_id == text)
    is_subscription = mirrored.resource == "subscription"
    yield rows("customer", "subscription", mirrored.customer_id, is_subscription, mirrored.resource_id == text)
    yield rows("customer", "subscription", AccountPlan.customer_id, AccountPlan.subscription_id == text)
    yield rows(
        "customer", "account plan", AccountPlan.customer_id, or_(AccountPlan.m3ter_id == text, AccountPlan.code == text)
    )
    yield rows("bill", "bill", SeenBill.bill_id, SeenBill.bill_id == text)
    yield rows("bill", "bill", LinePush.bill_id, LinePush.bill_id == text)
    yield rows("bill", "bill", Sync.subject, Sync.kind == "bill", Sync.subject == text)
    on_invoice = or_(LinePush.invoice_id == text, LinePush.final_invoice_id == text)
    yield rows("bill", "invoice", LinePush.bill_id, on_invoice)
    yield rows("bill", "invoice line", LinePush.bill_id, LinePush.chargebee_line_id == text)
    kept = (LinePush.connection == mapped.connection) & (LinePush.chargebee_line_id == mapped.external_id)
    item = (
        mapped.connection.in_(connections),
        mapped.m3ter_entity == "BillItem",
        mapped.external_table == "Invoice",
        mapped.m3ter_id == text,
    )
    yield rows("bill", "bill line", LinePush.bill_id, kept, *item)
    yield rows("balance", "balance", BalanceWatch.balance_id, BalanceWatch.balance_id == text)
    yield rows("balance", "balance", BalanceRequest.balance_id, BalanceRequest.balance_id == text)
    yield rows("balance", "invoice", SoldTopUp.balance_id, SoldTopUp.invoice_id == text)
    yield rows("balance", "invoice line", SoldTopUp.balance_id, SoldTopUp.line_id == text)
    asked = BalanceRequest.kind.in_(requests.TITLES)
    yield rows("balance_request", "reference", BalanceRequest.id, asked, BalanceRequest.reference == text)
    yield rows("balance_request", "made as", BalanceRequest.id, BalanceRequest.m3ter_id == text)
    is_event = (InboxEvent.source.in_(inbox.SOURCES), InboxEvent.event_id == text)
    yield rows("event", "event", InboxEvent.id, *is_event)
    yield rows("sync", "subject", Sync.id, Sync.subject == text, Sync.kind.not_in(FOLLOWED))
    peoples = mapped.m3ter_entity.in_(SET_UP_ENTITIES)
    yield rows("mapping", "mapped in m3ter", mapped.m3ter_id, peoples, mapped.m3ter_id == text)
    yield rows(
        "mapping",
        "mapped in Chargebee",
        mapped.external_id,
        peoples,
        mapped.external_table == ITEM_PRICE,
        mapped.external_id == text,
    )


def _by_what_tells_of_it(connections: Collection[str], text: str) -> Iterator[Look]:
    """What the id stands in: of an invoice that we have put nothing on, an account that is no customer's, a credit note."""
    rows, mirrored = _looker(connections), MirroredResource
    yield rows(
        "customer", "invoice", mirrored.customer_id, mirrored.resource == "invoice", mirrored.resource_id == text
    )
    yield rows("bill", "account", SeenBill.bill_id, SeenBill.account_id == text)
    yield rows("balance_request", "account", BalanceRequest.id, BalanceRequest.account_id == text)
    kind, says, events = rows("event", "told of", EventRecord.inbox_id, EventRecord.record_id == text)
    yield kind, says, events.order_by(EventRecord.inbox_id.desc())


def _by_number(connections: Collection[str], text: str) -> Iterator[Look]:
    """What is the row of this number here."""
    rows = _looker(connections)
    if text.isascii() and text.isdigit() and 0 < int(text[:20]) <= MAX_ROW:
        yield rows("sync", "number", Sync.id, Sync.id == int(text))
        yield rows("event", "number", InboxEvent.id, InboxEvent.id == int(text))
        yield rows("balance_request", "number", BalanceRequest.id, BalanceRequest.id == int(text))

"""The tables. Every row carries its connection; times are UTC, amounts exact decimals or integer minor units."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, LargeBinary, MetaData, String, Text, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from connector.database import Exact, Id, Moment

OPEN = ("pending", "running", "waiting", "parked")
# The start of what has no start.
ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)
# Written out and not as parameters: PostgreSQL finds a partial index only by a condition that it can read.
IS_OPEN = text("status IN ('pending', 'running', 'waiting', 'parked')")
# Whether a sync is a bill's.
IS_BILL = text("kind = 'bill'")
IS_LEFT = text("status IN ('ignored', 'failed')")
# What stands where it stands until somebody does something about it: the ends that are counted.
IS_AT_REST = text("status IN ('succeeded', 'superseded', 'parked')")
HAS_CAUSE = text("cause IS NOT NULL")
HAS_PARENT = text("parent_id IS NOT NULL")
IS_UNDER_WAY = text("status NOT IN ('done', 'withdrawn')")


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a plain class attribute
        datetime: Moment,
        Decimal: Exact,
        dict[str, Any]: JSON,
        list[Any]: JSON,
        str: Text,
    }

    id: Mapped[int] = mapped_column(Id, primary_key=True)


class Installation(Base):
    """The one row that says which installation this is; its id goes into every idempotency key."""

    __tablename__ = "installation"

    uuid: Mapped[str]
    created_at: Mapped[datetime]


class InboxEvent(Base):
    """One delivered event, its raw body, and what became of it: new, done, ignored or failed."""

    __tablename__ = "inbox"
    __table_args__ = (
        UniqueConstraint("connection", "source", "event_id"),
        Index("ix_inbox_new", "id", sqlite_where=text("status = 'new'"), postgresql_where=text("status = 'new'")),
        # For those who look for what nobody acted on, among millions of rows that are done.
        Index("ix_inbox_left", "status", "id", sqlite_where=IS_LEFT, postgresql_where=IS_LEFT),
        # The newest of a source: of one silent connection among millions of others' rows too.
        Index("ix_inbox_newest", "connection", "source", "id"),
        Index("ix_inbox_type", "event_type", "id"),
    )

    connection: Mapped[str]
    source: Mapped[str]
    event_id: Mapped[str]
    event_type: Mapped[str]
    occurred_at: Mapped[datetime | None]
    received_at: Mapped[datetime]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[str]
    reason: Mapped[str | None]
    handled_at: Mapped[datetime | None]


class Cursor(Base):
    """How far a list of the provider's has been read."""

    __tablename__ = "cursors"
    __table_args__ = (UniqueConstraint("connection", "name"),)

    connection: Mapped[str]
    name: Mapped[str]
    at: Mapped[datetime]


class EventRecord(Base):
    """That an event tells of this record of either system: what an event is about stands in its body alone otherwise."""

    __tablename__ = "event_records"
    __table_args__ = (UniqueConstraint("connection", "record_id", "inbox_id"),)

    connection: Mapped[str]
    record_id: Mapped[str]
    inbox_id: Mapped[int] = mapped_column(Id)


class QuarantinedBody(Base):
    """An authenticated delivery that could not become an event, and why."""

    __tablename__ = "quarantine"

    connection: Mapped[str]
    source: Mapped[str]
    received_at: Mapped[datetime]
    reason: Mapped[str]
    body: Mapped[bytes] = mapped_column(LargeBinary)


class MirroredResource(Base):
    """The newest state seen of one Chargebee resource, as Chargebee wrote it."""

    __tablename__ = "mirror"
    __table_args__ = (
        UniqueConstraint("connection", "resource", "resource_id"),
        Index("ix_mirror_parent_id", "connection", "parent_id", sqlite_where=HAS_PARENT, postgresql_where=HAS_PARENT),
    )

    connection: Mapped[str]
    resource: Mapped[str]
    resource_id: Mapped[str]
    customer_id: Mapped[str | None] = mapped_column(index=True)
    # Of a customer: the one above it.
    parent_id: Mapped[str | None]
    resource_version: Mapped[int] = mapped_column(Id)
    body: Mapped[dict[str, Any]]
    sha256: Mapped[str] = mapped_column(String(64))
    # True while two different states with one version, or one without a version, wait for Chargebee's word.
    unsettled: Mapped[bool]
    seen_at: Mapped[datetime]


class SubscriptionState(Base):
    """One state of a subscription as far as m3ter bills by it; the history that plans are worked out from."""

    __tablename__ = "subscription_states"
    __table_args__ = (UniqueConstraint("connection", "subscription_id", "resource_version"),)

    connection: Mapped[str]
    subscription_id: Mapped[str]
    resource_version: Mapped[int] = mapped_column(Id)
    body: Mapped[dict[str, Any]]
    seen_at: Mapped[datetime]


class Sync(Base):
    """One durable unit of work: make this subject right. At most one is open for a subject."""

    __tablename__ = "syncs"
    __table_args__ = (
        Index(
            "uq_syncs_open_subject", "connection", "kind", "subject",
            unique=True, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN,
        ),
        Index("ix_syncs_due", "next_attempt_at", sqlite_where=IS_OPEN, postgresql_where=IS_OPEN),
        Index("ix_syncs_wakes_on", "connection", "wakes_on", sqlite_where=IS_OPEN, postgresql_where=IS_OPEN),
        Index("ix_syncs_status", "status", "id"),
        Index("ix_syncs_subject", "subject"),
        Index("ix_syncs_trigger", "trigger"),
        # The newest of a kind, of a connection or with a cause that there are few of.
        Index("ix_syncs_kind", "kind", "id"),
        Index("ix_syncs_connection", "connection", "id"),
        Index("ix_syncs_cause", "cause", "id", sqlite_where=HAS_CAUSE, postgresql_where=HAS_CAUSE),
        # In the order in which they came to an end, for those who count them.
        Index("ix_syncs_at_rest", "updated_at", "id", sqlite_where=IS_AT_REST, postgresql_where=IS_AT_REST),
    )  # fmt: skip

    connection: Mapped[str]
    kind: Mapped[str]
    subject: Mapped[str]
    trigger: Mapped[str]
    status: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)
    crashes: Mapped[int] = mapped_column(default=0)
    runs: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime]
    queued_at: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]
    fence: Mapped[int] = mapped_column(default=0)
    # Something arrived while it ran: it runs once more.
    again: Mapped[bool] = mapped_column(default=False)
    wakes_on: Mapped[str | None]
    # Who asked for the next look, until it has come to an end: what is parked in doubt is only touched for a person.
    retried_by: Mapped[str | None]
    cause: Mapped[str | None]
    text: Mapped[str | None]
    next_step: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Attempt(Base):
    """One try at a sync: when, how it ended, what it did and the calls it made."""

    __tablename__ = "attempts"

    sync_id: Mapped[int] = mapped_column(ForeignKey("syncs.id"), index=True)
    number: Mapped[int]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str]
    cause: Mapped[str | None]
    text: Mapped[str | None]
    # What it was to come to, what stood before, and what was done about the difference; sentences for a person.
    wanted: Mapped[list[Any]]
    found: Mapped[list[Any]]
    did: Mapped[list[Any]]
    calls: Mapped[list[Any]]


class Tally(Base):
    """How many events came in, or syncs came to an end, within one hour or day (UTC).

    `what` is received (`kind`: the source), succeeded, superseded or parked (`kind`: the sync's); `bucket` says how long a
    sync that succeeded took (`connector.histogram`), and is 0 for everything else.
    """

    __tablename__ = "tallies"
    __table_args__ = (UniqueConstraint("period", "start", "connection", "what", "kind", "bucket"),)

    period: Mapped[str]
    start: Mapped[datetime]
    connection: Mapped[str]
    what: Mapped[str]
    kind: Mapped[str]
    bucket: Mapped[int]
    number: Mapped[int] = mapped_column(Id)


class TallyCursor(Base):
    """How far a table has been counted: up to `row_id`, of syncs among those that ended at `at`.

    Events are counted up to `ceiling`, the newest row at the time `at`: a row with a lower number may be committed later,
    but not so much later.
    """

    __tablename__ = "tally_cursors"
    __table_args__ = (UniqueConstraint("name"),)

    name: Mapped[str]
    at: Mapped[datetime]
    row_id: Mapped[int] = mapped_column(Id)
    ceiling: Mapped[int] = mapped_column(Id)


class LastLook(Base):
    """What the clock found when it last looked at something that takes too long to look at for each page."""

    __tablename__ = "last_looks"
    __table_args__ = (UniqueConstraint("connection", "name"),)

    connection: Mapped[str]
    name: Mapped[str]
    at: Mapped[datetime]
    found: Mapped[list[Any]]


class Pause(Base):
    """A connection whose work is held back: because of a provider, by a person's hand, or for money after a restore."""

    __tablename__ = "pauses"
    __table_args__ = (UniqueConstraint("connection", "what"),)

    connection: Mapped[str]
    # all, chargebee, m3ter or money.
    what: Mapped[str]
    cause: Mapped[str]
    text: Mapped[str]
    since: Mapped[datetime]
    # When the provider is asked whether it is back; a person's pause and one of money end only by a person.
    next_probe_at: Mapped[datetime | None]


class Failure(Base):
    """A sync that has failed because of a provider since that provider last answered well."""

    __tablename__ = "failures"
    __table_args__ = (UniqueConstraint("connection", "provider", "sync_id"),)

    connection: Mapped[str]
    provider: Mapped[str]
    sync_id: Mapped[int] = mapped_column(Id)
    cause: Mapped[str]


class SendCount(Base):
    """How many steps towards a send of money have been taken; Redis remembers the same outside of this database."""

    __tablename__ = "send_counts"
    __table_args__ = (UniqueConstraint("connection"),)

    connection: Mapped[str]
    number: Mapped[int] = mapped_column(Id)


class Lease(Base):
    """Who may work on something that only one may work on; the fence rises with every holder."""

    __tablename__ = "leases"
    __table_args__ = (UniqueConstraint("name"),)

    name: Mapped[str]
    fence: Mapped[int]
    until: Mapped[datetime]


class Mapping(Base):
    """A pair of an m3ter entity and a Chargebee record, in the shape of m3ter's External Mappings."""

    __tablename__ = "external_mappings"
    __table_args__ = (
        UniqueConstraint(
            "connection", "m3ter_entity", "m3ter_id", "external_table", "external_id", "customer_id", "valid_from"
        ),
        Index("ix_external_mappings_external", "connection", "external_table", "external_id"),
    )

    connection: Mapped[str]
    m3ter_entity: Mapped[str]
    m3ter_id: Mapped[str]
    external_system: Mapped[str]
    external_table: Mapped[str]
    external_id: Mapped[str]
    # For a charge item price: the only currency it can be used in.
    currency: Mapped[str | None]
    # For a plan or addon item price: whose subscriptions it holds for (`*`: everybody's), and in which time.
    customer_id: Mapped[str] = mapped_column(default="*")
    valid_from: Mapped[datetime] = mapped_column(default=ALWAYS)
    valid_until: Mapped[datetime | None]
    made_by: Mapped[str]
    created_at: Mapped[datetime]
    # Rows that we also write to m3ter: when we first tried, and the id it got there.
    sent_at: Mapped[datetime | None]
    m3ter_mapping_id: Mapped[str | None] = mapped_column(index=True)


class Account(Base):
    """The m3ter account of one Chargebee customer: planned before it is sent, live once m3ter has answered."""

    __tablename__ = "accounts"
    __table_args__ = (UniqueConstraint("connection", "customer_id"),)

    connection: Mapped[str]
    customer_id: Mapped[str]
    code: Mapped[str] = mapped_column(index=True)
    m3ter_id: Mapped[str | None] = mapped_column(index=True)
    status: Mapped[str]
    # What m3ter was last told, so that an unchanged customer costs no call.
    fields_sha256: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime]


class AccountPlan(Base):
    """One m3ter account plan of one subscription item: planned before it is sent, live once m3ter has answered."""

    __tablename__ = "account_plans"
    __table_args__ = (
        UniqueConstraint("connection", "code"),
        Index("ix_account_plans_subscription", "connection", "subscription_id"),
    )

    connection: Mapped[str]
    subscription_id: Mapped[str]
    customer_id: Mapped[str] = mapped_column(index=True)
    item_price_id: Mapped[str]
    account_id: Mapped[str] = mapped_column(index=True)
    plan_id: Mapped[str]
    code: Mapped[str] = mapped_column(index=True)
    start: Mapped[datetime]
    end: Mapped[datetime | None]
    bill_epoch: Mapped[date | None]
    m3ter_id: Mapped[str | None] = mapped_column(index=True)
    status: Mapped[str]
    created_at: Mapped[datetime]


class Transfer(Base):
    """A customer or subscription that went to another business entity: its live copy has another id."""

    __tablename__ = "transfers"
    __table_args__ = (UniqueConstraint("connection", "resource", "old_id"),)

    connection: Mapped[str]
    resource: Mapped[str]
    old_id: Mapped[str]
    live_id: Mapped[str]
    seen_at: Mapped[datetime]


class SeenBill(Base):
    """What the last poll said of an approved bill; a new version opens a sync."""

    __tablename__ = "bills"
    __table_args__ = (UniqueConstraint("connection", "bill_id"),)

    connection: Mapped[str]
    bill_id: Mapped[str]
    account_id: Mapped[str] = mapped_column(index=True)
    version: Mapped[int]
    last_calculated: Mapped[str | None]
    approved_at: Mapped[str | None]
    # Until when, exclusive, the account's usage is billed by it.
    billed_until: Mapped[datetime]
    # Its exact total in its own currency; None where m3ter's list has not said.
    currency: Mapped[str | None]
    total: Mapped[Decimal | None]
    seen_at: Mapped[datetime]


class BillSnapshot(Base):
    """A bill as it was frozen before the first line was sent: pushing, pushed or stopped."""

    __tablename__ = "bill_snapshots"
    __table_args__ = (
        UniqueConstraint("connection", "bill_id", "generation"),
        Index(
            "uq_bill_snapshots_live", "connection", "bill_id", unique=True,
            sqlite_where=text("status = 'pushing'"), postgresql_where=text("status = 'pushing'"),
        ),
    )  # fmt: skip

    connection: Mapped[str]
    bill_id: Mapped[str]
    generation: Mapped[int]
    account_id: Mapped[str] = mapped_column(index=True)
    bill_version: Mapped[int]
    last_calculated: Mapped[str | None]
    sha256: Mapped[str] = mapped_column(String(64))
    currency: Mapped[str]
    decimals: Mapped[int]
    exact_total: Mapped[Decimal]
    total_minor: Mapped[int] = mapped_column(Id)
    lines: Mapped[list[Any]]
    status: Mapped[str]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class BillApproval(Base):
    """One person's word that a bill, calculated to just this result, may be pushed."""

    __tablename__ = "bill_approvals"
    __table_args__ = (UniqueConstraint("connection", "bill_id", "sha256", "actor"),)

    connection: Mapped[str]
    bill_id: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str]
    at: Mapped[datetime]


class LinePush(Base):
    """The intent to send one charge: planned → sending → done, or parked.

    `parts` are the bill lines that it is made of, each with its minor units; what was netted to nothing is done at once.
    """

    __tablename__ = "line_pushes"
    __table_args__ = (
        UniqueConstraint("snapshot_id", "charge_key"),
        UniqueConstraint("connection", "invoice_id", "chargebee_line_id"),
        Index("ix_line_pushes_bill", "connection", "bill_id"),
    )

    connection: Mapped[str]
    bill_id: Mapped[str]
    snapshot_id: Mapped[int] = mapped_column(ForeignKey("bill_snapshots.id"))
    position: Mapped[int]
    charge_key: Mapped[str]
    kind: Mapped[str]
    parts: Mapped[list[Any]]
    subscription_id: Mapped[str | None] = mapped_column(index=True)
    customer_id: Mapped[str | None] = mapped_column(index=True)
    # The invoice as it was pending; when it is closed, `final_invoice_id` is the number that it got.
    invoice_id: Mapped[str | None] = mapped_column(index=True)
    final_invoice_id: Mapped[str | None] = mapped_column(index=True)
    item_price_id: Mapped[str | None]
    description: Mapped[str]
    date_from: Mapped[datetime]
    date_to: Mapped[datetime]
    amount_minor: Mapped[int] = mapped_column(Id)
    currency: Mapped[str]
    idempotency_key: Mapped[str]
    status: Mapped[str]
    baseline: Mapped[list[Any] | None]
    sent_at: Mapped[datetime | None]
    sends: Mapped[int] = mapped_column(default=0)
    chargebee_line_id: Mapped[str | None] = mapped_column(index=True)
    found_by: Mapped[str | None]


class Receipt(Base):
    """The proof of a pushed bill: every m3ter line beside its Chargebee line, both totals, hashes, when."""

    __tablename__ = "receipts"
    __table_args__ = (UniqueConstraint("snapshot_id"),)

    connection: Mapped[str]
    bill_id: Mapped[str] = mapped_column(index=True)
    snapshot_id: Mapped[int] = mapped_column(ForeignKey("bill_snapshots.id"))
    body: Mapped[dict[str, Any]]
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]


class BillComparison(Base):
    """What shadow mode has found of a bill: its plan beside what another process has put on the invoice."""

    __tablename__ = "bill_comparisons"
    __table_args__ = (
        UniqueConstraint("connection", "bill_id"),
        Index("ix_bill_comparisons_billed_until", "connection", "billed_until"),
    )

    connection: Mapped[str]
    bill_id: Mapped[str]
    account_id: Mapped[str]
    billed_until: Mapped[datetime]
    currency: Mapped[str]
    decimals: Mapped[int]
    wanted_minor: Mapped[int] = mapped_column(Id)
    found_minor: Mapped[int] = mapped_column(Id)
    # equal, same sums or differs; not final while the invoice is pending and differs.
    verdict: Mapped[str]
    is_final: Mapped[bool]
    differences: Mapped[list[Any]]
    # The planned charges that were found just so: they are no other bill's.
    alike: Mapped[list[Any]]
    compared_at: Mapped[datetime]


class BalanceRequest(Base):
    """What somebody asked Balance Billing to make: planned → sending → done, parked in doubt, or withdrawn.

    `reference` tells one request from every other of its kind, here and in m3ter: it is the code of what has one, and a word
    in the description of a transaction. A top-up is two requests with one reference: the credit, whose `paid_by` says where
    the money comes from, and the charge.
    """

    __tablename__ = "balance_requests"
    __table_args__ = (
        UniqueConstraint("connection", "kind", "reference"),
        Index("ix_balance_requests_balance", "connection", "balance_id"),
        Index("ix_balance_requests_source", "connection", "source"),
        Index(
            "ix_balance_requests_under_way",
            "connection",
            "balance_id",
            sqlite_where=IS_UNDER_WAY,
            postgresql_where=IS_UNDER_WAY,
        ),
    )

    connection: Mapped[str]
    kind: Mapped[str]
    reference: Mapped[str]
    account_id: Mapped[str] = mapped_column(index=True)
    balance_id: Mapped[str | None]
    amount: Mapped[Decimal | None]
    currency: Mapped[str]
    body: Mapped[dict[str, Any]]
    # charge, free or chargebee; None for what is no top-up.
    paid_by: Mapped[str | None]
    # What it was made for, where that was no person: a line of a Chargebee invoice, a balance that ran low.
    source: Mapped[str | None]
    status: Mapped[str]
    sends: Mapped[int] = mapped_column(default=0)
    sent_at: Mapped[datetime | None]
    m3ter_id: Mapped[str | None] = mapped_column(index=True)
    found_by: Mapped[str | None]
    made_by: Mapped[str]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class TopUpProduct(Base):
    """What one item price sells: so much credit on a balance for each unit of money.

    A row is never changed. Other terms are another row that begins where this one was removed, so that whatever was paid in
    a row's time keeps its terms, however late it is heard of.
    """

    __tablename__ = "top_up_products"
    __table_args__ = (
        Index(
            "uq_top_up_products_live", "connection", "item_price_id", unique=True,
            sqlite_where=text("removed_at IS NULL"), postgresql_where=text("removed_at IS NULL"),
        ),
        Index("ix_top_up_products_price", "connection", "item_price_id"),
    )  # fmt: skip

    connection: Mapped[str]
    item_price_id: Mapped[str]
    price_currency: Mapped[str]
    balance_code: Mapped[str]
    balance_name: Mapped[str]
    # The balance's currency, and to how many decimals of it credit is rounded.
    currency: Mapped[str]
    decimals: Mapped[int]
    rate: Mapped[Decimal]
    # None: one balance of the account takes all; else each purchase gets its own, which ends after so many months.
    expires_after_months: Mapped[int | None]
    # gross or net; None is what the connection's setting says.
    basis: Mapped[str | None]
    transaction_type: Mapped[str]
    transaction_type_id: Mapped[str]
    # What is paid from then on, and before `removed_at`, is credited.
    sold_from: Mapped[datetime]
    removed_at: Mapped[datetime | None]
    made_by: Mapped[str]
    created_at: Mapped[datetime]


class SoldTopUp(Base):
    """A line of a Chargebee invoice that has been credited: to which balance, under which terms, for how much money."""

    __tablename__ = "sold_top_ups"
    __table_args__ = (UniqueConstraint("connection", "invoice_id", "line_id"),)

    connection: Mapped[str]
    invoice_id: Mapped[str]
    line_id: Mapped[str] = mapped_column(index=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("top_up_products.id"))
    basis: Mapped[str]
    customer_id: Mapped[str]
    account_id: Mapped[str]
    balance_id: Mapped[str]
    # The money, in minor units of the invoice's currency, that all requests so far stand for, and how many they are.
    paid_minor: Mapped[int] = mapped_column(Id)
    requests: Mapped[int]
    created_at: Mapped[datetime]


class BalanceWatch(Base):
    """A balance that somebody wants to hear of when it holds less than `threshold`, in `currency`, which is its own.

    `credit` is what it is then topped up with by itself, None for not at all; `price` in `price_currency` is what is charged
    for that (None: as much as is credited, in its own currency), and the caps hold for a calendar month.
    """

    __tablename__ = "balance_watches"
    __table_args__ = (
        UniqueConstraint("connection", "balance_id"),
        Index("ix_balance_watches_due", "connection", "next_check_at"),
    )

    connection: Mapped[str]
    balance_id: Mapped[str]
    account_id: Mapped[str]
    currency: Mapped[str]
    threshold: Mapped[Decimal]
    credit: Mapped[Decimal | None]
    price: Mapped[Decimal | None]
    price_currency: Mapped[str | None]
    free: Mapped[bool]
    transaction_type_id: Mapped[str | None]
    cap_credit: Mapped[Decimal | None]
    cap_number: Mapped[int | None]
    enabled: Mapped[bool]
    # What it last came to, and with how much in the balance: a change of either is worth another look.
    state: Mapped[str]
    state_since: Mapped[datetime]
    last_held: Mapped[Decimal | None]
    next_check_at: Mapped[datetime]
    made_by: Mapped[str]
    made_at: Mapped[datetime]


class BalanceReading(Base):
    """What a watched balance held at a moment: kept when it has changed, else once a day."""

    __tablename__ = "balance_readings"
    __table_args__ = (UniqueConstraint("connection", "balance_id", "at"),)

    connection: Mapped[str]
    balance_id: Mapped[str]
    at: Mapped[datetime]
    held: Mapped[Decimal]
    total_credit: Mapped[Decimal]
    total_debit: Mapped[Decimal]
    consumed: Mapped[Decimal]
    expired: Mapped[Decimal]


class AuditEntry(Base):
    """What a person did, and why."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_actor", "actor", "id"), Index("ix_audit_action", "action", "id"))

    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    connection: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]]


class Alert(Base):
    """Something that people should hear of, from when it was first seen until it was over; one for each cause.

    `page` is where in the console it is seen, `command` what shows the same; `returns` is how often it has come back lately.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        Index(
            "uq_alerts_open_key", "key", unique=True,
            sqlite_where=text("resolved_at IS NULL"), postgresql_where=text("resolved_at IS NULL"),
        ),
        Index("ix_alerts_key", "key", "id"),
        Index("ix_alerts_resolved_at", "resolved_at"),
    )  # fmt: skip

    key: Mapped[str]
    condition: Mapped[str]
    connection: Mapped[str]
    # warning or urgent.
    severity: Mapped[str]
    # How many syncs, events or the like it is about, and since when the oldest of them.
    count: Mapped[int]
    since: Mapped[datetime | None]
    text: Mapped[str]
    next_step: Mapped[str]
    page: Mapped[str]
    command: Mapped[str]
    opened_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    returns: Mapped[int] = mapped_column(default=0)


class AlertTelling(Base):
    """What one destination was last told of an alert."""

    __tablename__ = "alert_tellings"
    __table_args__ = (UniqueConstraint("alert_id", "destination"),)

    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id"))
    destination: Mapped[str]
    at: Mapped[datetime]
    severity: Mapped[str]
    count: Mapped[int]
    resolved: Mapped[bool]


class AlertDestination(Base):
    """How sending to one destination goes; `tries` are those since the last that went through."""

    __tablename__ = "alert_destinations"
    __table_args__ = (UniqueConstraint("destination"),)

    destination: Mapped[str]
    tries: Mapped[int]
    next_try_at: Mapped[datetime]
    failing_since: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]


class AlertMute(Base):
    """An alert that nobody wants to hear of for a while, and why."""

    __tablename__ = "alert_mutes"
    __table_args__ = (UniqueConstraint("key"),)

    key: Mapped[str]
    until: Mapped[datetime]
    reason: Mapped[str]
    made_by: Mapped[str]
    made_at: Mapped[datetime]


class User(Base):
    """A person who may log in to the console, and what they may do there."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("name"), UniqueConstraint("issuer", "subject"))

    name: Mapped[str]
    # None for whoever logs in through a provider, or has not chosen a password yet.
    password_hash: Mapped[str | None]
    # The OpenID provider that they log in through, and who they are there; both or none.
    issuer: Mapped[str | None]
    subject: Mapped[str | None]
    # viewer, operator or admin.
    role: Mapped[str]
    enabled: Mapped[bool]
    # Rises whenever all sessions of the user end; a session carries the one that it began with.
    generation: Mapped[int]
    created_at: Mapped[datetime]
    logged_in_at: Mapped[datetime | None]


class ApiToken(Base):
    """What lets a script use the JSON API; of the token itself only its hash is kept."""

    __tablename__ = "api_tokens"
    __table_args__ = (UniqueConstraint("name"), UniqueConstraint("sha256"))

    name: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    # viewer, operator or admin.
    role: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

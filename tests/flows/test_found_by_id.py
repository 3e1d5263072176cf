"""Every kind of id that the connector keeps of either system is found by the search, and customers above and below each other."""

import re
from typing import Any

import pytest
from sqlalchemy import event, select

from connector import lookup, mirror, search
from connector.customer_overview import overview
from connector.models import (
    BalanceRequest,
    BalanceWatch,
    EventRecord,
    InboxEvent,
    LinePush,
    Mapping,
    SoldTopUp,
    TopUpProduct,
    Transfer,
)
from connector.services import Services
from tests.flows.browser import text_of
from tests.flows.conftest import CALLS_PRICE, START, World
from tests.flows.test_console_customers import cells

pytestmark = pytest.mark.alternate_databases

# What SQLite says of a table that is read whole, or of these two by their connection alone.
WHOLE = r"SCAN (?!CONSTANT|\()|SEARCH (inbox|event_records) [^']*\(connection=\?\)"
BALANCE, ELSEWHERE = "00000000-0000-0000-0000-00000000beef", "00000000-0000-0000-0000-00000000cafe"


def leads_to(services: Services, text: str) -> list[tuple[str, str, str]]:
    with services.reading() as db:
        return [(one.kind, one.id, one.says) for one in search.find(db, ["default"], text)]


def test_each_kind_of_id_that_is_kept_leads_somewhere(world: World) -> None:
    world.sign_up()
    world.settle()
    invoice = world.renew()
    bill = world.bill()
    world.poll()
    world.settle()
    services, first = world.services, next(iter(world.chargebee.invoices.values()))
    world.chargebee.pay_invoice(first["id"])
    note = world.chargebee.create_credit_note(
        reference_invoice_id=first["id"], type="refundable", total=100, reason_code="other"
    )
    world.settle()
    with services.transaction() as db:
        kept(db, services, world)
    [plan] = world.plans()
    account = world.m3ter.account_by_code("acme")["id"]
    with services.reading() as db:
        line = db.scalars(select(LinePush).where(LinePush.chargebee_line_id.is_not(None))).one()
        shown = {row.m3ter_entity: row.m3ter_mapping_id for row in db.scalars(select(Mapping)) if row.m3ter_mapping_id}
        telling = {row.event_type: row for row in db.scalars(select(InboxEvent).order_by(InboxEvent.id))}
    bill_line = world.m3ter.bills[bill]["lineItems"][0]["id"]
    payment = telling["payment_succeeded"]
    with services.reading() as db:
        paid = db.scalars(select(EventRecord.record_id).where(EventRecord.inbox_id == payment.id)).all()
    [transaction] = [one for one in paid if one.startswith("txn")]
    table: dict[str, tuple[str, str]] = {
        # Chargebee's
        "acme": ("customer", "customer"),
        "old-acme": ("customer", "old customer"),
        "sub-1": ("customer", "subscription"),
        invoice: ("bill", "invoice"),
        str(line.chargebee_line_id): ("bill", "invoice line"),
        first["id"]: ("customer", "invoice"),
        note["id"]: ("event", "told of"),
        transaction: ("event", "told of"),
        CALLS_PRICE: ("mapping", "mapped in Chargebee"),
        payment.event_id: ("event", "event"),
        "li-sold": ("balance", "invoice line"),
        "inv-sold": ("balance", "invoice"),
        # m3ter's
        account: ("customer", "account"),
        plan["id"]: ("customer", "account plan"),
        plan["code"]: ("customer", "account plan"),
        bill: ("bill", "bill"),
        bill_line: ("bill", "bill line"),
        world.ids["calls"]: ("mapping", "mapped in m3ter"),
        world.ids["pro"]: ("mapping", "mapped in m3ter"),
        BALANCE: ("balance", "balance"),
        "transaction-1": ("balance_request", "made as"),
        "charge-1": ("balance_request", "made as"),
        "schedule-1": ("balance_request", "made as"),
        "ref-transaction": ("balance_request", "reference"),
        ELSEWHERE: ("balance_request", "account"),
        str(shown["Account"]): ("customer", "account"),
        str(shown["AccountPlan"]): ("customer", "account plan"),
        str(shown["Bill"]): ("bill", "bill"),
        str(shown["BillItem"]): ("bill", "bill line"),
    }
    found = {text: [(kind, says) for kind, _, says in leads_to(services, text)] for text in table}
    assert {text: hits[:1] for text, hits in found.items()} == {text: [hit] for text, hit in table.items()}
    # What is told of by events alone is found among the events too, whatever became of them.
    with services.reading() as db:
        events = {text: lookup.events(db, ["default"], text, limit=50) for text in (transaction, note["id"], "acme")}
    # Chargebee's numbers of invoices look like ours of rows.
    assert {kind for kind, _, _ in leads_to(services, first["id"])} >= {"customer", "sync", "event"}
    assert [row.event_type for row in events[transaction]] == ["payment_succeeded"]
    assert {row.event_type for row in events[note["id"]]} == {"credit_note_created"}
    assert {"customer_created", "subscription_created", "payment_succeeded"} <= {
        one.event_type for one in events["acme"]
    }
    assert leads_to(services, "nothing-has-this") == []
    every_statement_goes_by_an_index(services)


def kept(db: Any, services: Services, world: World) -> None:
    """What Balance Billing and transfers leave behind."""
    now = services.now()
    account = world.m3ter.account_by_code("acme")["id"]
    usual = {
        "connection": "default",
        "currency": "USD",
        "body": {},
        "status": "done",
        "made_by": "t",
        "created_at": now,
    }
    for kind, account_id in (("transaction", account), ("charge", account), ("schedule", ELSEWHERE)):
        db.add(
            BalanceRequest(
                kind=kind,
                reference=f"ref-{kind}",
                account_id=account_id,
                balance_id=None,
                m3ter_id=f"{kind}-1",
                **usual,
            )
        )
    db.add(
        BalanceWatch(
            connection="default", balance_id=BALANCE, account_id=account, currency="USD", threshold=1, free=False,
            enabled=True, state="enough", state_since=now, next_check_at=now, made_by="t", made_at=now,
        )
    )  # fmt: skip
    product = TopUpProduct(
        connection="default", item_price_id="credit", price_currency="USD", balance_code="b", balance_name="b",
        currency="USD", decimals=2, rate=1, transaction_type="t", transaction_type_id="t", sold_from=now, made_by="t",
        created_at=now,
    )  # fmt: skip
    db.add(product)
    db.flush()
    db.add(
        SoldTopUp(
            connection="default", invoice_id="inv-sold", line_id="li-sold", product_id=product.id, basis="gross",
            customer_id="acme", account_id=account, balance_id=BALANCE, paid_minor=1, requests=1, created_at=now,
        )
    )  # fmt: skip
    db.add(Transfer(connection="default", resource="customer", old_id="old-acme", live_id="acme", seen_at=now))


def every_statement_goes_by_an_index(services: Services) -> None:
    """Whatever there may be of it: the inbox alone has millions of rows."""
    asked: list[tuple[str, Any]] = []

    def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    event.listen(services.engine, "before_cursor_execute", listen)
    try:
        with services.reading() as db:
            assert search.find(db, ["default"], "nothing-has-this") == []
            assert lookup.events(db, ["default"], "nothing-has-this", limit=50) == []
            mirror.children_of(db, "default", "acme", 10)
    finally:
        event.remove(services.engine, "before_cursor_execute", listen)
    assert len(asked) > 30
    on_sqlite = services.engine.dialect.name == "sqlite"
    with services.engine.connect() as connection:
        if not on_sqlite:
            # A table of few rows is read whole unless that is out of the question.
            connection.exec_driver_sql("SET enable_seqscan = off")
        for statement, parameters in asked:
            said = connection.exec_driver_sql(f"EXPLAIN {'QUERY PLAN ' if on_sqlite else ''}{statement}", parameters)
            plan = " ".join(str(row) for row in said)
            assert not re.search(WHOLE if on_sqlite else "Seq Scan", plan), (
                statement,
                plan,
            )


def test_events_from_before_are_found_once_they_are_dispatched_again_and_told_of_once(world: World) -> None:
    world.sign_up()
    world.settle()
    with world.services.transaction() as db:
        told = len(db.scalars(select(EventRecord)).all())
        rows = db.scalars(select(InboxEvent)).all()
        for row in rows:
            row.status = "new"
        db.add(
            InboxEvent(
                connection="default", source="chargebee", event_id="ev-odd", event_type="odd", received_at=START,
                body=b'{"id": "ev-odd", "content": {"quote": {"id": "quote-1", "invoice_id": 7}, "list": ["x"]}}',
                sha256="", status="new",
            )
        )  # fmt: skip
    world.settle()
    with world.services.reading() as db:
        assert len(db.scalars(select(EventRecord)).all()) == told + 1
    [(kind, found, says)] = leads_to(world.services, "quote-1")
    assert (kind, says) == ("event", "told of")
    with world.services.reading() as db:
        told_of = db.get_one(InboxEvent, int(found))
    assert (told_of.event_id, told_of.status) == ("ev-odd", "ignored")


def test_customers_above_and_below_lead_to_each_other(people: World, as_person: Any) -> None:
    people.sign_up()
    for name in ("holding", "sister"):
        people.chargebee.create_customer(id=name, email=f"{name}@example.test")
    people.chargebee.relate_customer("acme", parent_id="holding", invoice_owner_id="holding")
    people.chargebee.relate_customer(
        "sister", parent_id="holding", invoice_owner_id="sister", payment_owner_id="sister"
    )
    people.settle()
    browser = as_person("vera")
    page = browser.get("/customers/default/holding")
    assert [row[:2] for row in cells(page, "Customers below")] == [["acme", "in step"], ["sister", "in step"]]
    assert 'href="/console/customers/default/acme"' in page.text
    child = browser.get("/customers/default/acme")
    assert 'href="/console/customers/default/holding"' in child.text
    assert "Invoices go to holding" in text_of(child)
    assert "Invoices go to itself" in text_of(browser.get("/customers/default/sister"))
    whole = overview.as_json(overview.of_customer(people.services, "default", "holding"))
    assert [one["customer_id"] for one in whole["children"]] == ["acme", "sister"]
    people.chargebee.unrelate_customer("acme")
    people.settle()
    assert [row[0] for row in cells(browser.get("/customers/default/holding"), "Customers below")] == ["sister"]
    assert "Below" not in text_of(browser.get("/customers/default/acme"))

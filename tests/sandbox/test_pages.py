"""The page of each provider: what is there is shown, as text, and a person can do by hand what the API does."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from connector.sandbox import Sandbox
from connector.sandbox.chargebee import routes as chargebee
from connector.sandbox.m3ter import routes as m3ter
from connector.sandbox.pages.actions import MORE
from connector.sandbox.pages.views import PAGES, minor, moment, plain

SCRIPT = "<script>alert('x')</script>"
CANARY = f'"{SCRIPT}'


JAN, JAN_5 = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 5))


class Person:
    """Someone in front of the pages."""

    def __init__(self, box: Sandbox) -> None:
        self.client: FlaskClient = box.app.test_client()

    def read(self, provider: str) -> str:
        answer = self.client.get(f"/{provider}/")
        assert answer.status_code == 200
        return answer.text

    def post(self, provider: str, operation: str, resource_id: str = "", **fields: Any) -> TestResponse:
        return self.client.post(f"/{provider}/console/{operation}", data={":id": resource_id, **fields})

    def do(self, provider: str, operation: str, resource_id: str = "", **fields: Any) -> None:
        answer = self.post(provider, operation, resource_id, **fields)
        assert answer.status_code == 303, answer.text

    def error(self, *words: Any, **fields: Any) -> str:
        answer = self.post(*words, **fields)
        assert answer.status_code == 400
        [said] = re.findall(r'role="alert">(.*?)</p>', answer.text, re.DOTALL)
        return str(said)


@pytest.fixture
def person(box: Sandbox) -> Person:
    return Person(box)


def test_a_subscription_is_sold_changed_and_cancelled_by_hand(person: Person, box: Sandbox):
    for price_id, price in (("pro-USD", "10000"), ("max-USD", "30000")):
        person.do(
            "chargebee",
            "new_price",
            id=price_id,
            item_id="pro",
            type="plan",
            pricing_model="flat_fee",
            price=price,
            currency_code="USD",
        )
    person.do("chargebee", "create_customer", id="acme", company="Acme")
    plan = "subscription_items[item_price_id][0]"
    person.do(
        "chargebee", "create_subscription", "acme", **{"id": "sub", plan: "pro-USD", "create_pending_invoices": "true"}
    )
    person.do("chargebee", "move_time", to="2026-02-01")
    person.do(
        "chargebee",
        "update_subscription",
        "sub",
        **{plan: "max-USD", "replace_items_list": "true", "change_option": "end_of_term"},
    )
    assert box.chargebee.subscriptions["sub"]["has_scheduled_changes"] is True
    person.do("chargebee", "move_time", days="28")
    person.do("chargebee", "cancel_subscription", "sub", cancel_option="end_of_term")
    page = person.read("chargebee")
    for shown in ("Acme", "max-USD", "non_renewing", "300.00 USD", "2026-03-01 00:00 UTC", "pending_invoice_created"):
        assert shown in page
    person.do("chargebee", "cancel_subscription", "sub", cancel_option="immediately")
    assert box.chargebee.subscriptions["sub"]["status"] == "cancelled"


def test_an_invoice_is_filled_closed_and_paid_by_hand(person: Person, shop: Sandbox, draft_id: str):
    person.do("chargebee", "add_charge", draft_id, description="Setup", amount="2900")
    assert "Setup" in person.read("chargebee")
    person.do("chargebee", "close_invoice", draft_id)
    person.do("chargebee", "pay_invoice", "2")
    assert (shop.chargebee.invoices["2"]["status"], shop.chargebee.invoices["2"]["total"]) == ("paid", 12_900)
    assert "129.00 USD" in person.read("chargebee")


def test_an_event_shows_how_its_webhook_fared_and_is_sent_again(person: Person, box: Sandbox):
    box.chargebee.add_webhook_endpoint("http://127.0.0.1:9/hook")
    box.chargebee.create_customer("acme")
    assert "scheduled" in person.read("chargebee")
    box.deliver(lambda *_: 200)
    assert "succeeded" in person.read("chargebee")
    [event_id] = box.chargebee.events
    person.do("chargebee", "resend_event", event_id)
    assert len(box.webhooks.waiting) == 1


def test_usage_is_billed_approved_and_locked_by_hand(person: Person, box: Sandbox):
    org = box.m3ter
    person.do("m3ter", "create_account", code="acme", name="Acme", emailAddress="ap@acme.test")
    person.do("m3ter", "new_plan", code="pro", **{"standingCharge:number": "10.50", "currency": "USD"})
    [account_id], [plan_id] = org.accounts, org.plans
    dates = {"startDate:instant": "2026-01-01", "endDate:instant": ""}
    person.do("m3ter", "create_account_plan", accountId=account_id, planId=plan_id, **dates)
    org.create_meter("api_calls", ["calls"])
    person.do("m3ter", "send_usage", account="acme", meter="api_calls", field="calls", **{"value:number": "7.5"})
    assert (len(org.usage), org.ingest_failures) == (1, [])
    person.do("m3ter", "send_usage", account="acme", meter="nothing", field="calls", **{"value:number": "1"})
    assert org.ingest_failures[0]["message"] in unescape(person.read("m3ter"))
    person.do("m3ter", "move_time", to="2026-02-01")
    person.do("m3ter", "create_bill_job", billDate="2026-02-01", **{"accountIds:list": account_id})
    [bill_id] = org.bills
    page = person.read("m3ter")
    assert "STANDING_CHARGE" in page
    assert "PENDING" in page
    person.do("m3ter", "approve_bills", **{"billIds:list": bill_id})
    assert org.bills[bill_id]["status"] == "APPROVED"
    person.do("m3ter", "recalculate_bills", **{"billIds:list": bill_id})
    assert org.bills[bill_id]["status"] == "PENDING"
    assert "Only an approved bill" in person.error("m3ter", "lock_bill", bill_id)
    person.do("m3ter", "approve_bills", **{"billIds:list": bill_id})
    person.do("m3ter", "lock_bill", bill_id)
    assert "APPROVED, locked" in person.read("m3ter")


def test_account_plans_end_and_mappings_are_made_and_deleted_by_hand(person: Person, box: Sandbox, metered: Any):
    person.do("m3ter", "end_account_plan", metered["account_plan"], **{"endDate:instant": "2026-03-01"})
    assert box.m3ter.account_plans[metered["account_plan"]]["endDate"] == "2026-03-01T00:00:00Z"
    mapping = {"m3terEntity": "Account", "externalSystem": "Chargebee", "externalTable": "Customer", "externalId": "c1"}
    person.do("m3ter", "create_external_mapping", m3terId=metered["account"], **mapping)
    assert "c1" in person.read("m3ter")
    person.do("m3ter", "delete_external_mapping", next(iter(box.m3ter.external_mappings)))
    assert box.m3ter.external_mappings == {}


def test_a_balance_is_made_filled_and_drawn_down_by_hand(person: Person, box: Sandbox, metered: dict[str, str]):
    dates = {"startDate:instant": "2026-01-01", "endDate:instant": "2027-01-01"}
    account = {"accountId": metered["account"], "currency": "USD"}
    person.do("m3ter", "create_balance", code="prepaid", name="Prepaid", **account, **dates)
    [balance_id] = box.m3ter.balances
    credit = {"amount:number": "1234.50", "description": "Paid in advance"}
    person.do("m3ter", "create_balance_transaction", balance_id, **credit)
    assert "1,234.50 USD" in person.read("m3ter")
    box.m3ter.submit_usage("acme", "api_calls", JAN_5, {"calls": 1000})
    person.do("m3ter", "move_time", to="2026-02-01")
    person.do("m3ter", "create_bill_job", billDate="2026-02-01")
    page = person.read("m3ter")
    assert "BALANCE_CONSUMED" in page
    assert "1,224.50 USD" in page
    assert "amount" in person.error("m3ter", "create_balance_transaction", balance_id, **{"amount:number": "x"})


def test_what_makes_itself_of_a_balance_and_what_is_put_on_a_bill_by_hand_is_shown(
    person: Person, box: Sandbox, metered: dict[str, str]
):
    org, end = box.m3ter, datetime(2026, 6, 1, tzinfo=UTC)
    balance_id = org.create_balance(metered["account"], "prepaid", JAN, end)["id"]
    type_id = org.create_transaction_type("TOP_UP")["id"]
    org.create_transaction_schedule(balance_id, "monthly-credit", "12.50", type_id, JAN, end)
    org.create_charge_schedule(balance_id, "monthly-fee", "7.25", JAN, end)
    page = person.read("m3ter")
    assert "2 schedules" in page
    assert row_of(page, "monthly-credit", "credits") == [
        "monthly-credit",
        "credits",
        "2026-01-01 00:00",
        "2026-06-01 00:00",
        "1 MONTHLY",
        "12.50 USD",
        "2026-02-01 00:00",
    ]
    assert row_of(page, "monthly-fee", "charges")[5] == "7.25 USD"
    box.advance(to=datetime(2026, 2, 1, tzinfo=UTC))
    bill_id = org.run_bill_job([metered["account"]], "2026-02-01")["billIds"][0]
    org.add_credit_line(bill_id, "1.50", "Sorry")
    org.add_debit_line(bill_id, "2.50", "Extra")
    page = person.read("m3ter")
    assert row_of(page, "BALANCE_FEE", "BALANCE, by schedule")[5] == "7.25 USD"
    assert row_of(page, "Sorry", "credit")[4] == "1.50 USD"
    assert row_of(page, "Extra", "debit")[4] == "2.50 USD"


def test_faults_are_ordered_and_calls_shown_by_hand(person: Person, box: Sandbox, chargebee_http: Any):
    person.do(
        "sandbox",
        "order_fault",
        **{"call": "chargebee list_customers", "kind": "status", "count:number": "2", "status:number": "503"},
    )
    assert row_of(person.read("sandbox"), "list_customers")[:3] == ["chargebee: list_customers", "status", "2"]
    chargebee_http.get("customers", query_string={"limit": "5"})
    assert row_of(person.read("sandbox"), "GET") == [
        "chargebee: list_customers",
        "GET /chargebee/api/v2/customers?limit=5",
        "503",
        "status",
        "",
    ]
    for operation in ("clear_faults", "clear_calls"):
        person.do("sandbox", operation)
    assert (box.faults.orders, box.calls) == ([], [])
    person.do("sandbox", "move_time", days="1")
    assert box.clock.now() == datetime(2026, 1, 2, tzinfo=UTC)


def row_of(page: str, *words: str) -> list[str]:
    """The cells of the first row of a table in which cells begin or end with these words."""
    for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL):
        cells = [unescape(re.sub(r"<[^>]+>", "", cell)).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)]
        if all(any(cell.startswith(word) or cell.endswith(word) for cell in cells) for word in words):
            return cells
    raise AssertionError(f"no row shows {words}")


def test_a_form_leads_back_to_its_place(person: Person):
    answer = person.post("chargebee", "create_customer", **{"id": "acme", ":back": "customers"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/chargebee/#customers")
    answer = person.post("chargebee", "create_customer", **{"id": "b", ":back": "/\r\n//elsewhere.test"})
    assert answer.headers["Location"] == "/chargebee/"


@pytest.mark.parametrize(
    ("words", "fields", "complaint"),
    [
        pytest.param(("chargebee", "create_subscription", "nobody"), {}, "subscription_items", id="what is missing"),
        pytest.param(("chargebee", "close_invoice", "nothing"), {}, "nothing not found", id="what is not there"),
        pytest.param(("chargebee", "list_customers"), {}, "no operation", id="what changes nothing"),
        pytest.param(("chargebee", "burn"), {}, "no operation", id="what is no operation"),
        pytest.param(("sandbox", "create_account"), {}, "no operation", id="what is no operation of the sandbox"),
        pytest.param(("sandbox", "order_fault"), {"call": "x y"}, "no provider", id="a fault of nobody"),
        pytest.param(("chargebee", "move_time"), {"days": "-1"}, "only moves forward", id="back in time"),
        pytest.param(("chargebee", "move_time"), {"days": "x"}, "invalid literal", id="no number"),
        pytest.param(("m3ter", "approve_bills"), {"billIds:list": "nothing"}, "not found", id="no bill"),
        pytest.param(("m3ter", "get_bill"), {}, "no operation", id="what changes nothing in m3ter"),
        pytest.param(("m3ter", "new_plan"), {"code": "", "standingCharge:number": "NaN"}, "code", id="no plan"),
    ],
)
def test_what_the_provider_says_against_it_is_shown(words: Any, fields: Any, complaint: str, person: Person):
    assert complaint in person.error(*words, **fields)


def test_names_are_shown_as_text(person: Person, shop: Sandbox, metered: dict[str, str]):
    shop.chargebee.create_customer("evil", first_name=CANARY, company=CANARY, email=CANARY)
    shop.chargebee.update_item_price("pro-USD", name=CANARY, external_name=CANARY)
    shop.chargebee.create_subscription("evil", ["pro-USD"], id=CANARY)
    shop.m3ter.create_account("evil", name=CANARY)
    shop.m3ter.create_plan(metered["template"], "evil", name=CANARY)
    shop.m3ter.run_bill_job([metered["account"]], "2026-02-01")
    shop.m3ter.add_line(next(iter(shop.m3ter.bills)), description=CANARY, subtotal=1)
    person.client.get("/chargebee/api/v2/customers", query_string={"limit": CANARY})
    person.client.get(f"/m3ter/{SCRIPT}")
    for provider in PAGES:
        page = person.read(provider)
        assert "&lt;script&gt;" in page
        assert "<script" not in page
    assert "<script" not in person.post("chargebee", "create_customer", id=CANARY, email=SCRIPT).text
    assert "<script" not in person.error("chargebee", SCRIPT.replace("/", ""))


@pytest.mark.parametrize("path", ["/chargebee/", "/m3ter/", "/sandbox/", "/console.css"])
def test_nothing_but_our_own_style_is_loaded(path: str, person: Person):
    answer = person.client.get(path)
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"https?://|\son\w+=|<script|style=", answer.text)


def test_a_form_on_another_site_does_nothing(person: Person, box: Sandbox):
    headers = {"Sec-Fetch-Site": "cross-site"}
    answer = person.client.post("/chargebee/console/create_customer", data={"id": "acme"}, headers=headers)
    assert (answer.status_code, box.chargebee.customers) == (403, {})


def test_reading_changes_nothing_and_is_no_call_of_the_api(person: Person, box: Sandbox):
    before = box.summary()
    for provider in PAGES:
        person.read(provider)
    box.faults.order("chargebee", "*", "status", status=500)
    person.do("chargebee", "create_customer", id="acme")
    assert (box.calls, before["calls"]) == ([], 0)


def test_a_form_cannot_be_sent_by_following_a_link(person: Person, box: Sandbox):
    assert person.client.get("/chargebee/console/create_customer?id=acme").status_code == 404
    assert box.chargebee.customers == {}


def test_a_long_list_is_cut(person: Person, box: Sandbox):
    for number in range(150):
        box.chargebee.create_customer(f"customer-{number}")
    page = person.read("chargebee")
    assert "customer-149" in page
    assert "customer-12<" not in page


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (minor(123_456, "USD"), "1,234.56 USD"),
        (minor(-5, "EUR"), "-0.05 EUR"),
        (minor(500, "JPY"), "500 JPY"),
        (minor(None, "USD"), ""),
        (plain(Decimal("1234.000050"), "USD"), "1,234.000050 USD"),
        (plain(Decimal("0E-18")), "0.000000000000000000"),
        (plain(None, "USD"), ""),
        (moment(0), "1970-01-01 00:00"),
        (moment("2026-01-01T01:30:00+01:00"), "2026-01-01 00:30"),
        (moment(datetime(2026, 1, 1, tzinfo=UTC)), "2026-01-01 00:00"),
        (moment(None), ""),
    ],
)
def test_amounts_and_times_are_shown_as_people_read_them(shown: str, text: str):
    assert shown == text


OPERATIONS = sorted(
    {("chargebee", name) for name in chargebee.ROUTES} | {("m3ter", name) for name in m3ter.ROUTES} | set(MORE)
)
TYPES = st.sampled_from(["", ":number", ":epoch", ":instant", ":list", ":x"])
NAMES = st.sampled_from(
    ["code", "name", "amount", "accountId", "accountIds", "billIds", "billDate", "startDate", "endDate", "id", "price"]
) | st.sampled_from(["item_id", "cancel_at", "status", "a[b", "subscription_items[item_price_id][0]", "currency"])
VALUES = st.one_of(
    st.text(max_size=10), st.sampled_from(["acme", "sub", "pro-USD", "1", "-1", "1e400", "NaN", "2026-02-01", "9" * 30])
)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    operation=st.sampled_from(OPERATIONS),
    resource_id=VALUES,
    fields=st.dictionaries(st.tuples(NAMES, TYPES).map("".join), VALUES, max_size=5),
    days=st.sampled_from(["", "0", "31", "x", "-1", "1e3"]),
)
def test_a_form_may_hold_anything(operation: tuple[str, str], resource_id: str, fields: Any, days: str):
    box = Sandbox()
    box.chargebee.create_item("pro", "plan")
    box.chargebee.create_item_price("pro-USD", "pro", 100)
    box.chargebee.create_customer("acme")
    box.chargebee.create_subscription("acme", ["pro-USD"], id="sub")
    account = box.m3ter.create_account("acme")["id"]
    person = Person(box)
    chosen = account if operation[0] == "m3ter" and resource_id == "acme" else resource_id
    answer = person.post(*operation, chosen, **{**fields, "days": days})
    assert answer.status_code in (303, 400)
    for provider in PAGES:
        person.read(provider)


@pytest.mark.parametrize(("currency", "shown"), [("KWD", "10.50 KWD"), ("USD", "10.50 USD"), ("JPY", "1,050 JPY")])
def test_an_amount_is_shown_by_chargebees_own_decimals(currency, shown):
    assert minor(1050, currency) == shown

"""The story of one customer, step by step: each step acts as a person would, waits, and checks what it then finds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from connector.demo.stage import Failed, Stage

CUSTOMER, SUBSCRIPTION = "acme", "acme-main"
PRO, SCALE, UNMAPPED = "pro-USD-monthly", "scale-USD-monthly", "beta-USD-monthly"
CHARGE = "m3ter-usage-USD"
CALLS_AS_PRO, CALLS_AS_SCALE = 12_346, 40_050
# On paper: 12,346 calls at 0.0125 and 40,050 at 0.0099. Rounded one by one they would be a cent more than the bill.
AS_PRO, AS_SCALE = Decimal("154.325"), Decimal("396.495")
TOTAL = Decimal("550.82")


@dataclass
class Step:
    """One thing that happened, and what it shows."""

    title: str
    says: list[str] = field(default_factory=list)


@dataclass
class Story:
    """What the steps have to know of each other."""

    stage: Stage
    month: datetime
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def middle(self) -> datetime:
        """When the customer upgrades."""
        return self.month + timedelta(days=14)

    @property
    def renewal(self) -> datetime:
        """When the next term starts."""
        return (self.month + timedelta(days=32)).replace(day=1)


def first_month(now: datetime) -> datetime:
    """The start of the story: months ago, so that even its end lies in the past."""
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for _ in range(3):
        month = (month - timedelta(days=1)).replace(day=1)
    return month


def tell(story: Story) -> Iterator[Step]:
    """The steps in order; raises Failed at the first that is not as it should be."""
    for title, act in STEPS:
        step = Step(title)
        act(story, step)
        yield step


def mapping_is_set_up(story: Story, step: Step) -> None:
    """Both catalogues get their prices, and a person says which stands for which."""
    stage = story.stage
    stage.chargebee("item_families", {"id": "saas", "name": "SaaS"})
    for item, kind, price in (
        ("pro", "plan", PRO),
        ("scale", "plan", SCALE),
        ("beta", "plan", UNMAPPED),
        ("usage", "charge", CHARGE),
    ):
        stage.chargebee("items", {"id": item, "name": item.title(), "type": kind, "item_family_id": "saas"})
        form: dict[str, Any] = {
            "id": price,
            "name": price,
            "item_id": item,
            "currency_code": "USD",
            "pricing_model": "flat_fee",
        }
        form |= {"price": 0} if kind == "charge" else {"price": 9900, "period": 1, "period_unit": "month"}
        stage.chargebee("item_prices", form)
    ids = story.ids
    ids["product"] = stage.m3ter("POST", "products", {"name": "API", "code": "api"})["id"]
    field_of_calls = {"code": "calls", "name": "Calls", "category": "MEASURE", "unit": "calls"}
    meter = {
        "name": "API calls",
        "code": "api_calls",
        "productId": ids["product"],
        "dataFields": [field_of_calls],
        "derivedFields": [],
    }
    ids["meter"] = stage.m3ter("POST", "meters", meter)["id"]
    aggregation = {
        "name": "Calls", "code": "calls", "meterId": ids["meter"], "targetField": "calls", "aggregation": "SUM",
        "rounding": "NONE", "quantityPerUnit": 1, "unit": "calls",
    }  # fmt: skip
    ids["aggregation"] = stage.m3ter("POST", "aggregations", aggregation)["id"]
    template = {
        "productId": ids["product"], "name": "Monthly USD", "code": "monthly-usd", "currency": "USD",
        "standingCharge": 0, "billFrequency": "MONTHLY",
    }  # fmt: skip
    ids["template"] = stage.m3ter("POST", "plantemplates", template)["id"]
    for code, unit_price in (("pro", Decimal("0.0125")), ("scale", Decimal("0.0099")), ("beta", Decimal("0.02"))):
        plan = stage.m3ter("POST", "plans", {"planTemplateId": ids["template"], "name": code.title(), "code": code})
        ids[f"plan {code}"] = plan["id"]
        bands = [{"lowerLimit": 0, "fixedPrice": 0, "unitPrice": unit_price}]
        pricing = {
            "planId": plan["id"],
            "aggregationId": ids["aggregation"],
            "startDate": "2020-01-01T00:00:00Z",
            "pricingBands": bands,
        }
        stage.m3ter("POST", "pricings", pricing)
    file = stage.folder / "mappings.csv"
    file.write_text(
        "m3ter_entity,m3ter_id,external_table,external_id,currency\n"
        f"Plan,{ids['plan pro']},ItemPrice,{PRO},\n"
        f"Plan,{ids['plan scale']},ItemPrice,{SCALE},\n"
        f"Aggregation,{ids['aggregation']},ItemPrice,{CHARGE},USD\n",
        encoding="utf-8",
    )
    expect("mappings set up", stage.command("mappings", "import", str(file)).get("mapped"), 3)
    step.says += [
        f"Chargebee {PRO} → m3ter plan Pro",
        f"Chargebee {SCALE} → m3ter plan Scale",
        f"m3ter usage → Chargebee charge {CHARGE}",
    ]


def customer_signs_up(story: Story, step: Step) -> None:
    """A new subscription in Chargebee becomes an account and an account plan in m3ter."""
    stage = story.stage
    stage.chargebee(
        "customers", {"id": CUSTOMER, "company": "Acme Ltd", "email": "ap@acme.test", "preferred_currency_code": "USD"}
    )
    subscribe(story, CUSTOMER, SUBSCRIPTION, PRO)
    account = stage.wait_for("the account", lambda: account_of(story, CUSTOMER))
    [plan] = stage.wait_for("the account plan", lambda: plans_of(story, account["id"]))
    story.ids["account"] = account["id"]
    expect("account name", account["name"], "Acme Ltd")
    expect("plan", plan["planId"], story.ids["plan pro"])
    expect("plan start", moment(plan["startDate"]), story.month)
    mapped = stage.wait_for("the mapping", lambda: mappings_of(story, "AccountPlan", plan["id"]))
    expect("mapping", mapped[0]["externalId"], f"{SUBSCRIPTION} - {PRO}")
    step.says += [
        f"account {account['code']} ({account['name']})",
        f"account plan Pro from {day(plan['startDate'])}, open end",
    ]


def customer_upgrades(story: Story, step: Step) -> None:
    """A change ends the old plan and starts the new one at the same moment."""
    stage = story.stage
    stage.move_time_to(story.middle)
    items = {"subscription_items[item_price_id][0]": SCALE, "subscription_items[quantity][0]": 1}
    stage.chargebee(f"subscriptions/{SUBSCRIPTION}/update_for_items", items)
    old, new = stage.wait_for("the second plan", lambda: at_least(2, plans_of(story, story.ids["account"])))
    expect("plans", [old["planId"], new["planId"]], [story.ids["plan pro"], story.ids["plan scale"]])
    expect("the old plan's end", old.get("endDate"), new["startDate"])
    expect("the new plan's start", moment(new["startDate"]).date(), story.middle.date())
    step.says += [f"Pro ended {day(old['endDate'])}", f"Scale from {day(new['startDate'])}, not a second between"]


def month_is_used(story: Story, step: Step) -> None:
    """Usage is sent to m3ter under the account's code."""
    for uid, day_of_use, calls in (("u-1", 5, CALLS_AS_PRO), ("u-2", 20, CALLS_AS_SCALE)):
        used_at = story.month + timedelta(days=day_of_use)
        one = {
            "uid": uid,
            "meter": "api_calls",
            "account": CUSTOMER,
            "ts": used_at.isoformat(),
            "measure": {"calls": calls},
        }
        story.stage.m3ter("POST", "measurements", {"measurements": [one]})
    step.says += [f"{CALLS_AS_PRO:,} calls as Pro", f"{CALLS_AS_SCALE:,} calls as Scale"]


def term_renews(story: Story, step: Step) -> None:
    """Chargebee opens a pending invoice at renewal; the connector has nothing to change in m3ter."""
    stage = story.stage
    stage.move_time_to(story.renewal + timedelta(minutes=5))
    [invoice] = stage.wait_for("the pending invoice", lambda: pending_invoices(story))
    story.ids["invoice"] = invoice["id"]
    expect("lines on the new invoice", [line["entity_id"] for line in invoice["line_items"]], [SCALE])
    step.says += [f"pending invoice {invoice['id']} of {money(invoice['total'])} USD for the next term's plan"]


def bill_is_approved(story: Story, step: Step) -> None:
    """A finance person runs the bill in m3ter and approves it."""
    stage = story.stage
    job = {"accountIds": [story.ids["account"]], "billDate": story.renewal.date().isoformat()}
    stage.m3ter("POST", "billjobs", job)
    [bill] = stage.wait_for(
        "the bill", lambda: stage.m3ter("GET", "bills", accountId=story.ids["account"], includeBillTotal="true")["data"]
    )
    story.ids["bill"] = bill["id"]
    expect("status before approval", bill["status"], "PENDING")
    stage.m3ter("PUT", f"bills/{bill['id']}/status", {"status": "APPROVED"})
    step.says += [f"bill {bill['id']} calculated, then approved"]


def lines_reach_the_invoice(story: Story, step: Step) -> None:
    """Each bill line is on the pending invoice once, and they add up to the bill to the cent."""
    stage = story.stage
    receipt = stage.wait_for("the receipt", lambda: stage.command("bills", "show", story.ids["bill"]).get("receipt"))
    [invoice] = pending_invoices(story)
    added = [line for line in invoice["line_items"] if line["entity_id"] == CHARGE]
    expect("lines added", len(added), 2)
    expect("sum of the lines", sum((money(line["amount"]) for line in added), Decimal(0)), TOTAL)
    expect(
        "receipt",
        (receipt["bill_total"], receipt["invoice_total_added"], receipt["equal"]),
        (str(TOTAL), str(TOTAL), True),
    )
    expect("exact total", Decimal(receipt["bill_total_exact"]), AS_PRO + AS_SCALE)
    for line in receipt["lines"]:
        [charge] = line["charges"]
        step.says.append(
            f"{line['description']}: exactly {line['exact']} → {charge['amount']} USD as {charge['chargebee_line_id']}"
        )
    step.says.append(
        f"bill {receipt['bill_total']} USD = added {receipt['invoice_total_added']} USD, receipt {receipt['sha256'][:12]}"
    )


def approval_repeats(story: Story, step: Step) -> None:
    """The same push again adds nothing."""
    before = len(pending_invoices(story)[0]["line_items"])
    pushed = story.stage.command("bills", "push", story.ids["bill"], "--yes")
    expect("status of the second push", pushed.get("status"), "succeeded")
    expect("lines after the second push", len(pending_invoices(story)[0]["line_items"]), before)
    step.says += ["pushed once more by hand: nothing was added"]


def customer_cancels(story: Story, step: Step) -> None:
    """A cancellation ends the account plan at Chargebee's moment."""
    stage = story.stage
    stage.chargebee(f"subscriptions/{SUBSCRIPTION}/cancel_for_items", {"end_of_term": "false"})
    cancelled_at = stage.chargebee(f"subscriptions/{SUBSCRIPTION}")["subscription"]["cancelled_at"]
    plan = stage.wait_for(
        "the plan's end",
        lambda: next((p for p in plans_of(story, story.ids["account"])[-1:] if p.get("endDate")), None),
    )
    expect("the plan's end", int(moment(plan["endDate"]).timestamp()), cancelled_at)
    step.says += [f"Scale ended {plan['endDate']}, as Chargebee says"]


def price_nobody_mapped(story: Story, step: Step) -> None:
    """What cannot be done is parked with its reason and its next step, and goes on once that is done."""
    stage = story.stage
    stage.chargebee(
        "customers", {"id": "beta", "company": "Beta GmbH", "email": "ap@beta.test", "preferred_currency_code": "USD"}
    )
    subscribe(story, "beta", "beta-main", UNMAPPED)
    parked = stage.wait_for("the parked sync", lambda: stage.command("syncs", "list", "--status", "parked")["syncs"])
    expect("parked syncs", [(one["subject"], one["cause"]) for one in parked], [("beta-main", "unmapped_item_price")])
    step.says += [f"parked: {parked[0]['text']}", f"next step: {parked[0]['next_step'].split(',')[0]}"]
    mapped = stage.command("mappings", "add", "Plan", story.ids["plan beta"], "ItemPrice", UNMAPPED)
    expect("syncs that went on", mapped.get("woken"), [parked[0]["id"]])
    account = stage.wait_for("beta's account", lambda: account_of(story, "beta"))
    [plan] = stage.wait_for("beta's plan", lambda: plans_of(story, account["id"]))
    expect("beta's plan", plan["planId"], story.ids["plan beta"])
    done = stage.wait_for(
        "the end of the sync",
        lambda: [
            one
            for one in stage.command("syncs", "list", "--status", "succeeded")["syncs"]
            if one["id"] == parked[0]["id"]
        ],
    )
    expect("tries", done[0]["runs"], 2)
    step.says += ["mapped: the sync ran again by itself and succeeded"]


STEPS: tuple[tuple[str, Callable[[Story, Step], None]], ...] = (
    ("The mapping is set up", mapping_is_set_up),
    ("Acme signs up in Chargebee", customer_signs_up),
    ("Acme upgrades in the middle of the month", customer_upgrades),
    ("A month of usage reaches m3ter", month_is_used),
    ("The term renews: Chargebee opens a pending invoice", term_renews),
    ("The bill is run and approved in m3ter", bill_is_approved),
    ("The bill's lines are on the invoice, to the cent", lines_reach_the_invoice),
    ("The same approval again adds nothing", approval_repeats),
    ("Acme cancels", customer_cancels),
    ("An item price nobody mapped is parked, mapped, and done", price_nobody_mapped),
)


def subscribe(story: Story, customer_id: str, subscription_id: str, item_price_id: str) -> None:
    """A new subscription whose renewal invoices wait for usage."""
    form = {
        "id": subscription_id, "create_pending_invoices": "true",
        "subscription_items[item_price_id][0]": item_price_id, "subscription_items[quantity][0]": 1,
    }  # fmt: skip
    story.stage.chargebee(f"customers/{customer_id}/subscription_for_items", form)


def account_of(story: Story, customer_id: str) -> dict[str, Any] | None:
    """m3ter's account for the customer."""
    found: list[dict[str, Any]] = story.stage.m3ter("GET", "accounts", codes=customer_id)["data"]
    return found[0] if found else None


def plans_of(story: Story, account_id: str) -> list[dict[str, Any]]:
    """m3ter's account plans of the account, oldest first."""
    found = story.stage.m3ter("GET", "accountplans", account=account_id, includeall="true")["data"]
    return sorted(found, key=lambda plan: str(plan["startDate"]))


def mappings_of(story: Story, entity: str, m3ter_id: str) -> list[dict[str, Any]]:
    """m3ter's External Mappings of the entity."""
    found: list[dict[str, Any]] = story.stage.m3ter("GET", f"externalmappings/external/{entity}/{m3ter_id}")["data"]
    return found


def pending_invoices(story: Story) -> list[dict[str, Any]]:
    """Chargebee's pending invoices of Acme's subscription."""
    query = {"subscription_id[is]": SUBSCRIPTION, "status[is]": "pending"}
    return [row["invoice"] for row in story.stage.chargebee("invoices", query=query)["list"]]


def at_least(count: int, found: list[Any]) -> list[Any] | None:
    """The list once it is long enough."""
    return found if len(found) >= count else None


def expect(what: str, found: Any, wanted: Any) -> None:
    """Raise Failed unless the two are equal."""
    if found != wanted:
        raise Failed(f"{what}: {found!r}, should be {wanted!r}")


def moment(text: str) -> datetime:
    """An ISO 8601 time."""
    return datetime.fromisoformat(text)


def day(text: str) -> str:
    """The time as a person reads it."""
    return f"{moment(text):%Y-%m-%d %H:%M}"


def money(minor: int) -> Decimal:
    """US cents as dollars."""
    return Decimal(minor).scaleb(-2)

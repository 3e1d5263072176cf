"""One world with a bit of everything that the console can show, and the address of every page in it.

Whatever a new page is about is made in `furnish`, and the parameter of its route gets a line in `Furnished.parameters`.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import update

from connector import audit, inbox, pauses, tokens
from connector.access import ADMIN, OPERATOR, ROLES, VIEWER
from connector.alerts import watching as alerts
from connector.balances import watches, watching
from connector.bills import closing
from connector.mappings.files import COLUMNS
from connector.models import InboxEvent, Sync
from connector.web.console.routes import BY_ENDPOINT, ROUTES, Route
from tests.flows.browser import Browser, add_user, hidden
from tests.flows.conftest import FEE_PRICE, START, UNMAPPED, World

PEOPLE = {"vera": VIEWER, "otto": OPERATOR, "ada": ADMIN}
PERSON_OF = {role: name for name, role in PEOPLE.items()}

YEAR_END = datetime(2027, 1, 1, tzinfo=UTC)
CANARY = "<script>alert('canary')</script>"
# Names as customers have them: a long one without a place to break, one that is read from the right, and small pictures.
LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
NAMES = {
    "long": f"{LONG} mbH & Co. KGaA",
    "rtl": "شركة الاختبار المحدودة",
    "emoji": "Rocket 🚀 & 👩‍💻 Söhne",
    "odd": CANARY,
}
# More than a page, where a page has so many rows.
MANY, PAGE_ROWS = 15, 10


@dataclass(frozen=True)
class Form:
    """A form whose answer is a page: what it would do, or what is wrong with it. Its page, and what somebody writes."""

    name: str
    path: str
    fields: dict[str, str]


@dataclass(frozen=True)
class Furnished:
    """The world, and what its pages are about."""

    world: World
    parameters: dict[str, str]
    bills: dict[str, str]

    def address(self, route: Route) -> str:
        """The address of the route, about the things of this world that have the most to show."""
        whole = OTHERS.get(route.endpoint, route.path)
        for where, value in self.parameters.items():
            whole = re.sub(where, value, whole)
        assert "<" not in whole, f"no value for {whole} ({route.endpoint}): give it one in tests/browser/seed.py"
        return whole

    def pages(self, role: str = ADMIN) -> Iterator[tuple[str, str]]:
        """Name and address of every page that somebody of this role can look at."""
        for route in ROUTES:
            if route.method == "GET" and route.role is not None and ROLES.index(route.role) <= ROLES.index(role):
                yield route.endpoint, self.address(route)
        yield from self._more()
        if role != VIEWER:
            yield "charge-gone", f"/balances/default/charges/{self.parameters['<gone>']}/delete"

    def forms(self) -> Iterator[Form]:
        """One for each template that only an answer to a form has, and for each that looks different then."""
        top_up, watch, charge = (self.address(BY_ENDPOINT[one]) for one in ("new_top_up", "watch", "update_charge"))
        rows = f"Plan,{self.world.ids['beta']},ItemPrice,{UNMAPPED},,,{{}},"
        yield Form("top-up-wrong", top_up, {"credit": "a lot", "price": "-1", "applied": LONG})
        yield Form("top-up-asked", top_up, {"credit": "200", "reference": "PO-99", "description": LONG})
        yield Form("watch-asked", watch, {"threshold": "1500"})
        yield Form("charge-changed", charge, {"name": f"{CANARY} {LONG}"})
        yield Form("bill-job-asked", "/balances/default/bill-jobs/new", {"accounts": "acme", "bill_date": "2026-02-05"})
        for name, day in (("wrong", LONG), ("asked", "2026-03-01")):
            text = "\n".join((",".join(COLUMNS), rows.format(day), ""))
            yield Form(f"mappings-{name}", "/mappings/default/import", {"text": text})
        yield Form("found-by-name", "/customers", {"q": "ac"})
        yield Form("user-wrong", "/users/new", {"name": "Ada Lovelace", "own": "not my password"})

    def _more(self) -> Iterator[tuple[str, str]]:
        """Pages that look different when they are about something else."""
        yield "syncs-chosen", "/syncs?status=parked&kind=subscription&cause=unmapped_item_price"
        yield "syncs-none", "/syncs?about=nothing-like-this"
        yield "syncs-older", "/syncs?before=20"
        yield "events-ignored", "/events?status=ignored"
        yield "balances-of-one", "/balances?account=acme"
        yield "search-found", "/search?q=sub-emoji"
        yield "search-several", "/search?q=" + self.parameters[r"<(\w+:)?request_id>"]
        yield "bills-closing", "/bills?section=closing"
        yield "bill-unmapped", f"/bills/default/{self.bills['unmapped']}"
        yield "customer-odd", "/customers/default/odd"
        yield "unmapped-bill", f"/mappings/default/unmapped?sync={self.world.sync('bill', self.bills['unmapped']).id}"
        for kind, subject in (("customer", "acme"), ("customer", "long"), ("bill", self.bills["waiting"])):
            sync = self.world.sync(kind, subject)
            yield f"sync-{sync.kind}-{sync.status}-{subject[:4]}", f"/syncs/{sync.id}"
        yield "sync-bill-pushed", f"/syncs/{self.world.sync('bill', self.bills['pushed']).id}"


# Addresses of routes which, with the usual values, would have nothing to show.
OTHERS = {
    "confirm_retry_all": "/syncs/retry?cause=unmapped_item_price&status=parked",
    "confirm_resume_money": "/connections/other/money",
    "confirm_push": "/bills/default/<waiting_bill>/push",
}


def furnish(world: World) -> Furnished:
    """Fill the world, whose services have the connections `default` and `other`."""
    for name, role in PEOPLE.items():
        add_user(world.services, name, role)
    _sign_ups(world)
    bills = _bills(world)
    closing.watch(world.services)
    balances = _balances(world)
    _events(world)
    _many(world)
    _notes(world)
    world.box.advance(timedelta(minutes=7))
    alerts.look_closely(world.services)
    alerts.watch(world.services)
    for name, role in (
        ("nightly-report", VIEWER),
        ("of-a-script-with-a-long-name-that-is-run-each-night-by-the-finance-team", ADMIN),
    ):
        tokens.create(world.services, name, role, token=tokens.drawn(), who="web:ada")
    parked = world.sync("subscription", "sub-unmapped")
    [event] = [one for one in world.inbox() if one.event_id == "ev-failed"]
    common = {
        r"<(\w+:)?(name|connection)>": "default",
        r"<(\w+:)?sync_id>": str(parked.id),
        r"<(\w+:)?inbox_id>": str(event.id),
        r"<(\w+:)?(bill|bill_id)>": bills["pushed"],
        r"<(\w+:)?(quarantine_id|user_id)>": "1",
        r"<form>": "html",
        r"<waiting_bill>": bills["waiting"],
        r"<(\w+:)?(customer|customer_id)>": "acme",
    }
    return Furnished(world, balances | common, bills)


def _sign_ups(world: World) -> None:
    """Customers of every kind; one whose price nobody has mapped, with a few more of the same cause."""
    world.sign_up()
    for customer_id, name in NAMES.items():
        world.chargebee.create_customer(
            id=customer_id, company=name, first_name=name[:40], email=f"{customer_id}@example.test",
            preferred_currency_code="USD",
        )  # fmt: skip
        world.sign_up(customer_id, f"sub-{customer_id}")
    world.sign_up("unmapped", "sub-unmapped", items=(UNMAPPED,))
    world.sign_up("unmapped-2", "sub-unmapped-2", items=(UNMAPPED,))
    world.settle()


def _bills(world: World) -> dict[str, str]:
    """A bill that is pushed and has its receipt, one with a line that nobody has mapped, and one without its invoice."""
    world.renew()
    pushed = world.bill({"subtotal": "1234.56"}, {"subtotal": 20, "description": "Überschreitung 🚀"})
    world.poll()
    unmapped = world.bill({"aggregationId": None, "description": LONG}, customer_id="long")
    [invoice] = world.chargebee.pending_invoices("sub-emoji")
    world.chargebee.close_invoice(invoice["id"])
    waiting = world.bill(customer_id="emoji")
    world.poll()
    return {"pushed": pushed, "unmapped": unmapped, "waiting": waiting}


def _balances(world: World) -> dict[str, str]:
    """A year's prepaid balance with a crowded month, all that hangs on it, and what somebody has asked for."""
    m3ter, account = world.m3ter, world.m3ter.account_by_code("acme")["id"]
    kind = m3ter.create_transaction_type("top_up", name="Top-up")["id"]
    balance = m3ter.create_balance(account, "prepaid", START, YEAR_END, name="Prepaid 2026")["id"]
    for day, value in ((0, 1000), (14, -120), (16, -75), (18, 500), (19, -210), (20, -15), (21, 40), (22, -333)):
        at = (START + timedelta(days=day)).isoformat()
        m3ter.add_transaction(balance, value, description="by hand", appliedDate=at, transactionDate=at)
    empty = m3ter.create_balance(account, "empty", START, YEAR_END, name=NAMES["rtl"])["id"]
    m3ter.create_balance(
        m3ter.account_by_code("odd")["id"], "odd", START, YEAR_END, name=CANARY, description=f"{CANARY} {LONG}"
    )
    later = datetime(2026, 3, 1, tzinfo=UTC)
    charges = [
        m3ter.create_charge(account, f"fee-{day}", 12, f"2026-02-{day:02}", balance_id=balance, name=f"Fee {LONG}")[
            "id"
        ]
        for day in (3, 5, 7)
    ]
    credits = m3ter.create_transaction_schedule(balance, "monthly", 50, kind, later, YEAR_END)["id"]
    fees = m3ter.create_charge_schedule(balance, "fees", 45, later, YEAR_END, currency="EUR")["id"]
    [job] = [m3ter.run_bill_job(account_ids=[account], bill_date="2026-02-03")["id"]]
    here = f"/balances/default/{balance}"
    browser = Browser(world.services)
    browser.log_in(PERSON_OF[OPERATOR])
    _ask(browser, f"{here}/top-up", credit="200", price="190.50", currency="EUR", type=kind, reference="PO-77")
    world.work()
    world.box.faults.order("m3ter", "create_balance_transaction", "status", status=400)
    _ask(browser, f"{here}/transaction", amount="5", type=kind, reference="PO-78", description=CANARY)
    world.work()
    kept = set(m3ter.charges)
    _ask(browser, f"{here}/charge", name="Fee", currency="USD", amount="3", bill_date="2026-02-09", reference="PO-79")
    world.work()
    [gone] = set(m3ter.charges) - kept
    del m3ter.charges[gone]
    _ask(browser, f"{here}/watch", threshold="2000")
    watching.check(world.services)
    world.work()
    with world.services.reading() as db:
        assert watches.find(db, "default", balance) is not None
    return {
        r"/balance/<uuid:thing_id>": f"/balance/{empty}",
        r"/charges/<uuid:thing_id>": f"/charges/{charges[-1]}",
        r"/transaction-schedules/<uuid:thing_id>": f"/transaction-schedules/{credits}",
        r"/charge-schedules/<uuid:thing_id>": f"/charge-schedules/{fees}",
        r"<(\w+:)?balance_id>": balance,
        r"<(\w+:)?job_id>": job,
        r"<(\w+:)?request_id>": "3",
        "<gone>": gone,
    }


def _ask(browser: Browser, path: str, **fields: str) -> None:
    """Fill in a form, look at what it would do, and confirm."""
    page = browser.post(path, hidden(browser.get(path)) | fields)
    assert page.status_code == 200, page.text
    assert browser.post(path, hidden(page)).status_code == 303


def _events(world: World) -> None:
    """Events that were ignored, that failed, and that could not be read."""
    for event_id in ("ev-ignored", "ev-failed", f"ev {CANARY}"):
        body = {
            "id": event_id, "event_type": "coupon_created", "api_version": "v2", "occurred_at": 1769900000,
            "content": {"coupon": {"id": CANARY, "name": NAMES["rtl"], "note": LONG * 3}},
        }  # fmt: skip
        assert world.post("/webhooks/chargebee", json.dumps(body).encode()) == 204
    world.work()
    with world.services.transaction() as db:
        db.execute(
            update(InboxEvent)
            .where(InboxEvent.event_id == "ev-failed")
            .values(status="failed", reason="the payload has no customer; look at it and dispatch it once more")
        )
        inbox.quarantine(
            db, connection="default", source="chargebee", body=b'{"id": 1', reason="not JSON", now=world.services.now()
        )


def _many(world: World) -> None:
    """More than a page of syncs and of events."""
    now = world.services.now()
    with world.services.transaction() as db:
        for number in range(MANY):
            db.add(
                Sync(
                    connection="other" if number % 3 == 0 else "default", kind="customer", subject=f"c-{number:03}",
                    trigger="test", status="succeeded", next_attempt_at=now, created_at=now, updated_at=now,
                )
            )  # fmt: skip
            db.add(
                InboxEvent(
                    connection="default", source="m3ter", event_id=f"many-{number}", event_type="billing.bill.updated",
                    occurred_at=now, received_at=now, body=b"{}", sha256=f"{number:064}", status="done", handled_at=now,
                )
            )  # fmt: skip


def _notes(world: World) -> None:
    """What people did, and a connection whose bills stand still."""
    now = world.services.now()
    notes: list[tuple[str, dict[str, Any]]] = [
        ("mappings add", {"m3ter_id": "8e0c2f6a-2f0e-4b6c-9a5e-0d6f3c1f6b11", "external_id": UNMAPPED}),
        ("syncs skip", {"reason": f"{CANARY} {NAMES['rtl']}"}),
        ("console denied", {"needs": ADMIN}),
        ("mappings import", {"rows": 250, "file": f"{LONG}.csv"}),
    ]
    with world.services.transaction() as db:
        for number in range(MANY):
            action, detail = notes[number % len(notes)]
            audit.note(
                db,
                who="web:ada",
                action=action,
                connection="default",
                subject=f"{FEE_PRICE} {number}",
                now=now,
                **detail,
            )
        pauses._pause(db, "other", pauses.MONEY, "restored", "the database is older than Redis says", now, None)
        pauses.pause_by_hand(db, "other", pauses.ALL, "moving to another site (web:otto)", now)

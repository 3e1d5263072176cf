"""How fast the sandbox is on this machine, in this process, on one core: `make bench`. No test, since machines differ."""

# ruff: noqa: T201 - its figures are all it is for

import io
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from connector.sandbox import Sandbox
from connector.sandbox.chargebee.site import basic

CALLS = 2_000
WANTED_CALLS = 2_000
# Of the speed with one customer, with five hundred.
WANTED_RATIO = 0.7
WANTED_YEAR = 1.0
START = datetime(2026, 1, 1, tzinfo=UTC)


class Caller:
    """Calls the sandbox as a WSGI server would, with no client in between that takes time of its own."""

    def __init__(self, box: Sandbox) -> None:
        self._box = box
        self._chargebee = basic(box.chargebee.api_key, "")
        self._m3ter = f"Bearer {box.m3ter.issue_token()}"

    def chargebee(self, path: str, form: dict[str, str] | None = None) -> None:
        self._call(f"/chargebee/api/v2/{path}", self._chargebee, form)

    def m3ter(self, path: str) -> None:
        self._call(f"/m3ter/organizations/{self._box.m3ter.org_id}/{path}", self._m3ter, None)

    def _call(self, path: str, login: str, form: dict[str, str] | None) -> None:
        body = urlencode(form or {}).encode()
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET" if form is None else "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "127.0.0.1",
            "HTTP_AUTHORIZATION": login,
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        statuses: list[str] = []
        b"".join(self._box.app.wsgi_app(environ, lambda status, *_: statuses.append(status)))
        assert statuses[0].startswith("200"), statuses


def shop(subscriptions: int) -> tuple[Sandbox, str]:
    """A sandbox with so many customers on a monthly plan, and the id of the only m3ter account."""
    box = Sandbox(now=START)
    box.chargebee.create_item("pro")
    box.chargebee.create_item_price("pro-USD", "pro", 10_000)
    for number in range(subscriptions):
        box.chargebee.create_customer(f"customer-{number}")
        box.chargebee.create_subscription(f"customer-{number}", ["pro-USD"], id=f"sub-{number}")
    org = box.m3ter
    product, meter = org.create_product("api"), org.create_meter("api_calls", ["calls"])
    calls = org.create_aggregation(meter["id"], "calls", code="calls")
    template = org.create_plan_template(product["id"], standing_charge=10)
    plan = org.create_plan(template["id"], "pro")
    org.create_pricing(plan["id"], calls["id"], [(0, "0.002")])
    account = org.create_account("acme")
    org.create_account_plan(account["id"], plan["id"], START)
    return box, str(account["id"])


def per_second(call: Callable[[], object]) -> float:
    """How often a second, of the time that this process has the core to itself."""
    for _ in range(100):
        call()
    before = time.process_time()
    for _ in range(CALLS):
        call()
    return CALLS / (time.process_time() - before)


def simple_calls(subscriptions: int) -> dict[str, float]:
    """The simple calls, by what they do."""
    box, account_id = shop(subscriptions)
    caller = Caller(box)
    return {
        "chargebee: retrieve a customer": per_second(lambda: caller.chargebee("customers/customer-0")),
        "chargebee: retrieve a subscription": per_second(lambda: caller.chargebee("subscriptions/sub-0")),
        "chargebee: update a customer": per_second(
            lambda: caller.chargebee("customers/customer-0", {"company": "Acme"})
        ),
        "chargebee: update a subscription": per_second(
            lambda: caller.chargebee("subscriptions/sub-0/update_for_items", {"po_number": "7"})
        ),
        "m3ter: retrieve an account": per_second(lambda: caller.m3ter(f"accounts/{account_id}")),
        "m3ter: list account plans": per_second(lambda: caller.m3ter("accountplans")),
        "chargebee: create a comment": per_second(
            lambda: caller.chargebee("comments", {"entity_type": "customer", "entity_id": "customer-0", "notes": "."})
        ),
    }


def year(subscriptions: int) -> float:
    """The seconds that a year of so many customers takes, one of them with usage every day and a bill every month."""
    box, account_id = shop(subscriptions)
    before = time.process_time()
    while box.clock.now() < datetime(2027, 1, 1, tzinfo=UTC):
        box.m3ter.submit_usage("acme", "api_calls", box.clock.now(), {"calls": 100})
        box.advance(timedelta(days=1))
        if box.clock.now().day == 1:
            [bill_id] = box.m3ter.run_bill_job([account_id], box.clock.now().date())["billIds"]
            box.m3ter.approve(bill_id)
    assert len(box.m3ter.bills) == 12
    assert len(box.chargebee.invoices) == 13 * subscriptions
    return time.process_time() - before


def main() -> None:
    print(f"Simple calls a second; wanted: {WANTED_CALLS:,}, and with many customers {WANTED_RATIO} of that")
    few, many = simple_calls(1), simple_calls(500)
    print(f"{'':38}{'1 customer':>12}{'500':>10}{'ratio':>8}")
    for name, rate in few.items():
        print(f"  {name:36}{rate:12,.0f}{many[name]:10,.0f}{many[name] / rate:8.2f}")
    print(f"\nSeconds for a year; wanted: {WANTED_YEAR} for one customer")
    one, hundred = year(1), year(100)
    print(f"  1 customer {one:.2f}, 100 customers {hundred:.2f}, ratio {hundred / one:.1f}")
    ratio = min(many[name] / rate for name, rate in few.items())
    met = min(few.values()) >= WANTED_CALLS and ratio >= WANTED_RATIO and one < WANTED_YEAR
    print("\nAll as wanted." if met else "\nNot as wanted.")


if __name__ == "__main__":
    main()

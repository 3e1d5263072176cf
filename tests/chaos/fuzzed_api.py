"""Thousands of calls to the JSON API that nobody would write; `make fuzz-api` runs it.

Once with addresses of what is there, so that the calls get far, and once with any address at all. The same calls each time.
"""

import os

import pytest

from connector import tokens
from connector.access import ADMIN
from connector.throttle import Limit
from connector.web.app import create_app
from tests.flows import fuzzing
from tests.flows.conftest import UNMAPPED, World
from tests.flows.scripting import Desk, add_token

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "50"))


@pytest.mark.parametrize("anywhere", [False, True], ids=["where something is", "anywhere"])
def test_no_call_breaks_the_api(world: World, monkeypatch: pytest.MonkeyPatch, anywhere: bool) -> None:
    monkeypatch.setattr(tokens, "CALLS", Limit("token", 10**9, 60))
    monkeypatch.setattr(tokens, "WRONG", Limit("token address", 10**9, 60))
    desk = Desk(world)
    world.sign_up("beta", "sub-2", items=(UNMAPPED,))
    world.settle()
    world.renew()
    there = {
        "path.connection": "default", "path.balance_id": desk.balance, "path.bill_id": world.bill(),
        "path.sync_id": world.sync("subscription", "sub-2").id, "path.event_id": 1, "path.request_id": 1,
    }  # fmt: skip
    desk.ask(f"{desk.here}/transactions", amount="5", reference="a")
    fee = {"name": "Fee", "currency": "USD", "amount": "5"}
    desk.ask(f"{desk.here}/charges", **fee, reference="b")
    credit = {"amount": "5", "description": "Credit", "end": "2026-04-01T00:00:00Z"}
    desk.ask(f"{desk.here}/transaction-schedules", **credit, reference="c")
    world.work()
    [there["path.charge_id"]], [there["path.schedule_id"]] = world.m3ter.charges, world.m3ter.transaction_schedules
    made = list(world.m3ter.transactions)
    found, calls = fuzzing.faults(
        create_app(world.services), add_token(world.services, "fuzz", ADMIN), examples=EXAMPLES,
        address={} if anywhere else there,
    )  # fmt: skip
    print(f"{calls} calls")  # noqa: T201 - what the person who runs it wants to know
    assert found == [], "\n\n".join(found[:20])
    assert list(world.m3ter.transactions) == made

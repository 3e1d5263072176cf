"""Balance Billing by the JSON API: asked for, changed, ended, deleted and watched, each as it was shown."""

import json
from typing import Any

import pytest

from tests.flows.browser import entries
from tests.flows.conftest import World
from tests.flows.scripting import NOBODY, PREFIX, Desk

pytestmark = pytest.mark.alternate_databases


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


def test_top_up_is_shown_asked_for_and_made_once_whatever_the_day_of_the_repeat(desk: Desk) -> None:
    script, path = desk.script, f"{desk.here}/top-ups"
    order = {"credit": "100.00", "price": "90", "currency": "USD", "reference": "PO-1"}
    shown = script.post(path, 409, **order)["preview"]
    assert [(one["kind"], one["body"]["amount"]) for one in shown["would_send"]] == [
        ("charge", "90"), ("transaction", "100.00"),
    ]  # fmt: skip
    assert desk.requests() == []
    assert script.post(path, 409, **order | {"credit": "101"}, seen=shown["seen"])["code"] == "not_seen"
    answer = script.call("POST", path, order | {"seen": shown["seen"]})
    assert (answer.status_code, answer.json["is_new"]) == (201, True)
    where = answer.headers["Location"].removeprefix(PREFIX)
    assert script.get(where)["other_half"]["kind"] == "charge"
    desk.world.wait(days=2)
    repeated = desk.ask(path, **order)
    assert (repeated.status_code, repeated.json["is_new"]) == (200, False)
    desk.world.work()
    assert [one["amount"] for one in desk.world.m3ter.transactions.values()] == [100]
    assert [one["amount"] for one in desk.world.m3ter.charges.values()] == [90]
    assert script.get(desk.here)["stands"]["held"] == "100.00"
    [listed] = script.get("/connections/default/balances", account="acme")["balances"]
    assert (listed["code"], listed["customer_id"]) == ("prepaid", "acme")
    assert {one["status"] for one in script.get("/connections/default/balance-requests")["requests"]} == {"done"}
    other = script.call("POST", path, order | {"credit": "7"})
    assert script.post(path, 422, **order | {"credit": "7"}, seen=other.json["preview"]["seen"])["detail"].startswith(
        "PO-1"
    )


def test_idempotency_key_stands_in_for_the_reference(desk: Desk) -> None:
    path = f"{desk.here}/transactions"
    nameless = desk.script.post(path, 422, amount="-5")
    assert nameless["faults"][0]["where"] == "body.reference"

    def keyed(key: str, **body: Any) -> Any:
        return desk.script.call("POST", path, {"amount": "-5"} | body, headers={"Idempotency-Key": key})

    seen = keyed("run-7").json["preview"]["seen"]
    assert [keyed("run-7", seen=seen).status_code for _ in range(2)] == [201, 200]
    assert keyed("run-7", seen=seen, reference="run-8").status_code == 422
    assert keyed("not a key", seen=seen).status_code == 422
    desk.world.work()
    assert [one["amount"] for one in desk.world.m3ter.transactions.values()] == [-5]
    assert [one.made_by for one in desk.requests()] == ["api:the-operator"]


def test_charges_are_asked_for_on_a_balance_and_on_an_account(desk: Desk) -> None:
    fee = {"name": "Onboarding", "currency": "USD", "amount": "12.50", "end": "2026-02-01T00:00:00Z"}
    assert desk.ask(f"{desk.here}/charges", **fee, reference="fee-1").status_code == 201
    account = desk.ask("/connections/default/charges", **fee, reference="fee-2", account="acme", bill_date="2026-02-01")
    assert account.status_code == 201
    wrong = desk.script.post(f"{desk.here}/charges", 422, **fee | {"end": "2025-01-01T00:00:00Z"}, reference="fee-3")
    assert "service period" in wrong["detail"]
    desk.world.work()
    made = {one["code"]: (str(one["amount"]), one.get("entityType")) for one in desk.world.m3ter.charges.values()}
    assert made == {"fee-1": ("12.50", "BALANCE"), "fee-2": ("12.50", "AD_HOC")}


def test_what_never_reached_m3ter_is_withdrawn_and_what_did_is_not(desk: Desk) -> None:
    asked = desk.ask(f"{desk.here}/transactions", amount="5", reference="a").json["requests"][0]
    path = f"/connections/default/balance-requests/{asked['id']}/withdraw"
    for _ in range(2):
        assert desk.script.post(path, reason="typed wrong")["status"] == "withdrawn"
    desk.world.work()
    assert desk.world.m3ter.transactions == {}
    made = desk.ask(f"{desk.here}/transactions", amount="6", reference="b").json["requests"][0]
    desk.world.work()
    late = desk.script.post(path.replace(str(asked["id"]), str(made["id"])), 409, reason="too late")
    assert "done" in late["detail"]


def test_schedules_are_shown_with_what_they_would_make_asked_for_and_listed(desk: Desk) -> None:
    until = {"end": "2026-04-01T00:00:00Z", "start": "2026-02-01T00:00:00Z"}
    credit = {"amount": "50.00", "description": "Monthly credit", "reference": "m-1", **until}
    path = f"{desk.here}/transaction-schedules"
    shown = desk.script.post(path, 409, **credit)["preview"]
    assert [one["amount"] for one in shown["would_make"]["rows"]] == ["50.00", "50.00"]
    assert desk.requests() == []
    answers = [desk.script.call("POST", path, credit | {"seen": shown["seen"]}) for _ in range(2)]
    assert [one.status_code for one in answers] == [201, 200]
    fee = {"amount": "9.50", "currency": "USD", "description": "Monthly fee", "reference": "m-2", **until}
    assert desk.ask(f"{desk.here}/charge-schedules", **fee, in_arrears=True).status_code == 201
    debit = desk.script.post(path, 422, **credit | {"amount": "-1", "reference": "m-3"})
    assert "debits" in debit["detail"]
    desk.world.work()
    listed = desk.script.get(f"{desk.here}/schedules")["schedules"]
    assert [(one["kind"], one["code"], one["amount"], one["in_advance"]) for one in listed] == [
        ("transaction_schedule", "m-1", "50.00", None), ("charge_schedule", "m-2", "9.50", False),
    ]  # fmt: skip


def test_balance_is_watched_on_terms_that_can_be_and_no_more(desk: Desk) -> None:
    path, terms = f"{desk.here}/watch", {"threshold": "10", "credit": "50.00", "free": True}
    assert "needs a cap" in desk.script.post(path, 422, **terms)["detail"]
    shown = desk.script.post(path, 409, **terms, cap_number=2)["preview"]
    assert (shown["terms"]["credit"], shown["before"]) == ("50.00", None)
    assert desk.script.post(path, 409, **terms, cap_number=3, seen=shown["seen"])["code"] == "not_seen"
    listed = "/connections/default/watches"
    assert desk.script.get(listed)["watches"] == []
    for _ in range(2):
        desk.script.post(path, **terms, cap_number=2, seen=shown["seen"])
    [watch] = desk.script.get(listed)["watches"]
    assert (watch["balance_id"], watch["cap_number"], watch["made_by"]) == (desk.balance, 2, "api:the-operator")
    assert desk.script.get(listed, state="low")["watches"] == []
    assert desk.script.post(f"{path}/remove", reason="over")["balance_id"] == desk.balance
    desk.script.post(f"{path}/remove", 404, reason="over")
    assert desk.script.get(listed)["watches"] == []
    [entry] = entries(desk.world.services, "balances watches remove")
    assert entry.detail["reason"] == "over"


def test_bill_job_is_shown_started_once_and_followed_to_its_bill(desk: Desk) -> None:
    path = "/connections/default/bill-jobs"
    assert "which accounts" in desk.script.post(path, 422)["detail"]
    assert "nothing to do" in desk.script.post(path, 422, due=True)["detail"]
    fee = {"name": "Onboarding", "currency": "USD", "amount": "12.50", "end": "2026-02-01T00:00:00Z"}
    desk.ask(f"{desk.here}/charges", **fee, reference="fee-1")
    desk.world.work()
    shown = desk.script.post(path, 409, due=True)["preview"]
    assert shown["accounts"] == [{"account_id": desk.account, "customer_id": "acme"}]
    assert desk.script.get(path)["jobs"] == []
    asked = {"accounts": ["acme"], "seen": shown["seen"]}
    desk.world.m3ter.settings.bill_job_seconds = 60
    [started] = desk.script.post(path, **asked)["jobs"]
    assert desk.script.post(path, **asked)["jobs"] == [started]
    assert not desk.script.get(f"{path}/{started['id']}")["ended"]
    desk.world.wait(days=1)
    job = desk.script.get(f"{path}/{started['id']}")
    assert job["ended"]
    [line] = job["results"][0]["bills"][0]["lines"]
    assert (line["subtotal"], line["currency"], job["results"][0]["unbilled_charges"]) == ("12.50", "USD", [])
    assert desk.script.call("GET", f"{path}/{NOBODY}").status_code == 404


# What is changed


def test_change_is_shown_with_what_speaks_against_it_and_made_once(desk: Desk) -> None:
    script, m3ter = desk.script, desk.world.m3ter
    order = {"credit": "100.00", "price": "90", "currency": "USD", "reference": "PO-1"}
    desk.ask(f"{desk.here}/top-ups", **order)
    desk.world.work()
    [charge] = script.get("/connections/default/charges", account="acme")["charges"]
    assert script.get("/connections/default/charges", balance=desk.balance)["charges"] == [charge]
    path = f"/connections/default/charges/{charge['id']}"
    assert "at least one field" in script.post(f"{path}/update", 422)["detail"]
    both = {"notes": "x", "clear": ["notes"]}
    assert "at once" in script.post(f"{path}/update", 422, **both)["detail"]
    shown = script.post(f"{path}/update", 409, amount="80", clear=["notes"])["preview"]
    assert (shown["fields"], shown["before"]["amount"]) == ({"amount": "80", "notes": None}, "90")
    assert [one["code"] for one in shown["objections"]] == ["half_of_top_up"]
    meant = {"amount": "80", "clear": ["notes"], "seen": shown["seen"]}
    refused = script.post(f"{path}/update", 409, **meant)
    assert (refused["code"], refused["preview"]) == ("half_of_top_up", shown)
    assert "`despite`" in refused["next_step"]
    assert "--" not in refused["next_step"]
    assert script.post(f"{path}/update", 409, **meant | {"amount": "8"})["code"] == "not_seen"
    assert [one["amount"] for one in m3ter.charges.values()] == [90]
    changed = script.post(f"{path}/update", **meant, despite=["half_of_top_up"])
    assert (changed["changed"], changed["change"]["fields"]["amount"]) == (True, "80")
    assert not script.post(f"{path}/update", **meant)["changed"]
    assert [(one["amount"], one.get("notes")) for one in m3ter.charges.values()] == [(80, None)]
    why = {"reason": "agreed by phone", "despite": ["half_of_top_up"]}
    seen = script.post(f"{path}/delete", 409, **why)["preview"]["seen"]
    assert script.post(f"{path}/delete", **why, seen=seen)["changed"]
    assert m3ter.charges == {}
    script.post(f"{path}/delete", 404, **why, seen=seen)
    kept = entries(desk.world.services, "balances delete charge")
    assert [(one.actor, one.detail["outcome"]) for one in kept] == [
        ("api:the-operator", "asked"),
        ("api:the-operator", "done"),
    ]
    assert kept[0].detail["reason"] == "agreed by phone"
    found = script.get(f"{desk.here}/check")
    assert found["need_a_person"] == len([one for one in found["findings"] if one["needs_a_person"]]) >= 1


def test_deletion_of_what_others_have_deleted_is_noted_and_of_what_never_was_is_refused(desk: Desk) -> None:
    script, m3ter, fee = desk.script, desk.world.m3ter, {"name": "Fee", "currency": "USD", "amount": "5"}
    desk.ask(f"{desk.here}/charges", **fee, reference="fee-1")
    desk.world.work()
    [charge_id] = m3ter.charges
    m3ter.charges.clear()
    path = f"/connections/default/charges/{charge_id}"
    script.post(f"{path}/update", 404, amount="6")
    assert script.post(f"{path}/delete", reason="gone") == {"changed": False, "change": None}
    script.post(f"{path}/delete", 404, reason="gone")
    [entry] = entries(desk.world.services, "balances delete charge")
    assert entry.detail["outcome"] == "gone before"


def test_top_up_that_recurs_is_a_pair_and_each_half_is_changed_ended_and_deleted(desk: Desk) -> None:
    script, m3ter, path = desk.script, desk.world.m3ter, f"{desk.here}/top-up-schedules"
    order = {"credit": "50.00", "price": "45", "start": "2026-02-01T00:00:00Z", "end": "2026-05-01T00:00:00Z"}
    order["reference"] = "sub-7"
    assert "no price" in script.post(path, 422, **order, free=True)["detail"]
    shown = script.post(path, 409, **order)["preview"]
    made = shown["would_make"]
    assert [one["amount"] for one in made["credits"]["rows"]] == ["50.00"] * 3
    assert [one["amount"] for one in made["charges"]["rows"]] == ["45"] * 3
    assert not made["uneven"]
    assert [one["kind"] for one in shown["would_send"]] == ["charge_schedule", "transaction_schedule"]
    assert desk.requests() == []
    answers = [script.call("POST", path, order | {"seen": shown["seen"]}) for _ in range(2)]
    assert [(one.status_code, len(one.json["requests"])) for one in answers] == [(201, 2), (200, 2)]
    desk.world.work()
    credit, fee = script.get(f"{desk.here}/schedules")["schedules"]
    halves = {"transaction": (credit, m3ter.transaction_schedules), "charge": (fee, m3ter.charge_schedules)}
    assert [one["code"] for one in (credit, fee)] == ["sub-7"] * 2
    first = f"{desk.here}/charge-schedules/{fee['id']}/end"
    both = {"at": "2026-04-15T00:00:00Z", "both": True}
    seen = script.post(first, 409, **both)["preview"]
    assert (seen["objections"], seen["other_half"]["id"]) == ([], credit["id"])
    ended = script.post(first, **both, seen=seen["seen"])
    assert (ended["changed"], ended["change"]["other_half"]["fields"]) == (True, {"endDate": "2026-04-15T00:00:00Z"})
    assert not script.post(first, **both)["changed"]
    for _, there in halves.values():
        assert "2026-04-15" in json.dumps(list(there.values()), default=str)
    known = {"despite": ["half_of_top_up"]}
    for kind, (schedule, there) in halves.items():
        one = f"{desk.here}/{kind}-schedules/{schedule['id']}"
        for act, body, field in (
            ("update", {"amount": "40"}, "amount"), ("end", {"at": "2026-04-01T00:00:00Z"}, None),
        ):  # fmt: skip
            preview = script.post(f"{one}/{act}", 409, **body, **known)["preview"]
            assert field is None or preview["fields"][field] == "40"
            assert script.post(f"{one}/{act}", **body, **known, seen=preview["seen"])["changed"]
            assert not script.post(f"{one}/{act}", **body, **known)["changed"]
        [kept] = there.values()
        assert kept["amount"] == 40
        assert "2026-04-01" in json.dumps(kept, default=str)
        assert "give `at`" in script.post(f"{one}/end", 422, seen="0" * 64)["detail"]
        script.post(f"{desk.here}/{kind}-schedules/{NOBODY}/end", 404)
        why = {"reason": "over"} | known
        seen = script.post(f"{one}/delete", 409, **why)["preview"]["seen"]
        assert script.post(f"{one}/delete", **why, seen=seen)["changed"]
        assert there == {}


def test_script_is_told_which_half_has_ended_and_whether_the_same_can_work_later(desk: Desk) -> None:
    script, order = desk.script, {"credit": "50.00", "price": "45", "reference": "sub-7", "end": "2026-12-01T00:00:00Z"}
    desk.ask(f"{desk.here}/top-up-schedules", **order)
    desk.world.work()
    credit, fee = script.get(f"{desk.here}/schedules")["schedules"]
    path = f"{desk.here}/transaction-schedules/{credit['id']}/end"
    for day, fault, status in (
        ("2026-10-01", {"kind": "status", "status": 429, "count": 9}, 503),
        ("2026-09-01", {"kind": "status", "status": 400}, 409),
    ):
        body = {"at": f"{day}T00:00:00Z", "both": True}
        seen = script.post(path, 409, **body)["preview"]["seen"]
        desk.world.box.faults.order("m3ter", "update_charge_schedule", **fault)
        failed = script.post(path, status, **body, seen=seen)
        assert "transaction schedule sub-7 of 50.00 at a time has ended, charge schedule sub-7" in failed["detail"]
        desk.world.box.faults.orders.clear()
        left = script.post(path, 409, **body)["preview"]
        assert (left["fields"], left["other_half"]["id"]) == ({}, fee["id"])
        assert script.post(path, **body, seen=left["seen"])["changed"]
        [ended] = desk.world.m3ter.charge_schedules.values()
        assert ended["servicePeriodEndDate"] == f"{day}T00:00:00Z"


def test_balance_is_made_changed_and_deleted_and_its_bookings_are_listed(desk: Desk) -> None:
    script, m3ter, one = desk.script, desk.world.m3ter, "/connections/default"
    account = {"account": "acme", "currency": "USD", "end": "2027-01-01T00:00:00Z"}
    assert desk.ask(f"{one}/balances", **account, reference="second", overage_percent="5").status_code == 201
    desk.world.work()
    [made] = [row for row in script.get(f"{one}/balances", account="acme")["balances"] if row["code"] == "second"]
    path = f"{one}/balances/{made['id']}"
    shown = script.post(f"{path}/update", 409, name="Another", line_item_types=["MINIMUM_SPEND"])["preview"]
    assert shown["fields"] == {"name": "Another", "lineItemTypes": ["MINIMUM_SPEND"]}
    script.post(f"{path}/update", name="Another", line_item_types=["MINIMUM_SPEND"], seen=shown["seen"])
    assert m3ter.balances[made["id"]]["name"] == "Another"
    desk.ask(f"{path}/transactions", amount="5", reference="a")
    desk.world.work()
    [booked] = script.get(f"{path}/transactions")["transactions"]
    assert (booked["amount"], booked["reference"]) == ("5", "a")
    assert script.get(f"{path}/check")["findings"] == []
    seen = script.post(f"{path}/delete", 409, reason="typed wrong")["preview"]["seen"]
    assert script.post(f"{path}/delete", 409, reason="typed wrong", seen=seen)["code"] == "holds_credit"
    del m3ter.transactions[booked["id"]]
    seen = script.post(f"{path}/delete", 409, reason="typed wrong")["preview"]["seen"]
    assert script.post(f"{path}/delete", reason="typed wrong", seen=seen)["changed"]
    assert made["id"] not in m3ter.balances
    for wrong in ({}, {"account": "acme", "balance": made["id"]}):
        assert script.call("GET", f"{one}/charges", query_string=wrong).status_code == 422
    assert script.call("GET", f"{one}/charges?account=acme&bill_date=0").status_code == 422
    for is_new in (True, False):
        assert script.post(f"{one}/transaction-types", code="goodwill")["is_new"] == is_new
    listed = script.get(f"{one}/transaction-types")["transaction_types"]
    assert {row["code"] for row in listed} == {"top_up", "goodwill"}


def test_request_in_doubt_is_settled_by_a_word_that_is_kept(desk: Desk) -> None:
    asked = desk.ask(f"{desk.here}/transactions", amount="5", reference="a").json["requests"][0]
    path = f"/connections/default/balance-requests/{asked['id']}/accept"
    for _ in range(2):
        settled = desk.script.post(path, m3ter_id=NOBODY, reason="seen in m3ter")
        assert (settled["status"], settled["m3ter_id"], settled["found_by"]) == ("done", NOBODY, "by hand")
    assert "nothing to settle" in desk.script.post(path, 422, m3ter_id=desk.balance, reason="x")["detail"]
    desk.world.work()
    assert desk.world.m3ter.transactions == {}
    assert len(entries(desk.world.services, "balances accept")) == 1

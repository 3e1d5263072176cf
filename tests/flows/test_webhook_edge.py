"""The web edge: who may deliver, what is taken, what is refused, and that nothing acknowledged is lost."""

import base64
import gzip
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from connector import database, jobs
from connector.models import QuarantinedBody
from connector.services import Services
from connector.web.app import create_app
from tests.flows.conftest import LOGIN, World, signed

PATH = "/webhooks/chargebee"


def event(**difference: Any) -> bytes:
    made = {
        "id": "ev_1", "object": "event", "api_version": "v2", "event_type": "customer_created", "occurred_at": 1767225600,
        "content": {"customer": {"id": "c1", "email": "c1@example.test", "resource_version": 1767225600123, "deleted": False}},
    }  # fmt: skip
    return json.dumps(made | difference).encode()


def quarantined(world: World) -> list[str]:
    with world.services.reading() as db:
        return list(db.scalars(select(QuarantinedBody.reason).order_by(QuarantinedBody.id)))


def test_event_is_one_row_however_often_it_comes(world: World) -> None:
    assert [world.post(PATH, event()) for _ in range(3)] == [204, 204, 204]
    assert [(row.event_id, row.event_type, row.status) for row in world.inbox()] == [
        ("ev_1", "customer_created", "new")
    ]


def test_same_event_delivered_at_once_by_many_is_one_row(world: World) -> None:
    statuses: list[int] = []
    app = world.client.application

    def deliver() -> None:
        answer = app.test_client().post(PATH, data=event(), content_type="application/json", auth=LOGIN)
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=deliver) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [204] * 12
    assert len(world.inbox()) == 1


def test_named_connection_has_its_own_address(world: World) -> None:
    assert world.post("/webhooks/default/chargebee", event()) == 204
    assert world.post("/webhooks/other/chargebee", event()) == 404
    assert [row.connection for row in world.inbox()] == ["default"]


def test_second_body_under_one_id_is_kept_as_a_conflict(world: World) -> None:
    assert world.post(PATH, event()) == 204
    assert world.post(PATH, event(occurred_at=1767225601)) == 204
    assert len(world.inbox()) == 1
    assert "came again with another content" in quarantined(world)[0]


def test_retry_that_differs_only_in_its_delivery_state_is_no_conflict(world: World) -> None:
    world.post(PATH, event(webhook_status="scheduled"))
    assert world.post(PATH, event(webhook_status="re_scheduled", webhooks=[{"id": "whv2_1"}])) == 204
    assert quarantined(world) == []


@pytest.mark.parametrize(
    "login",
    [
        pytest.param(None, id="none"),
        pytest.param(("hook", "wrong"), id="wrong password"),
        pytest.param(("wrong", LOGIN[1]), id="wrong user"),
        pytest.param(("", ""), id="empty"),
    ],
)
def test_wrong_login_is_refused_and_leaves_no_row(world: World, login: tuple[str, str] | None) -> None:
    assert world.post(PATH, event(), auth=login) == 401
    assert world.inbox() == []


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic ====", "Basic \xff\xfe", "Bearer x", "Basic " + base64.b64encode(b"\x80\xff:\x80").decode()],
)
def test_login_header_of_any_bytes_is_refused_and_never_an_error(world: World, header: str) -> None:
    assert world.post(PATH, event(), headers={"Authorization": header}, auth=None) == 401


def test_old_and_new_login_both_count_while_one_is_rotated(make_services: Callable[..., Services]) -> None:
    rotating = make_services(CHARGEBEE_WEBHOOK_PREVIOUS_USERNAME="old", CHARGEBEE_WEBHOOK_PREVIOUS_PASSWORD="older")
    client = create_app(rotating).test_client()
    logins = [LOGIN, ("old", "older"), ("old", LOGIN[1]), (LOGIN[0], "older")]
    statuses = [
        client.post(PATH, data=event(), content_type="application/json", auth=login).status_code for login in logins
    ]
    assert statuses == [204, 204, 401, 401]


def test_connection_without_a_login_is_closed(make_services: Callable[..., Services]) -> None:
    client = create_app(make_services(CHARGEBEE_WEBHOOK_USERNAME="", CHARGEBEE_WEBHOOK_PASSWORD="")).test_client()
    assert client.post(PATH, data=event(), content_type="application/json", auth=("", "")).status_code == 503


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"not json", "not JSON", id="no JSON"),
        pytest.param(b"[]", "not a JSON object", id="no object"),
        pytest.param(b"\xff\xfe{}", "not UTF-8", id="not UTF-8"),
        pytest.param(b'{"a":' * 70 + b"1" + b"}" * 70, "nested too deep", id="too deep"),
        pytest.param(b"[" * 100_000, "nested too deep", id="depth bomb"),
        pytest.param(event()[:-1] + b',"id":"ev_2"}', "a key stands twice", id="key twice"),
        pytest.param(event(occurred_at=float("nan")), "NaN", id="NaN"),
        pytest.param(event(id=None), "has no id", id="no id"),
        pytest.param(event(id=""), "has no id", id="empty id"),
        pytest.param(event(id="x\u0000"), "has no id", id="NUL in the id"),
        pytest.param(event(event_type=7), "has no event_type", id="type is a number"),
        pytest.param(event(api_version="v1"), "API version 2", id="API version 1"),
        pytest.param(event(content=None), "has no content", id="no content"),
        pytest.param(event(occurred_at="soon"), "not a time", id="no time"),
    ],
)
def test_body_that_is_no_event_gets_400_and_is_kept_with_its_reason(world: World, body: bytes, reason: str) -> None:
    assert world.post(PATH, body) == 400
    assert world.inbox() == []
    assert reason in quarantined(world)[0]


def test_body_is_refused_unread_before_the_login_is_right(world: World) -> None:
    assert world.post(PATH, b"not json", auth=None) == 401
    assert quarantined(world) == []


def test_too_large_a_body_gets_413(world: World) -> None:
    assert world.post(PATH, b" " * (2**20 + 1)) == 413
    assert world.inbox() == []


def test_other_media_and_compressed_bodies_get_415(world: World) -> None:
    answer = world.client.post(PATH, data=event(), content_type="text/plain", auth=LOGIN)
    assert answer.status_code == 415
    assert world.post(PATH, gzip.compress(event()), headers={"Content-Encoding": "gzip"}) == 415


def test_get_is_not_allowed_and_refusals_echo_nothing(world: World) -> None:
    assert world.client.get(PATH).status_code == 405
    answer = world.client.post(PATH, data=b"secret-canary", content_type="application/json", auth=LOGIN)
    assert b"canary" not in answer.data


def test_odd_characters_in_a_payload_are_stored_and_the_work_goes_on(world: World) -> None:
    odd = {
        "id": "c1",
        "email": "c1@example.test",
        "company": "a\u0000b\ud800c",
        "resource_version": 1,
        "deleted": False,
    }
    assert world.post(PATH, event(content={"customer": odd})) == 204
    world.work()
    assert world.sync("customer", "c1").status == "succeeded"
    assert world.m3ter.account_by_code("c1")["name"] == "ab?c"


def test_unknown_event_is_stored_and_ignored(world: World) -> None:
    world.post(PATH, event(event_type="quantum_entangled"))
    world.work()
    assert [(row.status, row.reason) for row in world.inbox()] == [("ignored", "nobody handles this type of event")]


def test_event_that_cannot_be_used_does_not_hold_up_the_others(world: World) -> None:
    world.post(PATH, event(id="ev_bad", content={}))
    world.post(PATH, event())
    world.work()
    assert [(row.event_id, row.status) for row in world.inbox()] == [("ev_bad", "failed"), ("ev_1", "done")]


def test_database_that_cannot_be_reached_gets_503_and_the_retry_succeeds(
    world: World, make_services: Callable[..., Services]
) -> None:
    broken = make_services(DATABASE_URL="postgresql+psycopg://u@127.0.0.1:1/none")
    client = create_app(broken).test_client()
    assert client.post(PATH, data=event(), content_type="application/json", auth=LOGIN).status_code == 503
    assert world.post(PATH, event()) == 204
    assert len(world.inbox()) == 1


def test_event_is_taken_while_redis_is_away_and_dispatched_later(
    world: World, make_services: Callable[..., Services]
) -> None:
    away = make_services(REDIS_URL="redis://127.0.0.1:1/0")
    client = create_app(away).test_client()
    assert client.post(PATH, data=event(), content_type="application/json", auth=LOGIN).status_code == 204
    world.work()
    assert world.sync("customer", "c1").status == "succeeded"


def test_burst_rings_once(world: World) -> None:
    for number in range(20):
        world.post(PATH, event(id=f"ev_{number}"))
    assert [queue.count for queue in world.queues()] == [1, 0]


def test_job_from_a_stranger_is_not_run(world: World, tmp_path: Any) -> None:
    trace = tmp_path / "trace"
    [queue, _] = world.queues()
    queue.enqueue_call("os.system", args=(f"touch {trace}",), result_ttl=0)
    jobs.worker(world.services, jobs.SYNC_QUEUE).work(burst=True, logging_level="CRITICAL")
    assert not trace.exists()


HINT = b'{"eventName": "billing.bill.updated", "id": "e1"}'


def test_m3ter_hint_needs_its_signature_over_the_raw_bytes(world: World) -> None:
    path = "/webhooks/default/m3ter"
    pretty = json.dumps(json.loads(HINT), indent=2).encode()
    assert world.post(path, HINT, headers=signed(HINT), auth=None) == 204
    assert world.post(path, pretty, headers=signed(HINT), auth=None) == 401
    assert world.post(path, HINT, headers=signed(HINT, b"other"), auth=None) == 401
    assert world.post(path, HINT, headers={"x-m3ter-signature": "\xff"}, auth=None) == 401
    assert world.post(path, HINT, auth=None) == 401
    assert len(world.inbox()) == 1


def test_m3ter_webhook_is_closed_until_its_scheme_is_configured(make_services: Callable[..., Services]) -> None:
    names = ("M3TER_WEBHOOK_SECRET", "M3TER_WEBHOOK_SIGNATURE_HEADER", "M3TER_WEBHOOK_SIGNATURE_SCHEME")
    client = create_app(make_services(**dict.fromkeys(names, ""))).test_client()
    answer = client.post("/webhooks/default/m3ter", data=HINT, content_type="application/json", headers=signed(HINT))
    assert answer.status_code == 503


def test_health_says_up_or_down_and_no_more(world: World, make_services: Callable[..., Services]) -> None:
    assert world.client.get("/health/live").data == b"up\n"
    assert world.client.get("/health/ready").data == b"up\n"
    down = create_app(make_services(REDIS_URL="redis://127.0.0.1:1/0")).test_client().get("/health/ready")
    assert (down.status_code, down.data) == (503, b"down\n")


def test_sqlite_keeps_what_it_has_acknowledged(tmp_path: Path) -> None:
    engine = database.make_engine(f"sqlite:///{tmp_path}/durable.db")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    engine.dispose()


def test_version_beyond_any_clock_and_a_fraction_beyond_any_amount_hold_up_nothing(world: World) -> None:
    odd = {"id": "c1", "email": "c1@example.test", "resource_version": 10**30, "deleted": False, "cf_ratio": 0.5}
    body = event(content={"customer": odd}).replace(b"0.5", b"0." + b"3" * 60)
    assert world.post(PATH, body) == 204
    assert world.post(PATH, event(id="ev_2", content={"customer": odd | {"id": "c2", "resource_version": 5}})) == 204
    world.work()
    assert {row.status for row in world.inbox()} == {"done"}
    assert world.sync("customer", "c2").status == "succeeded"

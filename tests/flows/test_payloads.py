"""Every event that is handled has a payload as its sender writes it, and the web edge and its handler take it."""

from pathlib import Path

import pytest

from connector import jobs
from connector.handlers import HANDLERS
from tests.flows.conftest import World, signed

PAYLOADS = Path(__file__).parent.parent / "payloads"


# The kind of sync that an event opens where its name does not say it.
OPENS: dict[str, list[str]] = {
    "pending_invoice_created": [],
    "billing.bill.updated": ["bill"],
    "notification": ["bill"],
}


def recorded() -> list[tuple[str, str]]:
    return sorted((path.parent.name, path.stem) for path in PAYLOADS.glob("*/*.json"))


def test_every_handled_event_has_a_payload_and_every_payload_a_handler() -> None:
    assert recorded() == sorted(HANDLERS)


@pytest.mark.parametrize(("source", "event_type"), recorded())
def test_payload_is_taken_and_acted_on(world: World, source: str, event_type: str) -> None:
    body = (PAYLOADS / source / f"{event_type}.json").read_bytes()
    headers = signed(body) if source == "m3ter" else None
    auth = None if source == "m3ter" else ("hook", "päss")
    assert world.post(f"/webhooks/default/{source}", body, headers=headers, auth=auth) == 204
    jobs.dispatch(world.services)
    [row] = world.inbox()
    assert (row.event_type, row.status, row.reason) == (event_type, "done", None)
    assert [sync.kind for sync in world.syncs()] == OPENS.get(event_type, [event_type.split("_", maxsplit=1)[0]])

"""Every event that is handled has a payload as its sender writes it, and the web edge and its handler take it."""

from pathlib import Path

import pytest

from connector import jobs
from connector.handlers import HANDLERS
from tests.flows.conftest import World, signed

pytestmark = pytest.mark.alternate_databases

PAYLOADS = Path(__file__).parent.parent / "payloads"


# The kinds of sync that an event opens where its name does not say it.
OPENS: dict[str, list[str]] = {
    "hierarchy_created": ["customer"],
    "hierarchy_deleted": ["customer"],
    "customer_deleted": ["customer", "subscription"],
    "billing.bill.updated": ["bill"],
    "notification": ["bill"],
    "item_price_created": [],
    "item_price_updated": [],
    "item_price_deleted": [],
    "pending_invoice_created": [],
    "invoice_generated": [],
    "invoice_generated_with_backdating": [],
    "invoice_updated": [],
    "invoice_deleted": [],
    "payment_succeeded": [],
    "payment_refunded": [],
    "credit_note_created": [],
    "credit_note_created_with_backdating": [],
    "credit_note_updated": [],
    "credit_note_deleted": [],
    "subscription_ramp_created": [],
    "subscription_ramp_updated": [],
    "subscription_ramp_drafted": [],
    "subscription_ramp_deleted": [],
    "subscription_trial_end_reminder": [],
    "subscription_cancellation_reminder": [],
    "subscription_renewal_reminder": [],
    "subscription_advance_invoice_schedule_added": [],
    "subscription_advance_invoice_schedule_updated": [],
    "subscription_advance_invoice_schedule_removed": [],
    "subscription_shipping_address_updated": [],
    "subscription_entitlements_created": [],
    "subscription_entitlements_updated": [],
    "mrr_updated": [],
    "contract_term_created": [],
    "contract_term_renewed": [],
    "contract_term_terminated": [],
    "contract_term_completed": [],
    "contract_term_cancelled": [],
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
    assert (row.event_type, row.status) == (event_type, "done")
    assert bool(row.reason) == event_type.startswith("subscription_advance_invoice_schedule")
    assert [sync.kind for sync in world.syncs()] == OPENS.get(event_type, [event_type.split("_", maxsplit=1)[0]])

"""Which button puts a reason right, beside a retry: another reason gets one by a line in this table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import url_for

from connector.models import Sync


@dataclass(frozen=True)
class Step:
    """What to press, and where it leads: a page's endpoint, and what its address says of the sync."""

    label: str
    endpoint: str
    about: Callable[[Sync], dict[str, Any]]


def _what_it_waits_for(row: Sync) -> dict[str, Any]:
    return {"name": row.connection, "sync": row.id}


def _its_account(row: Sync) -> dict[str, Any]:
    return _what_it_waits_for(row) | {
        "m3ter_entity": "Account", "external_table": "Customer", "external_id": row.subject,
    }  # fmt: skip


# By the code of the reason that a sync stopped for.
STEPS: Mapping[str, Step] = {
    "unmapped_item_price": Step("Map this price …", "unmapped", _what_it_waits_for),
    "unmapped_line": Step("Map these lines …", "unmapped", _what_it_waits_for),
    "ambiguous_subscription": Step("Name the subscription …", "unmapped", _what_it_waits_for),
    "unknown_account": Step("Name the customer …", "unmapped", _what_it_waits_for),
    "account_code_taken": Step("Take over the account …", "new_mapping", _its_account),
}


def of(row: Sync) -> tuple[Step, str] | None:
    """The step that puts right what the sync stands still for, with its address; None where there is none."""
    step = STEPS.get(row.cause or "")
    if step is None or row.status not in ("parked", "waiting"):
        return None
    return step, url_for(step.endpoint, **step.about(row))

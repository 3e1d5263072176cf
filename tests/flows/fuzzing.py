"""Calls to the API that nobody would write: schemathesis makes them from the document, and looks at every answer.

Deterministic: the same calls each time. All of its checks are on.
"""

from collections.abc import Collection
from typing import Any
from unittest import mock

import schemathesis.engine
import schemathesis.python.wsgi
import werkzeug
from flask import Flask
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events

from tests.flows.scripting import PREFIX

# What is right in form can still be refused for what it says: such a refusal is no acceptance, and no fault.
RULES = ["2xx", "401", "403", "404", "409", "429", "422"]
SOCKET = ("max_redirects", "verify", "cert", "proxies")


class Client(werkzeug.Client):
    """Leaves out what some checks hand on although no socket is there that it could be for."""

    def open(self, *args: Any, **options: Any) -> Any:
        return super().open(*args, **{name: value for name, value in options.items() if name not in SOCKET})


def faults(
    app: Flask,
    token: str,
    *,
    examples: int,
    operations: Collection[str] | None = None,
    address: dict[str, Any] | None = None,
) -> tuple[list[str], int]:
    """What was found, a text each, and how many calls were made; `address` are values that stand in addresses.

    Of some operations only, by their ids; or else of all, and then every single value is tried at its bounds and every method
    too, thousands of calls.
    """
    whole = operations is None
    config = SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "headers": {"Authorization": f"Bearer {token}"},
            "workers": 1,
            "generation": {"max-examples": examples, "deterministic": True, "database": "none", "no-shrink": True},
            "phases": {"stateful": {"enabled": False}, "coverage": {"enabled": whole}, "examples": {"enabled": whole}},
            "continue-on-failure": True,
            "parameters": address or {},
            "checks": {"positive_data_acceptance": {"expected-statuses": RULES}},
        }
    )
    schema = schemathesis.openapi.from_wsgi(f"{PREFIX}/openapi.json", app, config=config)
    if operations is not None:
        schema = schema.include(operation_id=list(operations))
    found, calls = [], 0
    with mock.patch.object(schemathesis.python.wsgi, "get_client", Client):
        happened = list(schemathesis.engine.from_schema(schema).execute())
    for event in happened:
        if isinstance(event, events.ScenarioFinished):
            calls += len(event.recorder.interactions)
            found += [
                f"{event.recorder.label}: {check.name}: {check.failure_info.failure.title} "
                f"{check.failure_info.failure.message}\n{check.failure_info.code_sample}"
                for checks in event.recorder.checks.values()
                for check in checks
                if check.failure_info is not None
            ]
        elif isinstance(event, events.NonFatalError):
            found.append(f"{event.label}: {event.value!r}")
        elif isinstance(event, events.FatalError):
            raise event.exception
    return found, calls

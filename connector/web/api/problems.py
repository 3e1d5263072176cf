"""Refusals: each says what is wrong, where, and what to do; none says how the connector is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from connector.clients.http import Unreadable
from connector.errors import (
    BadInput,
    ConnectorError,
    NotFound,
    OutOfScope,
    Parked,
    Retryable,
    Waiting,
)
from connector.mappings.pairs import BadMapping
from connector.web.api.shapes import Fault, Problem

TYPE = "application/problem+json"
RETRY_SECONDS = 60
TITLES = {
    400: "Not understood", 401: "Who is calling?", 403: "Not allowed", 404: "Not found", 405: "Not possible",
    406: "Only JSON", 409: "Not possible now", 413: "Too much", 415: "Only JSON", 422: "Cannot be done",
    429: "Too many calls", 500: "An error in the connector", 502: "The provider's answer was not understood",
    503: "Away for now",
}  # fmt: skip


@dataclass
class Refusal(Exception):
    """A call that is answered with a problem; `preview` is what the caller has to look at before trying again."""

    status: int
    detail: str
    code: str | None = None
    next_step: str | None = None
    faults: list[Fault] = field(default_factory=list)
    preview: BaseModel | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The problem as JSON; what there is nothing to say about is left out."""
        said = Problem(
            title=TITLES.get(self.status, "Not possible"), status=self.status, detail=self.detail, code=self.code,
            next_step=self.next_step, faults=self.faults,
        ).model_dump(mode="json")  # fmt: skip
        found = {name: value for name, value in said.items() if value not in (None, [])}
        return found | ({"preview": self.preview.model_dump(mode="json")} if self.preview else {})


def not_found(what: str) -> Refusal:
    """There is no such thing."""
    return Refusal(404, f"There is no {what}.")


def changed(preview: BaseModel, given: str | None) -> Refusal:
    """What would be done is not what was seen, or nothing was."""
    detail = "This has to be looked at first." if given is None else "What would be done is no longer what was seen."
    return Refusal(
        409, detail, code="not_seen", preview=preview,
        next_step="Look at the preview, and if it is right, send its `seen` along.",
    )  # fmt: skip


def of_faults(where: str, error: ValidationError) -> Refusal:
    """All that is wrong with a body (`where` is `body`) or with what stands in the address (`query`)."""
    faults = [
        Fault(where=".".join([where, *(str(part)[:80] for part in one["loc"])]), text=str(one["msg"]))
        for one in error.errors(include_url=False, include_input=False, include_context=False)[:50]
    ]
    return Refusal(422, f"{len(faults)} thing(s) are wrong with what was sent.", faults=faults)


def of_error(error: ConnectorError) -> Refusal:
    """What a use case said, with the status that tells a script whether the same can work later."""
    if isinstance(error, Parked | Waiting | OutOfScope):
        return Refusal(409, str(error), code=error.cause.code, next_step=error.cause.next_step)
    if isinstance(error, Retryable):
        seconds = max(1, int(error.retry_after or RETRY_SECONDS))
        step = "Try again later: the same call may succeed then."
        return Refusal(503, str(error), next_step=step, headers={"Retry-After": str(seconds)})
    for kind, status in STATUSES.items():
        if isinstance(error, kind):
            return Refusal(status, str(error))
    return Refusal(409, str(error))


STATUSES: dict[type[ConnectorError], int] = {BadInput: 422, BadMapping: 422, NotFound: 404, Unreadable: 502}

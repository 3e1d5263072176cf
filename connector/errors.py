"""The ways a unit of work can fail; nothing above the clients looks at a status code."""

from dataclasses import dataclass


class ConnectorError(Exception):
    """Anything the connector raises on purpose; its text is written for the person who will read it."""


class Misconfigured(ConnectorError):
    """The settings cannot work; the text names every variable that is wrong and what it should look like."""


class BadInput(ConnectorError):
    """What a person asks for cannot be; the text says what is wrong and what to change. Nothing has been sent."""


class Rejected(ConnectorError):
    """The provider said no, and will say no again: a person must change something.

    `status` is the HTTP status and `code` the provider's own error code (Chargebee's `api_error_code`), where there is one.
    """

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class NotFound(Rejected):
    """The provider has no such object (HTTP 404)."""


class Retryable(ConnectorError):
    """Not now: nothing changed on the provider's side, and the same call may succeed later.

    `retry_after` is the number of seconds that the provider asked us to wait, where it did.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AccessRefused(Retryable):
    """The credentials are wrong, revoked or lack a right (401 or 403); the work waits until a person mends them."""


class Uncertain(Retryable):
    """We cannot tell whether it happened: ask before sending again."""


class NotBelieved(ConnectorError):
    """What came does not prove what it says; the text is for the log, and quotes nothing of it."""


@dataclass(frozen=True)
class Cause:
    """Why a sync stopped, for a person: a stable code, a sentence, and what to do next."""

    code: str
    text: str
    next_step: str


class Parked(ConnectorError):
    """The work needs a person; `wakes_on` names what would let it go on by itself, where something would."""

    def __init__(self, code: str, text: str, next_step: str, *, wakes_on: str | None = None) -> None:
        super().__init__(text)
        self.cause = Cause(code, text, next_step)
        self.wakes_on = wakes_on


class OutOfScope(ConnectorError):
    """The settings leave this subject to others; nothing is done about it, and the sync says so."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.cause = Cause(
            "out_of_scope", text, "Nothing, unless it should be in scope: then change the SCOPE_ settings."
        )


class Waiting(ConnectorError):
    """Nothing is wrong: something that will come is not there yet.

    It is looked at again after `seconds`, or as soon as `wakes_on` happens.
    """

    def __init__(self, code: str, text: str, next_step: str, *, seconds: float, wakes_on: str | None = None) -> None:
        super().__init__(text)
        self.cause = Cause(code, text, next_step)
        self.seconds = seconds
        self.wakes_on = wakes_on


class LeaseLost(ConnectorError):
    """Our time for this work is over, or another worker has it: stop before anything more is sent."""

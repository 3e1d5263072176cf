"""What bodies, filters and answers are made of: texts, times, amounts, ids, pages.

Amounts are texts in major units of the `currency` that stands beside them or on the document. Times are RFC 3339 in UTC. What is
sent is taken strictly, every unknown name refused; what is answered may grow, and readers leave alone what they do not know.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import CoreSchema, core_schema

from connector.errors import Cause

MAX_TEXT, MAX_ROW, MAX_PAGE, PAGE = 500, 2**63 - 1, 200, 50
# Texts without control characters: nobody types them, and not every database takes them.
PLAIN = r"^[^\u0000-\u001f\u007f-\u009f]+$"
# Not only blanks.
SAID = r"^[^\u0000-\u001f\u007f-\u009f]*[A-Za-z0-9][^\u0000-\u001f\u007f-\u009f]*$"
AMOUNT = r"^-?[0-9]{1,15}(\.[0-9]{1,12})?$"
REFERENCE = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,79}$"
YEARS = 1970, 2999


def digits(value: Any) -> Any:
    """Numbers in an address are written in digits and nothing else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    raise ValueError("this is not a whole number")


def _iso_day(value: Any) -> Any:
    """A day in an address is written in full, and is no number of seconds."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return value
    raise ValueError("this is not a day like 2026-03-01")


def _in_years(value: datetime) -> datetime:
    if not YEARS[0] <= value.year <= YEARS[1]:
        raise ValueError(f"the year is not from {YEARS[0]} to {YEARS[1]}")
    return value.astimezone(UTC)


def _day_in_years(value: date) -> date:
    if not YEARS[0] <= value.year <= YEARS[1]:
        raise ValueError(f"the year is not from {YEARS[0]} to {YEARS[1]}")
    return value


class OneOf:
    """A text that is one of these, where a table of the connector's own says which; a Literal where the names stand here."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self.allowed = list(allowed)

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> CoreSchema:
        return core_schema.literal_schema(self.allowed)


Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=PLAIN)]
Reason = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=SAID, description="Kept in the audit log.")]
Amount = Annotated[str, Field(pattern=AMOUNT, examples=["1250.50"], description="In major units, digit for digit.")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", examples=["USD"])]
Reference = Annotated[
    str,
    Field(pattern=REFERENCE, examples=["PO-4711"], description="One word of your own; the same twice makes one thing."),
]
Moment = Annotated[AwareDatetime, AfterValidator(_in_years)]
Day = Annotated[date, AfterValidator(_day_in_years)]
QueryDay = Annotated[date, BeforeValidator(_iso_day), AfterValidator(_day_in_years)]
Seen = Annotated[
    str, Field(pattern=r"^[0-9a-f]{64}$", description="What the preview said: the act is done only as it was shown.")
]
RowId = Annotated[int, Field(ge=1, le=MAX_ROW)]


class Shape(BaseModel):
    """What is answered."""

    # What has a default is answered all the same.
    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)


class Body(BaseModel):
    """What is sent."""

    model_config = ConfigDict(extra="forbid", strict=True, str_strip_whitespace=False)


class Query(BaseModel):
    """What stands behind the `?` of an address."""

    model_config = ConfigDict(extra="forbid")


class Paged(Query):
    """A list is read a page at a time, the newest first: `before` is the `next` of the page before."""

    before: Annotated[int, Field(ge=1, le=MAX_ROW), BeforeValidator(digits)] | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE), BeforeValidator(digits)] = PAGE


class Page(Shape):
    """A page of a list."""

    next: int | None = Field(None, description="The `before` of the next page; null at the end.")


class Explained(Shape):
    """Why something stands still, and what to do."""

    code: str
    text: str
    next_step: str


class Fault(Shape):
    """One thing that is wrong with what was sent."""

    where: str = Field(examples=["body.mappings.0.external_id", "query.limit"])
    text: str


class Problem(Shape):
    """What went wrong, for a person and for a program (RFC 9457)."""

    # What there is nothing to say about is left out.
    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    type: str = Field("about:blank", description="Always about:blank: the status says what kind it is.")
    title: str
    status: int
    detail: str
    code: str | None = Field(None, description="The cause, by the name that syncs have for it.")
    next_step: str | None = Field(None, description="What to do about it.")
    faults: list[Fault] = Field([], description="All that is wrong with what was sent, each with its place.")


Role = Literal["viewer", "operator", "admin"]


def explained(cause: Cause | None) -> Explained | None:
    """The cause as it is answered."""
    return None if cause is None else Explained.model_validate(cause)


def page(rows: list[Any], limit: int) -> tuple[list[Any], int | None]:
    """The rows of one page, of one more that were read, and before which row the next page is; None at the end."""
    shown = rows[:limit]
    return shown, shown[-1].id if len(rows) > limit else None


def exact(amount: Decimal | None) -> str | None:
    """The amount as documents have it, digit for digit."""
    return None if amount is None else format(amount, "f")

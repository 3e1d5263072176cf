"""JSON in which every number is exact: Decimal in, Decimal out, never a float on the way."""

import json
from decimal import Decimal
from typing import Any


def dump(value: Any) -> str:
    """The value as JSON, a Decimal written digit by digit."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(str(key))}:{dump(member)}" for key, member in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(dump(member) for member in value) + "]"
    return json.dumps(value)


def load(raw: bytes | str) -> Any:
    """The JSON document, fractions as Decimal; raises ValueError for what is not JSON."""
    try:
        return json.loads(raw, parse_float=Decimal, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")

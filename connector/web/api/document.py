"""The OpenAPI 3.1 document, made from the table of operations and the shapes: it cannot say what is not so."""

from functools import cache
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from connector.web.api.operations import OPERATIONS, PARAMETERS, Operation
from connector.web.api.problems import TITLES, TYPE
from connector.web.api.shapes import REFERENCE, Problem

REF = "#/components/schemas/{model}"
ABOUT = """\
What a person does at the console and by command, for scripts: the same functions, the same roles, the same audit log.

* `Authorization: Bearer cmc_…`; `connector tokens create` makes tokens, and each has a role.
* Amounts are texts in major units of the `currency` beside them, times are RFC 3339 in UTC.
* Lists are read a page at a time: `next` of one page is `before` of the next.
* An act that moves money takes the `seen` of its preview. Without it, or when it is out of date, the answer is 409 with the
  preview as it is now, and nothing was done.
* Refusals are RFC 9457 problems with `detail`, `next_step` and all `faults` at once.
"""
KEY = {
    "name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string", "pattern": REFERENCE},
    "description": "Stands in place of `reference`: a repeat with the same key makes nothing twice.",
}  # fmt: skip
RETRY_AFTER = {
    "Retry-After": {"description": "Seconds.", "required": True, "schema": {"type": "string", "pattern": "^[0-9]+$"}}
}
HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}},
    429: RETRY_AFTER,
    503: RETRY_AFTER,
}


@cache
def openapi() -> dict[str, Any]:
    """The document; only the operations and the version stand in it, nothing of this installation."""
    models = [(model, "serialization") for model in _answers()] + [(model, "validation") for model in _bodies()]
    _, schemas = models_json_schema(models, ref_template=REF)  # type: ignore[arg-type]
    paths: dict[str, Any] = {}
    for one in OPERATIONS:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one)
    paths["/openapi.json"] = {"get": _itself()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Chargebee m3ter connector", "version": version("chargebee-m3ter-connector"), "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(one.tag for one in OPERATIONS)],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Made by `connector tokens create`."}
            },
            "schemas": schemas["$defs"],
        },
    }  # fmt: skip


def _answers() -> list[type[BaseModel]]:
    found = [one.answer for one in OPERATIONS] + [one.preview for one in OPERATIONS if one.preview] + [Problem]
    return list(dict.fromkeys(found))


def _bodies() -> list[type[BaseModel]]:
    return list(dict.fromkeys(one.body for one in OPERATIONS if one.body))


def _operation(one: Operation) -> dict[str, Any]:
    said: dict[str, Any] = {
        "operationId": one.id, "summary": one.summary, "tags": [one.tag],
        "description": f"Needs the role {one.role}." + (f" Repeated: {one.repeat}" if one.repeat else ""),
        "parameters": [*map(_of_address, one.parameters), *_of_query(one), *([KEY] if one.takes_key else [])],
        "responses": {str(status): answer for status, answer in _responses(one).items()},
    }  # fmt: skip
    if one.body:
        needed = any(field.is_required() for field in one.body.model_fields.values())
        said["requestBody"] = {"required": needed, "content": {"application/json": {"schema": _ref(one.body)}}}
    return said


def _of_address(name: str) -> dict[str, Any]:
    _, schema, description = PARAMETERS[name]
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": description}


def _of_query(one: Operation) -> list[dict[str, Any]]:
    if one.query is None:
        return []
    schema = one.query.model_json_schema()
    return [
        {
            "name": name, "in": "query", "required": name in schema.get("required", []),
            "schema": {key: value for key, value in _without_null(said).items() if key not in ("title", "description")},
            **({"description": said["description"]} if "description" in said else {}),
        }
        for name, said in schema["properties"].items()
    ]  # fmt: skip


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Left out is how an address says null."""
    kinds = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return kinds[0] if kinds else schema


def _responses(one: Operation) -> dict[int, dict[str, Any]]:
    found = {200: _answer("Done." if one.method == "POST" else "Found.", _ref(one.answer))}
    if one.takes_key:
        made = _answer("Asked for; a worker makes it.", _ref(one.answer))
        found[201] = made | {"headers": {"Location": {"required": True, "schema": {"type": "string"}}}}
    for status in _refusals(one):
        schema = _ref(Problem)
        if status == 409 and one.preview:
            shown = {"anyOf": [_ref(one.preview), {"type": "null"}]}
            schema = {"allOf": [schema, {"type": "object", "properties": {"preview": shown}}]}
        found[status] = {
            "description": TITLES[status], "content": {TYPE: {"schema": schema}},
            **({"headers": HEADERS[status]} if status in HEADERS else {}),
        }  # fmt: skip
    return found


def _refusals(one: Operation) -> list[int]:
    acts = one.method == "POST"
    return [
        # A body that is too large, or no JSON, is refused by every act: also by one that takes none.
        *([400, 413] if acts else []), 401, 403, *([404] if one.parameters else []), 406, 409,
        *([415] if one.body else []), 422, 429, 502, 503,
    ]  # fmt: skip


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _ref(model: type[BaseModel]) -> dict[str, Any]:
    return {"$ref": REF.format(model=model.__name__)}


def _itself() -> dict[str, Any]:
    return {
        "operationId": "get_document", "summary": "This document", "tags": ["document"], "security": [],
        "responses": {"200": _answer("This document.", {"type": "object"})},
    }  # fmt: skip

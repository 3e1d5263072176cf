"""A script at the JSON API. Every answer that it gets is compared with the API's own document."""

import re
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jsonschema_rs
from sqlalchemy import select
from werkzeug.test import TestResponse

from connector import tokens
from connector.access import OPERATOR
from connector.models import BalanceRequest
from connector.services import Services
from connector.web.api.document import openapi
from tests.flows.browser import app_of
from tests.flows.conftest import START, World

HOST = "http://127.0.0.1:8080"
PREFIX = "/api/v1"
NOBODY = "00000000-0000-0000-0000-000000000001"
YEAR_END = datetime(2027, 1, 1, tzinfo=UTC)


def add_token(services: Services, name: str, role: str, **options: Any) -> str:
    """A new token of this role."""
    token = tokens.drawn()
    tokens.create(services, name, role, token=token, who="test", **options)
    return token


class Script:
    """A script with its token; `must_be_described` is checked of each answer."""

    def __init__(self, services: Services, role: str = "admin", name: str | None = None, app: Any = None) -> None:
        self.services = services
        self.name = name or f"the-{role}"
        self.token: str | None = add_token(services, self.name, role)
        self.client = (app or app_of(services)).test_client()

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> TestResponse:
        headers = dict(options.pop("headers", {}))
        if self.token is not None:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None:
            options["json"] = body
        options.setdefault("base_url", HOST)
        answer = self.client.open(PREFIX + path, method=method, headers=headers, **options)
        must_be_described(method, path, answer)
        return answer

    def get(self, path: str, **query: Any) -> Any:
        """What is found; fails where nothing is."""
        answer = self.call("GET", path, query_string={name: str(value) for name, value in query.items()})
        assert answer.status_code == 200, answer.text
        return answer.json

    def post(self, path: str, status: int = 200, **body: Any) -> Any:
        """What the act answers, which has this status."""
        answer = self.call("POST", path, body)
        assert answer.status_code == status, answer.text
        return answer.json


class Desk:
    """A script at the balance of a customer."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.sign_up()
        world.settle()
        self.account = world.m3ter.account_by_code("acme")["id"]
        world.m3ter.create_transaction_type("top_up")
        self.balance = world.m3ter.create_balance(self.account, "prepaid", START, YEAR_END)["id"]
        self.script = Script(world.services, OPERATOR)
        self.here = f"/connections/default/balances/{self.balance}"

    def ask(self, path: str, **body: Any) -> Any:
        """Look, and ask for what was seen."""
        seen = self.script.post(path, 409, **body)["preview"]["seen"]
        return self.script.call("POST", path, body | {"seen": seen})

    def requests(self) -> list[BalanceRequest]:
        with self.world.services.reading() as db:
            return list(db.scalars(select(BalanceRequest).order_by(BalanceRequest.id)))


def must_be_described(method: str, path: str, answer: TestResponse) -> None:
    """Fail unless the document has this answer: its status, its type, its headers and every field of it."""
    described = _operation(method, path.partition("?")[0])
    if described is None:
        assert answer.status_code in (404, 405)
        assert answer.content_type == "application/problem+json"
        return
    said = described["responses"].get(str(answer.status_code))
    assert said is not None, (
        f"{method} {path} answers {answer.status_code}, which is not in the document: {answer.text}"
    )
    assert answer.content_type in said["content"]
    for name, header in said.get("headers", {}).items():
        assert name in answer.headers or not header["required"], name
    errors = list(
        _validator(described["operationId"], str(answer.status_code), answer.content_type).iter_errors(answer.json)
    )
    assert errors == [], errors


def _operation(method: str, path: str) -> dict[str, Any] | None:
    for template in sorted(openapi()["paths"], key=lambda one: one.count("{")):
        if re.fullmatch(re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(template)), path):
            return openapi()["paths"][template].get(method.lower())
    return None


@cache
def _validator(operation: str, status: str, content_type: str) -> Any:
    [described] = [one for of in openapi()["paths"].values() for one in of.values() if one["operationId"] == operation]
    schema = described["responses"][status]["content"][content_type]["schema"]
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "components": openapi()["components"], **schema}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)

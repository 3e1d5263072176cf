"""Who somebody is here, and with which role, by what an OpenID provider says of them."""

from typing import Any

import pytest

from connector import single_sign_on
from connector.access import ADMIN, OPERATOR, VIEWER
from connector.settings import Settings, load

ADA = {"iss": "https://id.example", "sub": "u-1"}


@pytest.mark.parametrize(
    ("claim", "claims", "role"),
    [
        pytest.param("groups", {"groups": ["staff", "admins"]}, ADMIN, id="the strongest of several"),
        pytest.param("groups", {"groups": "billing"}, OPERATOR, id="one text"),
        pytest.param("groups", {"groups": ["ADMINS", "admin"]}, None, id="nearly"),
        pytest.param("groups", {"groups": {"admins": True}}, None, id="neither text nor list"),
        pytest.param("groups", {}, None, id="no claim"),
        pytest.param("realm.roles", {"realm": {"roles": ["staff"]}}, VIEWER, id="within another claim"),
        pytest.param("https://x.example/roles", {"https://x.example/roles": ["staff"]}, VIEWER, id="a name with dots"),
        pytest.param("realm.roles", {"realm": ["staff"]}, None, id="nothing within"),
        pytest.param("email", {"email": "admins", "email_verified": True}, ADMIN, id="an address that was verified"),
        pytest.param("email", {"email": "admins"}, None, id="an address that anybody may claim"),
    ],
)
def test_claim_gives_the_role(claim: str, claims: dict[str, Any], role: str | None) -> None:
    assert single_sign_on.role_of(settings(OIDC_ROLE_CLAIM=claim), ADA | claims) == role


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        pytest.param({"preferred_username": " Ada.L ", "email": "a@x.example"}, "ada.l", id="in small letters"),
        pytest.param(
            {"preferred_username": "Ada Lovelace", "email": "Ada@X.example"}, "ada@x.example", id="the address"
        ),
        pytest.param({}, "u-1", id="the provider's own id"),
        pytest.param({"sub": "auth0|7"}, None, id="none that could be one"),
    ],
)
def test_name_is_the_first_that_can_be_one(claims: dict[str, Any], name: str | None) -> None:
    assert single_sign_on.known(settings(), ADA | claims).name == name


def settings(**others: str) -> Settings:
    return load(
        {
            "CONSOLE_URL": "http://127.0.0.1:8080/console", "OIDC_ISSUER": "https://id.example", "OIDC_CLIENT_ID": "x",
            "OIDC_CLIENT_SECRET": "x", "OIDC_ADMINS": "admins", "OIDC_OPERATORS": "ops, billing", "OIDC_VIEWERS": "staff",
            **others,
        },
        needs_connection=False,
    )  # fmt: skip

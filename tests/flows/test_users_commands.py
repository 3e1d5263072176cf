"""Users of the console at the command line: made without a password among the arguments, and every change is kept."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from connector import tokens
from connector.cli import main
from connector.models import AuditEntry, User
from tests.flows.browser import Browser
from tests.flows.conftest import World

PASSWORD = "a long enough password"


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `connector users …` with this world's services; `typed` is what stands on standard input."""
    monkeypatch.setattr("connector.cli.users.wire", lambda **_: world.services)
    return lambda *words, typed="": CliRunner().invoke(main, ["users", *words], input=typed)


def users(world: World) -> list[tuple[str, str, bool]]:
    with world.services.reading() as db:
        return [(user.name, user.role, user.enabled) for user in db.scalars(select(User).order_by(User.name))]


def test_password_is_asked_for_twice_and_never_shown(world: World, run: Any) -> None:
    result: Result = run("add", "Ada", "--role", "admin", typed=f"{PASSWORD}\n{PASSWORD}\n")
    assert result.exit_code == 0, result.output
    assert PASSWORD not in result.output
    assert users(world) == [("ada", "admin", True)]
    assert Browser(world.services).log_in("ada", PASSWORD).status_code == 303


def test_password_comes_from_a_file_or_standard_input(world: World, run: Any, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\nnot this line\n", encoding="utf-8")
    assert run("add", "ada", "--role", "viewer", "--password-file", str(file)).exit_code == 0
    assert run("add", "bob", "--role", "viewer", "--password-file", "-", typed=f"{PASSWORD}\n").exit_code == 0
    for name in ("ada", "bob"):
        assert Browser(world.services).log_in(name, PASSWORD).status_code == 303
    assert run("add", "eve", "--role", "viewer", "--password-file", "-", typed="\n").exit_code == 1


@pytest.mark.parametrize(
    ("name", "password", "said"),
    [
        pytest.param("ada", "short", "12 to 256 characters", id="short"),
        pytest.param("ada", "x" * 257, "12 to 256 characters", id="too long to be typed"),
        pytest.param("ada", "ababababababab", "easily guessed", id="two letters"),
        pytest.param("ada", "I am Ada Lovelace", "easily guessed", id="the name in it"),
        pytest.param("ada lovelace", PASSWORD, "a user's name is of", id="a blank in the name"),
        pytest.param("-ada", PASSWORD, "a user's name is of", id="a name like an option"),
        pytest.param("a" * 81, PASSWORD, "a user's name is of", id="a name too long"),
    ],
)
def test_what_cannot_be_a_user_is_refused(world: World, run: Any, name: str, password: str, said: str) -> None:
    result = run("add", "--role", "viewer", "--password-file", "-", "--", name, typed=f"{password}\n")
    assert (result.exit_code, said in result.stderr) == (1, True), result.output
    assert users(world) == []


def test_name_is_given_once_in_whatever_letters(world: World, run: Any) -> None:
    words = ("--role", "viewer", "--password-file", "-")
    assert run("add", "ada", *words, typed=PASSWORD).exit_code == 0
    again = run("add", "ADA", *words, typed=PASSWORD)
    assert (again.exit_code, again.stderr) == (1, "Error: there is a user ada already\n")


def test_user_is_disabled_enabled_and_given_another_role_and_password(world: World, run: Any) -> None:
    run("add", "ada", "--role", "admin", "--password-file", "-", typed=PASSWORD)
    assert run("disable", "ada").exit_code == 0
    assert users(world) == [("ada", "admin", False)]
    assert run("enable", "ada").exit_code == 0
    assert run("set-role", "ada", "--role", "viewer").exit_code == 0
    assert run("set-password", "ada", "--password-file", "-", typed="another long password").exit_code == 0
    assert users(world) == [("ada", "viewer", True)]
    assert Browser(world.services).log_in("ada", PASSWORD).status_code == 401
    assert Browser(world.services).log_in("ada", "another long password").status_code == 303
    listed = json.loads(run("list", "--json").stdout)["users"]
    assert [(one["name"], one["role"], one["logged_in_at"] is not None) for one in listed] == [("ada", "viewer", True)]
    with world.services.reading() as db:
        kept = [(one.action, one.subject, one.detail) for one in db.scalars(select(AuditEntry).order_by(AuditEntry.id))]
    assert [one for one in kept if one[0].startswith("users")] == [
        ("users add", "ada", {"role": "admin"}),
        ("users disable", "ada", {}),
        ("users enable", "ada", {}),
        ("users set-role", "ada", {"role": "viewer", "before": "admin"}),
        ("users set-password", "ada", {}),
    ]
    assert "password" not in json.dumps([one[2] for one in kept])


@pytest.mark.parametrize("words", [("disable",), ("enable",), ("set-role", "--role", "viewer")])
def test_user_who_is_not_there_is_said(run: Any, words: tuple[str, ...]) -> None:
    result = run(words[0], "nobody", *words[1:])
    assert (result.exit_code, result.stderr) == (1, "Error: there is no user nobody\n")


def test_no_command_takes_a_password_as_an_argument() -> None:
    for command in main.commands["users"].commands.values():  # type: ignore[attr-defined]
        assert not [one for one in command.params if "password" in str(one.name) and one.name != "password_file"]


def test_last_admin_may_be_disabled_here_and_it_is_said(world: World, run: Any) -> None:
    words = ("--password-file", "-")
    run("add", "ada", "--role", "admin", *words, typed=PASSWORD)
    run("add", "bob", "--role", "admin", *words, typed=PASSWORD)
    assert "no admin" not in run("disable", "bob").output
    assert "Now there is no admin who can log in" in run("set-role", "ada", "--role", "viewer").output


def test_tokens_that_a_disabled_user_made_are_named_until_they_are_revoked(world: World, run: Any) -> None:
    run("add", "ada", "--role", "admin", "--password-file", "-", typed=PASSWORD)
    makers = {"typed": "cli:Ada", "clicked": "web:ada", "over": "web:ada", "other": "web:bob", "longer": "web:adam"}
    for name, who in makers.items():
        tokens.create(world.services, name, "viewer", token=tokens.drawn(), who=who)
    tokens.revoke(world.services, "over", "web:bob")
    said = run("disable", "ADA").output
    assert "Tokens that ada made still work." in said
    assert [line.split()[-1] for line in said.splitlines() if "tokens revoke" in line] == ["clicked", "typed"]
    assert json.loads(run("disable", "ada", "--json").stdout)["live_tokens"] == ["clicked", "typed"]
    for name in ("clicked", "typed"):
        tokens.revoke(world.services, name, "web:bob")
    assert "still work" not in run("disable", "ada").output


def test_user_is_tied_to_the_provider_and_parted_again(world: World, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run("add", "ada", "--role", "admin", "--password-file", "-", typed=PASSWORD)
    run("add", "bob", "--role", "admin", "--password-file", "-", typed=PASSWORD)
    assert run("link", "ada", "--subject", "u-1").stderr == "Error: there is no provider: OIDC_ISSUER is not set\n"
    provider = SimpleNamespace(issuer="https://id.example", name="Example Login")
    monkeypatch.setattr("connector.cli.users.wire", lambda **_: replace(world.services, openid=provider))
    assert run("link", "ada", "--subject", "u-1").exit_code == 0
    assert run("link", "bob", "--subject", "u-1").stderr == "Error: that is ada already\n"
    listed = json.loads(run("list", "--json").stdout)["users"]
    assert [one["logs_in_by"] for one in listed] == ["single sign-on", "password"]
    assert run("unlink", "ada", "--password-file", "-", typed="another long password").exit_code == 0
    assert Browser(world.services).log_in("ada", "another long password").status_code == 303
    assert run("end-sessions", "ada").exit_code == 0

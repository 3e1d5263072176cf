"""`connector users …`"""

from typing import Any, TextIO

import click

from connector import access, audit, people, tokens
from connector.cli.common import output, table, wire
from connector.errors import ConnectorError
from connector.explain import moment
from connector.services import Services


@click.group("users")
def users_group() -> None:
    """Who may log in to the console. Passwords are never arguments: they are asked for, or read from a file."""


role_option = click.option(
    "--role",
    type=click.Choice(access.ROLES),
    required=True,
    help="A viewer looks, an operator acts, an admin sees all.",
)
password_option = click.option(
    "--password-file", type=click.File(), help="Read it from the first line of a file, or of standard input with `-`."
)


def _password(file: TextIO | None) -> str:
    if file is None:
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    password = file.readline().rstrip("\r\n")
    if not password:
        raise ConnectorError("there is no password in the first line")
    return password


@users_group.command("add")
@click.argument("name")
@role_option
@password_option
@output
def add_user(name: str, role: str, password_file: TextIO | None) -> Any:
    """Add a user of the console."""
    access.add(wire(needs_connection=False), name, role, _password(password_file), audit.actor())
    return {"name": name.lower(), "role": role}, f"{name.lower()} may log in as {role}."


@users_group.command("list")
@output
def list_users() -> Any:
    """List all users with their roles."""
    services = wire(needs_connection=False)
    with services.reading() as db:
        found = [
            {
                "name": user.name,
                "role": user.role,
                "enabled": user.enabled,
                "logs_in_by": people.way_in(user),
                "created_at": user.created_at.isoformat(),
                "logged_in_at": user.logged_in_at.isoformat() if user.logged_in_at else None,
            }
            for user in access.listed(db)
        ]
        text = table(
            "Users",
            ["name", "role", "enabled", "logs in by", "created", "last log-in"],
            [
                [
                    user.name,
                    user.role,
                    "yes" if user.enabled else "no",
                    people.way_in(user),
                    moment(user.created_at),
                    moment(user.logged_in_at),
                ]
                for user in access.listed(db)
            ],
        )
    return {"users": found}, text


@users_group.command("set-password")
@click.argument("name")
@password_option
@output
def set_password(name: str, password_file: TextIO | None) -> Any:
    """Give a user another password; all sessions of the user end."""
    access.set_password(wire(needs_connection=False), name, _password(password_file), audit.actor())
    return {"name": name.lower()}, f"{name.lower()} has another password; all sessions have ended."


@users_group.command("set-role")
@click.argument("name")
@role_option
@output
def set_role(name: str, role: str) -> Any:
    """Give a user another role; all sessions of the user end."""
    services = wire(needs_connection=False)
    access.set_role(services, name, role, audit.actor())
    said = f"{name.lower()} is {role} now; all sessions have ended."
    return {"name": name.lower(), "role": role}, said + _without_admin(services)


@users_group.command("disable")
@click.argument("name")
@output
def disable_user(name: str) -> Any:
    """Let a user log in no longer; all sessions of the user end at once."""
    services = wire(needs_connection=False)
    access.enable(services, name, False, audit.actor())
    with services.reading() as db:
        alive = [one.name for one in tokens.made_by(db, name, services.now())]
    said = f"{name.lower()} may log in no longer; all sessions have ended." + _still_alive(name.lower(), alive)
    return {"name": name.lower(), "enabled": False, "live_tokens": alive}, said + _without_admin(services)


def _still_alive(name: str, alive: list[str]) -> str:
    """What still opens the JSON API to whoever holds it, and how each is ended."""
    ways = "".join(f"\n  connector tokens revoke {one}" for one in alive)
    return f"\nTokens that {name} made still work. To end them:{ways}" if alive else ""


def _without_admin(services: Services) -> str:
    """A warning, where this was the last: the console itself never goes so far."""
    with services.reading() as db:
        return "" if access.has_admin(db) else "\nNow there is no admin who can log in: make one, or enable one."


@users_group.command("enable")
@click.argument("name")
@output
def enable_user(name: str) -> Any:
    """Let a disabled user log in again."""
    access.enable(wire(needs_connection=False), name, True, audit.actor())
    return {"name": name.lower(), "enabled": True}, f"{name.lower()} may log in again."


@users_group.command("end-sessions")
@click.argument("name")
@output
def end_sessions(name: str) -> Any:
    """Log a user out, in all browsers; they may log in again."""
    access.end_sessions(wire(needs_connection=False), name, audit.actor())
    return {"name": name.lower()}, f"{name.lower()} is logged out, in all browsers."


@users_group.command("link")
@click.argument("name")
@click.option("--subject", required=True, help="Who they are at the provider: `sub` in its ID tokens.")
@output
def link_user(name: str, subject: str) -> Any:
    """Let a user log in through the OpenID provider from now on; their password is forgotten, all sessions end."""
    services = wire(needs_connection=False)
    if services.openid is None:
        raise ConnectorError("there is no provider: OIDC_ISSUER is not set")
    access.link(services, name, services.openid.issuer, subject, audit.actor())
    said = {"name": name.lower(), "issuer": services.openid.issuer, "subject": subject}
    return said, f"{name.lower()} logs in through {services.openid.name} from now on."


@users_group.command("unlink")
@click.argument("name")
@password_option
@output
def unlink_user(name: str, password_file: TextIO | None) -> Any:
    """Let a user log in by a password from now on, and no longer through the provider; all sessions end."""
    access.unlink(wire(needs_connection=False), name, _password(password_file), audit.actor())
    return {"name": name.lower()}, f"{name.lower()} logs in by this password from now on."

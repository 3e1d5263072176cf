"""`connector users …`"""

from typing import Any, TextIO

import click
from rich.table import Table

from connector import access, audit
from connector.cli.common import output, table, wire
from connector.errors import ConnectorError
from connector.explain import moment


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
                "created_at": user.created_at.isoformat(),
                "logged_in_at": user.logged_in_at.isoformat() if user.logged_in_at else None,
            }
            for user in access.listed(db)
        ]
        text: Table = table(
            "Users",
            ["name", "role", "enabled", "created", "last log-in"],
            [
                [
                    user.name,
                    user.role,
                    "yes" if user.enabled else "no",
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
    access.set_role(wire(needs_connection=False), name, role, audit.actor())
    return {"name": name.lower(), "role": role}, f"{name.lower()} is {role} now; all sessions have ended."


@users_group.command("disable")
@click.argument("name")
@output
def disable_user(name: str) -> Any:
    """Let a user log in no longer; all sessions of the user end at once."""
    access.enable(wire(needs_connection=False), name, False, audit.actor())
    return {"name": name.lower(), "enabled": False}, f"{name.lower()} may log in no longer; all sessions have ended."


@users_group.command("enable")
@click.argument("name")
@output
def enable_user(name: str) -> Any:
    """Let a disabled user log in again."""
    access.enable(wire(needs_connection=False), name, True, audit.actor())
    return {"name": name.lower(), "enabled": True}, f"{name.lower()} may log in again."

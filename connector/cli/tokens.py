"""`connector tokens …`"""

from typing import Any

import click

from connector import access, audit, tokens
from connector.cli.common import output, table, wire
from connector.explain import moment
from connector.models import ApiToken


@click.group("tokens")
def tokens_group() -> None:
    """What lets scripts use the JSON API. Each is shown once, when it is made."""


@tokens_group.command("create")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(access.ROLES),
    required=True,
    help="A viewer's looks, an operator's acts, an admin's sees all.",
)
@click.option(
    "--days",
    default=tokens.DAYS,
    show_default=True,
    type=click.IntRange(1, tokens.MAX_DAYS),
    help="After how long it ends by itself.",
)
@output
def create_token(name: str, role: str, days: int) -> Any:
    """Make a token for the script NAME and print it: it cannot be shown again."""
    token = tokens.drawn()
    row = tokens.create(
        wire(needs_connection=False), name, role, token=token, who=audit.actor(), days=days
    )  # fmt: skip
    text = [token, f"{row.name} is {role} until {moment(row.expires_at)}. Keep the token: it is not shown again."]
    return {"name": row.name, "role": role, "token": token, "expires_at": row.expires_at.isoformat()}, text


@tokens_group.command("list")
@output
def list_tokens() -> Any:
    """List all tokens with their roles, who made each, and when it was last used."""
    services = wire(needs_connection=False)
    now = services.now()
    with services.reading() as db:
        found = tokens.listed(db)
    rows = [
        [one.name, one.role, tokens.state(one, now), one.created_by, moment(one.created_at), moment(one.expires_at),
         moment(one.last_used_at)]
        for one in found
    ]  # fmt: skip
    columns = ["name", "role", "is", "made by", "at", "ends", "last used"]
    return {"tokens": [_as_json(one, tokens.state(one, now)) for one in found]}, table("Tokens", columns, rows)


def _as_json(one: ApiToken, state: str) -> dict[str, Any]:
    names = ("created_at", "expires_at", "last_used_at", "revoked_at")
    moments = {name: at.isoformat() if (at := getattr(one, name)) else None for name in names}
    return {"name": one.name, "role": one.role, "state": state, "created_by": one.created_by} | moments


@tokens_group.command("revoke")
@click.argument("name")
@output
def revoke_token(name: str) -> Any:
    """End a token at once and for good."""
    row = tokens.revoke(wire(needs_connection=False), name, audit.actor())
    return {"name": row.name, "state": "revoked"}, f"{row.name} is revoked: no call with it is answered any more."

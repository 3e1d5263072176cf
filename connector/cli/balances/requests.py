"""`connector balances requests …`"""

from typing import Any

import click

from connector import audit, money, syncs
from connector.balances import asking
from connector.balances import requests as kept
from connector.cli import common
from connector.cli.balances.desk import (
    Desk,
    account_option,
    dry_run_option,
    limit_option,
    reason_option,
)
from connector.cli.common import connection_option, output, table
from connector.cli.syncs import ROW, facts
from connector.explain import moment
from connector.models import BalanceRequest

STATUSES = (kept.PLANNED, kept.SENDING, kept.DONE, kept.PARKED, kept.WITHDRAWN)


@click.group("requests")
def requests_group() -> None:
    """What was asked for through the connector, by people or by itself: each is made once, and kept with who asked."""


@requests_group.command("list")
@click.option("--balance", metavar="ID", help="Only of this balance: its id, or its code with --account.")
@account_option
@click.option("--status", type=click.Choice(STATUSES), help="Only those that are so.")
@limit_option
@connection_option
@output
def list_requests(balance: str | None, account: str | None, status: str | None, limit: int, connection: str) -> Any:
    """List requests, the newest first; asks m3ter nothing, unless a balance is named by its code."""
    desk = Desk.at(connection)
    balance_id = desk.balance(balance, account).id if balance is not None else None
    account_id = desk.account_id(account) if account is not None else None
    with desk.services.reading() as db:
        found = kept.listed(
            db, connection, balance_id=balance_id, account_id=account_id, status=status, limit=limit
        )  # fmt: skip
    customers = desk.customers([one.account_id for one in found])
    rows = [
        [one.id, kept.TITLES[one.kind], one.reference, _worth(one), customers.get(one.account_id, one.account_id),
         one.status, one.m3ter_id, one.made_by, f"{one.created_at:%Y-%m-%d %H:%M} UTC"]
        for one in found
    ]  # fmt: skip
    columns = ["id", "what", "reference", "amount", "customer", "status", "m3ter id", "asked for by", "at"]
    return {"requests": [kept.as_json(one) for one in found]}, table("Requests", columns, rows)


def _worth(request: BalanceRequest) -> str | None:
    return None if request.amount is None else money.shown(request.amount, request.currency)


@requests_group.command("show")
@click.argument("request_id", type=ROW)
@connection_option
@output
def show_request(request_id: int, connection: str) -> Any:
    """Show one request: what was sent, how far it is, and its other half where it is half of a top-up."""
    desk = Desk.at(connection)
    with desk.services.reading() as db:
        request = kept.get(db, connection, request_id)
        other = kept.partner(db, request)
        sync = kept.sync_of(db, request)
    document = kept.as_json(request) | {
        "other_half": kept.as_json(other) if other else None,
        "sync": syncs.as_json(sync) if sync else None,
    }
    text: list[Any] = [
        f"Request {request.id}: {kept.described(request)} is {request.status}",
        *facts(
            [
                ("Asked for", f"{moment(request.created_at)} by {request.made_by}"),
                ("Because of", request.source),
                ("Paid by", request.paid_by),
                ("Sent", f"{request.sends} time(s), last at {moment(request.sent_at)}" if request.sent_at else "never"),
                ("In m3ter", request.m3ter_id and f"{request.m3ter_id}, known by {request.found_by}"),
                ("Other half", f"request {other.id}: {kept.described(other)} is {other.status}" if other else None),
                ("Sync", f"{sync.id}: {sync.status}{f', {sync.text}' if sync.text else ''}" if sync else None),
                ("Next step", sync.next_step if sync else None),
            ]
        ),
        table("What m3ter is sent", ["field", "value"], [list(one) for one in sorted(request.body.items())]),
    ]
    return document, text


@requests_group.command("withdraw")
@click.argument("request_id", type=ROW)
@reason_option
@dry_run_option
@connection_option
@output
def withdraw_request(request_id: int, reason: str, dry_run: bool, connection: str) -> Any:
    """Take back a request that has never reached m3ter; m3ter is not asked."""
    desk = Desk.at(connection)
    with desk.services.reading() as db:
        request = kept.get(db, connection, request_id)
    what = kept.described(request)
    if dry_run:
        can = request.status == kept.PLANNED
        document = kept.as_json(request) | {"dry_run": True, "exit_status": 0 if can else 1}
        return document, f"{what} is {request.status}: it {'would be' if can else 'cannot be'} withdrawn."
    asking.withdraw(desk.services, connection, request_id, who=audit.actor(), reason=reason)
    return {"id": request_id, "status": kept.WITHDRAWN}, f"{what} is withdrawn: nothing of it is sent."


@requests_group.command("accept")
@click.argument("request_id", type=ROW)
@click.argument("m3ter_id")
@reason_option
@dry_run_option
@connection_option
@output
def accept_request(request_id: int, m3ter_id: str, reason: str, dry_run: bool, connection: str) -> Any:
    """Say that M3TER_ID is what m3ter has of a request that was parked in doubt; nothing is sent for it any more."""
    desk = Desk.at(connection)
    with desk.services.reading() as db:
        request = kept.get(db, connection, request_id)
        sync = kept.sync_of(db, request)
    what = kept.described(request)
    if dry_run:
        document = kept.as_json(request) | {"dry_run": True, "would_be": m3ter_id}
        return document, f"{what} is {request.status}: {m3ter_id} would be taken for it."
    asking.accept(desk.services, connection, request_id, m3ter_id, who=audit.actor(), reason=reason)
    if sync is not None:
        with desk.services.transaction() as db:
            syncs.retry(db, sync.id, audit.actor(), desk.services.now())
        common.attempt_now(desk.services, sync.id)
    return {"id": request_id, "status": kept.DONE, "m3ter_id": m3ter_id}, f"{what} is {m3ter_id}."

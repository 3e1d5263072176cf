"""What the commands about balances share: where they work, how they name things, and how they show, ask and make."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from decimal import Decimal
from typing import Any

import click

from connector import audit, money
from connector.balances import asking, changes, lookup, requests, typed
from connector.balances.changes import Change
from connector.balances.drafts import BALANCE, Draft
from connector.balances.in_m3ter import Standing
from connector.balances.objections import DELETE, OBJECTIONS
from connector.balances.requests import DONE, TITLES, WITHDRAWN, Asked
from connector.cli import common
from connector.cli.common import Command, show, table
from connector.clients.m3ter_balance_objects import Balance
from connector.errors import BadInput, NotFound
from connector.mappings.table import customers_of
from connector.moments import midnight
from connector.services import Services


@dataclass(frozen=True)
class Desk:
    """One connection, with the time zone in which its days begin."""

    services: Services
    connection: str
    zone: tzinfo

    @classmethod
    def at(cls, connection: str) -> "Desk":
        """The desk of this connection; raises Misconfigured."""
        services = common.wire()
        return cls(services, connection, typed.zone_of(services.connection(connection).settings))

    def today(self) -> date:
        """The day that it is in the organization's time zone."""
        return self.services.now().astimezone(self.zone).date()

    def moment(self, text: str | None, what: str) -> datetime | None:
        """The moment that was typed; raises BadInput."""
        return None if text is None else typed.moment(text, self.zone, what)

    def moment_or(self, text: str | None, what: str, otherwise: datetime) -> datetime:
        """The moment that was typed, or another where none was."""
        return otherwise if text is None else typed.moment(text, self.zone, what)

    def begins(self) -> datetime:
        """The moment at which today began."""
        return midnight(self.today(), self.zone)

    def moment_of(self, text: str | None, what: str, kind: str, own: str, field: str) -> datetime:
        """The moment that was typed; else that of an earlier request with this reference; else the beginning of today."""
        before = asking.as_before(self.services, self.connection, kind, own, field) if text is None else None
        return self.moment_or(text or before, what, self.begins())

    def day_of(self, text: str | None, what: str, kind: str, own: str, field: str) -> date:
        """The day that was typed; else that of an earlier request with this reference; else today."""
        before = asking.as_before(self.services, self.connection, kind, own, field) if text is None else None
        return day(text or before, what) or self.today()

    def shown(self, at: datetime | None) -> str:
        """A moment as a person reads it in that zone."""
        return typed.shown(at, self.zone)

    def balance(self, named: str, account: str | None) -> Balance:
        """The balance that is meant; raises BadInput."""
        return lookup.balance(self.services, self.connection, named, account)

    def account_id(self, named: str) -> str:
        """The account that is meant; raises BadInput."""
        return lookup.account_id(self.services, self.connection, named)

    def customers(self, account_ids: Sequence[str]) -> dict[str, str]:
        """The Chargebee customers that these accounts stand for, where one does."""
        with self.services.reading() as db:
            return customers_of(db, self.connection, list(dict.fromkeys(account_ids)))

    def customer(self, account_id: str) -> str:
        """The account as a person reads it: its Chargebee customer where it has one."""
        customer = self.customers([account_id]).get(account_id)
        return f"{customer} (account {account_id})" if customer else f"account {account_id}"


def stacked(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options as one decorator, in their order."""

    def decorate(command: Command) -> Command:
        for one in reversed(decorators):
            command = one(command)
        return command

    return decorate


account_option = click.option(
    "--account", metavar="ID", help="Chargebee customer id or m3ter account id; needed to name a balance by its code."
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Print what would be sent; m3ter is only read.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask before it is done.")
reason_option = click.option("--reason", required=True, help="Why; kept in the audit log with your name.")
limit_option = click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="How many at most."
)


def amount(text: str | None, what: str) -> Decimal | None:
    """The amount that was typed; raises BadInput."""
    return None if text is None else typed.amount(text, what)


def day(text: str | None, what: str) -> date | None:
    """The day that was typed; raises BadInput."""
    return None if text is None else typed.day(text, what)


def despite_option(kind: str) -> Callable[[Command], Command]:
    """Adds `--despite`: what the person knows of and wants it done all the same."""
    return click.option(
        "--despite", multiple=True, type=click.Choice(OBJECTIONS[kind]),
        help="Do it although this speaks against it; the refusal says which. May be given several times.",
    )  # fmt: skip


def make(desk: Desk, draft: Draft, balance: Balance | None, *, dry_run: bool, yes: bool) -> Any:
    """Ask for one thing and try at once to make it; its document and text."""
    complete = asking.placed(desk.services, desk.connection, draft, balance)
    if dry_run:
        return would_send(desk, [complete])
    if complete.kind != BALANCE:
        confirm(yes, would_send(desk, [complete])[1], "Make this?")
    asked = asking.ask(desk.services, desk.connection, complete, who=audit.actor())
    return made(desk, [asked])


def would_send(desk: Desk, complete: Sequence[Draft]) -> tuple[dict[str, Any], list[Any]]:
    """What m3ter would be sent for these, in their order, and what was asked for under the same references before."""
    document: list[dict[str, Any]] = []
    text: list[Any] = []
    for one in asking.would_send(desk.services, desk.connection, complete):
        draft, path, before = one.draft, one.path, one.before
        readable = {
            name: format(value, "f") if isinstance(value, Decimal) else value for name, value in one.body.items()
        }
        document.append(
            {
                "method": "POST", "path": path, "kind": draft.kind, "reference": draft.reference, "body": readable,
                "asked_before": requests.as_json(before) if before else None,
            }
        )  # fmt: skip
        worth = "" if draft.amount is None else f" of {money.shown(draft.amount, str(draft.currency))}"
        if text:
            text.append("")
        text.append(f"{TITLES[draft.kind].capitalize()} {draft.reference}{worth}: POST {path}")
        text.append(table("", ["field", "value"], [[name, _cell(value)] for name, value in readable.items()]))
        if before:
            text.append(f"It was asked for before and is {before.status}: the same is not made again.")
    return {"dry_run": True, "would_send": document}, text


def confirm(yes: bool, text: list[Any], question: str) -> None:
    """Show it on standard error and ask, unless there is nobody to ask."""
    if not yes:
        show(text, on_standard_error=True)
        click.confirm(question, abort=True, err=True)


def made(desk: Desk, asked: Sequence[Asked]) -> Any:
    """Try each of these now; what became of it, and what comes next where it has not come to its end."""
    documents, text = [], []
    for one in asked:
        sync, _ = common.attempt_now(desk.services, one.sync_id)
        with desk.services.reading() as db:
            request = requests.get(db, desk.connection, one.request.id)
        documents.append(requests.as_json(request) | {"is_new": one.is_new, "sync": sync})
        text += _told(request, sync, is_new=one.is_new)
    failed = any(one["status"] != DONE for one in documents)
    return {"requests": documents, "exit_status": 1 if failed else 0}, text


def _told(request: Any, sync: Mapping[str, Any], *, is_new: bool) -> list[str]:
    what = _begun(requests.described(request))
    if request.status == DONE:
        before = "" if is_new else ", asked for before: nothing was made twice"
        return [f"{what} is made: {request.m3ter_id}{before}."]
    if request.status == WITHDRAWN:
        return [f"{what} was taken back before. Next: choose another reference."]
    lines = [f"{what} is not made yet, sync {sync['id']} is {sync['status']}: {sync['text'] or ''}"]
    return [*lines, f"  Next: {sync['next_step']}"] if sync["next_step"] else lines


def _begun(text: str) -> str:
    """The text as a sentence begins."""
    return text[:1].upper() + text[1:]


def change(
    desk: Desk, planned: Change, *, dry_run: bool, yes: bool, despite: Sequence[str], reason: str | None = None
) -> Any:
    """Show a change, ask, and make it; its document and text."""
    document = changes.as_json(planned) | {"dry_run": dry_run}
    if not planned.is_needed:
        is_so = "\n".join(f"{_begun(one.title)} is so already: nothing was changed." for one in planned.parts)
        return document | {"changed": False}, is_so
    if dry_run:
        against = [one for one in planned.objections if one.code not in despite]
        return document | {"changed": False, "exit_status": 1 if against else 0}, _change_text(planned)
    changes.must_be_meant(planned, despite)
    confirm(yes, _change_text(planned), f"{planned.action.capitalize()} {'both' if planned.other else 'it'}?")
    changes.apply(desk.services, desk.connection, planned, who=audit.actor(), reason=reason, despite=despite)
    done = "deleted" if planned.action == DELETE else "changed"
    became = {True: f"is {done}", False: "was so already"}
    told = [
        line for one in planned.parts for line in (f"{_begun(one.title)} {became[one.changes_itself]}.", *one.remarks)
    ]
    return document | {"changed": True}, told


def _change_text(planned: Change) -> list[Any]:
    return [line for one in planned.parts for line in _part_text(one)]


def _part_text(planned: Change) -> list[Any]:
    text: list[Any] = [f"{planned.action.capitalize()} {planned.title} ({planned.id})"]
    if planned.fields:
        document = changes.as_json(planned)
        rows = [
            [name, _cell(document["before"][name]), _cell(value)] for name, value in document["fields"].items()
        ]  # fmt: skip
        text.append(table("What would be different", ["field", "now", "then"], rows))
    text += [f"Against it ({one.code}): {one.text}" for one in planned.objections]
    return [*text, *planned.remarks]


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "(none)" if value is None else ", ".join(value) if isinstance(value, list) else value


def delete(
    desk: Desk, kind: str, named: str, find: Callable[[], Standing], *,
    dry_run: bool, yes: bool, despite: Sequence[str], reason: str,
) -> Any:  # fmt: skip
    """Delete what `find` finds; what was made here and is gone already is only noted."""
    try:
        standing = find()
    except NotFound as gone:
        if not dry_run and changes.note_gone(desk.services, desk.connection, kind, named, who=audit.actor()):
            text = f"m3ter no longer has the {TITLES[kind]} {named}: nothing was left to delete."
            return {"action": DELETE, "kind": kind, "id": named, "changed": False, "dry_run": dry_run}, text
        raise BadInput(f"m3ter has no {TITLES[kind]} {named}: nothing was changed") from gone
    planned = changes.deletion(desk.services, desk.connection, kind, standing)
    return change(desk, planned, dry_run=dry_run, yes=yes, despite=despite, reason=reason)


def given(**values: Any) -> dict[str, Any]:
    """The fields that were typed."""
    return {name: value for name, value in values.items() if value is not None and value != ()}


def cleared(wanted: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The fields that were typed, and those that are to be taken away; raises BadInput for one that is both."""
    fields = [name.replace("-", "_") for name in names]
    if both := [name for name, field in zip(names, fields, strict=True) if field in wanted]:
        raise BadInput(f"--clear {both[0]} and --{both[0]} contradict each other")
    return wanted | dict.fromkeys(fields)


def must_change(wanted: Mapping[str, Any]) -> None:
    """Raise BadInput where nothing is to be changed."""
    if not wanted:
        raise BadInput("say what is to be changed: `--help` lists what can be")


def price_shown(amount: Decimal, currency: str | None) -> str:
    """An amount with its currency."""
    return money.shown(amount, currency or "?")

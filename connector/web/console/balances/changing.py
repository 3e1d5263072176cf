"""Change, end or delete what Balance Billing has: shown first with all that speaks against it, which is then to be ticked.

These calls may be repeated: doing the same twice changes nothing the second time. Where the answer never came, that is said.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from flask import abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from connector.balances import changes, in_m3ter, requests
from connector.balances.changes import Change
from connector.balances.drafts import BALANCE, CHARGE, CHARGE_SCHEDULE, TRANSACTION_SCHEDULE
from connector.balances.in_m3ter import Standing
from connector.balances.requests import TITLES
from connector.clients.m3ter_balance_objects import Charge
from connector.errors import BadInput, ConnectorError, NotFound, Parked, Uncertain
from connector.web.console.balances import desk as desks
from connector.web.console.balances import new
from connector.web.console.balances.desk import Desk, Options
from connector.web.console.balances.fields import Field, Filled, read, shown
from connector.web.console.here import me

UPDATE, END, DELETE = "update", "end", "delete"
TITLE = {UPDATE: "Change", END: "End", DELETE: "Delete"}
REASON = Field("reason", "Why", hint="Kept in the audit log with your name.", required=True)
AT = Field("at", "Ends", "moment", "The first moment at which it makes nothing more; now when left out.")

BOTH = Field("both", "End the other half of its top-up with it", "flag")


@dataclass(frozen=True)
class Thing:
    """One kind of what can be changed: its address below the connection's, its fields, and how one is found."""

    kind: str
    path: str  # with the id of the thing, below the connection's address
    fields: tuple[Field, ...]
    find: Callable[[Desk, str], Standing]
    actions: tuple[str, ...]


@dataclass(frozen=True)
class Form:
    """What is done to one kind of thing, by one action."""

    thing: Thing
    action: str

    @property
    def endpoint(self) -> str:
        return f"{self.action}_{self.thing.kind}"

    @property
    def path(self) -> str:
        """Its address below the connection's."""
        return f"{self.thing.path}/{self.action}"

    @property
    def fields(self) -> tuple[Field, ...]:
        return {UPDATE: self.thing.fields, END: (AT, BOTH), DELETE: (REASON,)}[self.action]

    def show(self, name: str, thing_id: UUID, balance_id: UUID | None = None) -> ResponseReturnValue:
        """The form, filled in with what is; of a deletion what speaks against it."""
        desk = desks.at(name, balance_id)
        standing = self._find(desk, thing_id)
        if standing is None:
            return self._gone_page(desk, thing_id)
        if self.action == DELETE:
            planned = changes.deletion(desk.services, name, self.thing.kind, standing)
            return self._confirm(desk, standing, Filled({"reason": ""}), planned)
        texts = self._texts(desk, standing) if self.action == UPDATE else {"at": "", "both": ""}
        return self._form(desk, standing, Filled(texts))

    def send(self, name: str, thing_id: UUID, balance_id: UUID | None = None) -> ResponseReturnValue:
        """What would be different and, once that has been seen and every objection ticked, the change itself."""
        desk = desks.at(name, balance_id)
        standing = self._find(desk, thing_id)
        if standing is None:
            return self._gone(desk, thing_id)
        filled = read(self.fields, request.form, desk.zone, _options(desk, standing))
        if self.action == DELETE and "seen" not in request.form:
            return self.show(name, thing_id, balance_id)
        if "change" in request.form or (filled.faults and self.action != DELETE):
            return self._form(desk, standing, filled)
        if self.action == UPDATE and request.form.get("version") != str(standing.version):
            return self._form(
                desk, standing, filled, "somebody has changed it since you opened the form: open it anew, and compare"
            )
        try:
            planned = self._planned(desk, standing, filled)
        except BadInput as fault:
            return self._form(desk, standing, filled, str(fault))
        if not planned.is_needed:
            flash(f"{planned.title} is so already: nothing was changed.", "warning")
            return self._after(desk, standing)
        if filled.faults or request.form.get("seen") != _seen(planned):
            return self._confirm(desk, standing, filled, planned, changed="seen" in request.form and not filled.faults)
        try:
            changes.apply(
                desk.services, name, planned, who=me().actor, despite=request.form.getlist("despite"),
                reason=filled.values.get("reason"),
            )  # fmt: skip
        except Parked:
            untold = "What speaks against it is not ticked: tick it if it is meant all the same."
            return self._confirm(desk, standing, filled, planned, fault=untold)
        except Uncertain as unknown:
            flash(f"{unknown}.", "warning")
            return self._after(desk, standing)
        except ConnectorError as refused:
            return self._confirm(desk, standing, filled, planned, fault=str(refused))
        done = {UPDATE: "changed", END: "ended", DELETE: "deleted"}[self.action]
        became = {True: f"is {done}", False: "was so already"}
        for one in planned.parts:
            flash(" ".join([f"{_begun(one.title)} {became[one.changes_itself]}.", *one.remarks]), "good")
        return self._after(desk, standing, gone=self.action == DELETE)

    def _find(self, desk: Desk, thing_id: UUID) -> Standing | None:
        """What is meant; None where m3ter no longer has what was made here, and 404 for what never was."""
        try:
            return self.thing.find(desk, str(thing_id))
        except NotFound:
            with desk.services.reading() as db:
                if requests.made_as(db, desk.connection, self.thing.kind, str(thing_id)) is None:
                    abort(404)
            return None

    def _planned(self, desk: Desk, standing: Standing, filled: Filled) -> Change:
        services, connection, kind = desk.services, desk.connection, self.thing.kind
        if self.action == DELETE:
            return changes.deletion(services, connection, kind, standing)
        if self.action == END:
            at, both = filled.values["at"] or desk.at, filled.values["both"]
            return changes.end(services, connection, kind, standing, at, both=both)
        before = self._texts(desk, standing)
        wanted = {
            name: value or None if isinstance(value, tuple) else value
            for name, value in filled.values.items()
            if filled.texts[name] != _as_browsers_send(before[name])
        }
        return changes.update(services, connection, kind, standing, wanted)

    def _texts(self, desk: Desk, standing: Standing) -> dict[str, str]:
        """Each field as it is now, the way it is typed."""
        attributes = changes.KINDS[self.thing.kind].attributes
        return {
            one.name: shown(getattr(standing, attributes.get(one.name, one.name)), desk.zone)
            for one in self.thing.fields
        }

    def _shown(self, desk: Desk, standing: Standing) -> tuple[Field, ...]:
        """Its fields, without the one that only half of a top-up needs."""
        with desk.services.reading() as db:
            other = requests.other_half(db, desk.connection, self.thing.kind, standing.id)
        return tuple(one for one in self.fields if one != BOTH or other is not None)

    def _form(
        self, desk: Desk, standing: Standing, filled: Filled, fault: str | None = None
    ) -> ResponseReturnValue:  # fmt: skip
        named = in_m3ter.title(self.thing.kind, standing)
        page = render_template(
            "balances/form.html", title=f"{TITLE[self.action]} {named}", about=ABOUT[self.action], desk=desk,
            fields=self._shown(desk, standing), filled=filled, options=_options(desk, standing), fault=fault,
            action=self._address(desk, standing.id),
            hidden={"drawn_at": desk.at.isoformat(), "version": str(standing.version)}, back=_back(desk, standing),
            press="Look at it …",
        )  # fmt: skip
        return page, 422 if fault or filled.faults else 200

    def _confirm(
        self, desk: Desk, standing: Standing, filled: Filled, planned: Change, *, changed: bool = False,
        fault: str | None = None,
    ) -> ResponseReturnValue:  # fmt: skip
        yes = f"{TITLE[self.action]} {'both' if planned.other else 'it'}"
        page = render_template(
            "balances/confirm_change.html", title=f"{TITLE[self.action]} {planned.title}?", planned=planned, desk=desk,
            parts=[(one, _rows(one)) for one in planned.parts],
            filled=filled, fields=self.fields if self.action == DELETE else (), changed=changed, fault=fault,
            ticked=request.form.getlist("despite"), action=self._address(desk, standing.id), yes=yes,
            tone="danger" if self.action == DELETE else "primary",
            hidden={
                **({} if self.action == DELETE else filled.texts), "drawn_at": desk.at.isoformat(),
                "version": str(standing.version), "seen": _seen(planned),
            },
            back=_back(desk, standing), can_change=self.action != DELETE,
        )  # fmt: skip
        return page, 422 if filled.faults else 409 if fault else 200

    def _gone_page(self, desk: Desk, thing_id: UUID) -> ResponseReturnValue:
        return render_template(
            "balances/gone.html", title=f"The {TITLES[self.thing.kind]} is gone", desk=desk,
            action=self._address(desk, str(thing_id)), can_note=self.action == DELETE, thing_id=thing_id,
        )  # fmt: skip

    def _gone(self, desk: Desk, thing_id: UUID) -> ResponseReturnValue:
        """Note that a person wants gone what m3ter no longer has."""
        if self.action != DELETE:
            return self._gone_page(desk, thing_id)
        changes.note_gone(desk.services, desk.connection, self.thing.kind, str(thing_id), who=me().actor)
        flash(
            f"m3ter no longer has the {TITLES[self.thing.kind]}: nothing was left to delete, and that is noted.", "good"
        )
        return redirect(_list(desk, None), 303)

    def _address(self, desk: Desk, thing_id: str) -> str:
        named: dict[str, Any] = {"balance_id": desk.balance.id} if desk.balance else {}
        return url_for(f"do_{self.endpoint}", name=desk.connection, thing_id=thing_id, **named)

    def _after(self, desk: Desk, standing: Standing, *, gone: bool = False) -> ResponseReturnValue:
        if gone and self.thing.kind == BALANCE:
            return redirect(_list(desk, getattr(standing, "account_id", None)), 303)
        return redirect(_back(desk, standing), 303)


ABOUT = {
    UPDATE: "What is left as it is stays so; what is emptied is taken away.",
    END: "What it has made already stays as it is.",
}


def _options(desk: Desk, standing: Standing) -> Options:
    """What there is to choose from, and what it is now, though that is in use no more."""
    found = new.options(desk)
    found["type_id"] = found["type"]
    for name, listed in found.items():
        now = getattr(standing, {"type_id": "transaction_type_id"}.get(name, name), None)
        if isinstance(now, str) and now not in {value for value, _ in listed}:
            found[name] = [*listed, (now, now)]
    return found


def _as_browsers_send(text: str) -> str:
    """What comes back of a field that nobody touched: what m3ter has around a text, or breaks it with, is no change."""
    return text.replace("\r", "").replace("\n", "").strip()


def _rows(planned: Change) -> list[tuple[str, Any, Any]]:
    """Each field that would be different, as it is and as it would be."""
    document = changes.as_json(planned)
    return [(name, document["before"][name], value) for name, value in document["fields"].items()]


def _seen(planned: Change) -> str:
    return desks.fingerprint(changes.as_json(planned))


def _begun(title: str) -> str:
    return title[:1].upper() + title[1:]


def _list(desk: Desk, account_id: str | None) -> str:
    chosen: dict[str, Any] = {"account": account_id} if account_id else {}
    return url_for("balances", connection=desk.connection, **chosen)


def _back(desk: Desk, standing: Standing) -> str:
    """The page of the balance that it is of, or of its account."""
    balance_id = getattr(standing, "balance_id", None)
    if isinstance(standing, Charge):
        balance_id = standing.entity_id if standing.entity_type == "BALANCE" else None
    elif balance_id is None:
        balance_id = standing.id
    if balance_id is None:
        return _list(desk, getattr(standing, "account_id", None))
    return url_for("balance", name=desk.connection, balance_id=balance_id)


# What can be changed

NAME = Field("name", "Name", required=True)
STARTS = Field("start", "Begins", "moment", new.A_DAY, required=True)
ENDS = Field("end", "Ends", "moment", "Exclusive: the first moment after it.", required=True)
RHYTHM = (
    Field("frequency", "How often", "choice", required=True),
    Field("every", "Each so many", "whole", "Days, weeks, months or years, 1 to 365.", required=True),
)
PRICE = (Field("currency", "Currency", "choice", required=True), *new.PRICE[1:])

BALANCES = Thing(
    BALANCE, "/balance/<uuid:thing_id>", (NAME, STARTS, ENDS, *new.BALANCE_FIELDS),
    lambda desk, thing_id: desk.m3ter.get_balance(thing_id), (UPDATE, DELETE),
)  # fmt: skip
CHARGES = Thing(
    CHARGE, "/charges/<uuid:thing_id>",
    (
        replace(new.NAME, hint="Begins the text of the bill line."), *PRICE,
        Field("bill_date", "Bill date", "day", required=True),
        replace(STARTS, label="Service period from"), replace(ENDS, label="Service period until"),
        Field("description", "Description", hint="Goes on with the text of the bill line."),
        Field("notes", "Notes", hint="For people; never on a bill."), Field("product_id", "Accounting product's id"),
    ),
    lambda desk, thing_id: desk.m3ter.get_charge(thing_id), (UPDATE, DELETE),
)  # fmt: skip
CREDITS = Thing(
    TRANSACTION_SCHEDULE, "/<uuid:balance_id>/transaction-schedules/<uuid:thing_id>",
    (
        NAME, Field("amount", "Credit at a time", "amount", "In the balance's currency.", required=True),
        Field("type_id", "Type of transaction", "choice", required=True),
        Field("description", "Description", required=True), STARTS, ENDS, *RHYTHM, *new.PAID,
    ),
    lambda desk, thing_id: desk.m3ter.get_transaction_schedule(desk.on.id, thing_id), (UPDATE, END, DELETE),
)  # fmt: skip
FEES = Thing(
    CHARGE_SCHEDULE, "/<uuid:balance_id>/charge-schedules/<uuid:thing_id>",
    (
        NAME, *PRICE, Field("description", "Description", hint="Text on the bill line.", required=True), STARTS, ENDS,
        *RHYTHM, Field("in_advance", "Billed in advance, at the start of each period", "flag"),
        Field("bill_epoch", "Periods are counted from", "day"),
    ),
    lambda desk, thing_id: desk.m3ter.get_charge_schedule(desk.on.id, thing_id), (UPDATE, END, DELETE),
)  # fmt: skip
THINGS = (BALANCES, CHARGES, CREDITS, FEES)
FORMS = tuple(Form(thing, action) for thing in THINGS for action in thing.actions)

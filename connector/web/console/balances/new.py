"""Ask for something to be made: a form, a page that shows exactly what m3ter will be sent, and then the request.

Nothing here writes to m3ter: what is confirmed becomes a request with its sync, which a worker makes once. The form carries
the reference that was made up for it when it was drawn, so that sent twice it is the same request.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from connector.balances import asking, drafts, lookup, previews, requests, top_ups
from connector.balances.drafts import CHARGE_SCHEDULE, FREQUENCIES, TRANSACTION_SCHEDULE, Draft
from connector.balances.previews import Planned, Previewed
from connector.balances.requests import Asked
from connector.balances.top_ups import Price, TopUp
from connector.clients.m3ter_objects import DRAWABLE
from connector.errors import BadInput, Rejected
from connector.web.console.balances import desk as desks
from connector.web.console.balances.desk import Desk, Options
from connector.web.console.balances.fields import Field, Filled, read
from connector.web.console.here import me

SCHEDULES = (TRANSACTION_SCHEDULE, CHARGE_SCHEDULE)
A_DAY = "A day like 2026-03-01, or a time with its offset"


@dataclass(frozen=True)
class Plan:
    """What would be asked for, in the order in which it is made, and how it is asked for by whom."""

    drafts: Sequence[Draft]
    ask: Callable[[str], Sequence[Asked]]


@dataclass(frozen=True)
class Runs:
    """What schedules would make: credits, each beside the charge that pays for it, and what there is to say of them."""

    credits: Previewed | None
    charges: Previewed | None

    @property
    def rows(self) -> list[tuple[Planned | None, Planned | None]]:
        return previews.side_by_side(
            self.credits.rows if self.credits else (), self.charges.rows if self.charges else ()
        )

    @property
    def is_uneven(self) -> bool:
        """Whether credits and charges do not come out even."""
        return previews.is_uneven(self.credits, self.charges)


@dataclass(frozen=True)
class Form:
    """A form for one kind of thing; `path` is below the balance's address where it is `on_balance`, else the connection's."""

    endpoint: str
    path: str
    title: str
    about: str
    fields: tuple[Field, ...]
    plan: Callable[[Desk, dict[str, Any], str], Plan]
    on_balance: bool = True

    def show(self, name: str, balance_id: UUID | None = None) -> ResponseReturnValue:
        """The empty form."""
        desk = desks.at(name, balance_id)
        texts = {
            "account": request.args.get("account", "")[:200],
            "currency": desk.balance.currency if desk.balance else "",
        }
        if self is TOP_UP:
            texts["currency"] = ""
        return self._form(desk, Filled({one.name: texts.get(one.name, "") for one in self.fields}))

    def send(self, name: str, balance_id: UUID | None = None) -> ResponseReturnValue:
        """What would be asked for and, once that has been seen, the request itself."""
        desk, own = desks.at(name, balance_id), desks.reference()
        filled = read(self._labelled(desk), request.form, desk.zone, options(desk))
        if "change" in request.form or filled.faults:
            return self._form(desk, filled, own)
        try:
            plan = self.plan(desk, filled.values, filled.values.get("reference") or own)
            sends = asking.would_send(desk.services, desk.connection, plan.drafts)
            seen = desks.fingerprint([(one.path, sorted(one.body.items())) for one in sends])
            if request.form.get("seen") != seen:
                return self._confirm(desk, filled, own, plan, sends, seen)
            asked = plan.ask(me().actor)
        except (BadInput, Rejected) as fault:
            return self._form(desk, filled, own, str(fault))
        desks.go_on(asked)
        said = "; ".join(requests.described(one.request) for one in asked)
        if any(one.is_new for one in asked):
            flash(f"Asked for: {said}.", "good")
        else:
            flash(f"Asked for before: {said}. Nothing is made twice.", "warning")
        return redirect(url_for("balance_request", name=name, request_id=asked[-1].request.id), 303)

    def address(self, endpoint: str, desk: Desk) -> str:
        """Where this form is, for its connection and balance."""
        on: dict[str, Any] = {"balance_id": desk.on.id} if self.on_balance else {}
        return url_for(endpoint, name=desk.connection, **on)

    def _labelled(self, desk: Desk) -> list[Field]:
        currency = desk.balance.currency if desk.balance else ""
        return [replace(one, label=one.label.replace("{currency}", currency)) for one in self.fields]

    def _form(
        self, desk: Desk, filled: Filled, own: str | None = None, fault: str | None = None
    ) -> ResponseReturnValue:
        page = render_template(
            "balances/form.html", title=self.title, about=self.about, desk=desk, fields=self._labelled(desk),
            filled=filled, options=options(desk), fault=fault, action=self.address(f"ask_{self.endpoint}", desk),
            hidden={"drawn_at": desk.at.isoformat(), "drawn_reference": own or desks.reference()},
            back=_back(desk), press="Look at it …",
        )  # fmt: skip
        return page, 422 if fault or filled.faults else 200

    def _confirm(
        self, desk: Desk, filled: Filled, own: str, plan: Plan, sends: Sequence[asking.WouldSend], seen: str
    ) -> ResponseReturnValue:
        return render_template(
            "balances/confirm_ask.html", title=self.title, desk=desk, sends=sends, runs=_runs(desk, plan.drafts),
            titles=requests.TITLES, changed="seen" in request.form, action=self.address(f"ask_{self.endpoint}", desk),
            hidden=filled.texts | {"drawn_at": desk.at.isoformat(), "drawn_reference": own, "seen": seen},
        )  # fmt: skip


def _back(desk: Desk) -> str:
    if desk.balance is not None:
        return url_for("balance", name=desk.connection, balance_id=desk.balance.id)
    return url_for("balances", connection=desk.connection)


def options(desk: Desk) -> Options:
    """What there is to choose from, field by field."""
    return {
        "type": desk.types,
        "currency": desk.currencies,
        "currency_paid": desk.currencies,
        "frequency": [(one, one.capitalize()) for one in FREQUENCIES],
    }


def _runs(desk: Desk, complete: Sequence[Draft]) -> Runs | None:
    """What the schedules among these would make, as m3ter works it out."""
    made = {
        draft.kind: previews.of(desk.services, desk.connection, draft) for draft in complete if draft.kind in SCHEDULES
    }
    return Runs(made.get(TRANSACTION_SCHEDULE), made.get(CHARGE_SCHEDULE)) if made else None


def _one(desk: Desk, draft: Draft) -> Plan:
    complete = asking.placed(desk.services, desk.connection, draft, desk.balance)
    return Plan([complete], lambda who: [asking.ask(desk.services, desk.connection, complete, who=who)])


# What each form asks for


def _balance(desk: Desk, values: dict[str, Any], own: str) -> Plan:
    draft = drafts.balance(
        account_id=lookup.account_id(desk.services, desk.connection, values["account"]), code=values["code"],
        name=values["name"] or values["code"], currency=values["currency"], start=values["start"] or desk.begins(),
        end=values["end"], description=values["description"], rollover_end=values["rollover_end"],
        rollover_amount=values["rollover_amount"], draw_down_description=values["draw_down_description"],
        overage_percent=values["overage_percent"], overage_description=values["overage_description"],
        product_ids=values["product_ids"], line_item_types=values["line_item_types"], contract_id=values["contract_id"],
        consumptions_product_id=values["consumptions_product_id"], fees_product_id=values["fees_product_id"],
        allow_overdraft=values["allow_overdraft"] or None,
    )  # fmt: skip
    return _one(desk, draft)


def _transaction(desk: Desk, values: dict[str, Any], own: str) -> Plan:
    draft = drafts.transaction(
        balance_id=desk.on.id, reference=own, amount=values["amount"], type_id=values["type"],
        description=values["description"], applied=values["applied"], occurred=values["occurred"], paid=values["paid"],
        currency_paid=values["currency_paid"],
    )  # fmt: skip
    return _one(desk, draft)


def _transaction_schedule(desk: Desk, values: dict[str, Any], own: str) -> Plan:
    draft = drafts.transaction_schedule(
        balance_id=desk.on.id, code=own, name=values["name"] or values["description"], amount=values["amount"],
        type_id=values["type"], description=values["description"], start=values["start"] or desk.begins(),
        end=values["end"] or desk.on.end, frequency=values["frequency"], every=_every(values), paid=values["paid"],
        currency_paid=values["currency_paid"],
    )  # fmt: skip
    return _one(desk, draft)


def _every(values: dict[str, Any]) -> int:
    return 1 if values["every"] is None else int(values["every"])


def _charge(desk: Desk, values: dict[str, Any], own: str) -> Plan:
    account = None
    if desk.balance is None:
        account = lookup.account_id(desk.services, desk.connection, values["account"])
    draft = drafts.charge(
        account_id=account, balance_id=desk.balance.id if desk.balance else None, code=own, name=values["name"],
        currency=values["currency"], amount=values["amount"], units=values["units"], unit_price=values["unit_price"],
        start=values["start"] or desk.begins(), end=values["end"] or (desk.balance.end if desk.balance else None),
        bill_date=values["bill_date"] or desk.today(), description=values["description"], notes=values["notes"],
        product_id=values["product_id"], contract_id=values["contract_id"],
    )  # fmt: skip
    return _one(desk, draft)


def _charge_schedule(desk: Desk, values: dict[str, Any], own: str) -> Plan:
    start = values["start"] or desk.begins()
    draft = drafts.charge_schedule(
        balance_id=desk.on.id, code=own, name=values["name"] or values["description"], currency=values["currency"],
        amount=values["amount"], units=values["units"], unit_price=values["unit_price"], start=start,
        end=values["end"] or desk.on.end, frequency=values["frequency"], every=_every(values),
        description=values["description"], in_advance=not values["in_arrears"],
        bill_epoch=values["bill_epoch"] or desk.day_of(start),
    )  # fmt: skip
    return _one(desk, draft)


def _top_up(desk: Desk, values: dict[str, Any], own: str) -> Plan:
    pair = asking.placed_top_up(desk.services, desk.connection, _pair(desk, values, own))
    return Plan(pair.halves, lambda who: asking.ask_top_up(desk.services, desk.connection, pair, who=who))


def _pair(desk: Desk, values: dict[str, Any], own: str) -> TopUp:
    frequency = values["frequency"]
    labels = {one.name: f"“{one.label}”" for one in TOP_UP.fields}
    top_ups.must_fit(
        {name for name, value in values.items() if value}, recurs=frequency is not None, called=labels.__getitem__,
        once="a single top-up", again="one that recurs",
    )  # fmt: skip
    common: dict[str, Any] = {
        "reference": own, "credit": values["credit"], "type_id": values["type"], "description": values["description"],
        "price": None if values["free"] else Price(values["price"], values["currency"]),
    }  # fmt: skip
    if frequency is None:
        return top_ups.ad_hoc(
            desk.on, **common, applied=values["applied"] or _first(desk), bill_date=values["bill_date"] or desk.today(),
            product_id=values["product_id"],
        )  # fmt: skip
    start = values["start"] or _first(desk)
    return top_ups.scheduled(
        desk.on, **common, start=start, end=values["end"] or desk.on.end, first_day=desk.day_of(start),
        frequency=frequency, every=_every(values), in_advance=not values["in_arrears"],
    )  # fmt: skip


def _first(desk: Desk) -> datetime:
    """From when on a credit counts by default: today, or the balance's start where that is still to come."""
    return max(desk.begins(), desk.on.start)


# The forms

REFERENCE = Field(
    "reference", "Reference", hint="One word of your own, such as a PO number. Made up when left out; the same one twice "
    "makes one thing.",
)  # fmt: skip
TYPE = Field("type", "Type of transaction", "choice", "From the organization's list.", required=True, blank="choose …")
PAID = (
    Field("paid", "Really paid", "amount", "For the record only: nothing is converted.", group="What was paid"),
    Field("currency_paid", "Currency of that", "choice"),
)
PRICE = (
    Field("currency", "Currency", "choice", "What is charged in; need not be the balance's.", required=True),
    Field("amount", "Amount", "amount", "The price as a whole; or else give units and the price of one."),
    Field("units", "Units", "amount"),
    Field("unit_price", "Price of one unit", "amount"),
)
RHYTHM = (
    Field("frequency", "How often", "choice", required=True, blank="choose …", group="When"),
    Field("every", "Each so many", "whole", "Days, weeks, months or years, 1 to 365; 1 when left out."),
    Field("start", "Begins", "moment", f"{A_DAY}; today when left out."),
    Field("end", "Ends", "moment", "The first moment after its last period; the balance's end when left out."),
)
CHARGED = (
    Field("bill_date", "Bill date", "day", "The day whose bill job bills it; today when left out.", group="When"),
    Field("start", "Service period from", "moment", f"{A_DAY}; today when left out."),
)
TEXTS = (
    Field("description", "Description", hint="Goes on with the text of the bill line.", group="More"),
    Field("notes", "Notes", hint="For people; never on a bill."),
    Field("product_id", "Accounting product's id"),
    Field("contract_id", "m3ter contract's id"),
)
ACCOUNT = Field("account", "Account", hint="The Chargebee customer's id or the m3ter account's.", required=True)
NAME = Field("name", "Name", hint="Begins the text of the bill line.", required=True)

BALANCE_FIELDS = (
    Field("description", "Description", hint="For people."),
    Field(
        "rollover_end", "Rollover ends", "moment", "Until when what is unused at the end lives on.", group="Rollover"
    ),
    Field("rollover_amount", "At most rolls over", "amount", "In the balance's currency; all of it when left out."),
    Field(
        "draw_down_description",
        "Text of the lines that draw it down",
        hint="At most 200 characters.",
        group="Bill lines",
    ),
    Field("overage_percent", "Surcharge on usage beyond the balance, in percent", "amount"),
    Field("overage_description", "Text of the overage lines", hint="At most 200 characters."),
    Field("product_ids", "Products that draw it down", "list", "Their ids; all when left out."),
    Field("line_item_types", "Lines that draw it down", "list", f"All when left out: {', '.join(DRAWABLE)}."),
    Field("consumptions_product_id", "Accounting product of what is drawn", hint="Its id."),
    Field("fees_product_id", "Accounting product of its fees", hint="Its id."),
)

BALANCE = Form(
    "balance_new", "/new", "New balance",
    "An empty balance for an account: a top-up or a transaction fills it.",
    (
        ACCOUNT,
        Field("code", "Code", hint="Its own among all balances; the same twice makes one.", required=True),
        Field("name", "Name", hint="The code when left out."),
        Field("currency", "Currency", "choice", "Of the credit; cannot change later.", required=True, blank="choose …"),
        Field("start", "Begins", "moment", f"{A_DAY}; today when left out."),
        Field("end", "Ends", "moment", "The first moment at which it can no longer be drawn down.", required=True),
        *BALANCE_FIELDS,
        Field("contract_id", "m3ter contract's id", hint="Only charges on this contract draw it down."),
        Field("allow_overdraft", "It may fall below zero", "flag", "m3ter has to switch that on."),
    ),
    _balance, on_balance=False,
)  # fmt: skip
TOP_UP = Form(
    "top_up", "/top-up", "Top up",
    "Credit and the charge that pays for it, under one reference. The charge is made first, the credit only when that is there.",
    (
        Field("credit", "Credit in {currency}", "amount", required=True),
        TYPE,
        Field("price", "Price", "amount", "What is charged; as much as the credit when left out.", group="What it costs"),
        Field("currency", "Currency of the price", "choice", "Another than the balance's needs a price.",
              blank="the balance's"),
        Field("free", "Free: credit without a charge", "flag"),
        Field("frequency", "How often", "choice", "Once, or again and again in this rhythm.", group="When", blank="once"),
        Field("applied", "Counts from", "moment", f"{A_DAY}; today when left out.", group="If once"),
        Field("bill_date", "Bill date", "day", "The day whose bill job bills it; today when left out."),
        Field("product_id", "Accounting product of the charge", hint="Its id."),
        Field("start", "Begins", "moment", f"{A_DAY}; today when left out.", group="If again and again"),
        Field("end", "Ends", "moment", "The first moment after its last period; the balance's end when left out."),
        Field("every", "Each so many", "whole", "Days, weeks, months or years; 1 when left out."),
        Field("in_arrears", "Billed in arrears, at the end of each period", "flag"),
        Field("description", "Description", hint="On the transaction and on the bill line.", group="More"),
        REFERENCE,
    ),
    _top_up,
)  # fmt: skip
TRANSACTION = Form(
    "transaction", "/transaction", "Credit or debit",
    "A transaction changes the balance and is never billed; a top-up does both. It is for good: m3ter takes none back, and "
    "another with the opposite amount is the way to undo it.",
    (
        Field("amount", "Amount in {currency}", "amount", "Below zero is a debit.", required=True),
        TYPE,
        Field("description", "Description", hint="The reference is put behind it."),
        REFERENCE,
        Field("applied", "Counts from", "moment", f"{A_DAY}; now when left out.", group="When"),
        Field("occurred", "Took place", "moment", "For the record only."),
        *PAID,
    ),
    _transaction,
)  # fmt: skip
TRANSACTION_SCHEDULES = Form(
    "transaction_schedule", "/transaction-schedule", "Schedule of credits",
    "Credits the balance again and again, without charges: a top-up makes both.",
    (
        Field("amount", "Credit at a time in {currency}", "amount", required=True),
        TYPE,
        Field("description", "Description", hint="Of the transactions.", required=True),
        Field("name", "Name", hint="The description when left out."),
        replace(REFERENCE, label="Code"),
        *RHYTHM,
        *PAID,
    ),
    _transaction_schedule,
)  # fmt: skip
CHARGE = Form(
    "charge", "/charge", "Charge on the balance",
    "Money to be billed, which credits nothing: a top-up does both.",
    (
        NAME, *PRICE, *CHARGED,
        Field("end", "Service period until", "moment", "The first moment after it; the balance's end when left out."),
        *TEXTS, replace(REFERENCE, label="Code"),
    ),
    _charge,
)  # fmt: skip
ACCOUNT_CHARGE = Form(
    "account_charge", "/charge", "Charge an account",
    "Money to be billed to an account itself, on no balance. An amount below zero is a credit on the bill.",
    (
        ACCOUNT, NAME, *PRICE, *CHARGED,
        Field("end", "Service period until", "moment", "The first moment after it.", required=True),
        *TEXTS, replace(REFERENCE, label="Code"),
    ),
    _charge, on_balance=False,
)  # fmt: skip
CHARGE_SCHEDULES = Form(
    "charge_schedule", "/charge-schedule", "Schedule of charges",
    "Charges that recur: one for each service period, billed in advance, at its start, or in arrears.",
    (
        *PRICE,
        Field("description", "Description", hint="Text on the bill line.", required=True),
        Field("name", "Name", hint="The description when left out."),
        replace(REFERENCE, label="Code"),
        *RHYTHM,
        Field("in_arrears", "Billed in arrears, at the end of each period", "flag"),
        Field("bill_epoch", "Periods are counted from", "day", "That of the start when left out."),
    ),
    _charge_schedule,
)  # fmt: skip
FORMS = (TOP_UP, TRANSACTION, CHARGE, TRANSACTION_SCHEDULES, CHARGE_SCHEDULES, BALANCE, ACCOUNT_CHARGE)

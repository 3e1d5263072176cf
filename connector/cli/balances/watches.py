"""`connector balances watches …`, `connector balances low` and `connector balances chart`"""

from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from connector import audit, money
from connector.balances import asking, chart_page, drawing, lookup, showing, watches, watching
from connector.balances.drafts import must_be_known
from connector.balances.forecast import Forecast
from connector.balances.picture import Picture, as_json, summary
from connector.balances.watches import Terms, is_low
from connector.cli.common import connection_option, output, table, wire
from connector.clients.m3ter_balance_objects import Balance
from connector.errors import BadInput, NotFound
from connector.models import BalanceReading, BalanceWatch
from connector.services import Services


def _amount(_context: click.Context, _option: click.Parameter, value: str | None) -> Decimal | None:
    """An option's value as an exact amount."""
    try:
        return None if value is None else money.amount(value)
    except money.BadMoney as fault:
        raise click.BadParameter(str(fault)) from fault


account_option = click.option("--account", help="To name the balance by its code: its account, or customer.")


@click.group("watches")
def watches_group() -> None:
    """Balances that the clock looks at, to tell or to top up when they run low."""


@watches_group.command("list")
@click.option("--state", help="ok, low, topping_up, cap_reached, refused, ended or gone.")
@connection_option
@output
def list_watches(state: str | None, connection: str) -> Any:
    """List what is watched, the longest low first, as the clock last saw it; calls no provider."""
    services = wire()
    services.connection(connection)
    with services.reading() as db:
        rows = watches.listed(db, connection, state=state)
        readings = {row.balance_id: watches.last_reading(db, connection, row.balance_id) for row in rows}
    return {"watches": [watches.as_json(row) | _reading(readings[row.balance_id]) for row in rows]}, table(
        "Watched balances",
        ["balance", "state", "since", "held", "threshold", "top-up", "cap a month", "made by"],
        [_row(row, readings[row.balance_id]) for row in rows],
    )


def _reading(reading: BalanceReading | None) -> dict[str, Any]:
    if reading is None:
        return dict.fromkeys(("held", "held_at"))
    return {"held": format(reading.held, "f"), "held_at": reading.at.isoformat()}


def _row(row: BalanceWatch, reading: BalanceReading | None) -> list[Any]:
    held = None if reading is None else money.shown(reading.held, row.currency)
    return [
        row.balance_id, row.state if row.enabled else "off", f"{row.state_since:%Y-%m-%d %H:%M}", held,
        money.shown(row.threshold, row.currency), _top_up(row, row.currency), _cap(row, row.currency), row.made_by,
    ]  # fmt: skip


def _top_up(watch: BalanceWatch | Terms, currency: str) -> str | None:
    """What is credited by itself, and for how much."""
    if watch.credit is None:
        return None
    credit = money.shown(watch.credit, currency)
    price = watch.credit if watch.price is None else watch.price
    return f"{credit}, free" if watch.free else f"{credit} for {money.shown(price, watch.price_currency or currency)}"


def _cap(watch: BalanceWatch | Terms, currency: str) -> str | None:
    caps = [] if watch.cap_credit is None else [money.shown(watch.cap_credit, currency)]
    caps += [] if watch.cap_number is None else [f"{watch.cap_number} top-up(s)"]
    return ", ".join(caps) or None


@watches_group.command("set")
@click.argument("balance")
@account_option
@click.option(
    "--threshold",
    required=True,
    metavar="AMOUNT",
    callback=_amount,
    help="Tell when it holds less than this, or nothing at all.",
)
@click.option(
    "--top-up", "credit", metavar="AMOUNT", callback=_amount, help="Top it up by itself with this much credit."
)
@click.option(
    "--price", metavar="AMOUNT", callback=_amount, help="What a top-up costs; left out: as much as is credited."
)
@click.option("--price-currency", help="The currency of the price; left out: the balance's.")
@click.option("--free", is_flag=True, help="Charge nothing for a top-up.")
@click.option(
    "--type", "type_name", help="The type of the credits, by id, code or name; needed where there are several."
)
@click.option("--cap-credit", metavar="AMOUNT", callback=_amount, help="No more credit than this in a calendar month.")
@click.option("--cap-number", type=int, help="No more top-ups than this in a calendar month.")
@click.option("--off", is_flag=True, help="Keep what is set, and do not look until it is set without this.")
@click.option("--dry-run", is_flag=True, help="Check it all and print it, change nothing.")
@connection_option
@output
def set_watch(
    balance: str, account: str | None, threshold: Decimal, credit: Decimal | None, price: Decimal | None,
    price_currency: str | None, free: bool, type_name: str | None, cap_credit: Decimal | None, cap_number: int | None,
    off: bool, dry_run: bool, connection: str,
) -> Any:  # fmt: skip
    """Watch BALANCE, or watch it on other terms: when it is low, and what is then done by itself.

    The same balance has one watch; what is left out is not kept from the one before.
    """
    services = wire()
    found = lookup.balance(services, connection, balance, account)
    if type_name is not None and credit is None:
        raise BadInput("a type is of use only with an automatic top-up: say what it credits, or leave the type out")
    type_id = None if credit is None else lookup.transaction_type(services, connection, type_name).id
    terms = Terms(threshold, credit, price, price_currency, free, type_id, cap_credit, cap_number, not off)
    watches.checked(found, terms, services.now())
    if price_currency is not None:
        must_be_known(asking.known_currencies(services, connection), price_currency)
    said = _terms_said(found, terms)
    document = {
        "connection": connection, "balance_id": found.id, "currency": found.currency, "dry_run": dry_run,
        **{name: format(value, "f") if isinstance(value, Decimal) else value for name, value in vars(terms).items()},
    }  # fmt: skip
    if dry_run:
        return document, f"It would be so: {said}"
    asking.watch(services, connection, found, terms, who=audit.actor())
    return document, said


def _terms_said(balance: Balance, terms: Terms) -> str:
    parts = [f"{balance.code} ({balance.id}) is low below {money.shown(terms.threshold, balance.currency)}"]
    if terms.credit is not None:
        parts.append(f"tops itself up with {_top_up(terms, balance.currency)}")
        parts.append(f"at most {_cap(terms, balance.currency)} a month")
    else:
        parts.append("is then shown to a person")
    if not terms.enabled:
        parts.append("and is not looked at for now")
    return ", ".join(parts) + "."


@watches_group.command("remove")
@click.argument("balance_id")
@click.option("--reason", required=True, help="Why; kept with your name.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, change nothing.")
@connection_option
@output
def remove_watch(balance_id: str, reason: str, dry_run: bool, connection: str) -> Any:
    """Watch BALANCE_ID no more; what was asked for and its readings stay."""
    services = wire()
    services.connection(connection)
    if not reason.strip():
        raise BadInput("say why: the reason is kept with your name")
    with services.reading() as db:
        watch = watches.find(db, connection, balance_id)
    if watch is None:
        raise BadInput(f"balance {balance_id} is not watched: `connector balances watches list` shows what is")
    document = {"watch": watches.as_json(watch), "dry_run": dry_run}
    if dry_run:
        return document, f"The watch of {balance_id} would be removed."
    asking.unwatch(services, connection, balance_id, who=audit.actor(), reason=reason)
    return document, f"{balance_id} is watched no more."


@click.command("low")
@click.option("--all", "everything", is_flag=True, help="Every watched balance, also those that hold enough.")
@connection_option
@output
def low(everything: bool, connection: str) -> Any:
    """Show which watched balances are low now: what they hold, when they run out, and what to top them up with.

    Exits with 1 where one is.
    """
    services = wire()
    with services.reading() as db:
        watched = [row for row in watches.listed(db, connection) if row.enabled]
    looked_at = [_looked_at(services, connection, row) for row in watched]
    found = [one for one in looked_at if everything or one["low"] is not False]
    shown = ("balance_id", "held_text", "threshold_text", "outlook", "suggested_text", "state")
    columns = ["balance", "holds", "threshold", "outlook", "suggested top-up", "state"]
    texts = ("held_text", "threshold_text", "suggested_text")
    document = {
        "balances": [{name: value for name, value in one.items() if name not in texts} for one in found],
        "exit_status": int(any(one["low"] is not False for one in found)),
    }
    if not found:
        return document, "No watched balance is low."
    return document, table("Balances", columns, [[one[name] for name in shown] for one in found])


def _looked_at(services: Services, connection: str, watch: BalanceWatch) -> dict[str, Any]:
    """A watched balance as it is now; `low` is None where m3ter no longer has it."""
    shared = {
        "balance_id": watch.balance_id, "account_id": watch.account_id, "currency": watch.currency,
        "threshold": format(watch.threshold, "f"), "threshold_text": money.shown(watch.threshold, watch.currency),
        "state": watch.state,
    }  # fmt: skip
    try:
        seen = watching.look(services, connection, watch.balance_id)
    except NotFound:
        return shared | {
            "low": None, "held": None, "held_text": None, "outlook": "m3ter no longer has it", "suggested_text": None,
            **_told(None),
        }  # fmt: skip
    coming = watching.coming_credits(services, connection, seen)
    told = watching.outlook(services, seen, watch.threshold, coming)
    is_over = seen.stands.at >= told.looked_until
    return shared | {
        "low": not is_over and is_low(seen.stands.held, watch.threshold),
        "held": format(seen.stands.held, "f"),
        "held_text": money.shown(seen.stands.held, watch.currency),
        "outlook": "it has ended" if is_over else watching.said_of(seen, told),
        "suggested_text": None if told.suggested is None else money.shown(told.suggested, watch.currency),
        **_told(told),
    }


def _told(told: Forecast | None) -> dict[str, Any]:
    if told is None:
        return dict.fromkeys(("daily", "used", "runs_out", "looked_until", "suggested"))
    return {
        "daily": None if told.daily is None else format(told.daily, "f"),
        "used": format(told.used, "f"),
        "runs_out": told.runs_out.isoformat() if told.runs_out else None,
        "looked_until": told.looked_until.isoformat(),
        "suggested": None if told.suggested is None else format(told.suggested, "f"),
    }


@click.command("chart")
@click.argument("balance")
@account_option
@click.option("--page", "as_page", is_flag=True, help="As a page in HTML that needs nothing else.")
@click.option("--svg", "as_svg", is_flag=True, help="The drawing alone.")
@click.option(
    "--file", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Instead of standard output."
)
@connection_option
@output
def chart(balance: str, account: str | None, as_page: bool, as_svg: bool, file: Path | None, connection: str) -> Any:
    """Show BALANCE over time: what moved it, what was charged, what schedules will do, and when it runs out."""
    if as_page and as_svg:
        raise click.UsageError("--page and --svg contradict each other.")
    if file and not (as_page or as_svg):
        raise click.UsageError("--file takes --page or --svg.")
    services = wire()
    found = lookup.balance(services, connection, balance, account)
    picture = showing.taken(services, connection, found.id)
    if not (as_page or as_svg):
        return as_json(picture), _picture_text(picture)
    name, text = ("page", chart_page.to_page(picture)) if as_page else ("svg", drawing.standalone(picture))
    if file is not None:
        file.write_text(text, encoding="utf-8", newline="")
        return {"file": str(file)}, f"Written to {file}."
    if not click.get_current_context().params["as_json"]:
        click.echo(text, nl=False)
    return {name: text}, []


def _picture_text(picture: Picture) -> list[Any]:
    currency = picture.balance.currency
    moves = [
        [f"{one.at:%Y-%m-%d %H:%M}", money.shown(one.amount, currency), money.shown(one.held, currency), one.made_by,
         one.description, None if one.paid is None else money.shown(one.paid, one.currency_paid or "")]
        for one in picture.movements
    ]  # fmt: skip
    charged = [
        [one.day, money.shown(one.amount, one.currency), one.name, one.bill_id or "not billed yet"]
        for one in picture.charges
    ]
    coming = [(one.at.date(), money.shown(one.amount, currency), "credit") for one in picture.coming_credits]
    coming += [
        (one.day, money.shown(one.amount, one.currency), f"charge: {one.description}") for one in picture.coming_charges
    ]
    return [
        f"{picture.balance.name} ({picture.balance.code}), {currency}",
        summary(picture),
        table("Transactions", ["applied", "amount", "held", "made", "description", "paid"], moves),
        table("Charges", ["billed on", "amount", "charge", "bill"], charged),
        table("To come", ["day", "amount", "what"], [list(one) for one in sorted(coming)]),
        *[f"Careful: {one}." for one in picture.disagreements],
    ]

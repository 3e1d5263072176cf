"""What both kinds of schedules share: their options, how they recur, and their tables."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import click

from connector.balances import previews
from connector.balances.drafts import FREQUENCIES
from connector.balances.in_m3ter import price_of
from connector.balances.previews import Previewed
from connector.cli.balances.desk import Desk, price_shown, stacked
from connector.cli.common import table
from connector.clients.m3ter_balance_objects import ChargeSchedule, TransactionSchedule

UNITS = {"DAILY": "day", "WEEKLY": "week", "MONTHLY": "month", "ANNUALLY": "year"}

balance_of_schedule = click.option(
    "--balance", required=True, metavar="ID", help="The balance that it is on: its id, or its code with --account."
)
frequency_option = click.option(
    "--frequency", default="MONTHLY", show_default=True, help=f"One of {', '.join(FREQUENCIES)}."
)
every_option = click.option(
    "--every", default=1, show_default=True, help="Each so many days, weeks, months or years; 1 to 365."
)
preview_limit = click.option(
    "--limit", default=previews.LIMIT, show_default=True, type=click.IntRange(1, previews.MAX_LIMIT),
    help="How many to show before “and more”.",
)  # fmt: skip
in_arrears_option = click.option(
    "--in-arrears", is_flag=True, help="Bill each period at its end; in advance, at its start, when left out."
)
price_options = stacked(
    click.option("--amount", "amount_", metavar="AMOUNT", help="Price at a time, or --units with --unit-price."),
    click.option("--units", metavar="NUMBER", help="How many, with --unit-price, instead of --amount."),
    click.option("--unit-price", metavar="AMOUNT", help="Price of one."),
)
span = stacked(
    click.option("--start", metavar="DAY", help="When it begins; today when left out."),
    click.option("--end", metavar="DAY", help="The first moment after its last period; needed."),
)
recurrence = stacked(span, frequency_option, every_option)


def rhythm(frequency: str, every: int) -> str:
    """How often it recurs, for a person."""
    unit = UNITS.get(frequency, frequency)
    return f"each {unit}" if every == 1 else f"each {every} {unit}s"


def transaction_schedule_rows(
    desk: Desk, schedules: Sequence[TransactionSchedule], currency: str
) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of transaction schedules."""
    columns = ["code", "credit at a time", "rhythm", "from", "until", "next run", "last run", "id"]
    return columns, [
        [one.code, price_shown(one.amount, currency), rhythm(one.frequency, one.frequency_interval),
         desk.shown(one.start), desk.shown(one.end), desk.shown(one.next_run) or "none", desk.shown(one.previous_run),
         one.id]
        for one in schedules
    ]  # fmt: skip


def charge_schedule_rows(desk: Desk, schedules: Sequence[ChargeSchedule]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of charge schedules."""
    columns = ["code", "charge at a time", "rhythm", "billed", "from", "until", "next run", "last run", "id"]
    return columns, [
        [one.code, price_shown(price_of(one), one.currency), rhythm(one.frequency, one.frequency_interval),
         "in advance" if one.in_advance else "in arrears", desk.shown(one.start), desk.shown(one.end),
         desk.shown(one.next_run) or "none", desk.shown(one.previous_run), one.id]
        for one in schedules
    ]  # fmt: skip


def preview_text(desk: Desk, preview: Previewed) -> list[Any]:
    """What a schedule would make, as a table with its sum."""
    is_charge = any(row.bill_date for row in preview.rows)
    columns = ["", "bill date", "amount", "service period"] if is_charge else ["", "counts from", "amount"]
    rows = []
    for number, row in enumerate(preview.rows, start=1):
        amount = price_shown(row.amount, row.currency)
        period = f"{desk.shown(row.start)} to {desk.shown(row.end)}"
        rows.append([number, row.bill_date, amount, period] if is_charge else [number, desk.shown(row.at), amount])
    return [table("It would make", columns, rows), *_more(preview, "It")]


def pair_text(desk: Desk, credits: Previewed, charges: Previewed) -> list[Any]:
    """Both halves of a scheduled top-up side by side."""
    rows = []
    pairs = previews.side_by_side(credits.rows, charges.rows)
    for number, (credit, charge) in enumerate(pairs, start=1):
        row: list[Any] = [number]
        row += [desk.shown(credit.at), price_shown(credit.amount, credit.currency)] if credit else ["none", ""]
        row += [charge.bill_date, price_shown(charge.amount, charge.currency)] if charge else ["none", ""]
        row += [f"{desk.shown(charge.start)} to {desk.shown(charge.end)}" if charge else ""]
        rows.append(row)
    columns = ["", "credit counts from", "credit", "charge billed on", "charge", "service period"]
    text: list[Any] = [table("They would make", columns, rows), *_more(credits, "Credits"), *_more(charges, "Charges")]
    if previews.is_uneven(credits, charges):
        text.append("The two do not come out even: move the start, the end or the rhythm before you save them.")
    return text


def _more(preview: Previewed, what: str) -> list[str]:
    total = price_shown(preview.total, preview.currency)
    number = len(preview.rows)
    if not number:
        return [f"{what}: m3ter's answer shows none of them."]
    if preview.more:
        return [f"{what}: {number} shown, {total} together, and more; --limit shows up to {previews.MAX_LIMIT}."]
    if preview.more is None:
        return [f"{what}: m3ter's answer shows {number} only and does not say what else would come."]
    return [f"{what}: {number} in all, {total} together."]


def epoch(desk: Desk, start: Any) -> date:
    """The day from which a schedule's periods are counted when none is given: that of its start."""
    day: date = start.astimezone(desk.zone).date()
    return day

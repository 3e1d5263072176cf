"""Every operation of the API, and the role that it needs: what is not in this table is not there, nor in the document.

A new operation is a line here, and a function with its shapes in the module of its noun. GET changes nothing. An act that moves
money takes the `seen` of its preview; what a repeat of an act does is said in `repeat`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from connector.access import ADMIN, OPERATOR, VIEWER
from connector.web.api import (
    ad_hoc,
    alerts,
    audit_log,
    balance_requests,
    balances,
    bill_jobs,
    bills,
    booked,
    changes,
    connections,
    customers,
    events,
    mappings,
    quarantine,
    schedules,
    syncs,
    top_ups,
    two_steps,
    watches,
)
from connector.web.api.here import Created
from connector.web.api.shapes import Body, Query

# What stands in an address: how Flask reads it, and what a person is told.
PARAMETERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "connection": ("string", {"type": "string", "minLength": 1}, "A connection's name; the environment's is `default`."),
    "sync_id": ("row", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}, "A sync's number."),
    "event_id": ("row", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}, "An event's number in the inbox."),
    "request_id": ("row", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}, "A balance request's number."),
    "delivery_id": ("row", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}, "A delivery's number in quarantine."),
    "bill_id": ("uuid", {"type": "string", "format": "uuid"}, "A m3ter bill's id."),
    "job_id": ("uuid", {"type": "string", "format": "uuid"}, "A m3ter bill job's id."),
    "balance_id": ("uuid", {"type": "string", "format": "uuid"}, "A m3ter balance's id."),
    "charge_id": ("uuid", {"type": "string", "format": "uuid"}, "A m3ter charge's id."),
    "schedule_id": ("uuid", {"type": "string", "format": "uuid"}, "The id of a schedule on the balance."),
}  # fmt: skip


@dataclass(frozen=True)
class Operation:
    """One method of one address; `preview` is what a 409 shows, and `takes_key` whether an Idempotency-Key has a meaning."""

    id: str
    method: str
    path: str
    role: str
    run: Callable[..., BaseModel | Created]
    answer: type[BaseModel]
    summary: str
    query: type[Query] | None = None
    body: type[Body] | None = None
    preview: type[BaseModel] | None = None
    repeat: str | None = None
    takes_key: bool = False

    @property
    def parameters(self) -> list[str]:
        """The names of what stands in its address."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]

    @property
    def rule(self) -> str:
        """Its address as Flask reads it."""
        found = self.path
        for name in self.parameters:
            found = found.replace(f"{{{name}}}", f"<{PARAMETERS[name][0]}:{name}>")
        return found

    @property
    def tag(self) -> str:
        """What it is about: the last noun of its function's module."""
        return self.run.__module__.rpartition(".")[2].replace("_", " ")


GET, POST = "GET", "POST"
ONE = "/connections/{connection}"
BILL = f"{ONE}/bills/{{bill_id}}"
BALANCE = f"{ONE}/balances/{{balance_id}}"
CHARGE = f"{ONE}/charges/{{charge_id}}"
CREDITS = f"{BALANCE}/transaction-schedules/{{schedule_id}}"
FEES = f"{BALANCE}/charge-schedules/{{schedule_id}}"
REQUEST = f"{ONE}/balance-requests/{{request_id}}"
SAME = "The second call changes nothing and answers the same."
GONE = "The second call finds no such delivery, changes nothing, and is answered with 404."
UNSEEN = (
    "What was shown has been done by then: the second call changes nothing, and is answered with 409 and what is left."
)
ONCE = "The same reference, or Idempotency-Key, with the same content is the same request: nothing is made twice."
DELETED = "The second call finds none, changes nothing, and is answered with 404."
SO_ALREADY = "Where it is so already, nothing is changed and the answer says so."


def _changing(
    noun: str, what: str, path: str, thing: changes.Thing, body: type[changes.ActBody], *, ends: bool = False
) -> list[Operation]:
    """What changes, ends and deletes one kind of thing."""
    common: dict[str, Any] = {"preview": changes.ChangePreview}
    found = [
        Operation(
            f"update_{noun}", POST, f"{path}/update", OPERATOR, changes.updating(thing), changes.Changed,
            f"Change fields of {what}, as that was shown, and keep all others", body=body, repeat=SO_ALREADY, **common,
        ),
        Operation(
            f"delete_{noun}", POST, f"{path}/delete", OPERATOR, changes.deleting(thing), changes.Changed,
            f"Delete {what} in m3ter, as that was shown", body=changes.DeleteBody, repeat=DELETED, **common,
        ),
    ]  # fmt: skip
    if ends:
        end = Operation(
            f"end_{noun}", POST, f"{path}/end", OPERATOR, changes.ending(thing), changes.Changed,
            f"End {what}, as that was shown; what it has made stays", body=changes.EndBody, repeat=SO_ALREADY, **common,
        )  # fmt: skip
        found.insert(1, end)
    return found


OPERATIONS = (
    Operation(
        "status", GET, "/status", VIEWER, connections.status, connections.Overview, "Is everything in step?"
    ),
    Operation(
        "list_syncs", GET, "/syncs", VIEWER, syncs.index, syncs.SyncPage, "Syncs by filter, the newest first",
        query=syncs.SyncsQuery,
    ),
    Operation(
        "get_sync", GET, "/syncs/{sync_id}", VIEWER, syncs.show, syncs.SyncDetail,
        "One sync with its last tries and the calls that they made",
    ),
    Operation(
        "preview_retry", GET, "/syncs/{sync_id}/retry", OPERATOR, syncs.preview_retry, syncs.RetryPreview,
        "What a retry of the sync would send",
    ),
    Operation(
        "retry_sync", POST, "/syncs/{sync_id}/retry", OPERATOR, syncs.retry, syncs.Retried,
        "Let a parked, waiting or put-off sync run now", body=syncs.RetryBody, preview=syncs.RetryPreview,
        repeat="While the sync is queued or runs, the second call changes nothing. What a sync does is compared or looked up "
        "first, so that running it once more sends nothing twice.",
    ),
    Operation(
        "skip_sync", POST, "/syncs/{sync_id}/skip", OPERATOR, syncs.skip, syncs.SyncShape,
        "Close a parked or waiting sync without doing it", body=syncs.SkipBody, repeat=SAME,
    ),
    Operation(
        "preview_retries", GET, "/retries", OPERATOR, syncs.preview_retries, syncs.RetryPreview,
        "How many syncs of one cause a retry would let go on, and the money that bills among them would send",
        query=syncs.RetriesQuery,
    ),
    Operation(
        "retry_syncs", POST, "/retries", OPERATOR, syncs.retry_all, syncs.RetriedAll,
        "Let the syncs of a preview go on, money only as it was shown", body=syncs.RetriesBody,
        preview=syncs.RetryPreview, repeat="Those that are queued by then are left alone. " + UNSEEN,
    ),
    Operation(
        "list_events", GET, "/events", VIEWER, events.index, events.EventPage, "Events by filter, the newest first",
        query=events.EventsQuery,
    ),
    Operation(
        "get_event", GET, "/events/{event_id}", VIEWER, events.show, events.EventDetail,
        "One event, its payload without personal data",
    ),
    Operation(
        "get_event_payload", POST, "/events/{event_id}/payload", ADMIN, events.show_payload, events.EventDetail,
        "One event with its whole payload; that it was looked at is kept in the audit log",
        repeat="Each look is an entry of the audit log.",
    ),
    Operation(
        "replay_event", POST, "/events/{event_id}/replay", OPERATOR, events.replay, events.Replayed,
        "Dispatch an event once more", repeat="While it waits to be dispatched the second call changes nothing; later "
        "calls dispatch it again, which changes only what differs.",
    ),
    Operation(
        "close_event", POST, "/events/{event_id}/close", OPERATOR, events.close, events.EventShape,
        "Note on a failed event why nobody need act on it", body=events.CloseBody,
        repeat="The second call finds no failed event, changes nothing, and is answered with 409.",
    ),
    Operation(
        "list_quarantine", GET, "/quarantine", VIEWER, quarantine.index, quarantine.QuarantinePage,
        "Deliveries that could not become an event, the newest first", query=quarantine.QuarantineQuery,
    ),
    Operation(
        "get_delivery_body", POST, "/quarantine/{delivery_id}/body", ADMIN, quarantine.show_body,
        quarantine.DeliveryDetail, "One delivery with what was sent; that it was looked at is kept in the audit log",
        repeat="Each look is an entry of the audit log.",
    ),
    Operation(
        "readmit_delivery", POST, "/quarantine/{delivery_id}/readmit", OPERATOR, quarantine.readmit,
        quarantine.Readmitted, "Take a delivery in as the event that it is after all", repeat=GONE,
    ),
    Operation(
        "dismiss_delivery", POST, "/quarantine/{delivery_id}/dismiss", OPERATOR, quarantine.dismiss,
        quarantine.Dismissed, "Take a delivery out of quarantine for good", body=quarantine.DismissBody, repeat=GONE,
    ),
    Operation(
        "list_alerts", GET, "/alerts", VIEWER, alerts.index, alerts.Alerts,
        "What people are told of, the most severe first, and what is over", query=alerts.AlertsQuery,
    ),
    Operation(
        "mute_alert", POST, "/alerts/mute", OPERATOR, alerts.mute, alerts.Muted,
        "Say nothing of an alert for a while", body=alerts.MuteBody,
        repeat="The second call mutes it for so many hours from then on, in place of the first.",
    ),
    Operation(
        "unmute_alert", POST, "/alerts/unmute", OPERATOR, alerts.unmute, alerts.Muted,
        "Say again what is to be said of an alert", body=alerts.UnmuteBody,
        repeat="The second call finds nothing muted, changes nothing, and is answered with 422.",
    ),
    Operation(
        "search", GET, "/search", VIEWER, customers.find, customers.Hits,
        "What has this id, of either system, in all connections", query=customers.FindQuery,
    ),
    Operation(
        "find_customers", POST, f"{ONE}/customers/find", OPERATOR, customers.find_by_name, customers.MatchesShape,
        "Customers by name, company or e-mail, asked of Chargebee now; that somebody looked is kept in the audit log",
        body=customers.NameBody, repeat="The second call asks Chargebee again, and changes nothing but the audit log.",
    ),
    Operation(
        "list_customers", GET, f"{ONE}/customers", VIEWER, customers.index, customers.CustomerPage,
        "The customers that have an account in m3ter, or one that is being made, the newest first",
        query=customers.CustomersQuery,
    ),
    Operation(
        "get_customer", GET, f"{ONE}/customer", VIEWER, customers.show, customers.CustomerShape,
        "A customer whole, by any id of either system", query=customers.FindQuery,
    ),
    Operation(
        "sync_customer", POST, f"{ONE}/customer/sync", OPERATOR, customers.sync_now, customers.AskedSyncs,
        "Make a customer and its subscriptions right now, by what Chargebee says of them", body=customers.SyncBody,
        repeat="While such a sync is open the second call joins it; later calls compare once more, and change only what differs.",
    ),
    Operation(
        "list_connections", GET, "/connections", VIEWER, connections.index, connections.Connections,
        "All connections with their pauses and how far their lists have been read",
    ),
    Operation(
        "pause_connection", POST, f"{ONE}/pause", OPERATOR, connections.pause, connections.ConnectionShape,
        "Hold back all work of a connection, or its bills only", body=connections.PauseBody, repeat=SAME,
    ),
    Operation(
        "resume_connection", POST, f"{ONE}/resume", OPERATOR, connections.resume, connections.ConnectionShape,
        "Lift every pause but that of money", body=connections.ResumeBody, repeat=SAME,
    ),
    Operation(
        "resume_money", POST, f"{ONE}/resume-money", OPERATOR, connections.resume_money, connections.ConnectionShape,
        "Let bills go on, after what was pushed has been compared", body=connections.ResumeMoneyBody, repeat=SAME,
    ),
    Operation(
        "list_bills", GET, f"{ONE}/bills", VIEWER, bills.index, bills.BillPage, "Bills, the newest first",
        query=bills.BillsQuery,
    ),
    Operation(
        "list_compared_bills", GET, f"{ONE}/shadow", VIEWER, bills.compared, bills.ComparedPage,
        "What shadow mode has found, bills that differ most first",
    ),
    Operation(
        "get_bill", GET, BILL, VIEWER, bills.show, bills.BillStanding,
        "How a bill stands: its sync, invoices, versions and approvals; no provider is asked",
    ),
    Operation(
        "check_bill", GET, f"{BILL}/check", VIEWER, bills.check, bills.BesideShape,
        "A bill beside its invoices, as both systems have them now",
    ),
    Operation(
        "plan_bill", GET, f"{BILL}/plan", VIEWER, bills.plan, bills.BillPlan, "Exactly what a push would do now"
    ),
    Operation(
        "push_bill", POST, f"{BILL}/push", OPERATOR, bills.push, syncs.SyncShape,
        "Let an approved bill be pushed as its plan was shown", body=bills.PushBody, preview=bills.BillPlan,
        repeat=UNSEEN,
    ),
    Operation(
        "get_receipt", GET, f"{BILL}/receipt", VIEWER, bills.receipt, bills.ReceiptShape,
        "Every line of a pushed bill beside its charges as they are now",
    ),
    Operation(
        "list_closing", GET, f"{ONE}/closing", VIEWER, bills.closing_soon, bills.Closing,
        "What is left to do before invoices close, the earliest first", query=bills.ClosingQuery,
    ),
    Operation(
        "list_mappings", GET, f"{ONE}/mappings", VIEWER, mappings.index, mappings.MappingPage,
        "Mappings, the newest first", query=mappings.MappingsQuery,
    ),
    Operation(
        "set_mappings", POST, f"{ONE}/mappings", OPERATOR, mappings.put, mappings.Applied,
        "Set up mappings, all or none, checked against both live catalogues", body=mappings.SetBody, repeat=SAME,
    ),
    Operation(
        "remove_mapping", POST, f"{ONE}/mappings/remove", OPERATOR, mappings.remove, mappings.Applied,
        "Take away a mapping", body=mappings.RemoveBody,
        repeat="The second call finds no such mapping, changes nothing, and is answered with 422.",
    ),
    Operation(
        "list_unmapped", GET, f"{ONE}/mappings/unmapped", VIEWER, mappings.open_ones, mappings.UnmappedShape,
        "What is not mapped yet, with the subscriptions and the money that wait for it", query=mappings.UnmappedQuery,
    ),
    Operation(
        "export_mappings", GET, f"{ONE}/mappings/export", VIEWER, mappings.export, mappings.CsvShape,
        "The mappings that people set up, as CSV",
    ),
    Operation(
        "import_mappings", POST, f"{ONE}/mappings/import", OPERATOR, mappings.take_in, mappings.Imported,
        "Set up the mappings of a CSV, all or none, or say what that would come to", body=mappings.ImportBody,
        repeat="The second call finds everything as the CSV says, and changes nothing.",
    ),
    Operation(
        "pull_mappings", POST, f"{ONE}/mappings/pull", OPERATOR, mappings.take_back, mappings.PulledShape,
        "Take back what m3ter shows of the mappings and is not here, or say what that would come to",
        body=mappings.PullBody, repeat="The second call finds everything here, and changes nothing.",
    ),
    Operation(
        "list_balances", GET, f"{ONE}/balances", VIEWER, balances.index, balances.Balances, "An account's balances",
        query=balances.BalancesQuery,
    ),
    Operation(
        "get_balance", GET, BALANCE, VIEWER, balances.show, balances.BalanceDetail, "One balance with what it holds"
    ),
    Operation(
        "ask_balance", POST, f"{ONE}/balances", OPERATOR, ad_hoc.create, two_steps.AskedFor,
        "Ask for an empty balance", body=ad_hoc.NewBalanceBody, preview=two_steps.AskPreview, repeat=ONCE,
        takes_key=True,
    ),
    *_changing("balance", "a balance", BALANCE, changes.BALANCES, changes.BalanceUpdate),
    Operation(
        "check_balance", GET, f"{BALANCE}/check", VIEWER, booked.check, booked.Findings,
        "What on a balance does not fit what was asked for, and what others have booked",
    ),
    Operation(
        "list_transactions", GET, f"{BALANCE}/transactions", VIEWER, booked.transactions, booked.Transactions,
        "A balance's transactions, the newest first",
    ),
    Operation(
        "list_charges", GET, f"{ONE}/charges", VIEWER, booked.charges, booked.Charges,
        "An account's or a balance's charges, the newest first", query=booked.ChargesQuery,
    ),
    *_changing("charge", "a charge", CHARGE, changes.CHARGES, changes.ChargeUpdate),
    Operation(
        "list_transaction_types", GET, f"{ONE}/transaction-types", VIEWER, booked.types, booked.Types,
        "What transactions may be for",
    ),
    Operation(
        "create_transaction_type", POST, f"{ONE}/transaction-types", OPERATOR, booked.create_type, booked.TypeMade,
        "Make a transaction type", body=booked.TypeBody, repeat="A type with this code stays as it is.",
    ),
    Operation(
        "ask_top_up", POST, f"{BALANCE}/top-ups", OPERATOR, ad_hoc.top_up, two_steps.AskedFor,
        "Ask for credit and the charge that pays for it", body=ad_hoc.TopUpBody, preview=two_steps.AskPreview,
        repeat=ONCE, takes_key=True,
    ),
    Operation(
        "ask_transaction", POST, f"{BALANCE}/transactions", OPERATOR, ad_hoc.transaction, two_steps.AskedFor,
        "Ask for a credit or debit, which is never billed", body=ad_hoc.TransactionBody,
        preview=two_steps.AskPreview, repeat=ONCE, takes_key=True,
    ),
    Operation(
        "ask_charge", POST, f"{BALANCE}/charges", OPERATOR, ad_hoc.charge, two_steps.AskedFor,
        "Ask for a charge on a balance", body=ad_hoc.ChargeBody, preview=two_steps.AskPreview, repeat=ONCE,
        takes_key=True,
    ),
    Operation(
        "ask_account_charge", POST, f"{ONE}/charges", OPERATOR, ad_hoc.account_charge, two_steps.AskedFor,
        "Ask for a charge on an account itself", body=ad_hoc.AccountChargeBody, preview=two_steps.AskPreview,
        repeat=ONCE, takes_key=True,
    ),
    Operation(
        "list_schedules", GET, f"{BALANCE}/schedules", VIEWER, schedules.index, schedules.Schedules,
        "A balance's schedules of transactions and of charges, also those that have ended",
    ),
    Operation(
        "ask_transaction_schedule", POST, f"{BALANCE}/transaction-schedules", OPERATOR, schedules.of_transactions,
        two_steps.AskedFor, "Ask for credits that recur", body=schedules.TransactionScheduleBody,
        preview=schedules.SchedulePreview, repeat=ONCE, takes_key=True,
    ),
    Operation(
        "ask_charge_schedule", POST, f"{BALANCE}/charge-schedules", OPERATOR, schedules.of_charges, two_steps.AskedFor,
        "Ask for charges that recur", body=schedules.ChargeScheduleBody, preview=schedules.SchedulePreview,
        repeat=ONCE, takes_key=True,
    ),
    Operation(
        "ask_top_up_schedules", POST, f"{BALANCE}/top-up-schedules", OPERATOR, schedules.of_top_ups, two_steps.AskedFor,
        "Ask for credit that recurs and the charges that pay for it, as a pair", body=schedules.TopUpScheduleBody,
        preview=schedules.PairPreview, repeat=ONCE, takes_key=True,
    ),
    *_changing(
        "transaction_schedule", "a schedule of transactions", CREDITS, changes.CREDITS,
        changes.TransactionScheduleUpdate, ends=True,
    ),
    *_changing("charge_schedule", "a schedule of charges", FEES, changes.FEES, changes.ChargeScheduleUpdate, ends=True),
    Operation(
        "list_balance_requests", GET, f"{ONE}/balance-requests", VIEWER, balance_requests.index, balance_requests.RequestPage,
        "What was asked of Balance Billing, the newest first", query=balance_requests.RequestsQuery,
    ),
    Operation(
        "get_balance_request", GET, REQUEST, VIEWER, balance_requests.show, balance_requests.RequestDetail,
        "One request with its other half and its sync",
    ),
    Operation(
        "withdraw_balance_request", POST, f"{REQUEST}/withdraw", OPERATOR, balance_requests.withdraw,
        balance_requests.RequestDetail, "Take back what has never reached m3ter", body=balance_requests.WithdrawBody, repeat=SAME,
    ),
    Operation(
        "accept_balance_request", POST, f"{REQUEST}/accept", OPERATOR, balance_requests.accept, balance_requests.RequestDetail,
        "Say what m3ter has of a request that was parked in doubt", body=balance_requests.AcceptBody, repeat=SAME,
    ),
    Operation(
        "list_watches", GET, f"{ONE}/watches", VIEWER, watches.index, watches.Watches,
        "Balances that are watched, the longest low first", query=watches.WatchesQuery,
    ),
    Operation(
        "set_watch", POST, f"{BALANCE}/watch", OPERATOR, watches.put, watches.WatchSet,
        "Watch a balance, to tell or to top it up when it runs low", body=watches.WatchBody,
        preview=watches.WatchPreview, repeat=SAME,
    ),
    Operation(
        "remove_watch", POST, f"{BALANCE}/watch/remove", OPERATOR, watches.remove, watches.Unwatched,
        "Watch a balance no more", body=watches.UnwatchBody,
        repeat="The second call finds no such watch, changes nothing, and is answered with 404.",
    ),
    Operation(
        "list_bill_jobs", GET, f"{ONE}/bill-jobs", VIEWER, bill_jobs.index, bill_jobs.Jobs,
        "The newest bill jobs, whoever started them", query=bill_jobs.JobsQuery,
    ),
    Operation(
        "get_bill_job", GET, f"{ONE}/bill-jobs/{{job_id}}", VIEWER, bill_jobs.show, bill_jobs.JobDetail,
        "How far a bill job is, and what it has billed",
    ),
    Operation(
        "start_bill_job", POST, f"{ONE}/bill-jobs", OPERATOR, bill_jobs.run, bill_jobs.Started,
        "Bill the charges of accounts for a date, as that was shown", body=bill_jobs.JobBody,
        preview=bill_jobs.JobPreview,
        repeat="While a job still runs, the second call starts no other and answers that one. Later calls calculate the bills "
        "of that date anew; a charge that is on a bill is billed no second time.",
    ),
    Operation(
        "list_top_up_products", GET, f"{ONE}/top-up-products", VIEWER, top_ups.index, top_ups.Products,
        "Which Chargebee item prices are top-ups, and what they buy", query=top_ups.ProductsQuery,
    ),
    Operation(
        "add_top_up_product", POST, f"{ONE}/top-up-products", OPERATOR, top_ups.add, top_ups.ProductSet,
        "Make an item price a top-up, or say whether it can be one", body=top_ups.ProductBody,
        repeat="The second call finds it sold already, changes nothing, and is answered with 422.",
    ),
    Operation(
        "remove_top_up_product", POST, f"{ONE}/top-up-products/remove", OPERATOR, top_ups.remove, top_ups.ProductSet,
        "Credit nothing that is paid for an item price from now on", body=top_ups.ProductRemoveBody,
        repeat="The second call finds no such top-up, changes nothing, and is answered with 422.",
    ),
    Operation(
        "list_sold_top_ups", GET, f"{ONE}/sold-top-ups", VIEWER, top_ups.sold_index, top_ups.SoldPage,
        "Top-ups that were credited, the newest first", query=top_ups.SoldQuery,
    ),
    Operation(
        "preview_top_up_credit", GET, f"{ONE}/sold-top-ups/credit", OPERATOR, top_ups.preview_credit,
        top_ups.CreditPreview, "What is due for an invoice's top-ups, and what is credited", query=top_ups.InvoiceQuery,
    ),
    Operation(
        "credit_sold_top_ups", POST, f"{ONE}/sold-top-ups/credit", OPERATOR, top_ups.credit, top_ups.CreditAsked,
        "Bring the credit for an invoice to what is due, as that was shown", body=top_ups.CreditBody,
        preview=top_ups.CreditPreview, repeat="What is credited is asked for no second time. " + UNSEEN,
    ),
    Operation(
        "list_audit", GET, "/audit", ADMIN, audit_log.index, audit_log.EntryPage,
        "What people and tokens did, the newest first", query=audit_log.AuditQuery,
    ),
)  # fmt: skip
BY_ID = {operation.id: operation for operation in OPERATIONS}

"""Each thing that a person can do at the console or by command, beside the operation by which a script does the same.

A new form or command without a line here fails: give it an operation, or say in words why a script has none.
"""

from collections.abc import Iterator

import click
import pytest

from connector.cli import main
from connector.web.api.operations import BY_ID
from connector.web.console.routes import ROUTES

OWN = "a person's own log-in: a script has a token"
PEOPLE = "people and their roles are a person's to give, so that a token that leaks cannot make more of itself"
TOKENS = "tokens are a person's to give, so that a token that leaks cannot make another"
TWO_PEOPLE = "an approval is a person's word, and a token is no person"
CHOICE = "a form that goes on to the next, where the rows are saved"
MACHINE = "runs on the connector's own machine"
SANDBOX = "steers the sandbox, which has control routes of its own"

CONSOLE = {
    "log_in": OWN, "log_out": OWN, "accept_invitation": OWN, "set_own_password": OWN,
    "add_user": PEOPLE, "set_user_role": PEOPLE, "enable_user": PEOPLE, "disable_user": PEOPLE,
    "end_user_sessions": PEOPLE, "invite_user": PEOPLE,
    "create_token": TOKENS, "revoke_token": TOKENS,
    "retry": "retry_sync", "skip": "skip_sync", "retry_all": "retry_syncs",
    "event_payload": "get_event_payload", "replay": "replay_event", "close_event": "close_event",
    "quarantined_body": "get_delivery_body", "readmit": "readmit_delivery", "dismiss": "dismiss_delivery",
    "sync_now": "sync_customer", "find": "find_customers",
    "pause": "pause_connection", "resume": "resume_connection", "resume_money": "resume_money",
    "push_bill": "push_bill", "approve_bill": TWO_PEOPLE,
    "ask_balance_new": "ask_balance", "ask_top_up": "ask_top_up", "ask_transaction": "ask_transaction",
    "ask_transaction_schedule": "ask_transaction_schedule", "ask_charge": "ask_charge",
    "ask_account_charge": "ask_account_charge", "ask_charge_schedule": "ask_charge_schedule",
    "do_update_balance": "update_balance", "do_delete_balance": "delete_balance",
    "do_update_charge": "update_charge", "do_delete_charge": "delete_charge",
    "do_update_transaction_schedule": "update_transaction_schedule",
    "do_end_transaction_schedule": "end_transaction_schedule",
    "do_delete_transaction_schedule": "delete_transaction_schedule",
    "do_update_charge_schedule": "update_charge_schedule", "do_end_charge_schedule": "end_charge_schedule",
    "do_delete_charge_schedule": "delete_charge_schedule",
    "set_watch": "set_watch", "remove_watch": "remove_watch",
    "withdraw_request": "withdraw_balance_request", "accept_request": "accept_balance_request",
    "create_transaction_type": "create_transaction_type", "run_bill_job": "start_bill_job",
    "choose_mappings": CHOICE, "ask_mapping": CHOICE, "save_mappings": "set_mappings",
    "check_mappings": "import_mappings", "take_mappings": "pull_mappings",
    "mute_alert": "mute_alert", "unmute_alert": "unmute_alert",
    "audit_export": "list_audit",
}  # fmt: skip

COMMANDS = {
    "status": "status",
    "syncs list": "list_syncs", "syncs show": "get_sync", "syncs retry": "retry_syncs", "syncs skip": "skip_sync",
    "events list": "list_events", "events show": "get_event", "events replay": "replay_event",
    "events close": "close_event", "events quarantine": "list_quarantine", "events readmit": "readmit_delivery",
    "events dismiss": "dismiss_delivery", "events missed": "list_connections",
    "alerts list": "list_alerts", "alerts mute": "mute_alert", "alerts unmute": "unmute_alert",
    "alerts preview": "shows what goes to the addresses of ALERT_URLS, which are set up on the machine",
    "alerts test": "tries the addresses of ALERT_URLS, which are set up on the machine",
    "customers list": "list_customers", "customers show": "get_customer", "customers find": "search",
    "customers named": "find_customers", "customers sync": "sync_customer",
    "connections list": "list_connections", "connections pause": "pause_connection",
    "connections resume": "resume_connection",
    "bills list": "list_bills", "bills show": "get_bill", "bills check": "check_bill", "bills plan": "plan_bill",
    "bills push": "push_bill", "bills receipt": "get_receipt", "bills closing": "list_closing",
    "bills shadow": "list_compared_bills", "bills approve": TWO_PEOPLE,
    "mappings list": "list_mappings", "mappings unmapped": "list_unmapped", "mappings add": "set_mappings",
    "mappings remove": "remove_mapping", "mappings export": "export_mappings", "mappings import": "import_mappings",
    "mappings pull": "pull_mappings",
    "balances list": "list_balances", "balances show": "get_balance", "balances create": "ask_balance",
    "balances update": "update_balance", "balances delete": "delete_balance", "balances check": "check_balance",
    "balances low": "list_watches", "balances top-up": "ask_top_up_schedules",
    "balances chart": "a picture for people; a script has the balance, its transactions, charges and schedules",
    "balances top-ups list": "list_balance_requests",
    "balances transactions list": "list_transactions", "balances transactions create": "ask_transaction",
    "balances charges list": "list_charges", "balances charges show": "list_charges",
    "balances charges create": "ask_charge", "balances charges update": "update_charge",
    "balances charges delete": "delete_charge",
    "balances transaction-types list": "list_transaction_types",
    "balances transaction-types create": "create_transaction_type",
    "balances transaction-schedules list": "list_schedules", "balances transaction-schedules show": "list_schedules",
    "balances transaction-schedules preview": "ask_transaction_schedule",
    "balances transaction-schedules create": "ask_transaction_schedule",
    "balances transaction-schedules update": "update_transaction_schedule",
    "balances transaction-schedules end": "end_transaction_schedule",
    "balances transaction-schedules delete": "delete_transaction_schedule",
    "balances charge-schedules list": "list_schedules", "balances charge-schedules show": "list_schedules",
    "balances charge-schedules preview": "ask_charge_schedule",
    "balances charge-schedules create": "ask_charge_schedule",
    "balances charge-schedules update": "update_charge_schedule",
    "balances charge-schedules end": "end_charge_schedule",
    "balances charge-schedules delete": "delete_charge_schedule",
    "balances requests list": "list_balance_requests", "balances requests show": "get_balance_request",
    "balances requests accept": "accept_balance_request", "balances requests withdraw": "withdraw_balance_request",
    "balances watches list": "list_watches", "balances watches set": "set_watch",
    "balances watches remove": "remove_watch",
    "balances bill-jobs list": "list_bill_jobs", "balances bill-jobs show": "get_bill_job",
    "balances bill-jobs run": "start_bill_job",
    "top-ups list": "list_sold_top_ups", "top-ups credit": "credit_sold_top_ups",
    "top-ups products list": "list_top_up_products", "top-ups products add": "add_top_up_product",
    "top-ups products remove": "remove_top_up_product",
    "users list": PEOPLE, "users add": PEOPLE, "users disable": PEOPLE, "users enable": PEOPLE,
    "users end-sessions": PEOPLE, "users link": PEOPLE, "users unlink": PEOPLE, "users set-password": PEOPLE,
    "users set-role": PEOPLE,
    "tokens list": TOKENS, "tokens create": TOKENS, "tokens revoke": TOKENS,
    "scope check": "counts all that was ever seen, before SCOPE_… are set on the machine",
    "setup catalogue": "sets up a new installation, once, by a person who looks at each price",
    "clock": MACHINE, "web": MACHINE, "worker": MACHINE, "run": MACHINE, "demo": MACHINE, "db upgrade": MACHINE,
    **dict.fromkeys((
        "sandbox calls", "sandbox deliver", "sandbox fault", "sandbox faults", "sandbox restore", "sandbox serve",
        "sandbox snapshot", "sandbox snapshots", "sandbox state", "sandbox time",
    ), SANDBOX),
}  # fmt: skip

# What a script has as the other half of an act that stands above, or by itself.
BESIDES = {
    "preview_retry": "confirm_retry", "preview_retries": "confirm_retry_all", "list_audit": "audit",
    "preview_top_up_credit": "top-ups credit --dry-run",
}  # fmt: skip


def _commands(one: click.Command, name: str = "") -> Iterator[str]:
    if not isinstance(one, click.Group):
        yield name
        return
    for word, below in one.commands.items():
        yield from _commands(below, f"{name} {word}".strip())


@pytest.mark.parametrize(
    ("table", "there"),
    [
        pytest.param(CONSOLE, {one.endpoint for one in ROUTES if one.method == "POST"}, id="console"),
        pytest.param(COMMANDS, set(_commands(main)), id="commands"),
    ],
)
def test_what_a_person_can_do_a_script_can_do_or_it_is_said_why_not(table: dict[str, str], there: set[str]) -> None:
    assert there - table.keys() == set(), "without an operation, and without a reason in words"
    assert table.keys() - there == set(), "no longer there"
    for what, said in table.items():
        assert said in BY_ID or " " in said, f"{what}: there is no operation {said}, and a reason takes words"


def test_a_script_can_do_nothing_that_a_person_cannot() -> None:
    assert BY_ID.keys() - {*CONSOLE.values(), *COMMANDS.values(), *BESIDES} == set()


def test_role_of_an_operation_is_that_of_the_console_form() -> None:
    by_endpoint = {one.endpoint: one for one in ROUTES}
    for endpoint, said in CONSOLE.items():
        assert said not in BY_ID or BY_ID[said].role == by_endpoint[endpoint].role, endpoint

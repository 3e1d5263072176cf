"""The command line: commands by noun, each parses, calls one function and prints."""

import click

from connector.cli.alerts import alerts_group
from connector.cli.balances import balances_group
from connector.cli.bills import bills_group
from connector.cli.connections import connections_group
from connector.cli.customers import customers_group
from connector.cli.database import db
from connector.cli.demo import demo
from connector.cli.events import events_group
from connector.cli.mappings import mappings_group
from connector.cli.processes import clock, run, web, worker
from connector.cli.sandbox import sandbox_group
from connector.cli.scope import scope_group
from connector.cli.setup import setup_group
from connector.cli.status import status
from connector.cli.syncs import syncs_group
from connector.cli.tokens import tokens_group
from connector.cli.top_ups import top_ups_group
from connector.cli.users import users_group


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="chargebee-m3ter-connector")
def main() -> None:
    """Keeps Chargebee and m3ter in step. Every command takes --json: one document on standard output, logs on standard error."""


for command in (
    alerts_group,
    balances_group,
    bills_group,
    clock,
    connections_group,
    customers_group,
    db,
    demo,
    events_group,
    mappings_group,
    run,
    sandbox_group,
    scope_group,
    setup_group,
    status,
    syncs_group,
    tokens_group,
    users_group,
    top_ups_group,
    web,
    worker,
):
    main.add_command(command)

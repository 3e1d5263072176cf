"""`connector balances …`: Balance Billing from the command line."""

from connector.cli.balances.balances import balances_group
from connector.cli.balances.bill_jobs import bill_jobs_group
from connector.cli.balances.charge_schedules import charge_schedules_group
from connector.cli.balances.charges import charges_group
from connector.cli.balances.requests import requests_group
from connector.cli.balances.top_ups import top_up, top_ups_group
from connector.cli.balances.transaction_schedules import transaction_schedules_group
from connector.cli.balances.transactions import transactions_group, types_group
from connector.cli.balances.watches import chart, low, watches_group

for command in (
    bill_jobs_group,
    charge_schedules_group,
    charges_group,
    chart,
    low,
    requests_group,
    top_up,
    top_ups_group,
    transaction_schedules_group,
    transactions_group,
    types_group,
    watches_group,
):
    balances_group.add_command(command)

__all__ = ["balances_group"]

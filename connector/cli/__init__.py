"""The command line: commands by noun, each parses, calls one function and prints."""

import click

from connector.cli import bills, database, demo, mappings, processes, sandbox, syncs


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="chargebee-m3ter-connector")
def main() -> None:
    """Keeps Chargebee and m3ter in step. Every command takes --json: one document on standard output, logs on standard error."""


for command in (
    bills.bills_group,
    database.db,
    demo.demo,
    mappings.mappings_group,
    processes.clock,
    processes.run,
    processes.web,
    processes.worker,
    sandbox.sandbox_group,
    syncs.syncs_group,
):
    main.add_command(command)

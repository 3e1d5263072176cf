"""`connector top-ups …`"""

from decimal import Decimal
from typing import Any

import click

from connector import actions, audit, money
from connector.balances import products, sold
from connector.balances.due import GROSS, NET
from connector.balances.products import Product
from connector.cli.common import connection_option, output, table, wire
from connector.errors import BadInput
from connector.models import TopUpProduct
from connector.moments import read_moment


@click.group("top-ups")
def top_ups_group() -> None:
    """Credit that customers buy in Chargebee, and that is theirs in m3ter once they have paid."""


@top_ups_group.group("products")
def products_group() -> None:
    """Which Chargebee item prices are top-ups, and what they buy."""


@products_group.command("list")
@click.option("--removed", is_flag=True, help="Also those that are no longer sold.")
@connection_option
@output
def list_products(removed: bool, connection: str) -> Any:
    """List the item prices that are top-ups; asks no provider."""
    services = wire()
    with services.reading() as db:
        rows = products.listed(db, connection, removed=removed)
    columns = [
        "item price",
        "balance",
        "rate",
        "basis",
        "lasts",
        "type",
        "sold from",
        *(["removed"] if removed else []),
    ]
    return {"products": [products.as_json(row) for row in rows]}, table(
        "Top-ups", columns, [_cells(row)[: len(columns)] for row in rows]
    )


def _cells(row: TopUpProduct) -> list[str]:
    lasts = "without end" if row.expires_after_months is None else f"{row.expires_after_months} month(s)"
    rate = f"{row.rate.normalize():f} {row.currency} for 1 {row.price_currency}"
    removed = f"{row.removed_at:%Y-%m-%d %H:%M}" if row.removed_at else ""
    return [
        row.item_price_id, row.balance_code, rate, row.basis or "TOP_UP_AMOUNT", lasts, row.transaction_type,
        f"{row.sold_from:%Y-%m-%d %H:%M}", removed,
    ]  # fmt: skip


@products_group.command("add")
@click.argument("item_price_id")
@click.argument("balance_code")
@click.option("--name", metavar="TEXT", help="The balance's name, where one is made; the code when left out.")
@click.option("--currency", metavar="CODE", help="The balance's currency; the price's own when left out.")
@click.option("--rate", metavar="NUMBER", help="Credit for one unit of money; 1 in the same currency.")
@click.option("--months", type=int, help="Each purchase gets a balance of its own that ends after so many months.")
@click.option("--basis", type=click.Choice([GROSS, NET]), help="Instead of TOP_UP_AMOUNT.")
@click.option("--type", "type_", metavar="CODE", help="m3ter's transaction type; needed where there are several.")
@click.option("--from", "sold_from", metavar="DAY", help="Credit what was paid since that day; now when left out.")
@click.option("--dry-run", is_flag=True, help="Check only, change nothing.")
@connection_option
@output
def add_product(
    item_price_id: str,
    balance_code: str,
    name: str | None,
    currency: str | None,
    rate: str | None,
    months: int | None,
    basis: str | None,
    type_: str | None,
    sold_from: str | None,
    dry_run: bool,
    connection: str,
) -> Any:
    """Make ITEM_PRICE_ID a top-up of its buyer's balance BALANCE_CODE, which is made where it is missing.

    Terms are never changed: to sell under others, remove the product and add it anew. What was paid before keeps its own.
    An item price that a plan or a bill line is mapped to cannot be one.
    """
    services = wire()
    product = Product(
        item_price_id, balance_code, balance_name=name, currency=currency, rate=_number(rate), expires_after_months=months,
        basis=basis, transaction_type=type_, sold_from=read_moment(sold_from) if sold_from else None,
    )  # fmt: skip
    row = products.add(services, connection, product, who=audit.actor(), dry_run=dry_run)
    document = {"product": products.as_json(row), "added": not dry_run}
    text = products.described(row)
    return document, f"{text}; nothing was changed." if dry_run else f"{text}."


def _number(text: str | None) -> Decimal | None:
    try:
        return None if text is None else money.amount(text)
    except money.BadMoney as fault:
        raise BadInput(f"the rate: {fault}") from fault


@products_group.command("remove")
@click.argument("item_price_id")
@click.option("--reason", required=True, help="Why it goes; kept in the audit log.")
@click.option("--dry-run", is_flag=True, help="Check only, change nothing.")
@connection_option
@output
def remove_product(item_price_id: str, reason: str, dry_run: bool, connection: str) -> Any:
    """Credit nothing that is paid for ITEM_PRICE_ID from now on; refunds of what was credited are still taken back."""
    services = wire()
    row = products.remove(services, connection, item_price_id, who=audit.actor(), reason=reason, dry_run=dry_run)
    document = {"product": products.as_json(row), "removed": not dry_run}
    done = "can be removed; nothing was changed." if dry_run else "is no longer a top-up."
    return document, f"{item_price_id} {done}"


@top_ups_group.command("list")
@click.option("--customer", metavar="ID", help="Only those of this Chargebee customer.")
@click.option("--invoice", metavar="ID", help="Only those on this invoice.")
@click.option("--limit", type=int, default=50, show_default=True, help="How many at most.")
@connection_option
@output
def list_sold(customer: str | None, invoice: str | None, limit: int, connection: str) -> Any:
    """List the top-ups that were credited, the newest first, with what stands of each; asks no provider."""
    services = wire()
    with services.reading() as db:
        rows = sold.listed(db, connection, customer_id=customer, invoice_id=invoice, limit=limit)
        found = [sold.as_json(db, row, product) for row, product in rows]
    columns = ["invoice_id", "line_id", "customer_id", "item_price_id", "credited", "currency", "transactions", "at"]
    return {"top_ups": found}, table("Top-ups sold", columns, [[one[name] for name in columns] for one in found])


@top_ups_group.command("credit")
@click.argument("invoice_id")
@click.option("--dry-run", is_flag=True, help="Say what is due and what is credited; change nothing.")
@connection_option
@output
def credit_invoice(invoice_id: str, dry_run: bool, connection: str) -> Any:
    """Bring the credit for INVOICE_ID to what is due, as its events do by themselves; a second time changes nothing."""
    services = wire()
    standing = sold.look_up(services, services.connection(connection), invoice_id)
    if standing is None:
        raise BadInput(f"Chargebee has no invoice {invoice_id}, and nothing was credited for it")
    with services.reading() as db:
        document = sold.standing_as_json(db, connection, standing, invoice_id)
    found = document["lines"]
    columns = ["line_id", "item_price_id", "due", "credited", "currency", "unclear"]
    shown: list[Any] = [
        table(
            f"Invoice {invoice_id}, {standing.invoice.status}",
            columns,
            [[one[name] for name in columns] for one in found],
        ),
        *standing.skipped,
    ]
    if dry_run or not found:
        return document | {"sync": None}, [*shown, "Nothing was changed."]
    sync_id = actions.credit_top_ups(services, connection, invoice_id, audit.actor())
    return document | {"sync": sync_id}, [*shown, f"Sync {sync_id} sees to it."]

"""What a bill's plan depends on beside the bill, read from our tables and from Chargebee."""

from dataclasses import replace
from datetime import timedelta

from sqlalchemy.orm import Session

from connector import account_plans, days, mirror
from connector.bills import ledger, moved
from connector.bills.plan import subscriptions_billed
from connector.bills.routing import NEVER, SAME_BOUNDARY, Policies, Surroundings
from connector.clients.chargebee_objects import Invoice
from connector.clients.m3ter_objects import Bill
from connector.mappings import charges, table
from connector.services import Connected, Services
from connector.settings import Connection


def surroundings(services: Services, connected: Connected, bill: Bill) -> Surroundings:
    """All that the bill's plan depends on; asks Chargebee for the pending invoices of the subscriptions that it bills."""
    accounts = sorted({bill.account_id, *(line.child_account_id for line in bill.lines if line.child_account_id)})
    plans = [plan for one in accounts for plan in account_plans.of_account(services, connected.name, one)]
    with services.reading() as db:
        customers = table.customers_of(db, connected.name, accounts)
        live: dict[str, list[str]] = {account_id: [] for account_id in customers}
        owners = {customer_id: account_id for account_id, customer_id in customers.items()}
        for one in mirror.subscriptions_of(db, connected.name, customers.values()):
            account_id = owners.get(one.customer_id)
            if account_id is not None and one.status not in ("cancelled", "transferred") and not one.deleted:
                live[account_id].append(one.id)
        around = Surroundings(
            now=services.now(),
            charge_prices=charges.charge_prices(db, connected.name),
            account_plans=plans,
            customers=customers,
            subscriptions=live,
            named=charges.named_subscriptions(db, connected.name),
            # Before what was sent: whatever is sent after this look belongs to a newer push.
            basis=ledger.basis(db, connected.name, bill.id),
            sent=ledger.sent_amounts(db, connected.name, bill.id),
            sent_for=ledger.subscriptions_sent_for(db, connected.name, bill.id),
            policies=policies(connected.settings),
        )
    pending = _pending(services, connected, bill, sorted(subscriptions_billed(bill, around)))
    invoice_ids = {one.id for found in pending.values() for one in found}
    with services.reading() as db:
        ours = moved.our_lines(db, connected.name, [one for found in pending.values() for one in found])
        taken = ledger.own_invoices(db, connected.name, invoice_ids)
        doubtful = ledger.in_doubt(db, connected.name, invoice_ids, but=bill.id)
    open_to_all = {key: [one for one in found if one.id not in taken] for key, found in pending.items()}
    return replace(around, pending=open_to_all, ours=ours, in_doubt=doubtful)


def policies(settings: Connection) -> Policies:
    """What the connection's settings say about bills."""
    return Policies(
        max_charges=settings.max_bill_lines,
        max_invoice_lines=settings.max_invoice_lines,
        exponents=settings.currency_exponents,
        negative_lines=settings.negative_lines,
        negative_lines_by_type=settings.negative_lines_by_type,
        negative_total=settings.negative_total,
        late_bills=settings.late_bills,
        charge_bills=settings.charge_bills,
        wait_for_invoice=timedelta(days=settings.wait_for_invoice_days),
        group_above={"always": 0, "never": NEVER, "auto": settings.group_lines_above}[settings.group_lines],
        # Beside another process its lines are what is looked for.
        foreign_lines="ignore" if settings.shadow else settings.foreign_lines,
    )


def _pending(
    services: Services, connected: Connected, bill: Bill, subscription_ids: list[str]
) -> dict[str, list[Invoice]]:
    """The pending invoices of each subscription; consolidated ones can only be asked for by the customer that gets them.

    In shadow mode closed ones too: the other process may be ahead.
    """
    if not connected.settings.consolidated_invoicing:
        return {one: _invoices(connected, bill, subscription_id=one) for one in subscription_ids}
    with services.reading() as db:
        payers = {payer(db, connected.name, one) for one in subscription_ids}
    invoices = [invoice for one in sorted(payers) for invoice in _invoices(connected, bill, customer_id=one)]
    return {
        one: [
            invoice
            for invoice in invoices
            if one in {invoice.subscription_id, *(x.subscription_id for x in invoice.lines)}
        ]
        for one in subscription_ids
    }


def _invoices(
    connected: Connected, bill: Bill, *, subscription_id: str | None = None, customer_id: str | None = None
) -> list[Invoice]:
    """The invoices of a subscription or a customer that may be the bill's, with all their lines."""
    chargebee = connected.chargebee
    if connected.settings.shadow:
        since = days.bill_moment(bill, bill.end_date) - SAME_BOUNDARY
        found = chargebee.invoices_since(since, subscription_id=subscription_id, customer_id=customer_id)
        return [one for one in found if one.status != "voided"]
    if customer_id is not None:
        found = chargebee.pending_invoices_of_customer(customer_id)
    else:
        found = chargebee.pending_invoices(str(subscription_id))
    return [one if one.lines_complete else chargebee.retrieve_invoice(one.id) for one in found]


def payer(db: Session, connection: str, subscription_id: str) -> str:
    """The customer that gets the subscription's invoices."""
    body = mirror.seen(db, connection, "subscription", subscription_id) or {}
    customer_id = str(body.get("customer_id"))
    customer = mirror.customer(db, connection, customer_id)
    return customer_id if customer is None or customer.invoice_owner_id is None else customer.invoice_owner_id

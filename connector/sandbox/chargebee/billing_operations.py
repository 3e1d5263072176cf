"""Chargebee's operations on credits, charges, payments and hierarchies: what each takes, and what it answers."""

from collections.abc import Callable

from connector.sandbox.chargebee import billing_parameters as parameter
from connector.sandbox.chargebee import listings
from connector.sandbox.chargebee.errors import wrong_value
from connector.sandbox.chargebee.forms import boolean, read
from connector.sandbox.chargebee.operations import Operation, rows_of
from connector.sandbox.chargebee.time_machine import TimeMachine
from connector.sandbox.component import Resource


def relate_customer(site: TimeMachine, form: Resource, customer_id: str) -> Resource:
    """The customer under its parent."""
    return {"customer": site.relate_customer(customer_id, **read(form, parameter.RELATIONSHIP))}


def unrelate_customer(site: TimeMachine, _: Resource, customer_id: str) -> Resource:
    """The customer without a parent."""
    return {"customer": site.unrelate_customer(customer_id)}


def hierarchy(site: TimeMachine, query: Resource, customer_id: str) -> Resource:
    """The places in the customer's hierarchy."""
    return {"hierarchies": site.hierarchy(customer_id, _kind_of_hierarchy(query))}


def list_hierarchy(site: TimeMachine, query: Resource, customer_id: str) -> Resource:
    """One page of the places in the customer's hierarchy."""
    places = site.hierarchy(customer_id, _kind_of_hierarchy(query))
    rows = [{**place, "id": place["customer_id"]} for place in places]
    rest = {name: value for name, value in query.items() if name != "hierarchy_operation_type"}
    answer = rows_of("hierarchy", rows, rest, listings.PLAIN)
    for row in answer["list"]:
        del row["hierarchy"]["id"]
    return answer


def _kind_of_hierarchy(query: Resource) -> str:
    kind = "hierarchy_operation_type"
    return str(read(query, parameter.HIERARCHY, (kind,))[kind])


def transfer(site: TimeMachine, form: Resource, _: str) -> Resource:
    """The transfer of one customer or subscription to another business entity."""
    values = read(form, parameter.TRANSFER, parameter.TRANSFER)
    for name, sent in values.items():
        if len(sent) != 1:
            raise wrong_value(name, "should hold one value")
    resource_id, business_entity_id, kind, reason_code = (values[name][0] for name in parameter.TRANSFER)
    change = site.transfer_customer if kind == "customer" else site.transfer_subscription
    return {"business_entity_transfer": change(resource_id, business_entity_id, reason_code)}


def promotional_credit(change: Callable[..., Resource]) -> Operation:
    """The operation that changes a customer's promotional credits in this way."""

    def operation(site: TimeMachine, form: Resource, _: str) -> Resource:
        values = read(form, parameter.PROMOTIONAL_CREDIT, ("customer_id", "amount", "description"))
        credit = change(site, **values)
        return {"customer": site.customers[credit["customer_id"]], "promotional_credit": credit}

    return operation


add_promotional_credits = promotional_credit(TimeMachine.add_promotional_credits)
deduct_promotional_credits = promotional_credit(TimeMachine.deduct_promotional_credits)
set_promotional_credits = promotional_credit(TimeMachine.set_promotional_credits)


def create_credit_note(site: TimeMachine, form: Resource, _: str) -> Resource:
    """The new credit note, and the invoice it is on if there is one."""
    note = site.create_credit_note(**read(form, parameter.CREDIT_NOTE, ("type",)))
    invoice = site.invoices.get(note.get("reference_invoice_id", ""))
    return {"credit_note": note, **({"invoice": invoice} if invoice else {})}


def void_credit_note(site: TimeMachine, _: Resource, note_id: str) -> Resource:
    """The credit note, void."""
    return {"credit_note": site.void_credit_note(note_id)}


def delete_credit_note(site: TimeMachine, _: Resource, note_id: str) -> Resource:
    """The deleted credit note."""
    return {"credit_note": site.delete_credit_note(note_id)}


def create_unbilled_charges(site: TimeMachine, form: Resource, _: str) -> Resource:
    """The new charges."""
    return {"unbilled_charges": site.create_unbilled_charges(**read(form, parameter.UNBILLED, ("subscription_id",)))}


def list_unbilled_charges(site: TimeMachine, query: Resource, _: str) -> Resource:
    """One page of the charges that wait; none here was ever voided."""
    voided = boolean("is_voided", query.get("is_voided", "false"))
    rows = [row for row in site.unbilled_charges.values() if row["is_voided"] is voided]
    return rows_of("unbilled_charge", rows, query, listings.UNBILLED_CHARGES)


def delete_unbilled_charge(site: TimeMachine, _: Resource, charge_id: str) -> Resource:
    """The deleted charge."""
    return {"unbilled_charge": site.delete_unbilled_charge(charge_id)}


def invoice_unbilled_charges(site: TimeMachine, form: Resource, _: str) -> Resource:
    """The invoices of the charges that waited."""
    return {"invoices": site.invoice_unbilled_charges(**read(form, parameter.INVOICE_UNBILLED))}


def create_one_time_invoice(site: TimeMachine, form: Resource, _: str) -> Resource:
    """The new invoice."""
    values = read(form, parameter.ONE_TIME)
    if values.get("create_pending_invoice"):
        for name in parameter.PAYMENT_PARAMETERS:
            if name in form:
                raise wrong_value(name, "cannot be sent for a pending invoice")
    return {"invoice": site.create_one_time_invoice(**values)}


def record_payment(site: TimeMachine, form: Resource, invoice_id: str) -> Resource:
    """The invoice and the payment on it."""
    values = read(form, parameter.PAYMENT, ("transaction",))
    transaction = site.record_payment(invoice_id, comment=values.get("comment"), **values["transaction"])
    return {"invoice": site.invoices[invoice_id], "transaction": transaction}


def refund_invoice(site: TimeMachine, form: Resource, invoice_id: str) -> Resource:
    """The invoice, what went back, and the credit note about it."""
    values = read(form, parameter.REFUND)
    return _refund(site, invoice_id, values, values.get("refund_amount"), "card")


def record_refund(site: TimeMachine, form: Resource, invoice_id: str) -> Resource:
    """The invoice, what went back outside Chargebee, and the credit note about it."""
    values = read(form, parameter.RECORDED_REFUND, ("transaction",))
    transaction = values["transaction"]
    return _refund(site, invoice_id, values, transaction.get("amount"), transaction["payment_method"])


def _refund(site: TimeMachine, invoice_id: str, values: Resource, amount: int | None, method: str) -> Resource:
    reason = values.get("credit_note", {}).get("create_reason_code")
    transaction, note = site.refund_invoice(invoice_id, amount, reason, method, values.get("comment"))
    return {"invoice": site.invoices[invoice_id], "transaction": transaction, "credit_note": note}


def list_payments_of_invoice(site: TimeMachine, query: Resource, invoice_id: str) -> Resource:
    """One page of the transactions on the invoice."""
    ids = {row["txn_id"] for row in site.find("invoice", invoice_id)["linked_payments"]}
    rows = [row for row in site.transactions.values() if row["id"] in ids]
    return rows_of("transaction", rows, query, listings.TRANSACTIONS)

"""The parameters of Chargebee's operations on credits, charges and payments, and the bounds of each."""

from decimal import Decimal, InvalidOperation
from typing import Any

from connector.sandbox.chargebee.errors import wrong_value
from connector.sandbox.chargebee.forms import Fields, boolean, choice, columns, group, listing, moment, text, whole
from connector.sandbox.chargebee.parameters import ON_OFF, TIER


def _percentage(name: str, raw: Any) -> Decimal:
    try:
        value = Decimal(raw)
    except (InvalidOperation, TypeError) as error:
        raise wrong_value(name, "is not a number") from error
    if not value.is_finite() or not Decimal("0.01") <= value <= 100:
        raise wrong_value(name, "should lie between 0.01 and 100")
    return value


RELATIONSHIP: Fields = dict.fromkeys(("parent_id", "payment_owner_id", "invoice_owner_id"), text(50))
HIERARCHY: Fields = {"hierarchy_operation_type": choice("complete_hierarchy", "subordinates", "path_to_root")}
TRANSFER: Fields = {
    "active_resource_ids": listing(text(50)),
    "destination_business_entity_ids": listing(text(50)),
    "resource_types": listing(choice("customer", "subscription")),
    "reason_codes": listing(text(100)),
}
PROMOTIONAL_CREDIT: Fields = {
    "customer_id": text(50),
    "amount": whole(),
    "currency_code": text(3),
    "description": text(250),
    "credit_type": choice("loyalty_credits", "referral_rewards", "general"),
    "reference": text(500),
}
CREDIT_NOTE: Fields = {
    "type": choice("adjustment", "refundable", "store"),
    "reference_invoice_id": text(50),
    "customer_id": text(50),
    "total": whole(),
    "currency_code": text(3),
    "create_reason_code": text(100),
    "date": moment,
    "customer_notes": text(2000),
    "comment": text(300),
    "line_items": columns(
        {
            "reference_line_item_id": text(40),
            "unit_amount": whole(),
            "quantity": whole(1),
            "amount": whole(),
            "date_from": moment,
            "date_to": moment,
            "description": text(250),
            "entity_type": choice("adhoc", "plan_item_price", "addon_item_price", "charge_item_price"),
            "entity_id": text(100),
        }
    ),
}
ITEM_PRICE: Fields = {
    "item_price_id": text(100),
    "quantity": whole(1),
    "unit_price": whole(),
    "date_from": moment,
    "date_to": moment,
}
CHARGE: Fields = {
    "amount": whole(1),
    "description": text(250),
    "taxable": boolean,
    **dict.fromkeys(("tax_profile_id", "avalara_tax_code", "hsn_code", "taxjar_product_code"), text(50)),
    "date_from": moment,
    "date_to": moment,
}
TIERS = columns({**TIER, "item_price_id": text(100)}, ("item_price_id", "starting_unit", "price"))
UNBILLED: Fields = {
    "subscription_id": text(50),
    "currency_code": text(3),
    "item_prices": columns(ITEM_PRICE, ("item_price_id",)),
    "charges": columns(CHARGE, ("amount", "description")),
    "item_tiers": TIERS,
}
INVOICE_UNBILLED: Fields = {"subscription_id": text(50), "customer_id": text(50)}
DESCRIPTIONS: Fields = {"description": text(250), "entity_description": text(2000)}
ONE_TIME: Fields = {
    **UNBILLED,
    "customer_id": text(50),
    "item_prices": columns({**ITEM_PRICE, **DESCRIPTIONS}, ("item_price_id",)),
    "charges": columns({**CHARGE, **DESCRIPTIONS}, ("amount", "description")),
    "discounts": columns(
        {
            "apply_on": choice("invoice_amount", "specific_item_price"),
            "amount": whole(),
            "percentage": _percentage,
            "item_price_id": text(100),
        },
        ("apply_on",),
    ),
    "create_pending_invoice": boolean,
    "invoice_date": moment,
    "invoice_note": text(2000),
    "po_number": text(100),
    "auto_collection": ON_OFF,
    "net_term_days": whole(0, 1000),
    "coupon_ids": listing(text(100)),
}
# How an invoice would be paid at once, and therefore not for a pending one.
PAYMENT_PARAMETERS = ("payment_source_id", "auto_collection", "token_id", "card", "bank_account", "payment_intent")
TRANSACTION: Fields = {
    "amount": whole(1),
    "payment_method": text(50),
    "reference_number": text(100),
    "status": choice("success", "failure"),
    "date": moment,
}
PAYMENT: Fields = {"transaction": group(TRANSACTION, ("payment_method",)), "comment": text(300)}
CREDIT_NOTE_REASON = group({"reason_code": text(100), "create_reason_code": text(100)})
REFUND: Fields = {
    "refund_amount": whole(1),
    "credit_note": CREDIT_NOTE_REASON,
    "comment": text(300),
    "customer_notes": text(2000),
}
RECORDED_REFUND: Fields = {
    "transaction": group(TRANSACTION, ("payment_method", "date")),
    "credit_note": CREDIT_NOTE_REASON,
    "comment": text(300),
    "customer_notes": text(2000),
}

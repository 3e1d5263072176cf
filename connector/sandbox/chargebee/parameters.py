"""The parameters of Chargebee's write operations, and the bounds of each."""

from connector.sandbox.chargebee.forms import (
    Fields,
    boolean,
    choice,
    columns,
    group,
    json_object,
    listing,
    moment,
    text,
    whole,
)

ON_OFF = choice("on", "off")
ADDRESS: Fields = {
    **dict.fromkeys(("first_name", "last_name", "line1", "line2", "line3"), text(150)),
    **dict.fromkeys(("phone", "city", "state_code", "state"), text(50)),
    "email": text(70),
    "company": text(250),
    "country": text(50),
    "zip": text(20),
    "validation_status": text(50),
}
CUSTOMER: Fields = {
    "id": text(50),
    **dict.fromkeys(("first_name", "last_name"), text(150)),
    "company": text(250),
    "email": text(70),
    **dict.fromkeys(("phone", "locale", "business_entity_id", "brand_id"), text(50)),
    "preferred_currency_code": text(3),
    "auto_collection": ON_OFF,
    "net_term_days": whole(),
    "taxability": choice("taxable", "exempt"),
    "vat_number": text(20),
    "auto_close_invoices": boolean,
    "consolidated_invoicing": boolean,
    "billing_address": group(ADDRESS),
    "meta_data": json_object(),
}
ITEM_FAMILY: Fields = {"id": text(50), "name": text(50), "description": text(500), "business_entity_id": text(50)}
ITEM: Fields = {
    "id": text(100),
    "name": text(100),
    "type": choice("plan", "addon", "charge"),
    "item_family_id": text(100),
    "description": text(2000),
    "external_name": text(100),
    "unit": text(30),
    **dict.fromkeys(("is_shippable", "is_giftable", "enabled_in_portal", "enabled_for_checkout", "metered"), boolean),
    "item_applicability": choice("all", "restricted"),
    "usage_calculation": text(50),
    "metadata": json_object(),
}
TIER: Fields = {
    "starting_unit": whole(),
    "ending_unit": whole(),
    "price": whole(),
    "pricing_type": choice("per_unit", "flat_fee", "package"),
    "package_size": whole(1),
}
ITEM_PRICE: Fields = {
    "id": text(100),
    "name": text(100),
    "item_id": text(100),
    "description": text(2000),
    "external_name": text(100),
    "invoice_notes": text(2000),
    "price": whole(),
    "currency_code": text(3),
    "pricing_model": choice("flat_fee", "per_unit", "tiered", "volume", "stairstep"),
    "period": whole(1),
    "period_unit": choice("day", "week", "month", "year"),
    "is_taxable": boolean,
    "show_description_in_invoices": boolean,
    "tiers": columns(TIER, ("starting_unit", "price")),
    "metadata": json_object(),
}
SUBSCRIPTION_ITEMS = columns(
    {
        "item_price_id": text(100),
        "quantity": whole(1),
        "unit_price": whole(),
        "billing_cycles": whole(),
        "trial_end": moment,
        "service_period_days": whole(1),
        "charge_on_event": text(50),
        "charge_once": boolean,
        "charge_on_option": choice("immediately", "on_event"),
        "item_type": choice("plan", "addon", "charge"),
        "description": text(500),
        "usage_accumulation_reset_frequency": text(50),
    },
    ("item_price_id",),
)
SUBSCRIPTION: Fields = {
    "subscription_items": SUBSCRIPTION_ITEMS,
    "billing_override": group({"max_excess_payment_usage": whole(-1), "max_refundable_credits_usage": whole(-1)}),
    "net_term_days": whole(),
    "auto_collection": ON_OFF,
    "po_number": text(100),
    "invoice_notes": text(2000),
    "meta_data": json_object(),
    "create_pending_invoices": boolean,
    "auto_close_invoices": boolean,
    "override_relationship": boolean,
    "coupon_ids": listing(text(100)),
    "shipping_address": group(ADDRESS),
    "contract_term": group(
        {
            "action_at_term_end": choice("renew", "evergreen", "cancel", "renew_once"),
            "contract_start": moment,
            "cancellation_cutoff_period": whole(),
        }
    ),
    # The billing cycles of the contract term.
    "billing_cycles": whole(1, 100),
    "contract_term_billing_cycle_on_renewal": whole(1, 100),
    "trial_end": moment,
    "trial_end_action": choice("site_default", "plan_default", "activate_subscription", "cancel_subscription"),
}
NEW_SUBSCRIPTION: Fields = {**SUBSCRIPTION, "id": text(50), "start_date": moment, "first_invoice_pending": boolean}
CHANGED_SUBSCRIPTION: Fields = {
    **SUBSCRIPTION,
    "replace_items_list": boolean,
    "replace_coupon_list": boolean,
    "end_of_term": boolean,
    "change_option": choice("immediately", "end_of_term", "specific_date"),
    "changes_scheduled_at": moment,
    "reactivate": boolean,
    "reactivate_from": moment,
}
CANCELLATION: Fields = {
    "cancel_option": choice("immediately", "end_of_term", "specific_date", "end_of_billing_term"),
    "contract_term_cancel_option": choice(
        "terminate_immediately", "end_of_contract_term", "specific_date", "end_of_subscription_billing_term"
    ),
    "end_of_term": boolean,
    "cancel_at": moment,
    "cancel_reason_code": text(100),
    "unbilled_charges_option": choice("invoice", "delete"),
}
ENDPOINT: Fields = {
    "name": text(50),
    "url": text(512),
    "api_version": choice("v1", "v2"),
    "primary_url": boolean,
    "disabled": boolean,
    "basic_auth_username": text(250),
    "basic_auth_password": text(250),
    "send_card_resource": boolean,
    "chargebee_response_schema_type": choice("plans_addons", "items", "compat"),
    "enabled_events": listing(text(100)),
}
CHARGE_ITEM: Fields = {
    "item_price": group(
        {
            "item_price_id": text(100),
            "quantity": whole(1),
            "unit_price": whole(),
            "date_from": moment,
            "date_to": moment,
        },
        ("item_price_id",),
    ),
    "item_tiers": columns(TIER, ("starting_unit", "price")),
    "comment": text(300),
    "subscription_id": text(50),
}
CHARGE: Fields = {
    "amount": whole(1),
    "description": text(250),
    "line_item": group({"date_from": moment, "date_to": moment}),
    "comment": text(300),
    "subscription_id": text(50),
    "avalara_tax_code": text(50),
    "hsn_code": text(50),
    "taxjar_product_code": text(50),
}
CLOSING: Fields = {
    "comment": text(300),
    "invoice_note": text(2000),
    "remove_general_note": boolean,
    "invoice_date": moment,
}
COMMENT = {"comment": text(300)}
NEW_COMMENT: Fields = {"entity_type": text(50), "entity_id": text(100), "notes": text(1000), "added_by": text(100)}
CHANGED_ITEM_PRICE: Fields = {**ITEM_PRICE, "status": choice("active", "archived")}
LINES: Fields = {"line_items": group({"id": listing(text(40))}, ("id",))}
DELETION: Fields = {**COMMENT, "claim_credits": boolean}
VOIDING: Fields = {**COMMENT, "void_reason_code": text(100)}
REACTIVATION: Fields = {"reactivate_from": moment, "trial_end": moment}
MOVE: Fields = {"to_customer_id": text(50), "copy_payment_source": boolean}
RAMP: Fields = {
    "effective_from": moment,
    "description": text(250),
    "items_to_add": SUBSCRIPTION_ITEMS,
    "items_to_update": SUBSCRIPTION_ITEMS,
    "items_to_remove": listing(text(100)),
}
PAUSE: Fields = {
    "pause_option": choice("immediately", "end_of_term", "specific_date", "billing_cycles"),
    "pause_date": moment,
    # As long as anybody could want to wait, and short enough to be counted out.
    "skip_billing_cycles": whole(1, 100),
    "resume_date": moment,
    "unbilled_charges_handling": choice("no_action", "invoice"),
}
RESUMPTION: Fields = {
    "resume_option": choice("immediately", "specific_date"),
    "resume_date": moment,
    "charges_handling": text(50),
    "unpaid_invoices_handling": text(50),
}
SPECIFIC_DATES = columns({"terms_to_charge": whole(1, 100), "date": moment}, ("date",))
ADVANCE: Fields = {
    "terms_to_charge": whole(1, 100),
    "schedule_type": choice("immediate", "specific_dates"),
    "specific_dates_schedule": SPECIFIC_DATES,
    "invoice_immediately": boolean,
}
COUPONS: Fields = {"coupon_ids": listing(text(100))}
COUPON: Fields = {
    "id": text(100),
    "name": text(50),
    "discount_type": choice("percentage", "fixed_amount"),
    "discount_percentage": whole(1, 100),
    "discount_amount": whole(1),
    "currency_code": text(3),
    "apply_on": choice("invoice_amount"),
    "duration_type": choice("one_time", "forever"),
}
GENESIS: Fields = {"genesis_time": moment}
DESTINATION: Fields = {"destination_time": moment}

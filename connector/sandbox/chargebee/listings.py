"""What each of Chargebee's lists can be filtered and sorted by."""

from connector.sandbox.chargebee.lists import CHOICE, FLAG, NUMBER, TEXT, TIME, Listing

CUSTOMERS = Listing(
    {
        **dict.fromkeys(("id", "email", "first_name", "last_name", "company", "phone"), TEXT),
        **dict.fromkeys(("auto_collection", "taxability", "channel"), CHOICE),
        **dict.fromkeys(("created_at", "updated_at"), TIME),
        **dict.fromkeys(("parent_id", "payment_owner_id", "invoice_owner_id"), TEXT),
        **{f"relationship.{name}": TEXT for name in ("parent_id", "payment_owner_id", "invoice_owner_id")},
        "auto_close_invoices": FLAG,
        "business_entity_id": TEXT,
    },
    ("created_at", "updated_at"),
)
SUBSCRIPTIONS = Listing(
    {
        **dict.fromkeys(("id", "customer_id", "cancel_reason_code", "business_entity_id"), TEXT),
        **dict.fromkeys(("status", "cancel_reason", "channel"), CHOICE),
        **dict.fromkeys(("created_at", "activated_at", "next_billing_at", "cancelled_at", "updated_at"), TIME),
        **dict.fromkeys(("has_scheduled_changes", "auto_close_invoices", "override_relationship"), FLAG),
        "remaining_billing_cycles": NUMBER,
    },
    ("created_at", "updated_at"),
)
INVOICES = Listing(
    {
        **dict.fromkeys(("id", "subscription_id", "customer_id", "payment_owner", "void_reason_code"), TEXT),
        **dict.fromkeys(("status", "price_type", "dunning_status", "channel"), CHOICE),
        **dict.fromkeys(("date", "paid_at", "updated_at", "voided_at"), TIME),
        **dict.fromkeys(("total", "amount_paid", "amount_adjusted", "credits_applied", "amount_due"), NUMBER),
        "recurring": FLAG,
    },
    ("date", "updated_at"),
    frozenset({"exclude"}),
)
EVENTS = Listing(
    {"id": TEXT, "event_type": CHOICE, "source": CHOICE, "webhook_status": CHOICE, "occurred_at": TIME},
    ("occurred_at",),
)
CATALOGUE = Listing(
    {
        **dict.fromkeys(("id", "name", "item_id", "item_family_id", "currency_code"), TEXT),
        **dict.fromkeys(("type", "item_type", "status", "pricing_model", "period_unit"), CHOICE),
        "updated_at": TIME,
        "metered": FLAG,
    },
    ("updated_at", "name", "id"),
)
PLAIN = Listing({}, ("created_at",))
COMMENTS = Listing({"created_at": TIME}, ("created_at",), frozenset({"entity_type", "entity_id"}))
RAMPS = Listing(
    {"subscription_id": TEXT, "status": CHOICE, "effective_from": TIME, "updated_at": TIME},
    ("effective_from", "updated_at"),
)
PROMOTIONAL_CREDITS = Listing(
    {"id": TEXT, "customer_id": TEXT, "type": CHOICE, "created_at": TIME},
    ("created_at",),
)
CREDIT_NOTES = Listing(
    {
        **dict.fromkeys(("id", "customer_id", "subscription_id", "reference_invoice_id", "create_reason_code"), TEXT),
        **dict.fromkeys(("type", "status", "price_type", "channel"), CHOICE),
        **dict.fromkeys(("total", "amount_allocated", "amount_refunded", "amount_available"), NUMBER),
        **dict.fromkeys(("date", "voided_at", "updated_at"), TIME),
    },
    ("date",),
)
UNBILLED_CHARGES = Listing(
    {"subscription_id": TEXT, "customer_id": TEXT},
    ("created_at",),
    frozenset({"is_voided"}),
)
TRANSACTIONS = Listing(
    {
        **dict.fromkeys(("id", "customer_id", "subscription_id", "reference_number"), TEXT),
        **dict.fromkeys(("type", "status", "payment_method"), CHOICE),
        "amount": NUMBER,
        "date": TIME,
        "updated_at": TIME,
    },
    ("date", "updated_at"),
)

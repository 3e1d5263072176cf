"""The kinds of mappings: which m3ter entities may stand for what in Chargebee.

A new kind is named here, with the tables it may be mapped to and, where m3ter keeps it, its collection. `pairs` says what it is
about (`table.on_topic` in SQL) and what it must look like, `catalogues` what the providers must say of it, a module beside
`plans` and `charges` what it means to those who ask, and `wakes` who has been waiting for it.
"""

SYSTEM = "Chargebee"
ITEM_PRICE = "ItemPrice"
PLAN = "Plan"
NOT_METERED = "NotMetered"
ANY = "*"
# Instead of a charge item price: a charge without an item, under the description of its line.
AD_HOC = "AdHoc"
SUBSCRIPTION = "Subscription"
# What may stand for a bill line, the most telling first (DESIGN §3).
CHARGE_ENTITIES = ("Pricing", "Aggregation", "CompoundAggregation", "Product", "LineItemType", "Default")
# The rows that people make; all others are the connector's own.
PLAN_ENTITIES = (PLAN, NOT_METERED)
SET_UP_ENTITIES = (*PLAN_ENTITIES, *CHARGE_ENTITIES, "Contract")
# What each kind of m3ter entity may be mapped to in Chargebee.
TABLES = {
    **dict.fromkeys(PLAN_ENTITIES, (ITEM_PRICE,)),
    **dict.fromkeys(CHARGE_ENTITIES, (ITEM_PRICE, AD_HOC)),
    "Account": ("Customer", SUBSCRIPTION),
    "Contract": (SUBSCRIPTION,),
}
# Where m3ter keeps what a mapping names; a plan is read for its currency as well.
COLLECTIONS = {
    "Account": "accounts",
    "Pricing": "pricings",
    "Aggregation": "aggregations",
    "CompoundAggregation": "compoundaggregations",
    "Product": "products",
}
LINE_ITEM_TYPES = (
    "STANDING_CHARGE", "USAGE", "USAGE_CREDIT", "COUNTER_RUNNING_TOTAL_CHARGE", "COUNTER_ADJUSTMENT_DEBIT",
    "COUNTER_ADJUSTMENT_CREDIT", "MINIMUM_SPEND", "MINIMUM_SPEND_REFUND", "CREDIT_DEDUCTION", "MANUAL_ADJUSTMENT",
    "CREDIT_MEMO", "DEBIT_MEMO", "COMMITMENT_CONSUMED", "COMMITMENT_FEE", "OVERAGE_SURCHARGE", "OVERAGE_USAGE",
    "BALANCE_CONSUMED", "BALANCE_FEE", "AD_HOC",
)  # fmt: skip

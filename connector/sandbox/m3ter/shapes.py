"""The fields of m3ter's entities."""

from connector.sandbox.m3ter.checks import (
    Shape,
    anything,
    boolean,
    choice,
    code,
    custom_fields,
    day,
    email,
    external,
    identifier,
    instant,
    integer,
    listing,
    number,
    shaped,
    text,
    uuid,
    words,
    zone,
)

NAME = text(200)
FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "ANNUALLY", "AD_HOC")
FREQUENCY = choice(*FREQUENCIES)
ROUNDING = choice("UP", "DOWN", "NEAREST", "NONE")
CUSTOM = {"customFields": custom_fields}

ADDRESS = Shape(
    {},
    {
        "addressLine1": text(50, 0),
        "addressLine2": text(50, 0),
        "addressLine3": text(None, 0),
        "addressLine4": text(None, 0),
        "locality": text(100, 0),
        "region": text(50, 0),
        "postCode": text(20, 0),
        "country": text(100, 0),
    },
)
ACCOUNT = Shape(
    {"name": NAME, "code": code, "emailAddress": email},
    {
        "address": shaped(ADDRESS),
        "currency": text(),
        "billEpoch": day,
        "daysBeforeBillDue": integer(1),
        "purchaseOrderNumber": text(100, 0),
        "parentAccountId": uuid,
        "statementDefinitionId": uuid,
        "autoGenerateStatementMode": choice("NONE", "JSON", "JSON_AND_CSV"),
        "creditApplicationOrder": listing(choice("PREPAYMENT", "BALANCE")),
        **CUSTOM,
    },
)
ACCOUNT_PLAN = Shape(
    {"accountId": uuid, "startDate": instant},
    {
        "planId": uuid,
        "planGroupId": uuid,
        "endDate": instant,
        "code": code,
        "billEpoch": day,
        "childBillingMode": choice("PARENT_SUMMARY", "PARENT_BREAKDOWN", "CHILD"),
        "contractId": uuid,
        **CUSTOM,
    },
    frozenset({"productId"}),
)
PRODUCT = Shape({"name": NAME, "code": code}, CUSTOM)
DATA_FIELD = Shape(
    {
        "category": choice("WHO", "WHERE", "WHAT", "OTHER", "METADATA", "MEASURE", "INCOME", "COST"),
        "code": identifier,
        "name": NAME,
    },
    {"unit": text(50, 0)},
)
DERIVED_FIELD = Shape({**DATA_FIELD.required, "calculation": text()}, DATA_FIELD.optional)
METER = Shape(
    {"name": NAME, "code": code, "dataFields": listing(shaped(DATA_FIELD), 1, 15)},
    {"derivedFields": listing(shaped(DERIVED_FIELD), 0, 15), "productId": uuid, "groupId": uuid, **CUSTOM},
)
AGGREGATION = Shape(
    {
        "name": NAME,
        "rounding": ROUNDING,
        "quantityPerUnit": number(0, exclusive=True),
        "unit": text(50),
        "meterId": uuid,
        "targetField": text(),
        "aggregation": choice("SUM", "MIN", "MAX", "COUNT", "LATEST", "MEAN", "UNIQUE", "CUSTOM_SQL"),
    },
    {
        "code": identifier,
        "segmentedFields": listing(text(), 0, 5),
        "segments": listing(words),
        "defaultValue": number(),
        "customSql": text(),
        "accountingProductId": uuid,
        **CUSTOM,
    },
)
COMPOUND_AGGREGATION = Shape(
    {
        "name": NAME,
        "rounding": ROUNDING,
        "quantityPerUnit": number(0, exclusive=True),
        "unit": text(50),
        "calculation": text(),
    },
    {
        "code": identifier,
        "productId": uuid,
        "accountingProductId": uuid,
        "evaluateNullAggregations": boolean,
        **CUSTOM,
    },
)
PLAN_TEMPLATE = Shape(
    {
        "productId": uuid,
        "name": NAME,
        "currency": text(3, 3),
        "standingCharge": number(0),
        "billFrequency": FREQUENCY,
    },
    {
        "billFrequencyInterval": integer(1, 365),
        "standingChargeInterval": integer(1, 365),
        "standingChargeOffset": integer(0, 364),
        "standingChargeDescription": text(200, 0),
        "standingChargeBillInAdvance": boolean,
        "minimumSpend": number(0),
        "minimumSpendDescription": text(200, 0),
        "minimumSpendBillInAdvance": boolean,
        "code": code,
        "ordinal": integer(0),
        **CUSTOM,
    },
)
PLAN = Shape(
    {"planTemplateId": uuid, "name": NAME, "code": code},
    {
        "accountId": uuid,
        "bespoke": boolean,
        "standingCharge": number(0),
        "standingChargeDescription": text(200, 0),
        "standingChargeBillInAdvance": boolean,
        "standingChargeAccountingProductId": uuid,
        "minimumSpend": number(0),
        "minimumSpendDescription": text(200, 0),
        "minimumSpendBillInAdvance": boolean,
        "minimumSpendAccountingProductId": uuid,
        "ordinal": integer(0),
        **CUSTOM,
    },
    frozenset({"productId"}),
)
BAND = Shape({"lowerLimit": number(0), "fixedPrice": number(), "unitPrice": number()}, {"creditTypeId": uuid})
PRICING = Shape(
    {"startDate": instant, "pricingBands": listing(shaped(BAND), 1)},
    {
        "planId": uuid,
        "planTemplateId": uuid,
        "aggregationId": uuid,
        "compoundAggregationId": uuid,
        "cumulative": boolean,
        "type": choice("DEBIT", "PRODUCT_CREDIT", "GLOBAL_CREDIT"),
        "segment": words,
        "description": text(200, 0),
        "overagePricingBands": listing(shaped(BAND)),
        "tiersSpanPlan": boolean,
        "minimumSpend": number(0),
        "minimumSpendDescription": text(200, 0),
        "minimumSpendBillInAdvance": boolean,
        "accountingProductId": uuid,
        "code": code,
        "endDate": instant,
    },
    frozenset({"aggregationType", "segmentString"}),
)
EXTERNAL_MAPPING = Shape(
    {
        "m3terEntity": external,
        "m3terId": external,
        "externalSystem": external,
        "externalTable": external,
        "externalId": external,
    },
    {"integrationConfigId": external},
)
CURRENCY = Shape(
    {"name": NAME},
    {
        "code": identifier,
        "maxDecimalPlaces": integer(0, 5),
        "roundingMode": choice("UP", "DOWN", "CEILING", "FLOOR", "HALF_UP", "HALF_DOWN", "HALF_EVEN", "UNNECESSARY"),
        "archived": boolean,
    },
)
NOTIFICATION = Shape(
    {"name": NAME, "code": code, "description": text(), "eventName": text()},
    {"active": boolean, "alwaysFireEvent": boolean, "calculation": text(None, 0)},
)
CREDENTIALS = Shape(
    {"type": choice("M3TER_SIGNED_REQUEST"), "apiKey": text(), "secret": text()},
    {"empty": boolean, "name": text(), "destination": text()},
)
WEBHOOK = Shape(
    {"name": NAME, "description": text(None, 0), "url": text(), "credentials": shaped(CREDENTIALS)},
    {"code": code, "active": boolean},
)
INTEGRATION = Shape(
    {"entityType": text(), "destination": text()},
    {
        "entityId": text(),
        "destinationId": text(),
        "configData": anything,
        "credentials": anything,
        "integrationCredentialsId": text(),
        "name": text(),
    },
    frozenset({"enabled", "authorized", "triggerType"}),
)
CONVERSION = Shape({"from": text(), "to": text(), "multiplier": number(0, exclusive=True)})
BILL_JOB = Shape(
    {},
    {
        "accountIds": listing(uuid, 1, 100),
        "billDate": day,
        "lastDateInBillingPeriod": day,
        "billingFrequency": FREQUENCY,
        "billFrequencyInterval": integer(1, 365),
        "dueDate": day,
        "externalInvoiceDate": day,
        "targetCurrency": text(3, 3),
        "currencyConversions": listing(shaped(CONVERSION), 0, 250),
        "timezone": zone,
        **dict.fromkeys(("yearEpoch", "monthEpoch", "weekEpoch", "dayEpoch"), day),
    },
)
BILL_CONFIG = Shape({}, {"billLockDate": day})
END_DATES = Shape(
    {
        "endDate": instant,
        "billingEntities": listing(choice("CONTRACT", "ACCOUNTPLAN", "PREPAYMENT", "PRICINGS", "COUNTER_PRICINGS"), 1),
    },
    {"applyToChildren": boolean},
)
ORGANIZATION_CONFIG = Shape(
    {
        "currency": text(),
        "timezone": zone,
        "daysBeforeBillDue": integer(1),
        **dict.fromkeys(("yearEpoch", "monthEpoch", "weekEpoch", "dayEpoch"), day),
    },
    {
        "currencyConversions": listing(shaped(CONVERSION)),
        **dict.fromkeys(
            (
                "consolidateBills",
                "suppressedEmptyBills",
                "standingChargeBillInAdvance",
                "minimumSpendBillInAdvance",
                "commitmentFeeBillInAdvance",
                "allowOverlappingPlans",
                "allowNegativeBalances",
            ),
            boolean,
        ),
        "scheduledBillInterval": number(0),
        "scheduledBillOffset": integer(0, 23),
        "autoApproveBillsGracePeriod": integer(1),
        "autoApproveBillsGracePeriodUnit": choice("MINUTES", "HOURS", "DAYS"),
        "externalInvoiceDate": choice("LAST_DAY_OF_ARREARS", "FIRST_DAY_OF_NEXT_PERIOD"),
        "creditApplicationOrder": listing(choice("PREPAYMENT", "BALANCE")),
        "billPrefix": text(),
        "sequenceStartNumber": integer(0),
        "autoGenerateStatementMode": choice("NONE", "JSON", "JSON_AND_CSV"),
        "defaultStatementDefinitionId": uuid,
    },
)
MEASUREMENT = Shape(
    {"meter": code, "account": code, "ts": instant},
    {
        "uid": text(50),
        "ets": instant,
        **dict.fromkeys(("who", "where", "what", "other", "metadata"), words),
        **dict.fromkeys(("measure", "cost", "income"), anything),
    },
)

"""The fields of lines put on a bill by hand, of counters, and of commitments."""

from connector.sandbox.m3ter.balance_shapes import DRAWABLE
from connector.sandbox.m3ter.checks import (
    Shape,
    boolean,
    choice,
    code,
    day,
    identifier,
    instant,
    integer,
    listing,
    number,
    shaped,
    text,
    uuid,
)
from connector.sandbox.m3ter.shapes import BAND, NAME

LINE_ITEM_TYPES = (
    *("STANDING_CHARGE", "USAGE", "USAGE_CREDIT", "COUNTER_RUNNING_TOTAL_CHARGE", "COUNTER_ADJUSTMENT_DEBIT"),
    *("COUNTER_ADJUSTMENT_CREDIT", "MINIMUM_SPEND", "MINIMUM_SPEND_REFUND", "CREDIT_DEDUCTION", "MANUAL_ADJUSTMENT"),
    *("CREDIT_MEMO", "DEBIT_MEMO", "COMMITMENT_CONSUMED", "COMMITMENT_FEE", "OVERAGE_SURCHARGE", "OVERAGE_USAGE"),
    *("BALANCE_CONSUMED", "BALANCE_FEE", "AD_HOC"),
)
REASON = Shape({"name": NAME}, {"code": identifier, "archived": boolean})
MEMO = {
    "billId": uuid,
    "accountingProductId": uuid,
    "amount": number(0, exclusive=True),
    "description": text(),
    "productId": uuid,
    "referencedBillId": uuid,
    "referencedLineItemId": uuid,
    "servicePeriodStartDate": instant,
    "servicePeriodEndDate": instant,
}
MEMO_OPTIONS = {"reasonId": uuid, "lineItemType": choice(*LINE_ITEM_TYPES), "amountToApplyOnBill": number()}
CREDIT_LINE_ITEM = Shape(MEMO, {**MEMO_OPTIONS, "creditReasonId": uuid})
DEBIT_LINE_ITEM = Shape(MEMO, {**MEMO_OPTIONS, "debitReasonId": uuid})

COUNTER = Shape({"name": NAME, "unit": text(50)}, {"code": code, "productId": uuid})
COUNTER_PRICING = Shape(
    {"counterId": uuid, "startDate": instant, "pricingBands": listing(shaped(BAND), 1)},
    {
        "planId": uuid,
        "planTemplateId": uuid,
        "endDate": instant,
        "cumulative": boolean,
        "description": text(200, 0),
        "code": code,
        "accountingProductId": uuid,
        **dict.fromkeys(
            (
                "proRateAdjustmentCredit",
                "proRateAdjustmentDebit",
                "proRateRunningTotal",
                "runningTotalBillInAdvance",
            ),
            boolean,
        ),
    },
)
COUNTER_ADJUSTMENT = Shape(
    {"accountId": uuid, "counterId": uuid, "date": day, "value": integer(0)}, {"purchaseOrderNumber": text(100, 0)}
)
FEE = Shape({"date": day, "amount": number(0), "servicePeriodStartDate": instant, "servicePeriodEndDate": instant})
COMMITMENT = Shape(
    {"accountId": uuid, "amount": number(0), "currency": text(), "startDate": day, "endDate": day},
    {
        "amountPrePaid": number(0),
        "feeDates": listing(shaped(FEE)),
        "commitmentFeeBillInAdvance": boolean,
        "commitmentFeeDescription": text(200, 0),
        "commitmentUsageDescription": text(200, 0),
        "feesAccountingProductId": uuid,
        "drawdownsAccountingProductId": uuid,
        "accountingProductId": uuid,
        "overageSurchargePercent": number(),
        "overageDescription": text(200, 0),
        "separateOverageUsage": boolean,
        "productIds": listing(uuid),
        "lineItemTypes": listing(choice(*DRAWABLE)),
        "contractId": uuid,
    },
    frozenset({"amountSpent"}),
)

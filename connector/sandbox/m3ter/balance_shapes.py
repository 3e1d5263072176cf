"""The fields of balances, of what moves them, and of what is charged for them."""

import re

from connector.sandbox.m3ter.checks import (
    Shape,
    boolean,
    choice,
    code,
    custom_fields,
    day,
    identifier,
    instant,
    integer,
    listing,
    number,
    text,
    uuid,
)

NAME = text(200)
FREQUENCY = choice("DAILY", "WEEKLY", "MONTHLY", "ANNUALLY")
CUSTOM = {"customFields": custom_fields}

# What may be paid out of a balance; a balance that names none takes them all.
DRAWABLE = (
    "STANDING_CHARGE",
    "USAGE",
    "MINIMUM_SPEND",
    "COUNTER_RUNNING_TOTAL_CHARGE",
    "COUNTER_ADJUSTMENT_DEBIT",
    "AD_HOC",
)

BALANCE = Shape(
    {"accountId": uuid, "code": code, "name": text(), "currency": text(), "startDate": instant, "endDate": instant},
    {
        "description": text(None, 0),
        "rolloverEndDate": instant,
        "rolloverAmount": number(0),
        "balanceDrawDownDescription": text(200, 0),
        "overageSurchargePercent": number(),
        "overageDescription": text(200, 0),
        "productIds": listing(uuid),
        "lineItemTypes": listing(choice(*DRAWABLE)),
        "contractId": uuid,
        "consumptionsAccountingProductId": uuid,
        "feesAccountingProductId": uuid,
        "allowOverdraft": boolean,
        **CUSTOM,
    },
    frozenset({"amount"}),
)
TRANSACTION_TYPE = Shape({"name": NAME}, {"code": identifier, "archived": boolean})
TRANSACTION = Shape(
    {"balanceId": uuid, "amount": number()},
    {
        "transactionTypeId": text(36, 0, re.compile(r"[a-zA-Z0-9-]*")),
        "description": text(None, 0),
        "paid": number(),
        "currencyPaid": text(),
        "appliedDate": instant,
        "transactionDate": instant,
    },
    frozenset({"entityType", "entityId"}),
)
RUNS = frozenset({"nextRun", "previousRun"})
TRANSACTION_SCHEDULE = Shape(
    {
        "balanceId": uuid,
        "name": NAME,
        "code": code,
        "amount": number(0),
        "transactionDescription": text(),
        "transactionTypeId": uuid,
        "startDate": instant,
        "endDate": instant,
        "frequency": FREQUENCY,
        "frequencyInterval": integer(1, 365),
    },
    {"paid": number(), "currencyPaid": text(), **CUSTOM},
    RUNS,
)
CHARGE_SCHEDULE = Shape(
    {
        "balanceId": uuid,
        "name": NAME,
        "code": code,
        "currency": text(),
        "servicePeriodStartDate": instant,
        "servicePeriodEndDate": instant,
        "billFrequency": FREQUENCY,
        "billFrequencyInterval": integer(1, 365),
        "billInAdvance": boolean,
        "chargeDescription": text(),
    },
    {"amount": number(0), "units": number(), "unitPrice": number(), "billEpoch": day, **CUSTOM},
    RUNS,
)
CHARGE = Shape(
    {
        "name": NAME,
        "code": code,
        "accountId": uuid,
        "currency": text(),
        "entityType": choice("AD_HOC", "BALANCE"),
        "lineItemType": choice("AD_HOC", "BALANCE_FEE"),
        "servicePeriodStartDate": instant,
        "servicePeriodEndDate": instant,
    },
    {
        "entityId": uuid,
        "amount": number(),
        "units": number(),
        "unitPrice": number(),
        "billDate": day,
        "description": text(None, 0),
        "notes": text(None, 0),
        "accountingProductId": uuid,
        "contractId": uuid,
    },
    frozenset({"billId", "scheduleId"}),
)

"""Valid objects, of which a test names only the difference: `subscription(cancelled_at=FEB)`."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zlib import crc32

from connector import codes
from connector.account_plans import Current, Interval
from connector.clients.chargebee_objects import Customer, Invoice, InvoiceLine, Subscription, SubscriptionItem
from connector.clients.m3ter_objects import Bill, BillLine

JAN, FEB, MAR, APR, MAY, JUN = (datetime(2026, month, 1, tzinfo=UTC) for month in range(1, 7))

SUBSCRIPTION, CUSTOMER, ACCOUNT, BILL = "sub_1", "cust_1", "account-1", "3f6d8a52-0001-4000-8000-000000000001"
BASIC, PRO, ADDON = "basic-USD-monthly", "pro-USD-monthly", "seats-USD-monthly"
# Which m3ter plan an item price means: None is "not metered", an item price that is missing is unmapped.
PLANS = {BASIC: "plan-basic", PRO: "plan-pro", ADDON: "plan-seats"}


def customer(**difference: Any) -> Customer:
    return Customer(
        **{
            "id": CUSTOMER, "first_name": "Ada", "last_name": "Lovelace", "company": "Acme", "email": "ap@acme.test",
            "billing_address": {}, "preferred_currency_code": "USD", "deleted": False, "resource_version": _ms(JAN),
            "updated_at": JAN, "parent_id": None, "invoice_owner_id": None, "pii_cleared": False,
        }
        | difference
    )  # fmt: skip


def item(
    item_price_id: str = BASIC, item_type: str = "plan", quantity: int | None = 1, unit_price: int | None = 9900
) -> SubscriptionItem:
    return SubscriptionItem(item_price_id, item_type, quantity, unit_price)


def subscription(*items: str | SubscriptionItem, **difference: Any) -> Subscription:
    """An active subscription to `items` (BASIC when none are named), begun in January and not changed since."""
    updated_at = difference.get("updated_at", JAN)
    return Subscription(
        **{
            "id": SUBSCRIPTION, "customer_id": CUSTOMER, "status": "active", "currency_code": "USD",
            "items": tuple(item(one) if isinstance(one, str) else one for one in items or (BASIC,)),
            "started_at": JAN, "start_date": None, "activated_at": JAN, "current_term_start": JAN,
            "current_term_end": FEB, "cancelled_at": None, "pause_date": None, "trial_start": None, "trial_end": None,
            "created_at": JAN, "updated_at": updated_at, "deleted": False, "resource_version": _ms(updated_at or JAN),
        }
        | difference
    )  # fmt: skip


def interval(item_price_id: str, start: datetime, end: datetime | None = None, **difference: Any) -> Interval:
    return Interval(
        **{
            "item_price_id": item_price_id, "plan_id": PLANS.get(item_price_id, "plan-other"), "customer_id": CUSTOMER,
            "start": start, "end": end,
        }
        | difference
    )  # fmt: skip


def current_plan(item_price_id: str, start: datetime, end: datetime | None = None, **difference: Any) -> Current:
    """An account plan that stands in m3ter since it was created with this start."""
    code = codes.code(SUBSCRIPTION, item_price_id, str(int(start.timestamp())))
    return Current(
        **{
            "id": crc32(code.encode()), "account_id": ACCOUNT, "subscription_id": SUBSCRIPTION,
            "customer_id": CUSTOMER, "item_price_id": item_price_id, "plan_id": PLANS.get(item_price_id, "plan-other"),
            "code": code, "start": start, "end": end, "m3ter_id": f"m3ter-{code}",
        }
        | difference
    )  # fmt: skip


def bill_line(subtotal: str | Decimal = "10.00", **difference: Any) -> BillLine:
    """A usage line of January under the plan of BASIC; with `currency`, say what it is converted to."""
    value = Decimal(subtotal)
    return BillLine(
        **{
            "id": "line-1", "type": "USAGE", "description": "API calls", "subtotal": value, "currency": "USD",
            "converted_subtotal": value, "quantity": Decimal(100), "units": Decimal(100), "unit": "calls",
            "product_id": "product-1", "plan_id": PLANS[BASIC], "plan_group_id": None, "pricing_id": "pricing-1",
            "aggregation_id": "aggregation-1", "compound_aggregation_id": None, "counter_id": None, "charge_id": None,
            "balance_id": None, "commitment_id": None, "contract_id": None, "child_account_id": None, "segment": {},
            "start": JAN, "end": FEB, "sequence_number": 1,
        }
        | difference
    )  # fmt: skip


def bill(*lines: BillLine, **difference: Any) -> Bill:
    """January's approved bill of these lines, without a stated total."""
    return Bill(
        **{
            "id": BILL, "version": 1, "account_id": ACCOUNT, "account_code": CUSTOMER, "status": "APPROVED",
            "locked": False, "currency": "USD", "start_date": date(2026, 1, 1), "end_date": date(2026, 2, 1),
            "bill_date": date(2026, 2, 1), "timezone": "UTC", "last_calculated": "2026-02-01T02:00:00Z",
            "approved_at": "2026-02-01T09:00:00Z", "total": None, "lines": lines,
        }
        | difference
    )  # fmt: skip


def invoice_line(start: datetime = FEB, end: datetime = MAR, **difference: Any) -> InvoiceLine:
    """The plan's line for the new term on a renewal invoice."""
    return InvoiceLine(
        **{
            "id": "li_plan", "subscription_id": SUBSCRIPTION, "entity_type": "plan_item_price", "entity_id": BASIC,
            "description": "Basic", "unit_amount": 10000, "quantity": 1, "amount": 10000,
            "date_from": start, "date_to": end,
        }
        | difference
    )  # fmt: skip


def invoice(day: datetime = FEB, lines: Iterable[InvoiceLine] | None = None, **difference: Any) -> Invoice:
    """The pending invoice of the renewal on `day`."""
    held = (invoice_line(day, day),) if lines is None else tuple(lines)
    return Invoice(
        **{
            "id": "draft_inv_1", "status": "pending", "customer_id": CUSTOMER, "subscription_id": SUBSCRIPTION,
            "currency_code": "USD", "date": day, "total": 10000, "lines": held, "lines_complete": True,
            "resource_version": _ms(day),
        }
        | difference
    )  # fmt: skip


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)

"""The tables. Every row carries its connection; times are UTC, amounts exact decimals or integer minor units."""

from connector.models.alerts import Alert, AlertDestination, AlertMute, AlertTelling
from connector.models.balances import (
    IS_UNDER_WAY,
    BalanceReading,
    BalanceRequest,
    BalanceWatch,
    SoldTopUp,
    TopUpProduct,
)
from connector.models.base import Base, Installation
from connector.models.bills import BillApproval, BillComparison, BillSnapshot, LinePush, Receipt, SeenBill
from connector.models.counted import LastLook, Tally, TallyCursor
from connector.models.mapped import ALWAYS, Account, AccountPlan, Mapping, Transfer
from connector.models.people import ApiToken, AuditEntry, User
from connector.models.received import IS_LEFT, Cursor, InboxEvent, MirroredResource, QuarantinedBody, SubscriptionState
from connector.models.work import (
    HAS_CAUSE,
    IS_AT_REST,
    IS_BILL,
    IS_OPEN,
    OPEN,
    Attempt,
    Failure,
    Lease,
    Pause,
    SendCount,
    Sync,
)

__all__ = [
    "ALWAYS",
    "HAS_CAUSE",
    "IS_AT_REST",
    "IS_BILL",
    "IS_LEFT",
    "IS_OPEN",
    "IS_UNDER_WAY",
    "OPEN",
    "Account",
    "AccountPlan",
    "Alert",
    "AlertDestination",
    "AlertMute",
    "AlertTelling",
    "ApiToken",
    "Attempt",
    "AuditEntry",
    "BalanceReading",
    "BalanceRequest",
    "BalanceWatch",
    "Base",
    "BillApproval",
    "BillComparison",
    "BillSnapshot",
    "Cursor",
    "Failure",
    "InboxEvent",
    "Installation",
    "LastLook",
    "Lease",
    "LinePush",
    "Mapping",
    "MirroredResource",
    "Pause",
    "QuarantinedBody",
    "Receipt",
    "SeenBill",
    "SendCount",
    "SoldTopUp",
    "SubscriptionState",
    "Sync",
    "Tally",
    "TallyCursor",
    "TopUpProduct",
    "Transfer",
    "User",
]

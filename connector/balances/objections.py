"""What speaks against changing or deleting what Balance Billing has, and what there is to know about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connector import money
from connector.balances import held, requests
from connector.balances.drafts import BALANCE, CHARGE, CHARGE_SCHEDULE, TRANSACTION_SCHEDULE
from connector.balances.in_m3ter import Standing, title
from connector.balances.requests import WITHDRAWN
from connector.clients.m3ter_balance_objects import Balance, Charge, ChargeSchedule, TransactionSchedule
from connector.errors import BadInput, NotFound
from connector.services import Services

UPDATE, DELETE = "update", "delete"

ON_A_BILL, HALF_OF_TOP_UP = "on_a_bill", "half_of_top_up"
HOLDS_CREDIT, EXPIRES_CREDIT = "holds_credit", "expires_credit"
HAS_SCHEDULES, HAS_CHARGES = "has_schedules", "has_unbilled_charges"
SCHEDULES = (TRANSACTION_SCHEDULE, CHARGE_SCHEDULE)
BOTH = ", though both can be ended as one"
# What may speak against a change, by what would be changed; who knows that names it.
OBJECTIONS = {
    BALANCE: (HOLDS_CREDIT, EXPIRES_CREDIT, HAS_SCHEDULES, HAS_CHARGES),
    CHARGE: (ON_A_BILL, HALF_OF_TOP_UP),
    TRANSACTION_SCHEDULE: (HALF_OF_TOP_UP,),
    CHARGE_SCHEDULE: (HALF_OF_TOP_UP,),
}


@dataclass(frozen=True)
class Objection:
    """Something that a person has to know of, and to name, before the change is made."""

    code: str
    text: str


class Against:
    """What speaks against changing one thing, and what there is to know about it."""

    def __init__(self, services: Services, connection: str, kind: str, standing: Standing) -> None:
        self._services, self._connection = services, connection
        self._kind, self._standing = kind, standing
        self._m3ter = services.connection(connection).m3ter

    def objections(self, action: str, changed: Mapping[str, Any]) -> list[Objection]:
        """Everything that a person has to name; raises BadInput for what cannot be done at all."""
        standing = self._standing
        found: list[Objection] = []
        if isinstance(standing, Charge):
            found += self._on_a_bill(standing)
        if isinstance(standing, Balance):
            found += self._of_balance(standing, action, changed)
        else:
            found += self._half()
        return found

    def remarks(self, action: str) -> list[str]:
        """What stays as it is, and what has to follow."""
        standing = self._standing
        if isinstance(standing, TransactionSchedule):
            made = self._m3ter.balance_billing.list_transactions(
                standing.balance_id, entity_type="SCHEDULER", entity_id=standing.id
            )
            return [f"{_many(sum(1 for _ in made), 'transaction')} that it has made stay as they are."]
        if isinstance(standing, ChargeSchedule):
            charges = self._m3ter.balance_billing.list_charges(schedule_id=standing.id)
            return [f"{_many(sum(1 for _ in charges), 'charge')} that it has made stay as they are."]
        if isinstance(standing, Charge) and standing.schedule_id:
            return [f"Schedule {standing.schedule_id} made it, and goes on making others."]
        return []

    def _on_a_bill(self, charge: Charge) -> list[Objection]:
        if charge.bill_id is None:
            return []
        try:
            bill = self._m3ter.get_bill(charge.bill_id)
        except NotFound:
            return [
                Objection(
                    ON_A_BILL, f"it was put on bill {charge.bill_id}, which m3ter no longer shows: look at that first"
                )
            ]
        if bill.locked:
            raise BadInput(
                f"{title(CHARGE, charge)} is on bill {bill.id}, which is locked: it cannot change any more; charge the "
                "difference under another code"
            )
        reopens = ", which makes it PENDING again" if bill.status == "APPROVED" else ""
        return [
            Objection(
                ON_A_BILL,
                f"it is on bill {bill.id} of {charge.bill_date} ({bill.status}), which goes on showing it as it was until a "
                f"bill job of that date calculates it anew{reopens}",
            )
        ]

    def _half(self) -> list[Objection]:
        with self._services.reading() as db:
            other = requests.other_half(db, self._connection, self._kind, self._standing.id)
        if other is None or other.status == WITHDRAWN:
            return []
        return [
            Objection(
                HALF_OF_TOP_UP,
                f"it is half of top-up {other.reference}: {requests.described(other)} is the other half ({other.status}) "
                f"and does not change with it{BOTH if self._kind in SCHEDULES else ''}",
            )
        ]

    def _of_balance(self, balance: Balance, action: str, changed: Mapping[str, Any]) -> list[Objection]:
        m3ter, now = self._m3ter.balance_billing, self._services.now()
        last = balance.rollover_end or balance.end
        new_end = changed.get("end", balance.end)
        new_last = changed.get("rollover_end", balance.rollover_end) or new_end
        expires = action == UPDATE and new_last < last and new_last <= now
        if action == UPDATE and not expires:
            return []
        holds = held.standing(balance, m3ter.list_transactions(balance.id), now).held
        found = []
        if holds:
            amount = money.shown(holds, balance.currency)
            found.append(
                Objection(EXPIRES_CREDIT, f"it holds {amount}, which would expire at once")
                if expires
                else Objection(HOLDS_CREDIT, f"it holds {amount}, and m3ter would lose it with its whole history")
            )
        if expires:
            return found
        credits, fees = m3ter.list_transaction_schedules(balance.id), m3ter.list_charge_schedules(balance.id)
        runs = {**{one.code: one.next_run for one in credits}, **{one.code: one.next_run for one in fees}}
        if running := [code for code, next_run in runs.items() if next_run is not None]:
            found.append(Objection(HAS_SCHEDULES, f"these schedules of it still run: {', '.join(running)}"))
        charges = m3ter.list_charges(account_id=balance.account_id, entity_id=balance.id)
        if unbilled := [one.code for one in charges if one.bill_id is None]:
            found.append(Objection(HAS_CHARGES, f"these charges of it are on no bill yet: {', '.join(unbilled)}"))
        return found


def _many(number: int, what: str) -> str:
    return f"The {number} {what}s" if number != 1 else f"The one {what}"

"""Chargebee's contract terms: so many billing cycles that a subscription is bound for, and what follows them."""

import copy
from datetime import UTC, datetime
from typing import Any

from connector.sandbox.chargebee.charges import Charges
from connector.sandbox.chargebee.errors import wrong_state
from connector.sandbox.chargebee.terms import term_end
from connector.sandbox.component import Resource


class Contracts(Charges):
    """What is agreed for some time."""

    def contract_terms_of(self, subscription_id: str) -> list[Resource]:
        """The contract terms of the subscription, the first one first."""
        self.find("subscription", subscription_id)
        rows = self.contract_terms.values()
        return copy.deepcopy([row for row in rows if row["subscription_id"] == subscription_id])

    def contract_end(self, subscription_id: str) -> int:
        """When the contract term that binds the subscription now is over."""
        term = self._contract(self.find("subscription", subscription_id))
        if term is None:
            raise wrong_state("The subscription has no contract term", "subscription_id")
        return int(term["contract_end"])

    def _begin_contract(self, subscription: Resource, wanted: Resource) -> Resource:
        """A contract term from its start on, or from the current or first term's; the caller announces it."""
        known = subscription.get("current_term_start") or subscription.get("next_billing_at")
        start = int(wanted.get("contract_start") or known or self._clock.seconds())
        cycles = wanted.get("billing_cycle", 1)
        end = start
        day = self.billing_days.get(subscription["id"], datetime.fromtimestamp(start, UTC).day)
        for _ in range(cycles):
            end = term_end(end, subscription["billing_period"], subscription["billing_period_unit"], day)
        value = sum(item.get("amount", 0) for item in subscription["subscription_items"])
        term: Resource = {
            "id": self._ids.short("ct_"),
            "status": "active",
            "contract_start": start,
            "contract_end": end,
            "billing_cycle": cycles,
            "action_at_term_end": wanted.get("action_at_term_end", "renew"),
            "total_contract_value": value * cycles,
            "remaining_billing_cycles": cycles - 1,
            "created_at": self._clock.seconds(),
            "subscription_id": subscription["id"],
            "object": "contract_term",
        }
        if "cancellation_cutoff_period" in wanted:
            term["cancellation_cutoff_period"] = wanted["cancellation_cutoff_period"]
        self.contract_terms[term["id"]] = term
        subscription["contract_term"] = term
        return term

    def _contract(self, subscription: Resource) -> Resource | None:
        """The contract term that binds the subscription now."""
        term: Any = subscription.get("contract_term")
        return term if term is not None and term["status"] == "active" else None

    def _end_contract(self, subscription: Resource, status: str) -> None:
        """The contract term is over, if there is one: completed where its time was up."""
        term = self._contract(subscription)
        if term is None:
            return
        if self._clock.seconds() >= term["contract_end"]:
            status = "completed"
        term |= {"status": status, "remaining_billing_cycles": 0}
        self._event(f"contract_term_{status}", contract_term=term)

    def _outlive_contract(self, subscription: Resource) -> bool:
        """At a renewal: whether the subscription goes on, in a new contract term or in none."""
        term = self._contract(subscription)
        if term is None:
            return True
        if self._clock.seconds() < term["contract_end"]:
            term["remaining_billing_cycles"] -= 1
            return True
        self._end_contract(subscription, "completed")
        action = str(term["action_at_term_end"])
        if action in ("renew", "renew_once"):
            following = {
                "contract_start": term["contract_end"],
                "billing_cycle": subscription.get("contract_term_billing_cycle_on_renewal", term["billing_cycle"]),
                # Once means that the next one is the last.
                "action_at_term_end": "renew" if action == "renew" else "cancel",
            }
            self._event("contract_term_renewed", contract_term=self._begin_contract(subscription, following))
        return action != "cancel"

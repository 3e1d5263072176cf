"""Chargebee's customer hierarchies: whose child a customer is, who pays for it and who gets its invoices."""

import copy

from connector.sandbox.chargebee.customers import Customers
from connector.sandbox.chargebee.errors import Refused, wrong_state, wrong_value
from connector.sandbox.component import Resource

LEVELS = 5
CHILDREN = 250


class Hierarchy(Customers):
    """Customers and their relatives."""

    def relate_customer(
        self,
        id: str,
        parent_id: str | None = None,
        payment_owner_id: str | None = None,
        invoice_owner_id: str | None = None,
    ) -> Resource:
        """The customer under this parent; without an owner named it pays, and gets its invoices, itself."""
        customer = self.to_change("customer", id)
        before = customer.get("relationship", {})
        parent_id = parent_id or before.get("parent_id")
        if parent_id is None:
            raise wrong_value("parent_id", "cannot be blank")
        self.find("customer", parent_id)
        forebears = self._path_to_root(parent_id)
        if id in forebears:
            raise wrong_value("parent_id", "is the customer or one of its descendants")
        if len(forebears) + self._height(id) > LEVELS:
            raise Refused(400, f"A hierarchy has at most {LEVELS} levels", code="resource_limit_exceeded")
        if len(self._children(parent_id)) >= CHILDREN and id not in self._children(parent_id):
            raise Refused(400, f"A customer has at most {CHILDREN} children", code="resource_limit_exceeded")
        owners = {
            "payment_owner_id": payment_owner_id or before.get("payment_owner_id", id),
            "invoice_owner_id": invoice_owner_id or before.get("invoice_owner_id", id),
        }
        for name, owner in owners.items():
            if owner not in (id, *forebears):
                raise wrong_value(name, "should be the customer or one of those above it")
        customer["relationship"] = {"parent_id": parent_id, **owners, "object": "relationship"}
        self._stamp(customer)
        self._event("customer_changed" if before else "hierarchy_created", customer=customer)
        return copy.deepcopy(customer)

    def unrelate_customer(self, id: str) -> Resource:
        """The customer, on its own again with those below it."""
        customer = self.to_change("customer", id)
        if "relationship" not in customer:
            raise wrong_state("The customer has no parent", "customer_id")
        del customer["relationship"]
        self._stamp(customer)
        self._event("hierarchy_deleted", customer=customer)
        return copy.deepcopy(customer)

    def hierarchy(self, id: str, kind: str) -> list[Resource]:
        """The customer's whole hierarchy, the part below it, or the way up to the root; each with itself."""
        self.find("customer", id)
        path = self._path_to_root(id)
        if kind == "path_to_root":
            return [self._place_of(customer_id) for customer_id in path]
        return [self._place_of(one) for one in self._subtree(path[-1] if kind == "complete_hierarchy" else id)]

    def _place_of(self, customer_id: str) -> Resource:
        relationship = self.customers[customer_id].get("relationship", {})
        children = self._children(customer_id)
        place = {
            "customer_id": customer_id,
            "parent_id": relationship.get("parent_id"),
            "payment_owner_id": relationship.get("payment_owner_id", customer_id),
            "invoice_owner_id": relationship.get("invoice_owner_id", customer_id),
            "has_children": bool(children),
            "children_ids": children,
            "object": "hierarchy",
        }
        return {name: value for name, value in place.items() if value is not None}

    def _children(self, customer_id: str) -> list[str]:
        return [
            row["id"]
            for row in self.customers.values()
            if not row["deleted"] and _relation(row, "parent_id") == customer_id
        ]

    def _path_to_root(self, customer_id: str) -> list[str]:
        """The customer and all above it; customers made with a relationship of the caller's own may lead nowhere."""
        path: list[str] = []
        here: str | None = customer_id
        while here in self.customers and here not in path:
            path.append(here)
            here = _relation(self.customers[here], "parent_id")
        return path

    def _subtree(self, customer_id: str) -> list[str]:
        found = [customer_id]
        for one in found:
            found.extend(child for child in self._children(one) if child not in found)
        return found

    def _height(self, customer_id: str) -> int:
        """How many levels the customer and those below it take up."""
        own = len(self._path_to_root(customer_id))
        return 1 + max(len(self._path_to_root(one)) - own for one in self._subtree(customer_id))

    def _owner(self, owner: Resource, name: str) -> str:
        """Who pays for, or gets the invoices of, this subscription or customer without one."""
        customer_id = str(owner["customer_id"])
        if owner.get("override_relationship"):
            return customer_id
        found = _relation(self.customers[customer_id], name)
        return found if found in self.customers else customer_id


def _relation(customer: Resource, name: str) -> str | None:
    relationship = customer.get("relationship", {})
    return relationship.get(name) if isinstance(relationship, dict) else None

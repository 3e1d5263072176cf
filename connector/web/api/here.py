"""What a call comes with: the services, and who is calling."""

from dataclasses import dataclass

from pydantic import BaseModel

from connector.clients.m3ter_balance_objects import Balance
from connector.clients.m3ter_balances import BalanceBilling
from connector.errors import NotFound
from connector.services import Connected, Services
from connector.tokens import Caller
from connector.web.api.problems import not_found


@dataclass(frozen=True)
class Here:
    """One call; `key` is its Idempotency-Key."""

    services: Services
    caller: Caller
    key: str | None = None

    @property
    def who(self) -> str:
        """How the audit log names the caller."""
        return self.caller.actor

    def connection(self, name: str) -> Connected:
        """The named connection; a problem where there is none."""
        found = self.services.connections.get(name)
        if found is None:
            raise not_found("such connection")
        return found

    def balance_billing(self, name: str) -> BalanceBilling:
        """Balance Billing of the connection."""
        return self.connection(name).m3ter.balance_billing

    def balance(self, name: str, balance_id: object) -> Balance:
        """A balance as m3ter has it now."""
        m3ter = self.balance_billing(name)
        try:
            return m3ter.get_balance(str(balance_id))
        except NotFound:
            raise not_found("such balance in m3ter") from None


@dataclass(frozen=True)
class Created:
    """The answer to a call that has made something, and where that is."""

    answer: BaseModel
    location: str

"""Types of transactions: what a transaction may be for, from the organization's own list (m3ter.md §12.2)."""

import re
from collections.abc import Mapping

from connector import audit
from connector.clients.m3ter_balance_objects import TransactionType
from connector.errors import BadInput
from connector.services import Services

PATH = "/picklists/transactiontypes"
CODE = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,79}")
MAX_NAME = 200


def wanted(code: str, name: str | None = None) -> dict[str, str]:
    """What m3ter is sent for a new type; raises BadInput."""
    if not CODE.fullmatch(code):
        raise BadInput(
            f"{code[:90]!r} cannot be the code of a transaction type: use up to 80 letters, digits and underscores, "
            "beginning with a letter"
        )
    name = code if name is None else name.strip()
    if not 1 <= len(name) <= MAX_NAME:
        raise BadInput(f"the name has to have 1 to {MAX_NAME} characters")
    return {"code": code, "name": name}


def create(
    services: Services, connection: str, fields: Mapping[str, str], *, who: str
) -> tuple[TransactionType, bool]:  # fmt: skip
    """The type with this code, and whether it is new; one that is archived is refused with BadInput.

    Raises Uncertain where the answer never came: doing the same again finds it then.
    """
    m3ter = services.connection(connection).m3ter.balance_billing
    for there in m3ter.list_transaction_types():
        if there.code == fields["code"]:
            if there.archived:
                raise BadInput(f"transaction type {there.code} is archived: take it back in m3ter, or use another code")
            return there, False
    with services.transaction() as db:
        audit.note(
            db, who=who, action="balances transaction-type", connection=connection, subject=fields["code"],
            now=services.now(),
        )  # fmt: skip
    return m3ter.create_transaction_type(fields), True

"""What a sync waits for is said in words that fit."""

import pytest

from connector import explain
from connector.balances import requests
from connector.bills.final import close_wish
from connector.bills.push import approval_wish
from connector.bills.routing import invoice_wish, settled_wish
from connector.mappings.plans import plan_wish
from connector.mappings.wakes import CHARGE_WISH
from connector.models import BalanceRequest


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (invoice_wish("sub-1"), "a pending invoice of subscription sub-1"),
        (settled_wish("draft_1"), "certainty about another bill's line on invoice draft_1"),
        (close_wish("b-1"), "the closing of an invoice of bill b-1"),
        (approval_wish("b-1"), "one person's approval more of bill b-1"),
        (requests.made_wish(BalanceRequest(id=7)), "balance request 7, which has to be made first"),
        (plan_wish("pro"), "a mapping of ItemPrice pro"),
        ("mapping:Customer:acme", "a mapping of Customer acme"),
        (CHARGE_WISH, "another mapping of a charge item price"),
    ],
)
def test_every_wish_is_said_in_words(wish: str, said: str) -> None:
    assert explain.wish(wish) == said

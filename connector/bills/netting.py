"""Credits taken off charges: nothing negative can be added to an invoice (chargebee.md §8.1)."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Open:
    """What is still to be charged for a key, or to be given back where `minor` is negative; minor units of one currency.

    Only amounts with the same `payer` are taken off each other.
    """

    key: str
    minor: int
    payer: str | None
    product_id: str | None
    subscription_id: str | None
    # Of a charge: that a balance may pay it. Of a credit: that it was drawn from a balance.
    drawn: bool = False


@dataclass(frozen=True)
class Netted:
    """So much of a credit was taken off a charge; `minor` is positive."""

    credit: str
    charge: str
    minor: int


def net(charges: Sequence[Open], credits: Sequence[Open]) -> tuple[list[Netted], dict[str, int]]:
    """What is taken off what, and what of each credit is left over (negative) because no charge was left to take it off.

    A credit that was drawn from a balance goes to charges that a balance may pay before it touches any other, least of all
    the fee for the balance. A credit goes to charges of its own product first, then of its own subscription, then to the
    others; the largest first, and by key where they are equal. So neither the order of the charges nor that of the credits
    makes a difference.
    """
    left = {charge.key: charge.minor for charge in charges}
    done: list[Netted] = []
    left_over: dict[str, int] = {}
    for credit in sorted(credits, key=lambda one: (one.minor, one.key)):
        to_give = -credit.minor
        for charge in sorted(charges, key=lambda one: (*_distance(credit, one), -one.minor, one.key)):
            taken = min(to_give, left[charge.key]) if charge.payer == credit.payer else 0
            if taken:
                done.append(Netted(credit.key, charge.key, taken))
                left[charge.key] -= taken
                to_give -= taken
        if to_give:
            left_over[credit.key] = -to_give
    return done, left_over


def _distance(credit: Open, charge: Open) -> tuple[bool, bool, bool]:
    return (
        credit.drawn and not charge.drawn,
        charge.product_id != credit.product_id,
        charge.subscription_id != credit.subscription_id,
    )

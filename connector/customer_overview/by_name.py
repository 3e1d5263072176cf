"""Customers by name, company or e-mail: Chargebee is asked now, and what it says is not kept.

Names and addresses are personal data. The words that were looked for stand in no log and in no audit entry, which says only
who looked, by what, and how much was found; and what a customer is called is given to whoever may see whole payloads.

That a list of customers can be filtered by these fields, and which operators texts have, is Chargebee's own specification
(chargebee.md §4.3, §10). Whether a filter takes capital letters for small ones, and whether each field has `starts_with`,
is not said (UNVERIFIED). So each answer is compared with what was asked for: a filter that counted for nothing shows
nobody; what is refused is said, and the rest is shown; and small letters that find nobody are tried as capitals once.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.orm import Session

from connector import audit, transfers
from connector.clients.chargebee_objects import Customer
from connector.clients.http import recorded_calls
from connector.customer_overview import overview, states
from connector.errors import BadInput, Rejected
from connector.services import Services

SHORTEST, LONGEST = 2, 100
WILDCARDS = "*%?"
# Of each question one page is read: whoever has more customers of a name has to say more of it.
PAGE = 20


@dataclass(frozen=True)
class Ask:
    """One question to Chargebee, by filters that all apply: field, operator, value."""

    says: str
    filters: tuple[tuple[str, str, str], ...]

    def fits(self, customer: Customer) -> bool:
        """Whether the customer is like this; capital letters and accents do not count."""
        return all(_has(getattr(customer, field), operator, value) for field, operator, value in self.filters)


@dataclass(frozen=True)
class Match:
    """A customer that Chargebee has found, and how it stands here; `says` is by what it was found.

    `state` is None where the connector does not know of it yet; the last three are None where they are not to be shown.
    """

    connection: str
    customer_id: str
    says: str
    state: str | None
    account_id: str | None
    name: str | None
    company: str | None
    email: str | None

    @property
    def is_known(self) -> bool:
        """Whether it has a page here."""
        return self.state is not None


@dataclass(frozen=True)
class Matches:
    """What was found with so many calls. `more`: Chargebee has more than one page; `left_out` were not like the words."""

    matches: tuple[Match, ...]
    calls: int
    more: bool
    left_out: int
    faults: tuple[str, ...]


def find(services: Services, connection: str, words: str, *, who: str, with_names: bool) -> Matches:
    """The customers that are called like this, or have this e-mail address, each once; one audit entry says who looked.

    Raises BadInput before anything is sent, and Retryable where Chargebee cannot be asked now. At most six calls.
    """
    words = checked(words)
    chargebee = services.connection(connection).chargebee
    found: dict[str, tuple[Customer, list[str]]] = {}
    faults: dict[str, str] = {}
    more, left_out, asked = False, 0, asks(words)
    with recorded_calls() as calls:
        for questions in (asked, asks(_otherwise(words))):
            if found or (questions is not asked and questions == asked):
                break
            for one in questions:
                try:
                    customers, has_more = chargebee.customers_like(one.filters, PAGE)
                except Rejected as error:
                    faults[one.says] = f"Chargebee cannot be asked by {one.says}: {error}"
                    continue
                fitting = [customer for customer in customers if one.fits(customer)]
                more, left_out = more or (has_more and bool(fitting)), left_out + len(customers) - len(fitting)
                for customer in fitting:
                    found.setdefault(customer.id, (customer, []))[1].append(one.says)
    with services.transaction() as db:
        audit.note(
            db, who=who, action="customers found by name", connection=connection,
            subject=f"customers by {' or '.join(dict.fromkeys(one.says for one in asked))}", now=services.now(),
            found=len(found), with_names=with_names,
        )  # fmt: skip
    with services.reading() as db:
        matches = _matches(db, connection, found.values(), with_names=with_names)
    return Matches(tuple(matches), len(calls), more, left_out, tuple(faults.values()))


def checked(words: str) -> str:
    """The words with single blanks; raises BadInput for what no customer can be found by."""
    words = " ".join(words.split())
    if not words.isprintable():
        raise BadInput("a name, a company or an e-mail address has no characters that cannot be seen")
    if any(one in words for one in WILDCARDS):
        raise BadInput(f"{' '.join(WILDCARDS)} stand for nothing here: type how the name or the company begins")
    if len(words) < SHORTEST or not any(one.isalnum() for one in words):
        raise BadInput(f"type at least {SHORTEST} characters of a name or a company, or a whole e-mail address")
    if len(words) > LONGEST:
        raise BadInput(f"type at most {LONGEST} characters: the beginning of a name or a company is enough")
    return words


def asks(words: str) -> tuple[Ask, ...]:
    """What Chargebee is asked: a whole address, or how the company, or the person's names, begin; at most three questions.

    Several words are a first and a last name, in this order or the other, of one word or more each.
    """
    if "@" in words and " " not in words:
        return (Ask("e-mail", (("email", "is", words),)),)
    company = Ask("company", (("company", "starts_with", words),))
    parts = words.replace(",", " ").split()
    if len(parts) < 2:
        return (
            company,
            Ask("last name", (("last_name", "starts_with", words),)),
            Ask("first name", (("first_name", "starts_with", words),)),
        )
    pairs = [(parts[0], parts[1:]), (parts[1], parts[:1]) if len(parts) == 2 else (" ".join(parts[:-1]), parts[-1:])]
    names = ((("first_name", "starts_with", one), ("last_name", "starts_with", " ".join(rest))) for one, rest in pairs)
    return (company, *(Ask("name", each) for each in names))


def _otherwise(words: str) -> str:
    """The words as they are most often written, where a person has typed them in another way: JANE@ACME.COM, jane doe."""
    if "@" in words:
        return words.lower()
    return " ".join(one[:1].upper() + one[1:] for one in words.split(" ")) if words == words.lower() else words


def _has(text: str | None, operator: str, value: str) -> bool:
    found, wanted = _plain(text or ""), _plain(value)
    return found == wanted if operator == "is" else found.startswith(wanted)


def _plain(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(one for one in apart if not unicodedata.combining(one)).split())


def _matches(
    db: Session, connection: str, found: Iterable[tuple[Customer, list[str]]], *, with_names: bool
) -> list[Match]:
    """Each customer as it stands here; the copy that another business entity has of one is the same customer."""
    lives_as = {transfers.live_id(db, connection, "customer", one.id): (one, says) for one, says in found}
    lines = {line.customer_id: line for line in states.named(db, connection, list(lives_as))}
    return [
        Match(
            connection,
            customer_id,
            ", ".join(dict.fromkeys(says)),
            lines[customer_id].state if overview.is_known(db, connection, customer_id) else None,
            lines[customer_id].account_id,
            (" ".join(filter(None, (one.first_name, one.last_name))) or None) if with_names else None,
            one.company if with_names else None,
            one.email if with_names else None,
        )
        for customer_id, (one, says) in lives_as.items()
    ]


def as_json(found: Matches) -> dict[str, Any]:
    """What was found as the command line and scripts see it; the keys are stable."""
    return asdict(found) | {"matches": [asdict(one) | {"known": one.is_known} for one in found.matches]}

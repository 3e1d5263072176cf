"""A Chargebee customer becomes one m3ter account, whose code is the customer's id."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from connector import codes, leases, mirror, scope, syncs, transfers
from connector.clients.chargebee_objects import Customer
from connector.clients.m3ter_objects import Account as M3terAccount
from connector.database import insert
from connector.errors import NotFound, OutOfScope, Parked, Rejected
from connector.mappings import kinds, own
from connector.mappings.pairs import Pair
from connector.models import Account, Mapping
from connector.services import Services
from connector.syncs import Run

# m3ter's limits (m3ter.md §3); lines three and four take what does not fit.
NAME_LIMIT = 200
LINE_LIMIT = 50
ADDRESS_LIMITS = {"locality": 100, "region": 50, "postCode": 20, "country": 100}


def sync_customer(services: Services, run: Run) -> str:
    """Make the m3ter account of the run's customer match what we know of the customer."""
    with services.reading() as db:
        live_id = transfers.live_id(db, run.connection, "customer", run.subject)
        known = _account_id(db, run.connection, run.subject)
    if live_id != run.subject:
        return f"transferred to another business entity, where it is customer {live_id}"
    with only_worker_at(services, run, run.subject):
        customer = _customer(services, run, run.subject)
        _check_scope(services, run, known)
        if customer.deleted:
            return f"deleted in Chargebee; account {known} stays for its bills" if known else "deleted in Chargebee"
        account_id = ensure_account(services, run, run.subject)
    return "; ".join(run.did) or f"account {account_id} is as it should be"


@contextmanager
def only_worker_at(services: Services, run: Run, customer_id: str) -> Iterator[None]:
    """Keeps every other worker from this customer's account and plans during the block; a run may enter it twice."""
    name = f"{run.connection}/customer/{customer_id}"
    if name in run.holds:
        yield
        return
    _, lease = syncs.times(services.settings, "customer")
    with leases.held(services, name, lease.total_seconds()):
        run.holds.add(name)
        try:
            yield
        finally:
            run.holds.remove(name)


def ensure_account(services: Services, run: Run, customer_id: str, below: tuple[str, ...] = ()) -> str:
    """The id of the customer's m3ter account, made or corrected where that is needed, those above it first.

    The account of a customer that is gone in Chargebee is left as it is: its bills are still to come. `below` are the
    customers on whose account it is to be done.
    """
    row = _known_account(services, run, customer_id)
    known = row.m3ter_id if row is not None else None
    try:
        customer = _customer(services, run, customer_id)
    except NotFound:
        if known is None:
            raise
        return known
    if customer.deleted and known is not None:
        return known
    settings = services.connection(run.connection).settings
    fields = account_fields(customer, settings.m3ter_fallback_email)
    if settings.account_hierarchy == "mirror":
        fields["parentAccountId"] = _parent_account(services, run, customer, (*below, customer_id))
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    _say(run, customer_id, fields, known, up_to_date=row is not None and row.fields_sha256 == digest)
    if row is None or known is None:
        code = codes.code(customer_id) if row is None else row.code
        known = _create(services, run, customer_id, {**fields, "code": code}, digest, tried_before=row is not None)
    elif row.fields_sha256 != digest:
        _update(services, run, known, fields, digest)
    own.record(services, run.connection, Pair("Account", known, "Customer", customer_id))
    return known


def _say(run: Run, customer_id: str, fields: dict[str, Any], known: str | None, *, up_to_date: bool) -> None:
    """Note for a person what account the customer is to have, and has; who the customer is stays out of it."""
    below = f", below account {fields['parentAccountId']}" if fields.get("parentAccountId") else ""
    wanted = f"an account in {fields.get('currency', 'any currency')} for customer {customer_id}{below}"
    if wanted in run.wanted:
        return
    run.wanted.append(wanted)
    if known is None:
        run.found.append("none that we have made or mapped")
    else:
        run.found.append(f"account {known}, {'told all of that' if up_to_date else 'last told something else'}")


def _parent_account(services: Services, run: Run, customer: Customer, below: tuple[str, ...]) -> str | None:
    """The account of the customer above this one, if that one gets its invoices."""
    # What we have seen of two customers may be of different ages, and each above the other.
    if customer.parent_id is None or customer.parent_id in below:
        return None
    with only_worker_at(services, run, customer.parent_id):
        return ensure_account(services, run, customer.parent_id, below)


def accounts_that_pay(services: Services, connection: str, customer_id: str) -> list[str]:
    """The customer's m3ter account and those above it, on whose bills its usage may be; empty before it has one."""
    found: list[str] = []
    above: str | None = customer_id
    seen: set[str] = set()
    with services.reading() as db:
        while above is not None and above not in seen:
            seen.add(above)
            account_id = _account_id(db, connection, above)
            found += [account_id] if account_id else []
            customer = mirror.customer(db, connection, above)
            above = customer.parent_id if customer is not None else None
    return found


def _account_id(db: Session, connection: str, customer_id: str) -> str | None:
    return db.scalar(
        select(Account.m3ter_id).where(Account.connection == connection, Account.customer_id == customer_id)
    )


def _check_scope(services: Services, run: Run, known: str | None) -> None:
    """Raises OutOfScope, unless the customer has an account already: that is kept up to date."""
    with services.reading() as db:
        body = mirror.seen(db, run.connection, "customer", run.subject) or {}
    why_not = scope.why_not_customer(services.connection(run.connection).settings, body)
    if why_not is not None and known is None:
        raise OutOfScope(why_not)


def account_fields(customer: Customer, fallback_email: str | None) -> dict[str, Any]:
    """The m3ter account's fields for this customer, within m3ter's limits; parks when there is no e-mail address.

    None for a field says that the account shall not have it (any more).
    """
    address = customer.billing_address
    email = customer.email or address.get("email") or fallback_email
    if not email:
        erased = ": its personal data was erased, and the account still holds it" if customer.pii_cleared else ""
        raise Parked(
            "no_email",
            f"customer {customer.id} has no e-mail address, and m3ter needs one{erased}",
            "Give the customer an e-mail in Chargebee, or set M3TER_FALLBACK_EMAIL.",
        )
    person = " ".join(part for part in (customer.first_name, customer.last_name) if part)
    fields: dict[str, Any] = {
        "name": (customer.company or person or customer.email or customer.id)[:NAME_LIMIT],
        "emailAddress": email,
    }
    if customer.preferred_currency_code:
        fields["currency"] = customer.preferred_currency_code
    shaped = _address(address)
    if shaped or customer.pii_cleared:
        fields["address"] = shaped or None
    return fields


def _address(address: dict[str, str]) -> dict[str, str]:
    shaped: dict[str, str] = {}
    lines = [address.get(name, "") for name in ("line1", "line2", "line3")]
    pieces = [line[i : i + LINE_LIMIT] for line in lines for i in range(0, len(line), LINE_LIMIT)]
    pieces[3:] = [" ".join(pieces[3:])] if pieces[3:] else []  # the fourth line has no limit
    for number, piece in enumerate(pieces, start=1):
        shaped[f"addressLine{number}"] = piece
    for theirs, ours in (("city", "locality"), ("state", "region"), ("zip", "postCode"), ("country", "country")):
        if address.get(theirs):
            shaped[ours] = address[theirs][: ADDRESS_LIMITS[ours]]
    return shaped


def _customer(services: Services, run: Run, customer_id: str) -> Customer:
    with services.reading() as db:
        known = mirror.customer(db, run.connection, customer_id)
    if known is not None:
        return known
    body = services.connection(run.connection).chargebee.retrieve_customer(customer_id)
    run.note(f"asked Chargebee for customer {customer_id}")
    with services.transaction() as db:
        mirror.keep(db, run.connection, "customer", body, services.now(), settled=True)
    return Customer.from_json(body)


def _known_account(services: Services, run: Run, customer_id: str) -> Account | None:
    """Our row for the customer's account; a mapping that a person made becomes such a row."""
    with services.transaction() as db:
        row = db.scalar(select(Account).where(Account.connection == run.connection, Account.customer_id == customer_id))
        if row is None or row.m3ter_id is None:
            mapped = db.scalar(
                select(Mapping.m3ter_id).where(
                    Mapping.connection == run.connection,
                    Mapping.m3ter_entity == "Account",
                    Mapping.external_table == "Customer",
                    Mapping.external_id == customer_id,
                )
            )
            if mapped is not None:
                row = row or Account(connection=run.connection, customer_id=customer_id, created_at=services.now())
                row.code, row.m3ter_id, row.status = codes.code(customer_id), mapped, "live"
                db.add(row)
        return row


def _create(
    services: Services, run: Run, customer_id: str, fields: dict[str, Any], digest: str, *, tried_before: bool
) -> str:
    with services.transaction() as db:
        planned = insert(db, Account).values(
            connection=run.connection,
            customer_id=customer_id,
            code=fields["code"],
            status="planned",
            created_at=services.now(),
        )
        db.execute(planned.on_conflict_do_nothing(index_elements=["connection", "customer_id"]))
    account = _adopt(services, run, customer_id, fields, tried_before=True) if tried_before else None
    if account is None:
        try:
            account = services.connection(run.connection).m3ter.create_account(fields)
            run.note(f"created account {account.code}")
        except Rejected:
            account = _adopt(services, run, customer_id, fields, tried_before=tried_before)
            if account is None:
                raise
    with services.transaction() as db:
        db.execute(
            update(Account)
            .where(Account.connection == run.connection, Account.customer_id == customer_id)
            .values(m3ter_id=account.id, status="live", fields_sha256=digest if _has(account, fields) else None)
        )
    if not _has(account, fields):
        _update(services, run, account.id, fields, digest)
    return account.id


def _adopt(
    services: Services, run: Run, customer_id: str, fields: dict[str, Any], *, tried_before: bool
) -> M3terAccount | None:
    """The account that has this code already, if it is this customer's; parks when it is somebody else's."""
    m3ter = services.connection(run.connection).m3ter
    account = m3ter.account_by_code(fields["code"])
    if account is None:
        return None
    owners = {
        one.external_id
        for one in m3ter.external_mappings_of("Account", account.id)
        if (one.external_system, one.external_table) == (kinds.SYSTEM, "Customer")
    }
    is_ours = owners == {customer_id} or (not owners and tried_before and _has(account, fields))
    # An account that m3ter made by itself from early usage bears its code as its name (m3ter.md §3).
    is_skeleton = not owners and account.name == account.code
    if not is_ours and not is_skeleton:
        whose = f"mapped to customer {', '.join(sorted(owners))}" if owners else "not mapped to any customer"
        raise Parked(
            "account_code_taken",
            f"m3ter already has an account with the code {account.code} ({account.id}), {whose}",
            f"If it is this customer's: `connector mappings add Account {account.id} Customer {customer_id}`. "
            "If not: give that account another code in m3ter.",
            wakes_on=f"mapping:Customer:{customer_id}",
        )
    _refuse_second_account(services, run, customer_id, account.id)
    run.note(f"adopted account {account.code}, which m3ter had already")
    return account


def _refuse_second_account(services: Services, run: Run, customer_id: str, account_id: str) -> None:
    """Raises Parked where m3ter shows the customer as another account already."""
    m3ter = services.connection(run.connection).m3ter
    shown = m3ter.external_mappings_by_external(kinds.SYSTEM, "Customer", customer_id)
    others = {one.m3ter_id for one in shown if one.m3ter_entity == "Account"} - {account_id}
    if others:
        raise Parked(
            "two_accounts",
            f"m3ter shows customer {customer_id} as account {', '.join(sorted(others))}, and {account_id} has its code",
            "Delete the wrong External Mapping in m3ter, then `connector syncs retry`.",
            wakes_on=f"mapping:Customer:{customer_id}",
        )


def _has(account: M3terAccount, fields: dict[str, Any]) -> bool:
    """Whether the account holds all of these fields already."""
    return all(account.raw.get(name) == value for name, value in fields.items())


def _update(services: Services, run: Run, account_id: str, fields: dict[str, Any], digest: str) -> None:
    services.connection(run.connection).m3ter.update_account(account_id, fields)
    run.note(f"updated account {account_id}")
    with services.transaction() as db:
        db.execute(
            update(Account)
            .where(Account.connection == run.connection, Account.m3ter_id == account_id)
            .values(fields_sha256=digest)
        )

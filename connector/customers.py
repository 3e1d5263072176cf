"""A Chargebee customer becomes one m3ter account, whose code is the customer's id."""

import hashlib
import json
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import select, update

from connector import codes, leases, mappings, mirror, syncs
from connector.clients.chargebee import Customer
from connector.clients.m3ter_objects import Account as M3terAccount
from connector.database import insert
from connector.errors import Parked, Rejected
from connector.leases import Held
from connector.mappings import Pair
from connector.models import Account, Mapping
from connector.services import Services
from connector.syncs import Run

# m3ter's limits (m3ter.md §3); lines three and four take what does not fit.
NAME_LIMIT = 200
LINE_LIMIT = 50
ADDRESS_LIMITS = {"locality": 100, "region": 50, "postCode": 20, "country": 100}


def sync_customer(services: Services, run: Run) -> str:
    """Make the m3ter account of the run's customer match what we know of the customer."""
    with only_worker_at(services, run.connection, run.subject):
        return f"account {ensure_account(services, run, run.subject)}"


def only_worker_at(services: Services, connection: str, customer_id: str) -> AbstractContextManager[Held]:
    """Keeps every other worker from this customer's account and plans during the block."""
    _, lease = syncs.times(services.settings, "customer")
    return leases.held(services, f"{connection}/customer/{customer_id}", lease.total_seconds())


def ensure_account(services: Services, run: Run, customer_id: str) -> str:
    """The id of the customer's m3ter account, made or corrected where that is needed."""
    customer = _customer(services, run, customer_id)
    fields = account_fields(customer, services.connection(run.connection).settings.m3ter_fallback_email)
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    row = _known_account(services, run, customer_id)
    if row is None or row.m3ter_id is None:
        account_id = _create(services, run, customer_id, fields, digest, tried_before=row is not None)
    else:
        account_id = row.m3ter_id
        if row.fields_sha256 != digest:
            _update(services, run, account_id, fields, digest)
    mappings.record(services, run.connection, Pair("Account", account_id, "Customer", customer_id))
    return account_id


def account_fields(customer: Customer, fallback_email: str | None) -> dict[str, Any]:
    """The m3ter account's fields for this customer, within m3ter's limits; parks when there is no e-mail address."""
    address = customer.billing_address
    email = customer.email or address.get("email") or fallback_email
    if not email:
        raise Parked(
            "no_email",
            f"customer {customer.id} has no e-mail address, and m3ter needs one",
            "Give the customer an e-mail in Chargebee, or set M3TER_FALLBACK_EMAIL.",
        )
    person = " ".join(part for part in (customer.first_name, customer.last_name) if part)
    fields: dict[str, Any] = {
        "name": (customer.company or person or customer.email or customer.id)[:NAME_LIMIT],
        "code": codes.code(customer.id),
        "emailAddress": email,
    }
    if customer.preferred_currency_code:
        fields["currency"] = customer.preferred_currency_code
    if shaped := _address(address):
        fields["address"] = shaped
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
        if (one.external_system, one.external_table) == (mappings.SYSTEM, "Customer")
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
    run.note(f"adopted account {account.code}, which m3ter had already")
    return account


def _has(account: M3terAccount, fields: dict[str, Any]) -> bool:
    """Whether the account holds all of these fields already."""
    return all(account.raw.get(name) == value for name, value in fields.items())


def _update(services: Services, run: Run, account_id: str, fields: dict[str, Any], digest: str) -> None:
    services.connection(run.connection).m3ter.update_account(account_id, fields)
    run.note(f"updated account {fields['code']}")
    with services.transaction() as db:
        db.execute(
            update(Account)
            .where(Account.connection == run.connection, Account.m3ter_id == account_id)
            .values(fields_sha256=digest)
        )

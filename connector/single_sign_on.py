"""Log-ins through an OpenID provider: who somebody is here, and with which role, from what the provider says of them.

The provider decides on the role anew at each log-in; a user who is disabled here stays out whatever it says. A name that
somebody else has here is never taken over: an admin ties the two by `connector users link`.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from connector import throttle
from connector.access import ADMIN, NAME, OPERATOR, VIEWER, Person, TooManyTries, note
from connector.database import insert
from connector.errors import ConnectorError
from connector.models import User
from connector.services import Services
from connector.settings import Settings
from connector.throttle import Limit

log = structlog.get_logger(__name__)

# A log-in is two of these: one to the provider and one back.
BY_ADDRESS = Limit("sign-on", 60, 900)
PROVIDER = "provider"
# What a person may be called, the best first.
NAMES = ("preferred_username", "email", "sub")


class SignOnRefused(ConnectorError):
    """The provider knows them, but they may not come in; the text says why and what an admin can do about it."""

    def __init__(self, text: str, reason: str, subject: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.subject = subject


@dataclass(frozen=True)
class Known:
    """What the provider says of a person, as far as it matters here; no role where it gives none."""

    issuer: str
    subject: str
    name: str | None
    role: str | None


def ways(services: Services) -> frozenset[str | None]:
    """The providers through which people may be logged in; None among them is a password."""
    through = [services.openid.issuer] if services.openid else []
    return frozenset(through if services.settings.oidc_only else [None, *through])


def count(services: Services, address: str) -> None:
    """Note one more step of a log-in from this address; raises TooManyTries."""
    if not throttle.count(services.redis, BY_ADDRESS, address, services.now()):
        log.warning("too many log-ins", address=address)
        raise TooManyTries("Too many tries: wait a quarter of an hour.")


def known(settings: Settings, claims: Mapping[str, Any]) -> Known:
    """What the claims of a checked ID token come to."""
    names = (str(claims[claim]).strip().lower() for claim in NAMES if isinstance(claims.get(claim), str))
    name = next((one for one in names if NAME.fullmatch(one)), None)
    return Known(str(claims["iss"]), str(claims["sub"]), name, role_of(settings, claims))


def role_of(settings: Settings, claims: Mapping[str, Any]) -> str | None:
    """The strongest role that the values of the claim give; None where they give none."""
    held = _values(claims, settings.oidc_role_claim)
    given = ((ADMIN, settings.oidc_admins), (OPERATOR, settings.oidc_operators), (VIEWER, settings.oidc_viewers))
    return next((role for role, values in given if held.intersection(values)), None)


def _values(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    """The texts of a claim, by its name or, where it stands within others, by its path with dots."""
    if name == "email" and claims.get("email_verified") is not True:
        return frozenset()  # anybody may say that this is their address
    found: Any = claims.get(name)
    if found is None and "." in name:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    return frozenset(one for one in (found if isinstance(found, list) else [found]) if isinstance(one, str))


def log_in(services: Services, claims: Mapping[str, Any], address: str) -> Person:
    """Who this is, with a row of theirs from the first log-in on; raises SignOnRefused. All is in the audit log."""
    who, now = known(services.settings, claims), services.now()
    try:
        with services.transaction() as db:
            if who.role is None:
                raise SignOnRefused(*NO_ROLE, who.subject)
            user = _mine(db, who) or _new(services, db, who)
            if not user.enabled:
                raise SignOnRefused("This user is disabled here. An admin can enable it.", "disabled", who.subject)
            before = user.role
            if before != who.role:
                db.execute(update(User).where(User.id == user.id).values(role=who.role, generation=User.generation + 1))
                note(db, PROVIDER, "users set-role", user.name, now, role=who.role, before=before)
            person = Person(user.id, user.name, who.role, who.issuer)
            db.execute(update(User).where(User.id == user.id).values(logged_in_at=now))
            note(db, person.actor, "console log-in", user.name, now, address=address, through=who.issuer)
            return person
    except SignOnRefused as refused:
        _keep_out(services, who, refused, address)
        raise


NO_ROLE = (
    "You are known there, but nothing gives you a role here. Whoever manages the groups at the provider can change that.",
    "no role",
)


def _mine(db: Session, who: Known) -> User | None:
    return db.scalar(select(User).where(User.issuer == who.issuer, User.subject == who.subject).with_for_update())


def _new(services: Services, db: Session, who: Known) -> User:
    if who.name is None:
        raise SignOnRefused(
            "The provider says no name that a user could have here: neither preferred_username nor email fits.",
            "no name", who.subject,
        )  # fmt: skip
    values = {"issuer": who.issuer, "subject": who.subject, "role": who.role}
    made = insert(db, User).values(name=who.name, enabled=True, generation=1, created_at=services.now(), **values)
    row = db.scalar(made.on_conflict_do_nothing().returning(User.id))
    # Of two log-ins at once the second finds the row of the first.
    user = db.get(User, row) if row is not None else _mine(db, who)
    if user is None:
        raise SignOnRefused(
            f"There is another user {who.name} here. If that is you, an admin can tie the two together: "
            f"`connector users link {who.name} --subject {shlex.quote(who.subject)}`",
            "name taken", who.subject,
        )  # fmt: skip
    if row is not None:
        said = {"role": who.role, "through": who.issuer, "there": who.subject}
        note(db, PROVIDER, "users add", user.name, services.now(), **said)
    return user


def _keep_out(services: Services, who: Known, refused: SignOnRefused, address: str) -> None:
    """Keep that somebody was refused; whoever has lost their role has also lost their sessions."""
    with services.transaction() as db:
        user = _mine(db, who)
        if user is not None and who.role is None:
            db.execute(update(User).where(User.id == user.id).values(generation=User.generation + 1))
        note(
            db, "web:?", "console log-in refused", user.name if user else who.name or "an unknown name", services.now(),
            address=address, reason=refused.reason, through=who.issuer, there=who.subject,
        )  # fmt: skip


def refused_by_provider(services: Services, reason: str, address: str) -> None:
    """Keep that a log-in came back from the provider without anybody who can be believed."""
    with services.transaction() as db:
        through = services.openid.issuer if services.openid else None
        note(
            db, "web:?", "console log-in refused", "an unknown name", services.now(),
            address=address, reason=reason, through=through,
        )  # fmt: skip

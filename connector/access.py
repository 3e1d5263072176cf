"""Who may use the console: people, their passwords and roles, log-ins, and sessions that can be ended from here.

A person logs in one way: by a password, or through an OpenID provider (`single_sign_on`), which then decides on the role.

A session is a signed cookie that names the user and the user's generation. Whatever must end all sessions of a user
(log-out, another password or role, disabling) raises the generation, and the cookie is worth nothing from then on.
"""

import re
import secrets
import threading
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import structlog
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from connector import audit, throttle
from connector.database import insert
from connector.errors import ConnectorError
from connector.models import User
from connector.services import Services
from connector.throttle import Limit

log = structlog.get_logger(__name__)

ROLES = VIEWER, OPERATOR, ADMIN = "viewer", "operator", "admin"
# What an audit entry names as connection when it is about all of them.
INSTALLATION = "*"
NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,79}")
PASSWORD_LENGTHS = (12, 256)
BY_NAME, BY_ADDRESS = Limit("name", 5, 900), Limit("address", 30, 900)
# OWASP's parameters for argon2id: webhooks are received in the same process, and 19 MiB leave it room.
HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# So many passwords are checked at once, however many log-ins somebody sends.
_CHECKS, CHECK_SECONDS = threading.BoundedSemaphore(2), 5


@dataclass(frozen=True)
class Person:
    """Somebody who is logged in."""

    id: int
    name: str
    role: str
    # The OpenID provider that knows them; None for whoever has a password here.
    issuer: str | None = None

    @property
    def actor(self) -> str:
        """How the audit log names them."""
        return f"web:{self.name}"

    def may(self, role: str) -> bool:
        """Whether they may do what needs this role: an admin all that an operator may, an operator all a viewer may."""
        return ROLES.index(self.role) >= ROLES.index(role)


class LoginRefused(ConnectorError):
    """The name or the password is wrong, or the user is disabled; which of them is not said."""


class TooManyTries(ConnectorError):
    """There were so many tries that this one is not even looked at."""


# People

# Looks at the user before anything is changed, in the same transaction, and raises to keep it from happening.
Guard = Callable[[Session, User], None]


def add(services: Services, name: str, role: str, password: str | None, who: str) -> int:
    """A new user's row; raises ConnectorError for a name that is taken or none, and a password that is too short.

    Without a password nobody can log in by that name until one is set.
    """
    name = name.lower()
    if not NAME.fullmatch(name):
        raise ConnectorError(
            "a user's name is of letters, digits and . _ @ + -, at most 80, and begins with the first two"
        )
    password_hash = None if password is None else _hashed(name, password)
    now = services.now()
    with services.transaction() as db:
        made = insert(db, User).values(
            name=name, password_hash=password_hash, role=role, enabled=True, generation=1, created_at=now
        )
        row = db.scalar(made.on_conflict_do_nothing(index_elements=["name"]).returning(User.id))
        if row is None:
            raise ConnectorError(f"there is a user {name} already")
        note(db, who, "users add", name, now, role=role)
        return int(row)


def set_password(services: Services, name: str, password: str, who: str, guard: Guard | None = None) -> None:
    """Another password; all sessions of the user end. Raises ConnectorError for whoever logs in through a provider."""
    password_hash = _hashed(name.lower(), password)

    def has_one_here(db: Session, user: User) -> None:
        if user.issuer is not None:
            raise ConnectorError(f"{user.name} logs in through a provider; `connector users unlink` ends that")
        if guard is not None:
            guard(db, user)

    change(services, name, "users set-password", who, {}, has_one_here, password_hash=password_hash)


def set_role(services: Services, name: str, role: str, who: str, guard: Guard | None = None) -> None:
    """Another role; all sessions of the user end."""
    change(services, name, "users set-role", who, {"role": role}, guard, role=role)


def enable(services: Services, name: str, enabled: bool, who: str, guard: Guard | None = None) -> None:
    """Let the user log in, or no longer; all sessions of the user end."""
    change(services, name, f"users {'enable' if enabled else 'disable'}", who, {}, guard, enabled=enabled)


def link(services: Services, name: str, issuer: str, subject: str, who: str) -> None:
    """From now on the user logs in through the provider, as `subject` there, and the password is forgotten.

    Raises ConnectorError when another user is that one already. All sessions of the user end.
    """
    as_there = {"issuer": issuer, "subject": subject}

    def is_free(db: Session, user: User) -> None:
        other = db.scalar(select(User.name).where(User.issuer == issuer, User.subject == subject, User.id != user.id))
        if other is not None:
            raise ConnectorError(f"that is {other} already")

    said = {"through": issuer, "there": subject}
    change(services, name, "users link", who, said, is_free, **as_there, password_hash=None)


def unlink(services: Services, name: str, password: str, who: str) -> None:
    """From now on the user logs in by this password, and no longer through a provider; all sessions of the user end."""
    gone = {"issuer": None, "subject": None}
    change(services, name, "users unlink", who, {}, None, **gone, password_hash=_hashed(name.lower(), password))


def end_sessions(services: Services, name: str, who: str) -> None:
    """End all sessions of the user; they may log in again."""
    change(services, name, "users end-sessions", who, {})


def listed(db: Session) -> list[User]:
    """All users by name."""
    return list(db.scalars(select(User).order_by(User.name)))


def can_log_in() -> ColumnElement[bool]:
    """The users who can log in now, as far as this table knows."""
    return User.enabled & or_(User.password_hash.is_not(None), User.issuer.is_not(None))


def is_open(db: Session) -> bool:
    """Whether there is anybody who could log in."""
    return db.scalar(select(User.id).where(can_log_in()).limit(1)) is not None


def has_admin(db: Session) -> bool:
    """Whether there is an admin who could log in."""
    return db.scalar(select(User.id).where(can_log_in(), User.role == ADMIN).limit(1)) is not None


def change(
    services: Services, name: str, action: str, who: str, detail: dict[str, Any], guard: Guard | None = None,
    **values: Any,
) -> None:  # fmt: skip
    """Change the user's row, end all sessions of the user, and keep who did it.

    Raises ConnectorError where there is no such user, and where somebody else changes the same user at the same moment.
    """
    with services.transaction() as db:
        user = db.scalar(select(User).where(User.name == name.lower()))
        if user is None:
            raise ConnectorError(f"there is no user {name.lower()}")
        if guard is not None:
            guard(db, user)
        before = {"before": user.role} if "role" in values else {}
        # What the guard has looked at is what is changed: anything in between has raised the generation.
        seen = (User.id == user.id, User.generation == user.generation)
        changed = update(User).where(*seen).values(generation=User.generation + 1, **values).returning(User.id)
        if db.scalar(changed) is None:
            raise ConnectorError(f"somebody else has just changed {user.name}: look again")
        note(db, who, action, user.name, services.now(), **detail, **before)


def _hashed(name: str, password: str) -> str:
    least, most = PASSWORD_LENGTHS
    password = _normal(password)
    if not least <= len(password) <= most:
        raise ConnectorError(f"a password is of {least} to {most} characters")
    if name in password.lower() or len(set(password)) < least // 2:
        raise ConnectorError(
            "this password is easily guessed: it holds the user's name, or too few different characters"
        )
    return HASHER.hash(password)


def _normal(password: str) -> str:
    """One person's keyboard writes é as one character, another's as two."""
    return unicodedata.normalize("NFKC", password)


def note(db: Session, who: str, action: str, subject: str, now: datetime, **detail: Any) -> None:
    """An audit entry that is about the whole installation."""
    audit.note(db, who=who, action=action, connection=INSTALLATION, subject=subject, now=now, **detail)


# Log-ins


def log_in(services: Services, name: str, password: str, address: str) -> Person:
    """Who this is; raises LoginRefused, which does not say why, or TooManyTries. Both are in the audit log afterwards."""
    person = check(services, name, password, address, "console log-in refused")
    with services.transaction() as db:
        note(db, person.actor, "console log-in", person.name, services.now(), address=address)
        db.execute(update(User).where(User.id == person.id).values(logged_in_at=services.now()))
    return person


def check(services: Services, name: str, password: str, address: str, refused: str) -> Person:
    """Whose name and password these are; raises as `log_in` does. `refused` is what a refusal is in the audit log."""
    name, now = name.strip().lower(), services.now()
    # Counted first, so that many tries at once do not all pass; every count is taken, so that none tells of another.
    allowed = [
        throttle.count(services.redis, BY_NAME, name, now),
        throttle.count(services.redis, BY_ADDRESS, address, now),
    ]
    if not all(allowed):
        log.warning("too many log-ins", address=address)
        raise TooManyTries("Too many tries: wait a quarter of an hour.")
    with services.reading() as db:
        # Not every text that somebody may send can be asked for.
        user = db.scalar(select(User).where(User.name == name)) if NAME.fullmatch(name) else None
    nobodys = _nobodys_hash()  # also where it is not needed: making the first one takes time
    kept = user.password_hash if user else None
    is_right = _matches(kept or nobodys, password)
    if user is None or kept is None or not is_right or not user.enabled:
        with services.transaction() as db:
            # A name that nobody has may be a password in the wrong field.
            note(db, "web:?", refused, user.name if user else "an unknown name", now, address=address)
        raise LoginRefused("The name or the password is wrong.")
    throttle.forgive(services.redis, BY_NAME, name)
    if HASHER.check_needs_rehash(kept):
        with services.transaction() as db:
            # A password that was set meanwhile stays.
            mine = (User.id == user.id, User.password_hash == kept)
            db.execute(update(User).where(*mine).values(password_hash=HASHER.hash(_normal(password))))
    return Person(user.id, user.name, user.role)


@cache
def _nobodys_hash() -> str:
    """The hash of nobody's password: an unknown name takes as long as a wrong password."""
    return HASHER.hash(secrets.token_urlsafe(32))


def _matches(password_hash: str, password: str) -> bool:
    if not _CHECKS.acquire(timeout=CHECK_SECONDS):
        raise TooManyTries("Too many tries at once: try again in a minute.")
    try:
        return HASHER.verify(password_hash, _normal(password[: PASSWORD_LENGTHS[1] + 1]))
    except (VerificationError, InvalidHashError):
        return False
    finally:
        _CHECKS.release()


def log_out(services: Services, person: Person) -> None:
    """End all sessions of the person, in every browser."""
    with services.transaction() as db:
        db.execute(update(User).where(User.id == person.id).values(generation=User.generation + 1))
        note(db, person.actor, "console log-out", person.name, services.now())


# Sessions


def begin(db: Session, person: Person, now: datetime) -> dict[str, int]:
    """What the signed cookie of a new session says."""
    moment = int(now.timestamp())
    generation = db.scalar(select(User.generation).where(User.id == person.id))
    return {"user": person.id, "generation": generation or 0, "since": moment, "seen": moment}


def resume(
    db: Session,
    said: Mapping[str, Any],
    now: datetime,
    *,
    idle: timedelta,
    life: timedelta,
    ways: Collection[str | None] = (None,),
) -> Person | None:
    """Whose session the cookie says it is; None when it is over, by time or because it was ended.

    `ways` are the providers that people may have logged in through; None among them stands for a password.
    """
    if "user" not in said:
        return None
    moment = int(now.timestamp())
    if moment - said["seen"] > idle.total_seconds() or moment - said["since"] > life.total_seconds():
        return None
    user = db.get(User, said["user"])
    if user is None or not user.enabled or user.generation != said["generation"] or user.issuer not in ways:
        return None
    return Person(user.id, user.name, user.role, user.issuer)

"""Tokens of the JSON API: what a script shows instead of logging in.

A token is 256 random bits behind a prefix by which scanners of leaked secrets know it. Only its hash is kept: it is shown once,
when it is made, and a lost one is replaced. Its name stays its own for good, so that the audit log is never ambiguous.
"""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from connector import audit, throttle
from connector.access import INSTALLATION, ROLES
from connector.database import insert
from connector.errors import BadInput, ConnectorError
from connector.models import ApiToken
from connector.services import Services
from connector.throttle import Limit

log = structlog.get_logger(__name__)

PREFIX = "cmc_"
SHAPE = re.compile(r"cmc_[A-Za-z0-9_-]{43}")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")
DAYS, MAX_DAYS = 90, 366
# So many wrong tokens from one address are refused one by one; and a right one may call this often.
WRONG, CALLS = Limit("token address", 30, 900), Limit("token", 600, 60)
# The time of the last use is written no more often than this.
USED = timedelta(minutes=1)


@dataclass(frozen=True)
class Caller:
    """The token that a call came with."""

    id: int
    name: str
    role: str

    @property
    def actor(self) -> str:
        """How the audit log names it."""
        return f"api:{self.name}"

    def may(self, role: str) -> bool:
        """Whether it may do what needs this role: an admin's all that an operator's may, an operator's all a viewer's may."""
        return ROLES.index(self.role) >= ROLES.index(role)


class TokenRefused(ConnectorError):
    """The token is unknown, has expired or was revoked; which of them is not said."""


class TooManyCalls(ConnectorError):
    """There were more calls than the limit allows; `seconds` is after how long it surely allows some again."""

    def __init__(self, text: str, seconds: int) -> None:
        super().__init__(text)
        self.seconds = seconds


def drawn() -> str:
    """A new token that nobody has seen yet."""
    return PREFIX + secrets.token_urlsafe(32)


def drawn_for(key: bytes, form: str) -> str:
    """The token of one form: the same each time that the same form is sent, and known to nobody without the key."""
    digest = hmac.new(key, f"api token {form}".encode(), hashlib.sha256).digest()
    return PREFIX + urlsafe_b64encode(digest).decode().rstrip("=")


def create(services: Services, name: str, role: str, *, token: str, who: str, days: int = DAYS) -> ApiToken:
    """Keep the token under its name; the very same again is the same. Raises BadInput for what cannot be."""
    name, now = name.strip().lower(), services.now()
    _must_be_right(name, role, token, days)
    values = {
        "name": name, "sha256": _hash(token), "role": role, "created_by": who, "created_at": now,
        "expires_at": now + timedelta(days=days),
    }  # fmt: skip
    with services.transaction() as db:
        made = insert(db, ApiToken).values(**values).on_conflict_do_nothing().returning(ApiToken.id)
        is_new = db.scalar(made) is not None
        row = db.scalar(select(ApiToken).filter_by(name=name))
        if row is None or (row.sha256, row.role, row.revoked_at) != (values["sha256"], role, None):
            raise BadInput(f"there is or was a token {name}: names are not used again, choose another")
        if is_new:
            _note(db, who, "tokens create", name, now, role=role, expires_at=row.expires_at.isoformat())
    return row


def _must_be_right(name: str, role: str, token: str, days: int) -> None:
    faults = []
    if not NAME.fullmatch(name):
        faults.append(
            "a token's name is of letters, digits and . _ -, at most 80, and begins with one of the first two"
        )
    if role not in ROLES:
        faults.append(f"the role is one of {', '.join(ROLES)}")
    if not 1 <= days <= MAX_DAYS:
        faults.append(f"a token lives for 1 to {MAX_DAYS} days")
    if not SHAPE.fullmatch(token):
        faults.append("this is no token of the connector's own making")
    if faults:
        raise BadInput("; ".join(faults))


def revoke(services: Services, name: str, who: str) -> ApiToken:
    """End the token at once and for good; one that was revoked before stays so. Raises BadInput where there is none."""
    name, now = name.strip().lower(), services.now()
    with services.transaction() as db:
        ended = update(ApiToken).where(ApiToken.name == name, ApiToken.revoked_at.is_(None)).values(revoked_at=now)
        if db.scalar(ended.returning(ApiToken.id)) is not None:
            _note(db, who, "tokens revoke", name, now)
        row = db.scalar(select(ApiToken).filter_by(name=name))
    if row is None:
        raise BadInput(f"there is no token {name}; `connector tokens list` shows them all")
    return row


def listed(db: Session) -> list[ApiToken]:
    """All tokens by name, also those that are over."""
    return list(db.scalars(select(ApiToken).order_by(ApiToken.name)))


def made_by(db: Session, name: str, now: datetime) -> list[ApiToken]:
    """The live tokens that this person made, whatever channel they made them by: disabling the person ends none of them."""
    person = audit.people([name])
    return [one for one in listed(db) if state(one, now) == "live" and audit.people([one.created_by]) == person]


def state(token: ApiToken, now: datetime) -> str:
    """`live`, `expired` or `revoked`."""
    if token.revoked_at is not None:
        return "revoked"
    return "live" if token.expires_at > now else "expired"


def recognised(services: Services, token: str, address: str) -> Caller:
    """Whose call it is; raises TokenRefused, or TooManyCalls: of wrong tokens by address, of calls by token."""
    now = services.now()
    row = _look_up(services, token, now) if SHAPE.fullmatch(token) else None
    if row is None:
        if not throttle.count(services.redis, WRONG, address, now):
            raise TooManyCalls("Too many wrong tokens came from this address.", WRONG.seconds)
        log.warning("a call came with a token that does not hold", address=address)
        raise TokenRefused("The token is unknown, has expired or was revoked.")
    if not throttle.count(services.redis, CALLS, str(row.id), now):
        raise TooManyCalls(f"A token may make {CALLS.tries} calls in {CALLS.seconds} seconds.", CALLS.seconds)
    if row.last_used_at is None or now - row.last_used_at >= USED:
        with services.transaction() as db:
            db.execute(update(ApiToken).where(ApiToken.id == row.id).values(last_used_at=now))
    return Caller(row.id, row.name, row.role)


def _look_up(services: Services, token: str, now: datetime) -> ApiToken | None:
    sha256 = _hash(token)
    with services.reading() as db:
        row = db.scalar(select(ApiToken).filter_by(sha256=sha256))
    # Found by its hash, of which nothing can be learnt letter by letter; compared all the same, in constant time.
    if row is None or not hmac.compare_digest(row.sha256, sha256) or state(row, now) != "live":
        return None
    return row


def _hash(token: str) -> str:
    """Of 256 random bits a plain hash tells nothing, and a slow one would only slow down the calls."""
    return hashlib.sha256(token.encode()).hexdigest()


def _note(db: Session, who: str, action: str, subject: str, now: datetime, **detail: Any) -> None:
    audit.note(db, who=who, action=action, connection=INSTALLATION, subject=subject, now=now, **detail)

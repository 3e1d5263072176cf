"""What an admin may do to the users of the console from its pages, and a person to their own password.

Nobody locks themselves or everybody out from here: oneself is not demoted or disabled, and the last admin who can log in
stays one. The command line may do all of that.

A user who is added, or has lost the password, gets a link that an admin hands on: with it the person sets a password of
their own, so that nobody else ever knows it. The link is signed, names the user's generation, and setting the password
raises that: it works once. A newer link, or anything else that ends the user's sessions, is its end too.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from connector import access
from connector.access import ADMIN, Guard, Person
from connector.errors import BadInput, ConnectorError
from connector.models import User
from connector.services import Services

INVITATION = timedelta(hours=24)
NOT_VALID = "This link is used up, too old, or not whole. Ask an admin for a new one."


def found(db: Session, user_id: int) -> User | None:
    """The user with this number."""
    return db.get(User, user_id)


def way_in(user: User) -> str:
    """How the user logs in, in words."""
    if user.issuer is not None:
        return "single sign-on"
    return "password" if user.password_hash is not None else "no password yet"


def confirm(services: Services, me: Person, password: str, address: str) -> None:
    """Make sure that it is really this person who changes users; raises BadInput, and TooManyTries as log-ins do.

    Whoever logs in through a provider has no password here, and is taken at their session's word.
    """
    if me.issuer is None:
        try:
            access.check(services, me.name, password, address, "console password refused")
        except access.LoginRefused:
            raise BadInput("Your own password is wrong; nothing was changed.") from None


def add(services: Services, me: Person, name: str, role: str) -> int:
    """A user without a password yet; answers the number of their row. Raises ConnectorError for a name that cannot be."""
    return access.add(services, name, role, None, me.actor)


def set_role(services: Services, me: Person, user: User, role: str) -> None:
    """Another role, unless they have it already; all sessions of the user end."""
    if user.issuer is not None:
        raise ConnectorError(f"{user.name} logs in through a provider, which decides on the role at each log-in.")
    if user.role != role:
        access.set_role(services, user.name, role, me.actor, _keeps_admins(me))


def enable(services: Services, me: Person, user: User, enabled: bool) -> None:
    """Let the user log in, or no longer, unless it is so already; all sessions of the user end."""
    if user.enabled != enabled:
        access.enable(services, user.name, enabled, me.actor, None if enabled else _keeps_admins(me))


def _keeps_admins(me: Person) -> Guard:
    def guard(db: Session, user: User) -> None:
        if user.id == me.id:
            raise ConnectorError("You cannot take your own rights away here; another admin can.")
        # Locked in one order, so that of two admins who disable each other the second sees what the first has done.
        admins = db.scalars(
            select(User).where(access.can_log_in(), User.role == ADMIN).order_by(User.id).with_for_update()
        )
        if not [one for one in admins if one.id != user.id]:
            raise ConnectorError(f"{user.name} is the last admin who can log in.")

    return guard


# Passwords


def set_own_password(services: Services, me: Person, old: str, new: str, address: str) -> None:
    """Another password for oneself; all one's sessions end. Raises BadInput, also where the old one is wrong."""
    if me.issuer is not None:
        raise BadInput("You log in through a provider, and have no password here.")
    confirm(services, me, old, address)
    try:
        access.set_password(services, me.name, new, me.actor)
    except ConnectorError as error:
        raise BadInput(str(error)) from None


def invite(services: Services, me: Person, user: User) -> dict[str, Any]:
    """What a link says that lets the user set a password; to be signed. All sessions and older links of the user end."""
    if user.issuer is not None:
        raise ConnectorError(f"{user.name} logs in through a provider, and has no password here.")
    access.change(services, user.name, "users invite", me.actor, {})
    with services.reading() as db:
        generation = db.scalars(select(User.generation).where(User.id == user.id)).one()
    until = services.now() + INVITATION
    return {"user": user.id, "generation": generation, "until": int(until.timestamp())}


def invited(services: Services, said: Mapping[str, Any]) -> User:
    """Whom a signed link is for; raises BadInput when it is no longer worth anything."""
    with services.reading() as db:
        user = db.get(User, said["user"])
    if user is None or not _is_good(services, user, said):
        raise BadInput(NOT_VALID)
    return user


def accept(services: Services, said: Mapping[str, Any], password: str) -> str:
    """Set the password of whom the link is for, once; answers their name. Raises ConnectorError for one that cannot be."""

    def guard(_: Session, user: User) -> None:
        if not _is_good(services, user, said):
            raise BadInput(NOT_VALID)

    name = invited(services, said).name
    access.set_password(services, name, password, f"web:{name}", guard)
    return name


def _is_good(services: Services, user: User, said: Mapping[str, Any]) -> bool:
    in_time = services.now().timestamp() < said["until"]
    return in_time and user.enabled and user.issuer is None and user.generation == said["generation"]

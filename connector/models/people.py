"""Who may do what, and who did what."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from connector.models.base import Base


class User(Base):
    """A person who may log in to the console, and what they may do there."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("name"), UniqueConstraint("issuer", "subject"))

    name: Mapped[str]
    # None for whoever logs in through a provider, or has not chosen a password yet.
    password_hash: Mapped[str | None]
    # The OpenID provider that they log in through, and who they are there; both or none.
    issuer: Mapped[str | None]
    subject: Mapped[str | None]
    # viewer, operator or admin.
    role: Mapped[str]
    enabled: Mapped[bool]
    # Rises whenever all sessions of the user end; a session carries the one that it began with.
    generation: Mapped[int]
    created_at: Mapped[datetime]
    logged_in_at: Mapped[datetime | None]


class ApiToken(Base):
    """What lets a script use the JSON API; of the token itself only its hash is kept."""

    __tablename__ = "api_tokens"
    __table_args__ = (UniqueConstraint("name"), UniqueConstraint("sha256"))

    name: Mapped[str]
    sha256: Mapped[str] = mapped_column(String(64))
    # viewer, operator or admin.
    role: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class AuditEntry(Base):
    """What a person did, and why."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_actor", "actor", "id"), Index("ix_audit_action", "action", "id"))

    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    connection: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]]

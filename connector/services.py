"""What a use case reaches the outside through: database, Redis, clients, clock and chance, built once from settings."""

import random
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from redis import Redis
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from connector import database
from connector.budgets import Meter
from connector.clients.chargebee import ChargebeeClient
from connector.clients.http import Http
from connector.clients.m3ter import M3terClient
from connector.database import insert
from connector.errors import Misconfigured
from connector.models import Installation
from connector.settings import Connection, Settings

if TYPE_CHECKING:
    from connector.clients.openid import OpenIdClient

# Where an OpenID provider sends people back to, below the console's address.
CALLBACK = "/login/callback"


@dataclass(frozen=True)
class Connected:
    """One connection's settings with its two clients."""

    name: str
    settings: Connection
    chargebee: ChargebeeClient
    m3ter: M3terClient


def utc_now() -> datetime:
    """The time, aware and in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Services:
    """Everything outside, for one process."""

    settings: Settings
    engine: Engine
    redis: Redis
    connections: Mapping[str, Connected]
    now: Callable[[], datetime] = utc_now
    chance: random.Random = field(default_factory=random.SystemRandom)
    sleep: Callable[[int], None] = time.sleep
    # Whom people log in through, where that is set up.
    openid: "OpenIdClient | None" = None

    def transaction(self) -> AbstractContextManager[Session]:
        """A short transaction, committed at the end of its block; never open across a call to a provider."""
        return database.transaction(self.engine)

    def reading(self) -> AbstractContextManager[Session]:
        """A session for looking only."""
        return database.reading(self.engine)

    def connection(self, name: str) -> Connected:
        """The named connection; raises Misconfigured when the settings do not have it."""
        if name not in self.connections:
            raise Misconfigured(
                f"there is no connection {name!r} in the settings; there are: {', '.join(self.connections)}"
            )
        return self.connections[name]

    @property
    def installation(self) -> str:
        """This installation's own id, made with its database."""
        return self._installation.uuid

    @property
    def installed_at(self) -> datetime:
        """When this installation's database was first used."""
        return self._installation.created_at

    @cached_property
    def _installation(self) -> Installation:
        with self.transaction() as db:
            # Always the first row: of two processes that start together, one makes it and both read it.
            made = insert(db, Installation).values(id=1, uuid=uuid.uuid4().hex, created_at=self.now())
            db.execute(made.on_conflict_do_nothing(index_elements=["id"]))
            return db.get_one(Installation, 1)


def build(
    settings: Settings,
    *,
    now: Callable[[], datetime] = utc_now,
    chance: random.Random | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Services:
    """Services for these settings; opens no connection yet."""
    http = Http(total_timeout=settings.http_timeout_seconds, sleep=sleep)
    redis = Redis.from_url(
        settings.redis_url or "redis://127.0.0.1:6379/0", socket_connect_timeout=2, socket_timeout=30
    )
    return Services(
        settings=settings,
        engine=database.make_engine(settings.database_url),
        redis=redis,
        connections={
            name: _connect(name, found, http.heard_by(Meter(redis, name, now)), now)
            for name, found in settings.connections.items()
        },
        now=now,
        chance=chance or random.SystemRandom(),
        sleep=sleep,
        openid=_provider(settings, now) if settings.oidc_issuer else None,
    )


def _provider(settings: Settings, now: Callable[[], datetime]) -> "OpenIdClient":
    # Only a console with single sign-on needs it: what checks signatures takes time to load.
    from connector.clients import openid

    issuer, client_id, secret = settings.oidc_issuer, settings.oidc_client_id, settings.oidc_client_secret
    if issuer is None or client_id is None or secret is None or settings.console_url is None:
        raise Misconfigured("OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET and CONSOLE_URL go together")
    return openid.OpenIdClient(
        Http(
            connect_timeout=openid.CONNECT_SECONDS,
            total_timeout=openid.TOTAL_SECONDS,
            max_bytes=openid.MAX_BYTES,
            attempts=1,
        ),
        name=settings.oidc_name,
        issuer=issuer,
        client_id=client_id,
        client_secret=secret.get_secret_value(),
        redirect_uri=settings.console_url.rstrip("/") + CALLBACK,
        scopes=settings.oidc_scopes,
        now=now,
    )


def _connect(name: str, settings: Connection, http: Http, now: Callable[[], datetime]) -> Connected:
    return Connected(
        name=name,
        settings=settings,
        chargebee=ChargebeeClient(
            http,
            site=settings.chargebee_site,
            api_key=settings.chargebee_api_key.get_secret_value(),
            api_url=settings.chargebee_api_url,
        ),
        m3ter=M3terClient(
            http,
            org_id=settings.m3ter_org_id,
            api_key=settings.m3ter_api_key.get_secret_value(),
            api_secret=settings.m3ter_api_secret.get_secret_value(),
            api_url=settings.m3ter_api_url,
            now=now,
        ),
    )

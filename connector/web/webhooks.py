"""Chargebee's and m3ter's webhooks: check who is calling, keep the event, ring the bell, answer."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable

import structlog
from flask import Blueprint, abort, current_app, request
from flask.typing import ResponseReturnValue
from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError

from connector import inbox, jobs
from connector.inbox import BadBody, Event
from connector.services import Connected, Services
from connector.settings import DEFAULT_CONNECTION, Connection

log = structlog.get_logger(__name__)

bp = Blueprint("webhooks", __name__, url_prefix="/webhooks")


@bp.post("/chargebee")
@bp.post("/<connection>/chargebee")
def chargebee(connection: str = DEFAULT_CONNECTION) -> ResponseReturnValue:
    """One Chargebee event (Chargebee API: Webhooks); authenticated by basic auth."""
    connected = _connection(connection)
    _require_chargebee_login(connected.settings)
    return _keep(connected, "chargebee", _body(), inbox.chargebee_event)


@bp.post("/m3ter")
@bp.post("/<connection>/m3ter")
def m3ter(connection: str = DEFAULT_CONNECTION) -> ResponseReturnValue:
    """One m3ter notification, a hint that names a bill; authenticated by its signature over the raw bytes."""
    connected = _connection(connection)
    body = _body()
    _require_m3ter_signature(connected.settings, body)
    return _keep(connected, "m3ter", body, inbox.m3ter_event)


def _services() -> Services:
    services: Services = current_app.extensions["services"]
    return services


def _connection(name: str) -> Connected:
    connected = _services().connections.get(name)
    if connected is None:
        abort(404)
    return connected


def _body() -> bytes:
    if request.mimetype != "application/json" or request.headers.get("Content-Encoding", "identity") != "identity":
        abort(415)
    body = request.get_data(cache=False)  # with a length above MAX_BODY_BYTES: 413
    if request.content_length is None and len(body) >= _services().settings.max_body_bytes:
        abort(413)  # without a length, reading stops there
    return body


def _keep(connected: Connected, source: str, body: bytes, read: Callable[[bytes], Event]) -> ResponseReturnValue:
    """One committed row before the 2xx, then the bell; whatever the database cannot take is asked for again with 503."""
    services = _services()
    now = services.now()
    try:
        try:
            event = read(body)
        except BadBody as bad:
            with services.transaction() as db:
                inbox.quarantine(db, connection=connected.name, source=source, body=body, reason=str(bad), now=now)
            log.warning("delivery is not an event", connection=connected.name, source=source, reason=str(bad))
            abort(400)
        with services.transaction() as db:
            is_new = inbox.record(db, connection=connected.name, source=source, event=event, body=body, now=now)
    except SQLAlchemyError as error:
        log.error("the database cannot be reached", error=type(error).__name__)
        abort(503)
    if is_new:
        jobs.ring(services.redis)
    return "", 204


def _require_chargebee_login(settings: Connection) -> None:
    """Abort with 401 unless one of the two configured logins is given; with 503 when none is configured."""
    logins = [
        (username, password)
        for username, password in (
            (settings.chargebee_webhook_username, settings.chargebee_webhook_password),
            (settings.chargebee_webhook_previous_username, settings.chargebee_webhook_previous_password),
        )
        if username is not None and password is not None
    ]
    if not logins:
        abort(503)
    given_name, given_password = _basic_auth()
    matches = [
        # Both are always compared, as bytes and in constant time, so that a wrong name takes as long as a wrong password.
        _equal(given_name, username) & _equal(given_password, password)
        for username, password in logins
    ]
    if not any(matches):
        log.warning("webhook login refused")
        abort(401)


def _equal(given: bytes, wanted: SecretStr) -> bool:
    return hmac.compare_digest(given, wanted.get_secret_value().encode())


def _basic_auth() -> tuple[bytes, bytes]:
    """User and password of the request as bytes; both empty when there are none."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return b"", b""
    try:
        name, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return b"", b""
    return name, password


def _require_m3ter_signature(settings: Connection, body: bytes) -> None:
    """Abort with 401 unless the body is signed with one of the two secrets; with 503 while the scheme is not configured.

    How m3ter signs is not documented (m3ter.md §10.7), so header and scheme are settings and nothing is assumed.
    """
    header, scheme = settings.m3ter_webhook_signature_header, settings.m3ter_webhook_signature_scheme
    secrets = [secret for secret in (settings.m3ter_webhook_secret, settings.m3ter_webhook_previous_secret) if secret]
    if header is None or scheme is None or not secrets:
        abort(503)
    given = request.headers.get(header, "")[:512].encode("latin-1", "replace")
    matches = [
        hmac.compare_digest(given, SCHEMES[scheme](secret.get_secret_value().encode(), body)) for secret in secrets
    ]
    if not any(matches):
        log.warning("webhook signature refused")
        abort(401)


SCHEMES: dict[str, Callable[[bytes, bytes], bytes]] = {
    "hmac-sha256-hex": lambda secret, body: hmac.new(secret, body, hashlib.sha256).hexdigest().encode(),
    "hmac-sha256-base64": lambda secret, body: base64.b64encode(hmac.digest(secret, body, "sha256")),
}

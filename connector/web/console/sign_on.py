"""Logging in through the OpenID provider: the way there, and the way back.

The session's cookie is strict, so a browser keeps it back when the provider sends somebody to us. What must be the same
then stands in a cookie of its own, signed, for ten minutes and for the way back alone; it is what makes sure that the log-in
was begun in this browser.
"""

import hmac
from typing import TYPE_CHECKING, Any

import structlog
from flask import abort, make_response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from connector import access, single_sign_on
from connector.errors import AccessRefused, ConnectorError, Misconfigured, NotBelieved, Rejected, Retryable
from connector.services import CALLBACK
from connector.web import mount
from connector.web.console import login, signed
from connector.web.console.here import services

if TYPE_CHECKING:
    from connector.clients.openid import Begun, OpenIdClient

log = structlog.get_logger(__name__)

PURPOSE, SECONDS = "sign-on", 600


def start() -> ResponseReturnValue:
    """Send the person to the provider. A link and not a form: the policy of our pages lets forms go to ourselves alone."""
    provider = _provider()
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        return redirect(url_for("login"), 303)
    try:
        single_sign_on.count(services(), _address())
        begun = provider.begin()
    except ConnectorError as error:
        return _not_now(provider, error)
    answer = make_response(redirect(begun.url, 303))
    answer.set_cookie(_cookie(), signed.pack(PURPOSE, _kept(begun)), max_age=SECONDS, **_attributes())
    return answer


def come_back() -> ResponseReturnValue:
    """Begin a session for whoever the provider says this is, and go where they wanted to go."""
    answer = make_response(_come_back(_provider()))
    answer.delete_cookie(_cookie(), **_attributes())
    return answer


def _come_back(provider: "OpenIdClient") -> ResponseReturnValue:
    said = signed.unpack(PURPOSE, request.cookies.get(_cookie(), ""), services().now())
    state = request.args.get("state", "")
    if said is None or not hmac.compare_digest(state.encode("utf-8", "replace"), said["state"].encode()):
        return login.form(NOT_BEGUN, 400)
    code = request.args.get("code", "")
    try:
        single_sign_on.count(services(), _address())
        if not code:
            single_sign_on.refused_by_provider(services(), "the provider sent no code", _address())
            return login.form(f"{provider.name} did not let you in.", 403)
        claims = provider.claims(code, verifier=said["verifier"], nonce=said["nonce"])
        somebody = single_sign_on.log_in(services(), claims, _address())
    except single_sign_on.SignOnRefused as refused:
        return login.form(str(refused), 403)
    except ConnectorError as error:
        return _not_now(provider, error)
    session.clear()
    with services().reading() as db:
        session.update(access.begin(db, somebody, services().now()))
    # Not a redirect: that would still be part of the way from another site, on which the new cookie is kept back.
    return render_template("from_elsewhere.html", where=said["next"] or url_for("overview"))


NOT_BEGUN = "This log-in was not begun in this browser, or more than ten minutes ago. Begin it again here."


def _not_now(provider: "OpenIdClient", error: ConnectorError) -> ResponseReturnValue:
    """The log-in page, with why the provider was of no help; its own words stay in the log."""
    if isinstance(error, access.TooManyTries):
        return login.form(str(error), 429, {"Retry-After": str(single_sign_on.BY_ADDRESS.seconds)})
    log.warning("single sign-on failed", error=str(error))
    text, status, is_refusal = next(
        (text, status, is_refusal) for kind, text, status, is_refusal in FAILURES if isinstance(error, kind)
    )
    if is_refusal:
        single_sign_on.refused_by_provider(services(), str(error), _address())
    return login.form(text.format(provider.name), status)


# The first kind that it is: what to say, with which status, and whether somebody was refused by it.
FAILURES: tuple[tuple[type[ConnectorError], str, int, bool], ...] = (
    (NotBelieved, "What {} said could not be believed. Begin again; if it stays so, an admin finds why in the log.", 403, True),
    (Misconfigured, "Log-ins through {} are not set up rightly. An admin finds why in the log.", 503, False),
    (AccessRefused, "{} does not know this console: its client or secret is wrong. An admin finds why in the log.", 503, False),
    (Rejected, "{} did not take its own code a second time, or took too long. Begin again.", 403, True),
    (Retryable, "{} cannot be reached at the moment. Try again in a minute.", 503, False),
    (ConnectorError, "Log-ins through {} do not work at the moment. An admin finds why in the log.", 503, False),
)  # fmt: skip


def _kept(begun: "Begun") -> dict[str, Any]:
    return {
        "state": begun.state,
        "nonce": begun.nonce,
        "verifier": begun.verifier,
        "next": session.get("next"),
        "until": int(services().now().timestamp()) + SECONDS,
    }


def _provider() -> "OpenIdClient":
    return services().openid or abort(404)


def _address() -> str:
    return request.remote_addr or "unknown"


def _cookie() -> str:
    return "console-sign-on" if services().settings.console_plain_http else "__Secure-console-sign-on"


def _attributes() -> dict[str, Any]:
    return {
        "path": mount.PATH + CALLBACK,
        "secure": not services().settings.console_plain_http,
        "httponly": True,
        "samesite": "Lax",
    }

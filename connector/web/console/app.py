"""The console's own application: who may come in, what every answer carries, and how refusals look."""

from datetime import timedelta
from typing import Any

import structlog
from flask import Flask, flash, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from jinja2 import StrictUndefined
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter

from connector import access, audit, single_sign_on
from connector.errors import ConnectorError, Parked, Waiting
from connector.services import Services
from connector.web import mount
from connector.web.console import forms, shown
from connector.web.console.here import in_chargebee, in_m3ter, services, visitor
from connector.web.console.routes import BY_ENDPOINT, ROUTES, Route

log = structlog.get_logger(__name__)

MAX_FORM_BYTES = 2**18
# A cookie is written anew for the time of the last look no more often than this.
SEEN_SECONDS = 60
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not `no-referrer`: with that browsers send no Origin that could be checked.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Row(IntegerConverter):
    """A number; that it is one of a row is looked at afterwards: what a converter refuses is answered with 405, not 404."""

    regex = "[0-9]{1,19}"


def create(wired: Services) -> Flask:
    """The application with these services; their settings hold a session secret."""
    settings = wired.settings
    assert settings.session_secret is not None  # noqa: S101 - the caller's promise, and the type's
    previous = settings.session_previous_secret
    app = Flask("connector.web.console", static_url_path="/static")
    app.config.update(
        SECRET_KEY=settings.session_secret.get_secret_value(),
        SECRET_KEY_FALLBACKS=[previous.get_secret_value()] if previous else [],
        # A browser takes a name with this prefix only from HTTPS.
        SESSION_COOKIE_NAME="console" if settings.console_plain_http else "__Secure-console",
        SESSION_COOKIE_PATH=mount.PATH,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SECURE=not settings.console_plain_http,
        SESSION_COOKIE_SAMESITE="Strict",
        MAX_CONTENT_LENGTH=MAX_FORM_BYTES,
        PROVIDE_AUTOMATIC_OPTIONS=False,
    )
    app.extensions["services"] = wired
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(shown.FILTERS)
    app.jinja_env.globals.update(csrf=forms.token, in_chargebee=in_chargebee, in_m3ter=in_m3ter)
    app.url_map.converters["row"] = Row
    app.url_map.merge_slashes = False
    for route in ROUTES:
        app.add_url_rule(route.path, route.endpoint, route.view, methods=[route.method])
    app.before_request(_admit)
    app.after_request(_with_headers)
    app.context_processor(_in_templates)
    app.register_error_handler(HTTPException, _refused)
    app.register_error_handler(ConnectorError, _not_possible)
    app.register_error_handler(RedisError, _without_redis)
    app.register_error_handler(SQLAlchemyError, _without_database)
    if settings.console_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.console_proxies, x_proto=0)  # type: ignore[method-assign]
    return app


def _admit() -> ResponseReturnValue | None:
    """Let the request through to its page, or answer in its place. What is not in the table of routes is not there."""
    if request.routing_exception is not None or request.endpoint == "static":
        return None
    route = BY_ENDPOINT.get(str(request.endpoint))
    if route is None:
        return _page("error.html", 404, title="Not found", text="There is no such page.")
    if any(isinstance(one, int) and not 0 < one <= forms.MAX_ROW for one in (request.view_args or {}).values()):
        raise NotFound
    if route.most_bytes is not None:
        request.max_content_length = request.max_form_memory_size = route.most_bytes
    if route.method != "GET":
        forms.check_sender()
    here = _resumed()
    if here is None and not _has_users():
        return _page("no_users.html", 503)
    if route.role is None:
        return None
    if here is None:
        return _to_login()
    if not here.may(route.role):
        return _denied(here, route)
    return None


def _resumed() -> access.Person | None:
    """Who is logged in, after their cookie has been looked at."""
    wired, now = services(), services().now()
    with wired.reading() as db:
        found = access.resume(
            db,
            session,
            now,
            idle=timedelta(minutes=wired.settings.console_idle_minutes),
            life=timedelta(hours=wired.settings.console_session_hours),
            ways=single_sign_on.ways(wired),
        )
    g.person = found
    if found is not None and now.timestamp() - session["seen"] >= SEEN_SECONDS:
        session["seen"] = int(now.timestamp())
    return found


def _has_users() -> bool:
    if services().openid is not None:
        return True
    with services().reading() as db:
        return access.is_open(db)


def _to_login() -> ResponseReturnValue:
    if "user" in session:
        session.clear()
        flash("Your session is over. Log in again.", "warning")
    elif request.method == "GET" and request.headers.get("Sec-Fetch-Site") == "cross-site":
        # A link in a chat or a mail: the browser keeps our cookie back until a page of ours asks for the same.
        return _page("from_elsewhere.html", 200)
    if request.method == "GET":
        session["next"] = request.script_root + request.full_path.rstrip("?")
    return redirect(url_for("login"), 303)


def _denied(here: access.Person, route: Route) -> ResponseReturnValue:
    wired = services()
    with wired.transaction() as db:
        audit.note(
            db, who=here.actor, action="console denied", connection=access.INSTALLATION, subject=route.endpoint,
            now=wired.now(), needs=route.role,
        )  # fmt: skip
    return _page(
        "error.html", 403, title="Not allowed", text=f"This needs the role {route.role}; yours is {here.role}."
    )


def _with_headers(response: Any) -> Any:
    for name, value in HEADERS.items():
        response.headers[name] = value
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response


def _in_templates() -> dict[str, Any]:
    here = visitor()
    return {
        "person": here,
        "menu": [one for one in ROUTES if one.menu and here and one.role and here.may(one.role)],
        "may": lambda endpoint: here is not None and here.may(BY_ENDPOINT[endpoint].role or access.VIEWER),
        "now": services().now(),
        "several_connections": len(services().connections) > 1,
    }


def _page(template: str, status: int, **values: Any) -> ResponseReturnValue:
    return render_template(template, **values), status


def _refused(error: HTTPException) -> ResponseReturnValue:
    """Flask's redirects are answers too; everything else is said in our words, without what was sent."""
    if error.code is not None and error.code < 400:
        return error.get_response()
    title, text = REFUSALS.get(error.code or 500, ("Not possible", f"{error.name}."))
    return _page("error.html", error.code or 500, title=title, text=text)


REFUSALS = {
    400: ("Not understood", "The form is out of date or its fields cannot be used. Go back, load the page again, and repeat it."),
    404: ("Not found", "There is no such page, or what it was about is not there."),
    405: ("Not possible", "This address is for a form, or for looking only."),
    413: ("Too much", "What was sent is larger than the console takes."),
    500: ("An error in the connector", "It is in the log of the web process."),
}  # fmt: skip


def _not_possible(error: ConnectorError) -> ResponseReturnValue:
    next_step = error.cause.next_step if isinstance(error, Parked | Waiting) else None
    return _page("error.html", 409, title="Not possible now", text=str(error), next_step=next_step)


def _without_redis(error: RedisError) -> ResponseReturnValue:
    log.warning("Redis cannot be reached", error=type(error).__name__)
    text = "The queue cannot be reached. What you did is kept, and goes on by itself when the queue is back."
    return _page("error.html", 503, title="The queue is away", text=text)


def _without_database(error: SQLAlchemyError) -> ResponseReturnValue:
    log.error("the database cannot be used", error=type(error).__name__)
    text = "The database cannot be used. Look again in a minute; on a new installation, run connector db upgrade first."
    return _page("error.html", 503, title="The database is away", text=text)

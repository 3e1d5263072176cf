"""The WSGI application; any server can run it."""

import gc
from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog
from flask import Flask
from werkzeug.exceptions import HTTPException

from connector import logs, services, settings
from connector.services import Services
from connector.web import health, mount, webhooks

log = structlog.get_logger(__name__)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def for_server() -> Flask:
    """The application for a process that serves it for long: what is there by now is not looked through for garbage again,
    which would hold up a request for a tenth of a second now and then."""
    app = create_app()
    gc.collect()
    gc.freeze()
    return app


def create_app(wired: Services | None = None) -> Flask:
    """The application with these services, or with those that the settings of this process describe."""
    if wired is None:
        loaded = settings.load()
        logs.configure(loaded)
        wired = services.build(loaded)
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = wired.settings.max_body_bytes
    if wired.settings.web_trusted_hosts:
        app.config["TRUSTED_HOSTS"] = [host.strip() for host in wired.settings.web_trusted_hosts.split(",")]
    app.extensions["services"] = wired
    app.register_blueprint(webhooks.bp)
    app.register_blueprint(health.bp)
    app.register_error_handler(HTTPException, _bare)
    app.wsgi_app = _ends_its_input(app.wsgi_app)  # type: ignore[assignment, method-assign]
    console = _console(wired)
    if console is not None:
        app.extensions["console"] = console
        app.wsgi_app = mount.beside(app.wsgi_app, console.wsgi_app, wired.settings)  # type: ignore[assignment, method-assign]
    api = _api(wired)
    if api is not None:
        app.extensions["api"] = api
        app.wsgi_app = mount.beside(app.wsgi_app, api.wsgi_app, wired.settings, mount.API_PATH)  # type: ignore[assignment, method-assign]
    return app


def _api(wired: Services) -> Flask | None:
    """The JSON API, an application of its own; None, with the reason in the log, when it does not start."""
    try:
        from connector.web.api import app as api

        return api.create(wired)
    except Exception:
        log.exception("there is no API: it does not start; webhooks are taken all the same")
        return None


def _console(wired: Services) -> Flask | None:
    """The console, an application of its own; None, with the reason in the log, when it is off. Webhooks need none."""
    if wired.settings.session_secret is None:
        log.warning("there is no console: SESSION_SECRET is not set")
        return None
    try:
        from connector.web.console import app as console

        return console.create(wired)
    except Exception:
        log.exception("there is no console: it does not start; webhooks are taken all the same")
        return None


def _ends_its_input(inner: "WSGIApplication") -> "WSGIApplication":
    """Bodies in chunks, without a length, are read too: our server ends them but does not say so."""

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked":
            environ["wsgi.input_terminated"] = True
        return inner(environ, start_response)

    return application


def _bare(error: HTTPException) -> tuple[str, int, dict[str, str]]:
    """Refusals say their name and nothing of what was sent."""
    status = error.code or 500
    headers = {"WWW-Authenticate": 'Basic realm="connector"'} if status == 401 else {}
    return f"{error.name}\n", status, headers | {"Content-Type": "text/plain; charset=utf-8"}

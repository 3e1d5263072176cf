"""Where console and API are served: at /console/ and /api/v1/, on their own host names, apart from the webhooks."""

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from connector.settings import LOCAL_HOSTS, Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH, API_PATH = "/console", "/api/v1"
# What proxies add: a request with one of these has come from further than this machine, whatever its Host says.
FORWARDED = ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP")


def beside(inner: "WSGIApplication", app: "WSGIApplication", settings: Settings, at: str = PATH) -> "WSGIApplication":
    """`inner`, and `app` for those who ask for it by one of the console's host names; for all others it is not there."""

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if not f"{path}/".startswith(f"{at}/") or not _is_for_console(environ, settings.console_hosts):
            return inner(environ, start_response)
        moved = {
            **environ,
            "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + at,
            "PATH_INFO": path.removeprefix(at) or "/",
        }
        return app(moved, start_response)

    return application


def _is_for_console(environ: "WSGIEnvironment", hosts: tuple[str, ...]) -> bool:
    try:
        host = urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname
    except ValueError:
        return False
    if hosts:
        return host in hosts
    return host in LOCAL_HOSTS and not any(name in environ for name in FORWARDED)

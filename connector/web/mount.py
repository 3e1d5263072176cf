"""Where the console is served: at /console/, on its own host names, beside the webhooks but apart from them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from connector.settings import LOCAL_HOSTS, Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/console"
# What proxies add: a request with one of these has come from further than this machine, whatever its Host says.
FORWARDED = ("HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_REAL_IP")


def with_console(inner: "WSGIApplication", console: "WSGIApplication", settings: Settings) -> "WSGIApplication":
    """`inner`, and the console for those who ask for it by one of its host names; for all others it is not there."""

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if not f"{path}/".startswith(f"{PATH}/") or not _is_for_console(environ, settings.console_hosts):
            return inner(environ, start_response)
        moved = {
            **environ,
            "SCRIPT_NAME": environ.get("SCRIPT_NAME", "") + PATH,
            "PATH_INFO": path.removeprefix(PATH) or "/",
        }
        return console(moved, start_response)

    return application


def _is_for_console(environ: "WSGIEnvironment", hosts: tuple[str, ...]) -> bool:
    try:
        host = urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname
    except ValueError:
        return False
    if hosts:
        return host in hosts
    return host in LOCAL_HOSTS and not any(name in environ for name in FORWARDED)

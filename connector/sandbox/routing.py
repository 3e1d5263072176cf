"""Which operation a request is for: the routes of each provider, made ready once for all sandboxes."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from werkzeug.routing import Map, Rule

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Routes:
    """The paths of one provider's operations."""

    def __init__(self, routes: Iterable[tuple[str, str, str]]) -> None:
        """Takes each operation's name, method and path."""
        rules = [Rule(path, endpoint=name, methods=[method]) for name, method, path in routes]
        self.names = frozenset(rule.endpoint for rule in rules)
        self._map = Map(rules, strict_slashes=False, merge_slashes=False)

    def match(self, environ: "WSGIEnvironment") -> tuple[str, dict[str, str]]:
        """The operation's name and the ids in the path; raises an HTTPException where there is none."""
        name, path = self._map.bind_to_environ(environ).match()
        return str(name), dict(path)

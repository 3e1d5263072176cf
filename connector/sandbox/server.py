"""The sandbox on a port."""

import logging
import threading
from wsgiref.types import WSGIEnvironment

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from connector.sandbox.sandbox import Sandbox

DELIVERY_SECONDS = 0.2

log = logging.getLogger(__name__)


class Server:
    """A running sandbox."""

    def __init__(self, box: Sandbox, wsgi: BaseWSGIServer, *, deliver_webhooks: bool) -> None:
        self._box = box
        self._wsgi = wsgi
        self._stopped = threading.Event()
        self.host = str(wsgi.host)
        self.port = int(wsgi.port)
        self.url = f"http://{self.host}:{self.port}"
        self._threads = [threading.Thread(target=wsgi.serve_forever, args=(0.02,), daemon=True)]
        if deliver_webhooks:
            self._threads.append(threading.Thread(target=self._deliver, daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the server."""
        self._stopped.set()
        self._wsgi.shutdown()
        for thread in self._threads:
            thread.join()
        self._wsgi.server_close()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _deliver(self) -> None:
        while not self._stopped.wait(DELIVERY_SECONDS):
            self._box.deliver()


class _QuietHandler(WSGIRequestHandler):
    """Writes no line for each request: the calls are on record in the sandbox itself."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        log.debug("%s %s", self.requestline, code)

    def connection_dropped(self, error: BaseException, environ: WSGIEnvironment | None = None) -> None:
        """Ends the connection too: without an answer werkzeug would go on waiting for the next request."""
        log.debug("no answer: %s", error)
        self.close_connection = True


def serve(box: Sandbox, host: str = "127.0.0.1", port: int = 0, *, deliver_webhooks: bool = False) -> Server:
    """The sandbox on a port of its own choice or yours, answering until it is stopped."""
    wsgi = make_server(host, port, box.app, threaded=True, request_handler=_QuietHandler)
    return Server(box, wsgi, deliver_webhooks=deliver_webhooks)

"""An OpenID provider for tests, over HTTP: it lets everybody in as `person`, and can be told to answer wrongly."""

import secrets
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from hashlib import sha256
from typing import Any
from urllib.parse import unquote_plus, urlencode

from authlib.common.encoding import urlsafe_b64encode
from flask import Flask, abort, jsonify, redirect, request
from flask.typing import ResponseReturnValue
from joserfc import jwt
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server

CLIENT, SECRET = "connector", "s3cret: with% signs"
# Making a key takes longer than all else here; the second is for rotation, and for somebody else's signature.
KEYS = {name: RSAKey.generate_key(2048, {"kid": name, "use": "sig"}) for name in ("first", "second")}


class Provider:
    """What the provider knows, and what it is told to do wrong."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.now: Callable[[], datetime]
        self.redirect_uri = ""
        self.reset()

    def reset(self) -> None:
        """As it was at first."""
        self.person: dict[str, Any] = {"sub": "u-1", "preferred_username": "Ada", "groups": ["admins", "staff"]}
        self.published = ["first"]
        self.calls: list[str] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.wrong: dict[str, Any] = {}
        self.left_out: tuple[str, ...] = ()
        self.document: dict[str, Any] = {}
        self.is_away = False
        self.sign: Callable[[dict[str, Any]], str] = self.signed

    def signed(self, claims: dict[str, Any], key: str = "first", **header: Any) -> str:
        return jwt.encode({"alg": "RS256", "kid": key} | header, claims, KEYS[key])

    def claims(self, nonce: str) -> dict[str, Any]:
        moment = int(self.now().timestamp())
        right = {"iss": self.url, "aud": CLIENT, "iat": moment, "exp": moment + 300, "nonce": nonce}
        whole = right | self.person | self.wrong
        return {name: value for name, value in whole.items() if name not in self.left_out}


def application(provider: Provider) -> Flask:
    app = Flask("provider")

    @app.before_request
    def count() -> None:
        provider.calls.append(request.path)
        if provider.is_away:
            abort(503)

    @app.get("/.well-known/openid-configuration")
    def discovery() -> ResponseReturnValue:
        url = provider.url
        right = {
            "issuer": url,
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/token",
            "jwks_uri": f"{url}/keys",
        }
        return jsonify(right | provider.document)

    @app.get("/keys")
    def keys() -> ResponseReturnValue:
        return jsonify(keys=[KEYS[name].as_dict(private=False) for name in provider.published])

    @app.get("/authorize")
    def authorize() -> ResponseReturnValue:
        asked = request.args
        expected = {"response_type": "code", "client_id": CLIENT, "redirect_uri": provider.redirect_uri}
        if (
            any(asked.get(name) != value for name, value in expected.items())
            or asked["code_challenge_method"] != "S256"
        ):
            abort(400)
        code = secrets.token_urlsafe(16)
        provider.codes[code] = {"nonce": asked["nonce"], "challenge": asked["code_challenge"]}
        return redirect(f"{provider.redirect_uri}?{urlencode({'code': code, 'state': asked['state']})}")

    @app.post("/token")
    def token() -> ResponseReturnValue:
        sent = request.form
        login = b64decode(request.headers.get("Authorization", "Basic ")[6:]).decode().split(":")
        if [unquote_plus(part) for part in login] != [CLIENT, SECRET]:
            return jsonify(error="invalid_client"), 401
        # A code is for one use.
        begun = provider.codes.pop(sent["code"], None)
        proof = urlsafe_b64encode(sha256(sent["code_verifier"].encode()).digest()).decode()
        if begun is None or proof != begun["challenge"] or sent["redirect_uri"] != provider.redirect_uri:
            return jsonify(error="invalid_grant"), 400
        answer = {
            "access_token": "not used",
            "token_type": "Bearer",
            "id_token": provider.sign(provider.claims(begun["nonce"])),
        }
        return jsonify(answer)

    return app


@contextmanager
def running(host: str = "127.0.0.1") -> Iterator[Provider]:
    """The provider on a free port of this machine."""
    provider = Provider("")
    server = make_server(host, 0, application(provider), threaded=True)
    provider.url = f"http://{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

"""An OpenID provider that people log in through: the authorization code flow with PKCE, and nothing else of OpenID.

https://openid.net/specs/openid-connect-core-1_0.html sections 3.1.2 and 3.1.3, discovery as in
https://openid.net/specs/openid-connect-discovery-1_0.html section 4, PKCE as in RFC 7636. The provider's document and keys
are kept for an hour; keys are asked for again when a token names one that we do not know, but once a minute at most.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

from authlib.common.security import generate_token
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import get_well_known_url
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey, import_key

from connector.clients.http import Http, base_url
from connector.errors import Misconfigured, NotBelieved, Rejected, Retryable

# With a fixed list a token chooses neither to be unsigned nor to be signed with what everybody can read.
ALGORITHMS = ("RS256", "PS256", "ES256", "ES384")
KEPT, KEYS_AGAIN = timedelta(hours=1), timedelta(minutes=1)
# A person waits for the answer, and a thread of the web process with them.
CONNECT_SECONDS, TOTAL_SECONDS = 3, 8
MAX_BYTES = 2**20
LEEWAY_SECONDS = 60
# An ID token is made when the code is exchanged: an old one has been kept by somebody.
MAX_AGE_SECONDS = 600
MAX_SUBJECT = 255

Key = RSAKey | ECKey


@dataclass(frozen=True)
class Begun:
    """A log-in on its way: where to send the person, and what must be the same when they come back."""

    url: str = field(repr=False)
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)


@dataclass(frozen=True)
class _Found:
    """The provider's document, as far as it is needed, and its keys by their names."""

    authorization: str
    token: str
    keys_at: str
    secret_in_body: bool
    read_at: datetime


@dataclass(frozen=True)
class _Keys:
    keys: Mapping[str | None, Key]
    read_at: datetime


class OpenIdClient:
    """One provider for one client of it. What is kept of it is replaced whole, so that threads need not wait for each other.

    Raises Retryable while the provider cannot be reached, Rejected where it does not take a code, Misconfigured where its
    document is not that of the issuer, and NotBelieved for a token that does not hold.
    """

    def __init__(
        self,
        http: Http,
        *,
        name: str,
        issuer: str,
        client_id: str,
        client_secret: str,
        redirect_uri: str,
        scopes: str,
        now: Callable[[], datetime],
    ) -> None:
        self.name = name
        self.issuer = issuer
        self._http = http
        self._client_id = client_id
        self._client_secret = client_secret
        self._redirect_uri = redirect_uri
        self._scopes = scopes
        self._now = now
        self._kept: _Found | None = None
        self._kept_keys: _Keys | None = None

    def begin(self) -> Begun:
        """A log-in that begins now, with a state, a nonce and a verifier that nobody can guess."""
        found = self._document()
        state, nonce, verifier = generate_token(32), generate_token(32), generate_token(64)
        url = prepare_grant_uri(
            found.authorization,
            client_id=self._client_id,
            response_type="code",
            redirect_uri=self._redirect_uri,
            scope=self._scopes,
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return Begun(url, state, nonce, verifier)

    def claims(self, code: str, *, verifier: str, nonce: str) -> dict[str, Any]:
        """What the provider says of whoever it gave this code to, after all of it has been checked."""
        found = self._document()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        headers: dict[str, str] = {}
        if found.secret_in_body:
            form |= {"client_id": self._client_id, "client_secret": self._client_secret}
        else:
            pair = f"{quote_plus(self._client_id)}:{quote_plus(self._client_secret)}"
            headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        answer = self._http.call(
            provider=self.name, operation="token", method="POST", url=found.token, headers=headers, form=form,
            writes=True,
        ).json()  # fmt: skip
        if not isinstance(answer, dict) or not isinstance(answer.get("id_token"), str):
            raise NotBelieved("there is no ID token in the answer")
        try:
            return self._checked(answer["id_token"], answer.get("access_token"), nonce)
        except (JoseError, ValueError, TypeError) as error:
            # Their texts may quote the token.
            raise NotBelieved(f"the ID token does not hold: {type(error).__name__} {_about(error)}".rstrip()) from None

    def _checked(self, token: str, access_token: object, nonce: str) -> dict[str, Any]:
        header = jws.extract_compact(token.encode()).headers()
        if header.get("alg") not in ALGORITHMS:
            raise NotBelieved("the ID token is signed in a way that is not taken")
        decoded = jwt.decode(token, self._key(header.get("kid")), algorithms=ALGORITHMS)
        claims = CodeIDToken(
            decoded.claims,
            decoded.header,
            options={
                "iss": {"essential": True, "value": self.issuer},
                "aud": {"essential": True, "value": self._client_id},
            },
            params={"nonce": nonce, "client_id": self._client_id, "access_token": access_token},
        )
        moment = int(self._now().timestamp())
        claims.validate(now=moment, leeway=LEEWAY_SECONDS)
        if claims["iat"] < moment - MAX_AGE_SECONDS:
            raise NotBelieved("the ID token was made too long ago")
        if not 0 < len(claims["sub"]) <= MAX_SUBJECT:
            raise NotBelieved("the ID token names nobody")
        return dict(claims)

    # What the provider says of itself

    def _document(self) -> _Found:
        kept = self._kept
        if kept is None or self._now() - kept.read_at >= KEPT:
            kept = self._kept = self._read_document()
        return kept

    def _read_document(self) -> _Found:
        document = self._read("discovery", get_well_known_url(self.issuer, external=True))
        if document.get("issuer") != self.issuer:
            raise Misconfigured(
                "OIDC_ISSUER is not what the provider calls itself; it has to be the same to the letter"
            )
        ways = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        return _Found(
            authorization=_endpoint(document, "authorization_endpoint"),
            token=_endpoint(document, "token_endpoint"),
            keys_at=_endpoint(document, "jwks_uri"),
            secret_in_body="client_secret_basic" not in ways and "client_secret_post" in ways,
            read_at=self._now(),
        )

    def _key(self, name: object) -> Key:
        """The key that a token names; where it names none, the only one that there is."""
        kept, now = self._kept_keys, self._now()
        if kept is None or now - kept.read_at >= KEPT:
            kept = self._read_keys()
        found = _chosen(kept.keys, name)
        if found is None and now - kept.read_at >= KEYS_AGAIN:
            found = _chosen(self._read_keys().keys, name)
        if found is None:
            raise NotBelieved("the ID token is signed with a key that the provider does not publish")
        return found

    def _read_keys(self) -> _Keys:
        keys = _usable(self._read("keys", self._document().keys_at))
        self._kept_keys = _Keys(keys, self._now())
        return self._kept_keys

    def _read(self, operation: str, url: str) -> dict[str, Any]:
        try:
            document = self._http.call(
                provider=self.name, operation=operation, method="GET", url=url, headers={}, writes=False
            ).json()
        except Rejected as error:
            # Nothing of ours was refused: what should be there for everybody is not.
            raise Retryable(str(error)) from error
        if not isinstance(document, dict):
            raise Retryable(f"{self.name} {operation}: the answer is not what it should be")
        return document


def _chosen(keys: Mapping[str | None, Key], name: object) -> Key | None:
    if name is None:
        return next(iter(keys.values())) if len(keys) == 1 else None
    return keys.get(name) if isinstance(name, str) else None


def _usable(document: Mapping[str, Any]) -> dict[str | None, Key]:
    """Keys that sign, of the kinds that our algorithms need; whatever else a provider publishes is left out."""
    found: dict[str | None, Key] = {}
    for one in document.get("keys") or ():
        if not isinstance(one, dict) or one.get("kty") not in ("RSA", "EC") or one.get("use", "sig") != "sig":
            continue
        public = {name: value for name, value in one.items() if name in PUBLIC}
        try:
            key = import_key(public)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key, RSAKey | ECKey):
            found[one.get("kid")] = key
    return found


PUBLIC = ("kty", "n", "e", "crv", "x", "y", "alg", "kid")


def _endpoint(document: Mapping[str, Any], name: str) -> str:
    address = document.get(name)
    if not isinstance(address, str):
        raise Misconfigured(f"the provider's document has no {name}")
    # An authorization endpoint may have a query of its own; the rest is as with all our addresses.
    base_url(address.partition("?")[0], f"the provider's {name}")
    return address


def _about(error: Exception) -> str:
    """Which claim it was about, where that is known."""
    return str(getattr(error, "claim", ""))

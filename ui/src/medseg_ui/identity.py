"""Who asks: a signed cookie for each browser, and behind it, with login, a person.

Streamlit guards its pages, not the routes that carry volumes. So every request, the websocket's
included, passes a gate of our own, and each volume has an owner that the cookie must name.
"""

import hashlib
import hmac
import os
import secrets
import threading
from collections.abc import Mapping
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "medseg_browser"
_YEAR_SECONDS = 365 * 24 * 3600
_OPEN_PATHS = ("/_stcore/health", "/_stcore/script-health-check")


def load_secret(path: Path) -> bytes:
    """The key that signs cookies, made at the first start and readable by this account alone."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        secret = secrets.token_bytes(32)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secret)
        return secret


class Owners:
    """Turn cookies into owners.

    Without login an owner is a browser. With login it is a person: a page that Streamlit has logged
    in binds its browser to that person, and logging out takes the bond away at once.

    Args:
        secret: signs the cookies.
        login: whether a browser alone owns nothing.
    """

    def __init__(self, secret: bytes, *, login: bool = False) -> None:
        self._secret = secret
        self._login = login
        self._people: dict[str, str] = {}
        self._lock = threading.Lock()

    def new_cookie(self) -> str:
        """A cookie for a browser that has none."""
        browser = secrets.token_urlsafe(18)
        return f"{browser}.{self._sign(browser)}"

    def browser(self, cookies: Mapping[str, str]) -> str | None:
        """The browser that a request's cookies name; None if the signature is not ours."""
        browser, _, signature = cookies.get(COOKIE, "").partition(".")
        if browser and hmac.compare_digest(signature, self._sign(browser)):
            return browser
        return None

    def owner(self, cookies: Mapping[str, str]) -> str | None:
        """Whose volumes a request may see; None for nobody's."""
        browser = self.browser(cookies)
        if browser is None or not self._login:
            return browser
        with self._lock:
            return self._people.get(browser)

    def log_in(self, cookies: Mapping[str, str], person: str) -> None:
        """Bind a browser to a person (issuer and subject of the login)."""
        browser = self.browser(cookies)
        if browser:
            with self._lock:
                self._people[browser] = hashlib.sha256(person.encode()).hexdigest()

    def log_out(self, cookies: Mapping[str, str]) -> None:
        """Take a browser's bond away."""
        with self._lock:
            self._people.pop(self.browser(cookies) or "", None)

    def _sign(self, browser: str) -> str:
        return hmac.new(self._secret, browser.encode(), hashlib.sha256).hexdigest()


class Gate:
    """ASGI middleware: nobody comes in without a cookie of ours.

    Args:
        app: what is behind the gate.
        owners: who makes and reads the cookies.
        key: the address that ``medseg ui`` prints holds it, and a browser gets its cookie by it, so
            that other accounts of this computer stay outside; None where people log in instead.
    """

    def __init__(self, app: ASGIApp, *, owners: Owners, key: str | None) -> None:
        self._app = app
        self._owners = owners
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, give it a cookie, or turn it away."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in _OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        if self._owners.browser(_cookies(scope)):
            await self._app(scope, receive, _with_headers(send, path=scope["path"]))
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        given = parse_qs(scope["query_string"].decode("latin-1")).get("key", [""])[0]
        if self._key is not None and not hmac.compare_digest(given.encode(), self._key.encode()):
            answer = PlainTextResponse(
                "This viewer is private. Open the address that medseg ui printed when it started; "
                "it ends in ?key=...",
                status_code=403,
            )
            await answer(scope, receive, send)
            return
        # The key does not stay in the address. Of two slashes at its front a browser makes another host.
        path = "/" + scope["path"].lstrip("/\\")
        welcome = RedirectResponse(path, status_code=303)
        welcome.set_cookie(
            COOKIE,
            self._owners.new_cookie(),
            max_age=_YEAR_SECONDS,
            httponly=True,
            samesite="lax",  # strict would lose it on the way back from the login page
            secure=scope["scheme"] == "https",
        )
        await welcome(scope, receive, send)


def _cookies(scope: Scope) -> dict[str, str]:
    cookie: SimpleCookie = SimpleCookie(Headers(scope=scope).get("cookie", ""))
    return {name: morsel.value for name, morsel in cookie.items()}


def _with_headers(send: Send, *, path: str) -> Send:
    """Keep what is shown out of caches and out of other people's pages."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            extra = [
                (b"x-content-type-options", b"nosniff"),
                (b"referrer-policy", b"no-referrer"),
                (b"x-frame-options", b"DENY"),
            ]
            if path.startswith(("/medseg/", "/media/")):
                extra.append((b"cache-control", b"no-store"))
            message["headers"] = [*message.get("headers", []), *extra]
        await send(message)

    return send_with_headers

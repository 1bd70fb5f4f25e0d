"""Who may come in, and whose volumes they see."""

import asyncio
import stat

import pytest
from medseg_ui.identity import COOKIE, Gate, Owners, load_secret
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

OWNERS = Owners(b"secret")


def behind_gate(owners=OWNERS, key="the-key"):
    async def page(request):
        return PlainTextResponse("inside")

    async def socket(websocket):
        await websocket.accept()
        await websocket.close()

    app = Starlette(
        routes=[Route("/", page), Route("/medseg/file/x", page), WebSocketRoute("/_stcore/stream", socket)],
        middleware=[Middleware(Gate, owners=owners, key=key)],
    )
    return TestClient(app, follow_redirects=False)


def test_a_cookie_names_its_browser_and_a_forged_one_nobody():
    cookie = OWNERS.new_cookie()
    assert OWNERS.owner({COOKIE: cookie}) == cookie.partition(".")[0]
    assert OWNERS.owner({COOKIE: "mine." + cookie.partition(".")[2]}) is None
    assert Owners(b"another").owner({COOKIE: cookie}) is None
    assert OWNERS.owner({}) is None


def test_with_login_a_browser_owns_nothing_until_its_person_logs_in_and_after_they_log_out():
    owners = Owners(b"secret", login=True)
    first, second = ({COOKIE: owners.new_cookie()} for _ in range(2))
    assert owners.owner(first) is None
    owners.log_in(first, "https://idp anna")
    owners.log_in(second, "https://idp anna")
    assert owners.owner(first) == owners.owner(second) is not None
    owners.log_in(second, "https://idp boris")
    assert owners.owner(first) != owners.owner(second)
    owners.log_out(first)
    assert owners.owner(first) is None


@pytest.mark.parametrize("path", ["/", "/?key=wrong", "/medseg/file/x"])
def test_without_cookie_and_key_nothing_is_served(path):
    answer = behind_gate().get(path)
    assert answer.status_code == 403
    assert "inside" not in answer.text


def test_the_key_gives_a_cookie_and_leaves_the_address():
    client = behind_gate()
    answer = client.get("/?key=the-key")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert client.get("/").text == "inside"


@pytest.mark.parametrize("key", ["the-key", None])
@pytest.mark.parametrize(
    "path", ["//evil.example/x", "///evil.example/x", "/\\evil.example/x", "\\\\evil.example/x"]
)
def test_no_address_leads_to_another_host(path, key):
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request"}

    gate = Gate(PlainTextResponse("inside"), owners=OWNERS, key=key)
    scope = {"type": "http", "method": "GET", "scheme": "https", "headers": []}
    asyncio.run(gate(scope | {"path": path, "query_string": b"key=the-key"}, receive, send))
    assert dict(sent[0]["headers"])[b"location"] == b"/evil.example/x"


def test_a_websocket_needs_the_cookie_too():
    with pytest.raises(WebSocketDisconnect), behind_gate().websocket_connect("/_stcore/stream"):
        pass
    client = behind_gate()
    client.get("/?key=the-key")
    with client.websocket_connect("/_stcore/stream"):
        pass


def test_volumes_stay_out_of_caches():
    client = behind_gate()
    client.get("/?key=the-key")
    assert client.get("/medseg/file/x").headers["cache-control"] == "no-store"


def test_the_cookies_key_is_kept_and_readable_by_its_account_alone(tmp_path):
    path = tmp_path / "data" / "key"
    assert load_secret(path) == load_secret(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

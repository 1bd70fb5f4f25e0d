"""Two people who log in with an OpenID Connect provider: each sees their own images."""

import base64
import json
import socket
import threading
import time
from contextlib import closing
from urllib.parse import urlencode

import pytest
import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse
from starlette.routing import Route

pytestmark = pytest.mark.ui


def free_port():
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_provider(url):
    """A provider that lets everybody in under the name in their cookie ``person``."""
    key = RSAKey.generate_key(2048, parameters={"kid": "one"})
    nonces = {}

    async def metadata(request):
        pages = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return JSONResponse({"issuer": url, **{name: f"{url}/{page}" for name, page in pages.items()}})

    async def authorize(request):
        query, person = request.query_params, request.cookies["person"]
        code = base64.urlsafe_b64encode(person.encode()).decode()
        nonces[code] = query.get("nonce")
        return RedirectResponse(
            f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"
        )

    async def token(request):
        code = (await request.form())["code"]
        now = int(time.time())
        claims = {"iss": url, "aud": "viewer", "iat": now, "exp": now + 600, "nonce": nonces[code]}
        claims["sub"] = base64.urlsafe_b64decode(code).decode()
        signed = jwt.encode({"alg": "RS256", "kid": "one"}, claims, key)
        return JSONResponse(
            {"access_token": "x", "token_type": "Bearer", "expires_in": 600, "id_token": signed}
        )

    async def keys(request):
        return JSONResponse({"keys": [json.loads(json.dumps(key.as_dict(private=False)))]})

    async def enter(request):
        answer = PlainTextResponse("you are known now")
        answer.set_cookie("person", request.query_params["person"])
        return answer

    return Starlette(
        routes=[
            Route("/.well-known/openid-configuration", metadata),
            Route("/authorize", authorize),
            Route("/token", token, methods=["POST"]),
            Route("/keys", keys),
            Route("/enter", enter),
        ]
    )


@pytest.fixture
def provider():
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = uvicorn.Server(uvicorn.Config(make_provider(url), port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield url
    server.should_exit = True
    thread.join()


@pytest.fixture
def viewer_with_login(provider, run_viewer, tmp_path):
    port = free_port()
    (tmp_path / "login.toml").write_text(
        f"""[auth]
redirect_uri = "http://127.0.0.1:{port}/oauth2callback"
cookie_secret = "only for this test, and long enough to be one"
client_id = "viewer"
client_secret = "secret"
server_metadata_url = "{provider}/.well-known/openid-configuration"
"""
    )
    return run_viewer("--login", str(tmp_path / "login.toml"), port=port)


def log_in(chromium, viewer, provider, person):
    context = chromium.new_context()
    context.set_default_timeout(120_000)
    page = context.new_page()
    page.goto(f"{provider}/enter?person={person}")
    page.goto(viewer.url)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_selector(".ms-drop", state="attached")  # folded away where an image is open
    return context, page


def test_people_see_their_own_images_and_nothing_after_they_log_out(
    chromium, viewer_with_login, provider, samples
):
    anna, page = log_in(chromium, viewer_with_login, provider, "anna")
    urls = []
    page.on("request", lambda request: "/medseg/file/" in request.url and urls.append(request.url))
    page.set_input_files("input[data-kind=files]", samples / "itk_t1_head_2x2x3mm.nii.gz")
    page.wait_for_selector(".ms-root[data-volume]")
    boris, _ = log_in(chromium, viewer_with_login, provider, "boris")
    assert anna.request.get(urls[0]).status == 200
    assert boris.request.get(urls[0]).status == 404
    again, same_person = log_in(chromium, viewer_with_login, provider, "anna")
    same_person.get_by_text("itk_t1_head_2x2x3mm").first.wait_for()
    page.get_by_role("link", name="History").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("button", name="Log in").wait_for()
    assert anna.request.get(urls[0]).status == 404
    for context in (anna, boris, again):
        context.close()

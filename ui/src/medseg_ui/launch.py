"""``medseg ui``: from the command line to a running server."""

import contextlib
import gc
import importlib
import ipaddress
import secrets
import signal
import sys
import threading
import tomllib
import webbrowser
from pathlib import Path
from typing import Any

import click

from medseg import MedsegError, OptionError, ResourceError, default_registry
from medseg_ui import service
from medseg_ui.service import Settings

_MEGABYTE = 10**6


@click.command()
@click.option("--port", default=8501, show_default=True, help="Where to listen.")
@click.option(
    "--folder",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    help="A folder of volumes that the viewer may open; may be repeated.",
)
@click.option("--address", default="127.0.0.1", show_default=True, help="Another one needs --login.")
@click.option(
    "--login",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A TOML file with the OpenID Connect settings of Streamlit's [auth]: people must log in.",
)
@click.option(
    "--open-to-network-without-login",
    "without_login",
    is_flag=True,
    help="Listen on another address although nobody logs in; the printed address is the only key.",
)
@click.option("--upload-limit-mb", default=4000, show_default=True, help="Most that is taken at once.")
@click.option("--models-at-once", default=1, show_default=True, help="Segmentations side by side.")
@click.option("--keep-hours", default=12.0, show_default=True, help="Unused volumes are removed after this.")
@click.option("--no-browser", is_flag=True, help="Print the address, open nothing.")
def main(
    port: int,
    folders: tuple[Path, ...],
    address: str,
    login: Path | None,
    *,
    without_login: bool,
    upload_limit_mb: int,
    models_at_once: int,
    keep_hours: float,
    no_browser: bool,
) -> None:
    """Open the viewer: look at volumes, run models, correct and compare results."""
    auth = read_login(login) if login else None
    settings = Settings(
        address=address,
        port=port,
        login=auth is not None,
        warn_open=check_address(address, login=auth is not None, without_login=without_login),
        folders=folders,
        upload_limit_bytes=upload_limit_mb * _MEGABYTE,
        models_at_once=models_at_once,
        keep_hours=keep_hours,
    )
    serve(settings, auth=auth, open_browser=not no_browser)


def check_address(address: str, *, login: bool, without_login: bool) -> bool:
    """Refuse to show volumes to a network by mistake; True if a warning must stand on every page.

    Raises:
        OptionError: neither this computer's own address, nor login, nor the explicit flag.
    """
    try:
        own = address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        own = False
    if own or login:
        return False
    if without_login:
        return True
    raise OptionError(
        f"--address {address} opens the viewer to the network, where others could see patients' volumes. "
        "Let people log in with --login FILE, or keep 127.0.0.1 and use an SSH tunnel "
        "(ssh -L 8501:127.0.0.1:8501 HOST). If the network is yours alone: --open-to-network-without-login"
    )


def read_login(path: Path) -> dict[str, Any]:
    """The ``[auth]`` table for Streamlit's login.

    Raises:
        OptionError: it is not TOML, or lacks a setting.
    """
    try:
        auth = tomllib.loads(path.read_text(encoding="utf-8")).get("auth", {})
    except tomllib.TOMLDecodeError as error:
        raise OptionError(f"{path.name} is not TOML: {error}") from error
    wanted = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
    missing = [name for name in wanted if not auth.get(name)]
    if missing:
        raise OptionError(f"{path.name} needs, under [auth]: {', '.join(missing)}")
    return dict(auth)


def serve(settings: Settings, *, auth: dict[str, Any] | None = None, open_browser: bool = False) -> None:
    """Run a server until it is stopped, then remove every volume."""
    from starlette.middleware import Middleware
    from streamlit.starlette import App

    from medseg_ui.identity import Gate
    from medseg_ui.routes import REFUSALS, make_routes

    running = service.start(settings)
    key = None if auth else secrets.token_urlsafe(12)
    app = App(
        Path(__file__).parent / "home.py",
        routes=make_routes(running),
        middleware=[Middleware(Gate, owners=running.owners, key=key)],
        exception_handlers=REFUSALS,
        secrets={"auth": auth} if auth else None,
    )
    host = "127.0.0.1" if settings.address in ("0.0.0.0", "::") else settings.address  # noqa: S104  # compared, not bound
    url = f"http://{host}:{settings.port}/" + (f"?key={key}" if key else "")
    click.echo(f"The viewer is at {url}\nResearch only, not for clinical use. Ctrl-C stops it.", err=True)
    if open_browser:
        threading.Timer(1.0, webbrowser.open, [url]).start()
    threading.Thread(target=_load_ahead, daemon=True).start()
    # Streamlit takes the address of its configuration file from argv; there is none of ours.
    sys.argv = [sys.argv[0]]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        app.run(config=_streamlit_options(settings))
    except OSError as error:
        raise ResourceError(
            f"cannot listen on {settings.address}:{settings.port}: {error.strerror}"
        ) from error
    finally:
        running.close()


def _load_ahead() -> None:
    """Import what the pages' forms and tables are made from, torch too, before a visitor needs it."""
    registry = default_registry()
    for kind in ("architecture", "step"):
        for found in registry.components(kind):
            with contextlib.suppress(MedsegError):  # where it is used the page says why it cannot be
                registry.load(found)
    for name in ("pandas", "pyarrow"):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # all this stays: later collections, while every visitor waits, need not look through it


def _streamlit_options(settings: Settings) -> dict[str, Any]:
    return {
        "server.address": settings.address,
        "server.port": settings.port,
        "server.headless": True,
        "server.enableXsrfProtection": True,
        "server.enableCORS": True,
        "server.enableStaticServing": False,
        "server.fileWatcherType": "none",
        "server.maxUploadSize": 1,  # files come through a route of our own; Streamlit's keeps them in memory
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
        "runner.magicEnabled": False,
        # Streamlit would collect garbage after every run of a page: 0.1 s in which nobody else is served.
        # Python does it by itself when enough has changed.
        "runner.postScriptGC": False,
        # Light or dark, as the visitor's system is.
        "theme.font": "sans-serif",
        "theme.dark.primaryColor": "#3fa7d6",
        "theme.dark.backgroundColor": "#0f1216",
        "theme.dark.secondaryBackgroundColor": "#191e25",
        "theme.dark.textColor": "#dfe5ec",
        "theme.light.primaryColor": "#0f6f9f",
        "theme.light.backgroundColor": "#ffffff",
        "theme.light.secondaryBackgroundColor": "#f1f4f7",
        "theme.light.textColor": "#16202a",
    }

"""People at the viewer without browsers: each speaks Streamlit's own protocol over a websocket.

Twenty headless browsers would share the server's cores and be what is measured. A person here does what a
browser does between the server and the screen: keeps the values of the page's fields, sends them all with
each interaction, answers the timers of fragments, and waits for the end of the script.
"""

import contextlib
import gzip
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import connect
from websockets.typing import Subprotocol

_PATIENCE_SECONDS = 120.0
_VIEWER = "medseg-ui.viewer"
_FINISHED = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)


@dataclass(kw_only=True)
class Timer:
    """A fragment that asks to be run again."""

    interval: float
    due: float


class Person:
    """Somebody with a page of their own.

    Args:
        url: as ``medseg ui`` prints it, with the key.
    """

    def __init__(self, url: str) -> None:
        self._base, _, _ = url.partition("?")
        self._http = httpx.Client(follow_redirects=True, timeout=_PATIENCE_SECONDS)
        self._http.get(url)
        self._http.get(f"{self._base}_stcore/health")
        cookies = "; ".join(f"{name}={value}" for name, value in self._http.cookies.items())
        self._socket = connect(
            self._base.replace("http", "ws", 1) + "_stcore/stream",
            additional_headers={"Cookie": cookies, "Origin": self._base.rstrip("/")},
            subprotocols=[Subprotocol("streamlit")],
            max_size=None,
        )
        self._elements: dict[str, tuple[Any, str]] = {}
        self._fields: dict[str, WidgetState] = {}
        self._timers: dict[str, Timer] = {}
        self._page = ""
        self._query = ""
        self.bytes_taken = 0

    def go(self, page: str) -> float:
        """Open a page; seconds until it is there."""
        self._page = page
        return self._ask()

    def press(self, label: str) -> float:
        """Press a button; seconds until the page has answered."""
        field, fragment = self._named("button", label)
        return self._ask(WidgetState(id=field.id, trigger_value=True), fragment=fragment)

    def tick(self, label: str, *, on: bool) -> float:
        """Tick a checkbox, or take the tick away."""
        field, fragment = self._named("checkbox", label)
        self._fields[field.id] = WidgetState(id=field.id, bool_value=on)
        return self._ask(fragment=fragment)

    def open_sample(self, name: str) -> None:
        """Open a sample volume and wait until it is shown."""
        self.press(name)
        self.wait_until(lambda: self.picture() is not None)

    def draw(self) -> None:
        """Save a small drawing, so that the page has a result."""
        picture = self.picture()
        assert picture is not None  # a volume is open
        labels = np.zeros(picture["volume"]["shape"], np.uint8)
        labels[20:40, 20:40, 10:20] = 1
        answer = self._http.put(
            self._base.rstrip("/") + picture["draft"]["saveUrl"],
            content=gzip.compress(labels.tobytes(order="F")),
            headers={"X-Xsrftoken": self._http.cookies["_streamlit_xsrf"]},
        )
        answer.raise_for_status()
        self._ask()

    def picture(self) -> Mapping[str, Any] | None:
        """What the page tells the viewer's component; None if there is none."""
        for element, _ in self._elements.values():
            if element.WhichOneof("type") == "bidi_component":
                component = element.bidi_component
                if component.component_name == _VIEWER:
                    shown: Mapping[str, Any] = json.loads(component.json or component.mixed.json)
                    return shown
        return None

    def wait_until(self, holds: Callable[[], bool], *, seconds: float = _PATIENCE_SECONDS) -> None:
        """Look at the page, answering its timers, until something holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError("the page never showed what was waited for")
            self.look(0.2)

    def look(self, seconds: float) -> None:
        """Look at the page for a while, as a browser that nobody touches."""
        deadline = time.monotonic() + seconds
        while (now := time.monotonic()) < deadline:
            due = [(timer.due, key) for key, timer in self._timers.items()]
            first = min(due, default=(deadline, ""))
            if first[0] <= now:
                self._timers[first[1]].due = now + self._timers[first[1]].interval
                self._send(fragment=first[1], by_timer=True)
                continue
            with contextlib.suppress(TimeoutError):
                self._take(min(first[0], deadline) - now)

    def has(self, kind: str, label: str) -> bool:
        """Whether the page has a field."""
        return any(field.label == label for field, _ in self._of(kind))

    def close(self) -> None:
        """Leave."""
        self._socket.close()
        self._http.close()

    def _ask(self, *pressed: WidgetState, fragment: str = "") -> float:
        began = time.perf_counter()
        self._send(*pressed, fragment=fragment)
        begun = False
        while True:
            message = self._take(_PATIENCE_SECONDS)
            kind = message.WhichOneof("type")
            of_fragment = bool(message.metadata.run.fragment_ids)
            begun |= kind == "new_session" and of_fragment == bool(fragment)
            if begun and kind == "script_finished" and message.script_finished in _FINISHED:
                return time.perf_counter() - began

    def _send(self, *pressed: WidgetState, fragment: str = "", by_timer: bool = False) -> None:
        asked = BackMsg()
        asked.rerun_script.page_name = self._page
        asked.rerun_script.query_string = self._query
        asked.rerun_script.fragment_id = fragment
        asked.rerun_script.is_auto_rerun = by_timer
        asked.rerun_script.widget_states.widgets.extend([*self._fields.values(), *pressed])
        self._socket.send(asked.SerializeToString())

    def _take(self, seconds: float) -> ForwardMsg:
        """Take in one message."""
        frame = self._socket.recv(seconds, decode=False)
        self.bytes_taken += len(frame)
        message: ForwardMsg = ForwardMsg.FromString(frame)
        kind = message.WhichOneof("type")
        if kind == "new_session" and not message.metadata.run.fragment_ids:
            self._elements.clear()
            self._timers.clear()
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            where = ",".join(map(str, message.metadata.delta_path))
            self._elements[where] = (message.delta.new_element, message.delta.fragment_id)
        elif kind == "auto_rerun":
            ask = message.auto_rerun
            self._timers[ask.fragment_id] = Timer(interval=ask.interval, due=time.monotonic() + ask.interval)
        elif kind == "page_info_changed":
            self._query = message.page_info_changed.query_string
        return message

    def _of(self, kind: str) -> list[tuple[Any, str]]:
        return [
            (getattr(e, kind), where) for e, where in self._elements.values() if e.WhichOneof("type") == kind
        ]

    def _named(self, kind: str, label: str) -> tuple[Any, str]:
        found = self._of(kind)
        for field, fragment in found:
            if field.label == label:
                return field, fragment
        raise LookupError(f"no {kind} {label!r} on the page; it has {[field.label for field, _ in found]}")


class Caller(threading.Thread):
    """A person who goes from one thing to the next, with pauses, and notes how long each took."""

    def __init__(self, person: Person, *, turns: int, pause: float) -> None:
        super().__init__(daemon=True)
        self._person, self._turns, self._pause = person, turns, pause
        self.seconds: list[tuple[str, float]] = []

    def run(self) -> None:
        """Tick a field, look at every page, come back."""
        person = self._person
        for turn in range(self._turns):
            person.look(self._pause)
            self.seconds.append(
                ("tick a field", person.tick("Probabilities and uncertainty", on=turn % 2 == 0))
            )
            for page in ("compare", "models", "history", "cohort", ""):
                person.look(self._pause)
                self.seconds.append((f"open {page or 'segment'}", person.go(page)))

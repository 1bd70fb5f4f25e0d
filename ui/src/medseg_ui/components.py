"""The two components that are written in JavaScript, as Python functions."""

import functools
from collections.abc import Callable
from typing import Any

import streamlit as st

from medseg_ui.cases import DRAFT_ENTRIES, Case, Result
from medseg_ui.service import Service
from medseg_ui.slices import planes

_HOUNSFIELD_AIR = -500  # an image that goes lower holds air in HU: nothing else is stored so
# Lower and upper value in HU: centre -/+ half the width of the windows that radiology uses.
_CT_WINDOWS = {
    "brain": (0, 80),
    "stroke": (20, 60),
    "bone": (-500, 1300),
    "lung": (-1350, 150),
    "abdomen": (-150, 250),
    "liver": (-15, 155),
    "mediastinum": (-125, 225),
}


@functools.cache
def _registered(name: str) -> Callable[..., Any]:
    # At first use: Streamlit knows a package's assets only inside a script run.
    component: Callable[..., Any] = st.components.v2.component(
        f"medseg-ui.{name}", js=f"{name}.js", css=f"{name}.css", isolate_styles=False
    )
    return component


def drop_zone(service: Service, *, key: str, title: str, hint: str, large: bool = False) -> str | None:
    """A place to drop files on; the name of an upload when one has arrived."""
    data = {
        "url": "/medseg/upload",
        "title": title,
        "hint": hint,
        "limitBytes": service.settings.upload_limit_bytes,
        "large": large,
    }
    sent: str | None = _registered("drop")(key=key, data=data, on_sent_change=_nothing).sent
    return sent


def viewer(
    service: Service,
    case: Case,
    *,
    key: str,
    owner: str,
    labels: dict[str, Any] | None = None,
    editable: bool = True,
    group: str = "",
    height: int = 640,
    watch: str | None = None,
) -> str | None:
    """The picture of a case with a label map over it; the id of a result that was just saved.

    Args:
        service: whose routes serve the files.
        case: what is shown.
        key: of the mounted component; the same picture keeps it.
        owner: whose browser fetches.
        labels: from ``result_layer`` or ``layer``.
        editable: whether new labels may be drawn.
        group: viewers of one group move their crosses together.
        height: of the picture in pixels.
        watch: id of a running job whose frames are shown as they come.
    """
    assert case.facts is not None  # an image that was not read is not shown
    data = {
        "volume": _volume(service, case, case.facts, owner),
        "labels": labels,
        "draft": {"saveUrl": f"/medseg/mask/{case.id}/draft", "entries": DRAFT_ENTRIES} if editable else None,
        "group": group,
        "height": height,
        "watch": {"url": f"/medseg/frames/{watch}"} if watch else None,
        "plain": st.query_params.get("plain") == "1",
    }
    saved: str | None = _registered("viewer")(key=key, data=data, on_saved_change=_nothing).saved
    return saved


def result_layer(
    service: Service, case: Case, result: Result, *, owner: str, editable: bool = True
) -> dict[str, Any]:
    """A result as a layer of the viewer."""
    made = layer(
        service,
        result.folder / "shown.nii",
        key=result.shown_id,
        title=result.title,
        entries=result.entries,
        centre=result.centre,
        owner=owner,
    )

    def shared(row: dict[str, Any]) -> dict[str, Any]:
        token = service.storage.share(result.folder / row["file"], owner=owner)
        return row | {"url": f"/medseg/file/{token}"}

    return made | {
        "saveUrl": f"/medseg/mask/{case.id}/{result.id}" if editable else None,
        "maps": [shared(row) | {"id": f"{result.id}.{row['id']}"} for row in result.maps],
        "frames": [shared(row) for row in result.frames],
    }


def layer(
    service: Service,
    path: Any,
    *,
    key: str,
    title: str,
    entries: list[dict[str, Any]],
    centre: list[float] | None,
    owner: str,
) -> dict[str, Any]:
    """Labels on the grid of the image, one byte a voxel, as a layer of the viewer."""
    token = service.storage.share(path, owner=owner)
    return {
        "id": key,
        "token": token,
        "url": f"/medseg/file/{token}",
        "title": title,
        "entries": entries,
        "centre": centre,
        "saveUrl": None,
    }


def _volume(service: Service, case: Case, facts: dict[str, Any], owner: str) -> dict[str, Any]:
    token = service.storage.share(case.volume, owner=owner)
    low, high = facts["range"]
    in_hu = low < _HOUNSFIELD_AIR
    own = {"1 to 99.5 %": facts["percentiles"], "full range": [low, high]}
    presets = {**own, **({name: list(window) for name, window in _CT_WINDOWS.items()} if in_hu else {})}
    return {
        "id": case.id,
        "url": f"/medseg/file/{token}",
        "sliceUrl": f"/medseg/slice/{token}",
        "affine": facts["affine"],
        "shape": facts["shape"],
        "spacing": facts["spacing_mm"],
        "orientation": facts["orientation"],
        "voxelMl": facts["voxel_ml"],
        "oblique": facts["oblique_degrees"],
        "unit": "HU" if in_hu else "",
        "window": list(_CT_WINDOWS["abdomen"]) if in_hu else facts["percentiles"],
        "presets": [{"name": name, "range": window} for name, window in presets.items()],
        "planes": planes(facts["shape"], facts["orientation"]),
    }


def _nothing() -> None:
    """Streamlit sends a trigger only if somebody listens."""

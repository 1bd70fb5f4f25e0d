"""Our own HTTP routes: volumes out, files and drawings in; each asks whose cookie the request has.

Volumes do not go through Streamlit: its media files are open to whoever knows the address, and what
it sends is held in memory and compressed on the way, ten times slower.
"""

import hmac
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from medseg import VolumeError
from medseg_ui.frames import find_frames
from medseg_ui.service import Service
from medseg_ui.slices import draw_slice

_SPARE_BYTES = 1 << 30  # of the disk, left for the rest of the computer
_BUFFER_BYTES = 1 << 20
_BATCH = re.compile(r"[0-9a-f]{16}")


class _RefusedError(Exception):
    """A request that is turned away, with its HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def make_routes(service: Service) -> list[Route]:
    """The routes of a server."""

    async def send_file(request: Request) -> Response:
        shared = service.storage.find(request.path_params["token"], service.owners.owner(request.cookies))
        if shared is None or not shared.path.is_file():
            return PlainTextResponse("There is no such file, or it is not yours.", status_code=404)
        download = "download" in request.query_params
        return FileResponse(
            shared.path,
            media_type="application/octet-stream",
            filename=shared.name if download else None,
            # Streamlit's middleware would compress the stream on the fly; this tells it not to.
            headers={"Content-Encoding": "identity"},
        )

    async def send_slice(request: Request) -> Response:
        owner = service.owners.owner(request.cookies)
        query = request.query_params
        volume = service.storage.find(request.path_params["token"], owner)
        labels = service.storage.find(query.get("labels", ""), owner)
        if volume is None:
            return PlainTextResponse("There is no such volume, or it is not yours.", status_code=404)
        try:
            window = (float(query["low"]), float(query["high"]))
            axis, index = int(query["axis"]), int(query["index"])
            colours = service.colours_of(labels.path, owner) if labels else None

            def draw() -> bytes:
                path = labels.path if labels else None
                return draw_slice(
                    volume.path, axis=axis, index=index, window=window, labels=path, colours=colours
                )

            return Response(await to_thread.run_sync(draw), media_type="image/png")
        except (KeyError, ValueError) as error:
            return PlainTextResponse(f"No slice: {error}", status_code=422)

    async def send_frames(request: Request) -> Response:
        owner = service.owners.owner(request.cookies)
        frames = await to_thread.run_sync(_list_frames, service, owner, request.path_params["job"])
        if frames is None:
            return PlainTextResponse("There is no such job, or it is not yours.", status_code=404)
        return JSONResponse({"frames": frames})

    async def take_upload(request: Request) -> Response:
        owner = _check_sender(request, service)
        batch, number = request.path_params["batch"], request.path_params["number"]
        if not _BATCH.fullmatch(batch):
            raise _RefusedError(422, "This upload has no name that we gave.")
        upload = service.uploads.open(owner, batch)
        name = unquote(request.headers.get("x-file-name", ""))
        target = upload.place(number, name)
        limit = service.settings.upload_limit_bytes - upload.size
        upload.add(target, name, await _stream_to_disk(request, target, limit=limit))
        return JSONResponse({"taken": number})

    async def take_mask(request: Request) -> Response:
        owner = _check_sender(request, service)
        workspace = service.workspace(owner)
        case = workspace.case(request.path_params["case"])
        key = request.path_params["result"]
        result = case.result(key) if case else None
        if case is None or case.facts is None or (result is None and key != "draft"):
            raise _RefusedError(404, "There is no such result, or it is not yours.")
        folder = service.storage.new_folder("drawing")
        try:
            await _stream_to_disk(request, folder / "body", limit=service.settings.upload_limit_bytes)
            saved = await to_thread.run_sync(workspace.save_edit, case, result, folder / "body")
        except VolumeError as error:
            raise _RefusedError(422, str(error)) from error
        finally:
            service.storage.remove(folder)
        return JSONResponse({"result": saved.id, "id": saved.shown_id})

    return [
        Route("/medseg/file/{token}", send_file, methods=["GET"]),
        Route("/medseg/frames/{job}", send_frames, methods=["GET"]),
        Route("/medseg/slice/{token}", send_slice, methods=["GET"]),
        Route("/medseg/upload/{batch}/{number:int}", take_upload, methods=["PUT"]),
        Route("/medseg/mask/{case}/{result}", take_mask, methods=["PUT"]),
    ]


def _list_frames(service: Service, owner: str | None, key: str) -> list[dict[str, Any]] | None:
    """The label maps that an owner's job has left on its way so far; None if there is no such job."""
    job = next((job for job in service.jobs.of(owner or "") if job.id == key), None)
    if job is None or owner is None:
        return None
    return [
        {
            "iteration": frame["iteration"],
            "url": f"/medseg/file/{service.storage.share(job.folder / frame['file'], owner=owner)}",
        }
        for frame in find_frames(job.folder)
    ]


def refuse(_: Request, error: Exception) -> Response:
    """The answer to a request that was turned away."""
    assert isinstance(error, _RefusedError)  # it is registered for these alone
    return PlainTextResponse(str(error), status_code=error.status)


REFUSALS = {_RefusedError: refuse}


def _check_sender(request: Request, service: Service) -> str:
    """Whose request it is; pages of other sites cannot read the token that must be sent back."""
    owner = service.owners.owner(request.cookies)
    if owner is None:
        raise _RefusedError(401, "Log in first.")
    cookie, header = request.cookies.get("_streamlit_xsrf", ""), request.headers.get("x-xsrftoken", "")
    if not cookie or not hmac.compare_digest(cookie.encode(), header.encode()):
        raise _RefusedError(403, "The request does not come from a page of this viewer; reload the page.")
    return owner


async def _stream_to_disk(request: Request, target: Path, *, limit: int) -> int:
    """Write a request's body to a file and return its size; too much of it leaves nothing."""
    free = shutil.disk_usage(target.parent).free - _SPARE_BYTES
    _check_size(int(request.headers.get("content-length") or 0), limit=limit, free=free)
    size = 0
    buffer = bytearray()
    with target.open("wb") as file:
        try:
            async for chunk in request.stream():
                size += len(chunk)
                _check_size(size, limit=limit, free=free)
                buffer += chunk
                if len(buffer) >= _BUFFER_BYTES:
                    await to_thread.run_sync(file.write, bytes(buffer))
                    buffer.clear()
            file.write(buffer)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
    return size


def _check_size(size: int, *, limit: int, free: int) -> None:
    if size > limit:
        raise _RefusedError(413, f"This is more than the {limit / 1e6:.0f} MB that are taken at once.")
    if size > free:
        raise _RefusedError(507, "The server's disk is full; close images that you no longer need.")

"""The page and the REST interface."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from ..utils.text import printable
from ..version import __version__
from .guard import Guard
from .limits import Limits, Refused, check_photo, file_name
from .pool import Pool
from .schema import ERRORS, UPLOAD, Model, Photo, Result, ViewName

STATIC = Path(__file__).with_name("static")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
PAGE = {f"/{path.name}": path for path in sorted(STATIC.iterdir()) if path.suffix in TYPES}
PAGE["/"] = PAGE.pop("/index.html")
"""Everything that is served from a file; no path of a request is ever opened."""

Threshold = Annotated[
    float | None, Query(ge=0, le=1, allow_inf_nan=False, description="None: the model's own")
]
ViewOption = Annotated[ViewName | None, Query(description="None: the first that the model has")]


def make_app(pool: Pool, limits: Limits, names: Iterable[str] = ()) -> Guard:
    """The ASGI application; the workers of `pool` end with it.

    Args:
        names: host names of the server; see `Guard`.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await pool.stop()

    app = FastAPI(
        title="mmmaskformer",
        version=__version__,
        description="Masks of photographs, from one model.",
        docs_url=None,  # those pages fetch scripts from another host
        redoc_url=None,
        lifespan=lifespan,
    )
    add_page(app)
    add_photos(app, pool, limits)
    add_answers(app, pool)
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    return Guard(app, limits, names)


def add_page(app: FastAPI) -> None:
    """The page and its parts, read once."""

    def adder(content: bytes, media_type: str) -> Callable[[], Any]:
        async def part() -> Response:
            headers = {"cache-control": "no-cache"}
            return Response(content, media_type=media_type, headers=headers)

        return part

    for route, path in PAGE.items():
        part = adder(path.read_bytes(), TYPES[path.suffix])
        app.add_api_route(route, part, include_in_schema=False)


def add_photos(app: FastAPI, pool: Pool, limits: Limits) -> None:
    """The REST interface: the model, and photographs that come in."""

    @app.get("/model", response_model=Model)
    async def model() -> dict[str, Any]:
        """The model: its classes, views and thresholds."""
        most = {"max_bytes": limits.bytes, "max_pixels": limits.pixels}
        return {**pool.description, **most, "workers": len(pool.workers)}

    @app.get("/health")
    async def health() -> dict[str, int]:
        """How many workers are ready, how many of them run the network, and how many photographs
        wait."""
        ready = sum(worker.description is not None for worker in pool.workers)
        busy = sum(worker.busy for worker in pool.workers)
        return {"workers": ready, "busy": busy, "waiting": pool.waiting}

    async def segment(request: Request) -> dict[str, Any]:
        content, name = await read_upload(request, limits)
        await asyncio.to_thread(check_photo, content, name, limits)
        return await pool.predict(content, name, request.is_disconnected)

    @app.post("/predict", response_model=Result, responses=ERRORS, openapi_extra=UPLOAD,
              response_model_exclude_unset=True)  # fmt: skip
    async def predict(
        request: Request,
        view: ViewOption = None,
        object_threshold: Threshold = None,
        overlap_threshold: Threshold = None,
        ids: Annotated[
            Literal["png", "none"], Query(description="whether the answer has the map of ids")
        ] = "png",
    ) -> dict[str, Any]:
        """Segment a photograph, and forget it."""
        key = (await segment(request))["id"]
        try:
            asked = view_arguments(pool, view, object_threshold, overlap_threshold)
            found = await pool.call(key, "result", *asked)
            if ids == "png":
                png = await pool.call(key, "png", *asked)
                found = {**found, "png": base64.b64encode(png).decode()}
            return found
        finally:
            await pool.call(key, "forget")

    @app.post("/photos", response_model=Photo, responses=ERRORS, openapi_extra=UPLOAD)
    async def add(request: Request) -> dict[str, Any]:
        """Run the network on a photograph, and keep what it says: thresholds can be changed
        without another run."""
        return await segment(request)


def add_answers(app: FastAPI, pool: Pool) -> None:
    """The REST interface to the photographs that are kept."""

    @app.delete("/photos/{key}", status_code=204, responses=ERRORS)
    async def forget(key: str) -> None:
        """Forget a photograph."""
        await pool.call(key, "forget")

    @app.get("/photos/{key}/map", responses=ERRORS)
    async def shown_map(
        key: str,
        view: ViewOption = None,
        object_threshold: Threshold = None,
        overlap_threshold: Threshold = None,
        full: bool = False,
    ) -> Response:
        """For the page: the length of a json as 4 bytes, the json, which has the width, the height
        and the segments, and 2 bytes for each pixel, its id; little endian, gzipped. Large
        photographs are made smaller unless `full`."""
        asked = view_arguments(pool, view, object_threshold, overlap_threshold)
        content = await pool.call(key, "map", *asked, full)
        return kept_by_nobody(content, "application/octet-stream", {"content-encoding": "gzip"})

    @app.get("/photos/{key}/result.json", response_model=Result, responses=ERRORS,
             response_model_exclude_unset=True)  # fmt: skip
    async def result(
        key: str,
        view: ViewOption = None,
        object_threshold: Threshold = None,
        overlap_threshold: Threshold = None,
    ) -> dict[str, Any]:
        """The segments of a view, at the photograph's size."""
        asked = view_arguments(pool, view, object_threshold, overlap_threshold)
        return await pool.call(key, "result", *asked)

    @app.get("/photos/{key}/ids.png", responses=ERRORS)
    async def png(
        key: str,
        view: ViewOption = None,
        object_threshold: Threshold = None,
        overlap_threshold: Threshold = None,
    ) -> Response:
        """The ids of a view as a png, at the photograph's size; see `Result.png`."""
        asked = view_arguments(pool, view, object_threshold, overlap_threshold)
        return kept_by_nobody(await pool.call(key, "png", *asked), "image/png")

    @app.get("/photos/{key}/queries/{number}", responses=ERRORS)
    async def query(key: str, number: int) -> Response:
        """For the page: the mask of a query, its probabilities times 255 on the photograph's
        `grid`, a byte each."""
        return kept_by_nobody(await pool.call(key, "query", number), "application/octet-stream")


async def read_upload(request: Request, limits: Limits) -> tuple[bytes, str]:
    """Content and name of the field `file` of a form.

    Raises:
        Refused: there is none, or its sender takes too long.
    """

    async def read() -> tuple[bytes, str]:
        async with request.form(max_files=1, max_fields=8) as form:
            upload = form.get("file")
            if not isinstance(upload, UploadFile):
                raise Refused(400, "wanted multipart/form-data with a photograph as `file`")
            return await upload.read(), file_name(upload.filename)

    try:
        return await asyncio.wait_for(read(), limits.seconds)
    except ClientDisconnect:
        raise Refused(499, "nobody waits for an answer") from None
    except asyncio.TimeoutError:
        raise Refused(408, f"the upload took more than {limits.seconds:g} s") from None


def view_arguments(
    pool: Pool, view: str | None, object_threshold: float | None, overlap_threshold: float | None
) -> tuple[str, float, float]:
    """What was asked for, with the model's own values where nothing was."""
    model = pool.description
    return (
        view or model["views"][0],
        model["object_threshold"] if object_threshold is None else object_threshold,
        model["overlap_threshold"] if overlap_threshold is None else overlap_threshold,
    )


def kept_by_nobody(content: bytes, kind: str, headers: dict[str, str] | None = None) -> Response:
    """An answer that no cache keeps: photographs are private."""
    headers = {**(headers or {}), "cache-control": "no-store"}
    return Response(content, media_type=kind, headers=headers)


async def on_refused(_: Request, error: Any) -> Response:
    wait = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
    return JSONResponse({"error": error.text}, error.status, headers=wait)


async def on_http_error(_: Request, error: Any) -> Response:
    text = printable(" ".join(str(error.detail).split()))
    return JSONResponse({"error": text}, error.status_code, headers=error.headers)


async def on_wrong_value(_: Request, error: Any) -> Response:
    first = error.errors()[0]
    where = printable(".".join(str(part) for part in first["loc"][1:]))
    return JSONResponse({"error": f"{where}: {first['msg']}"}, 422)


HANDLERS = {
    Refused: on_refused,
    HTTPException: on_http_error,
    RequestValidationError: on_wrong_value,
}

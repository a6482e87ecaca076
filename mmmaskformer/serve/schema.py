"""The forms of requests and answers, for OpenAPI."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

ViewName = Literal["panoptic", "semantic", "queries"]


class Model(BaseModel):
    """The model of the server."""

    model: str
    device: str
    views: list[ViewName]
    classes: list[str]
    object_threshold: float = Field(description="that of the model, in [0, 1]")
    overlap_threshold: float = Field(description="that of the model, in [0, 1]")
    panoptic_thresholds: list[str] = Field(description="those on which the panoptic view depends")
    workers: int
    max_bytes: int
    max_pixels: int


class Photo(BaseModel):
    """A photograph whose answer is kept for a while."""

    id: str = Field(description="with which its views are asked for")
    name: str
    width: int
    height: int
    grid: tuple[int, int] = Field(description="height and width of the masks of queries")
    network_seconds: float


class Segment(BaseModel):
    """A segment (panoptic), a class (semantic) or a query."""

    id: int = Field(description="its number among the ids of the view")
    category_id: int = Field(description="index of the class")
    class_: str = Field(alias="class")
    score: float | None = Field(None, description="probability of the class; not for semantic")
    isthing: bool | None = Field(None, description="panoptic only")
    query: int | None = Field(None, description="number of the query; queries only")
    area: int = Field(description="in pixels")
    box: tuple[int, int, int, int] | None = Field(
        description="x0, y0, x1, y1 in pixels, the last two exclusive"
    )
    color: tuple[int, int, int] = Field(description="in which the page paints it, RGB")


class Result(BaseModel):
    """One view of a photograph, at the photograph's size."""

    id: str
    name: str
    width: int
    height: int
    view: ViewName
    object_threshold: float | None = None
    overlap_threshold: float | None = None
    model: str
    segments: list[Segment]
    png: str | None = Field(
        None,
        description="base64. Panoptic: RGB, ids as R + 256 G + 65536 B, 0 is void. Semantic and "
        "queries: grey, index of the class or number of the query, the largest value is none",
    )


class Error(BaseModel):
    """Why a request was refused."""

    error: str = Field(description="one line")


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": text}
    for status, text in {
        400: "The request is malformed, or the file is empty.",
        403: "The request names another host, or comes from the page of another site.",
        404: "The photograph is not kept any more.",
        408: "The upload took too long.",
        413: "The file has too many bytes, or the photograph too many pixels.",
        415: "The file is no JPEG, PNG, WebP or BMP.",
        422: "The photograph is damaged, or a value is out of its range.",
        500: "The program failed.",
        503: "Too many photographs wait; try again after the seconds of Retry-After.",
        504: "The network took too long.",
    }.items()
}

UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            }
        },
    }
}

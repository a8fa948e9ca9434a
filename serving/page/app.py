"""What the page answers: its own files, the models' states, and for one image file the picture, a prediction or a heat map.

    GET  /                                        the page; /page.css, /….js: its parts
    GET  /api/models                              {"server", "models": [ModelState, …]}
    POST /api/picture                             grey levels, a byte each, row by row; header Picture-Size: WIDTHxHEIGHT
    POST /api/prediction?model=M                  Prediction.to_json() without a path, and `numbered`
    POST /api/heat-map?model=M&index=CLASS        {"prediction", "explained", "maps": {"": …, MEMBER: …}}

The body of a POST is the file itself. Nothing of it outlives the answer; nothing is written to a file or a log. Errors are Problems.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cxr.core import disclaimer, features
from cxr.core.errors import CxrError
from cxr.serving.client.inputs import grey_image
from cxr.serving.client.predictions import Prediction
from cxr.serving.page.guard import BODY_TYPE
from cxr.serving.page.problems import Problem, of_body, of_error
from cxr.serving.page.served import Served, time_of
from cxr.serving.server import rest_body
from cxr.serving.server.errors import ServingError
from cxr.serving.server.options import Limits

STATIC = Path(__file__).parent / "static"
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
PICTURE_SIDE = 2048  # pixels; longer pictures are scaled down for the screen, whatever the models are given
WORKERS = 4  # files that are read, or asked about, at a time
_BODIES = 3  # largest files that the page holds at a time; static/queue.js sends as many

_INDEX = re.compile(r"-1|[0-9]{1,4}")

log = logging.getLogger(__name__)
Endpoint = Callable[[Request], Awaitable[Response]]
Answer = Callable[[bytes, str, int], Response]  # of a file, the model's name and the class


def make_app(served: Served, limits: Limits, body_seconds: float) -> Starlette:
    """Makes the application.

    Args:
      served: answers about models.
      limits: of a file, as of an embedded server's requests.
      body_seconds: that one may take to arrive.
    """
    return _Page(served, limits, body_seconds).app


class _Page:
    def __init__(self, served: Served, limits: Limits, body_seconds: float):
        self._served, self._limits, self._body_seconds = served, limits, body_seconds
        self._memory = rest_body.Memory(_BODIES * limits.max_message_bytes)
        self._free = asyncio.Semaphore(WORKERS)
        routes = [Route(path, partial(_file, content, kind)) for path, (content, kind) in _files(limits.max_message_bytes).items()]
        routes.append(Route("/api/models", _answered(self._models)))
        answers: dict[str, Answer] = {"picture": self._picture, "prediction": self._prediction, "heat-map": self._heat_map}
        for path, answer in answers.items():
            routes.append(Route(f"/api/{path}", _answered(partial(self._about_file, answer)), methods=["POST"]))
        self.app = Starlette(routes=routes)

    async def _models(self, request: Request) -> Response:
        states = await asyncio.to_thread(self._served.overview)
        return JSONResponse({"server": self._served.server, "models": [state.to_json() for state in states]})

    async def _about_file(self, answer: Answer, request: Request) -> Response:
        """Reads the file and has a worker answer about it."""
        limit = self._limits.max_message_bytes
        with self._memory.lease() as lease:
            try:
                content = await rest_body.read(request, lease, limit, self._body_seconds)
            except ServingError as error:
                headers = {"Connection": "close"} if rest_body.ends_connection(request, error) else None
                return _refused(of_body(error, limit), headers)
            index = request.query_params.get("index", str(features.PREDICTED_CLASS))
            if not _INDEX.fullmatch(index):
                return _refused(Problem(HTTPStatus.BAD_REQUEST, "page", "A class is asked for by its number."))
            async with self._free:
                return await asyncio.to_thread(answer, bytes(content), request.query_params.get("model", ""), int(index))

    def _picture(self, content: bytes, *_: object) -> Response:
        image = grey_image(content, PICTURE_SIDE, self._limits.max_image_pixels)
        height, width = image.array.shape
        of_file = "x".join(map(str, reversed(image.original_size)))
        headers = {"Picture-Size": f"{width}x{height}", "Original-Size": of_file}
        return Response(image.array.tobytes(), headers=headers, media_type=BODY_TYPE)

    def _prediction(self, content: bytes, model: str, _: int) -> Response:
        return JSONResponse(_told(self._served.predict(model, content)))

    def _heat_map(self, content: bytes, model: str, index: int) -> Response:
        found = self._served.predict(model, content, index)
        assert found.heat_map is not None  # it was asked for
        maps = {"": found.heat_map.heat, **found.heat_map.members}
        told = {"explained": found.heat_map.explained, "maps": {name: _levels(heat) for name, heat in maps.items()}}
        return JSONResponse({"prediction": _told(found), **told})


def _told(prediction: Prediction) -> dict[str, Any]:
    told = replace(prediction, heat_map=None).to_json()
    del told["path"]
    # JavaScript puts keys that look like numbers first, so that the classes' order is a list.
    return {**told, "classes": list(prediction.probabilities), "numbered": time_of(prediction.version)}


def _levels(heat: npt.NDArray[np.float32]) -> dict[str, Any]:
    """Returns a map as the browser takes it: bytes, row by row, in base64."""
    rows, columns = heat.shape
    levels = np.round(np.clip(heat, 0, 1) * 255).astype(np.uint8)
    return {"rows": rows, "columns": columns, "levels": base64.b64encode(levels.tobytes()).decode()}


def _answered(endpoint: Endpoint) -> Endpoint:
    """Turns errors into answers. Of one that nobody foresaw the log has the type only: its text may quote a header."""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except CxrError as error:
            return _refused(of_error(error))
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody reads it
        except asyncio.CancelledError:  # the time for answers under way is over: uvicorn would log a traceback
            return _refused(Problem(HTTPStatus.SERVICE_UNAVAILABLE, "server", "This page is being shut down.", again=True))
        except Exception as error:
            log.error("the page could not answer: %s", type(error).__name__)
            return _refused(Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "page", "This page failed on the file: an error of the page."))

    return answered


def _refused(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(problem.to_json(), problem.status, headers)


def _files(max_bytes: int) -> dict[str, tuple[bytes, str]]:
    """Returns the page's own files by path: content and media type. They are read once, so that no request names a file."""
    files = {f"/{file.name}": (file.read_bytes(), MEDIA_TYPES[file.suffix]) for file in STATIC.iterdir() if file.suffix in MEDIA_TYPES}
    template = jinja2.Template((STATIC / "index.html.j2").read_text(encoding="utf-8"), autoescape=True, undefined=jinja2.StrictUndefined)
    html = template.render(disclaimer=disclaimer, features=features, max_bytes=max_bytes)
    return {"/": (html.encode(), "text/html"), **files}


async def _file(content: bytes, media_type: str, request: Request) -> Response:
    return Response(content, media_type=media_type)

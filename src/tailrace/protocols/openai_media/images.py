"""`POST /images/generations`: from a prompt to an image, with previews if the server streams them
(`image_generation.partial_image`, `.completed`); other servers answer in JSON.

Fields and events follow `ImagesResponse` and `ImageGenStreamEvent` of openai 3.52.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.items import ImagePart, Message
from tailrace.events.request import ModelRequest
from tailrace.protocols.contract import HttpRequest
from tailrace.protocols.framing import json_bounds
from tailrace.protocols.framing.sse import SseEvent
from tailrace.protocols.openai_media.prompt import options, prompt
from tailrace.protocols.upstream import NO_EVENT, SseReplyDecoder, http_failure
from tailrace.protocols.upstream_errors import server_failure
from tailrace.protocols.upstream_events import words

PREVIEWS = 2
MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


class ImagesCodec:
    """`UpstreamCodec` for images. Options of the request (`size`, `quality` …) are passed on."""

    dialect: str = "images"

    def request(self, request: ModelRequest, model: str) -> HttpRequest:
        body = {
            "stream": True,
            "partial_images": PREVIEWS,
            **options(request, self.dialect),
            "model": model,
            "prompt": prompt(request),
            "n": 1,
        }
        return HttpRequest("/images/generations", {}, msgspec.json.encode(body))

    def decoder(self, model: str) -> ImagesDecoder:
        return ImagesDecoder(model)

    def failure(self, status: int, body: bytes) -> ModelFailed:
        return http_failure(status, body, self.dialect)


class ImagesDecoder(SseReplyDecoder):
    """One image: a stream of events, or one JSON document."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self._item: int | None = None
        self._document: list[bytes] | None = None
        self._has_data = False

    def feed(self, data: bytes) -> list[t.Payload]:
        if not self._has_data and data.strip():
            self._has_data = True
            self._document = [] if data.lstrip().startswith(b"{") else None
        if self._document is None:
            return super().feed(data)
        self._document.append(data)
        self.progress += bool(data.strip())
        return []

    def _event(self, event: SseEvent) -> None:
        fields = _object(event.data)
        kind = str(fields.get("type") or event.event)
        if kind.endswith(".partial_image"):
            preview = t.ImagePartial(self._start(), _base64(fields), _media_type(fields))
            self._emit(preview)
        elif kind.endswith(".completed"):
            self._whole(fields, fields)
        elif "error" in fields or kind == "error":
            raise server_failure(words(fields.get("error") or fields), fields)

    def _end_without_final_event(self) -> None:
        if self._document is None:
            super()._end_without_final_event()
            return
        try:
            document = _object(b"".join(self._document))
            (picture,) = document["data"]
            self._whole(document, picture)
        except ModelFailed as failure:
            self.failure = failure
        except NO_EVENT:
            self.failure = ModelFailed("The model server sent no picture.")

    def _whole(self, about: dict[str, Any], picture: dict[str, Any]) -> None:
        item = self._start()
        url = str(picture.get("url") or f"data:{_media_type(about)};base64,{_base64(picture)}")
        self._finish(item, content=Message(role="assistant", content=(ImagePart(url),)))
        usage = cast("dict[str, Any]", about.get("usage") or {})
        counts = (int(usage.get("input_tokens") or 0), int(usage.get("output_tokens") or 0))
        self._emit(t.Usage(self._model, input=counts[0], output=counts[1]))
        self.done = True

    def _start(self) -> int:
        if self._item is None:
            self._item = self._open("image")
        return self._item


def _object(data: bytes) -> dict[str, Any]:
    if excess := json_bounds.fault(data):
        raise ModelFailed(f"The model server sent an answer that {excess}.")
    return msgspec.json.decode(data, type=dict[str, Any])


def _base64(fields: dict[str, Any]) -> str:
    data = fields.get("b64_json")
    if not isinstance(data, str) or not data:
        raise ModelFailed("The model server sent a picture without data.")
    return data


def _media_type(fields: dict[str, Any]) -> str:
    return MEDIA_TYPES.get(str(fields.get("output_format")), "image/png")

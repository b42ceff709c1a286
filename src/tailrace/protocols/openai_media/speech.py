"""`POST /audio/speech`: from a text to audio, streamed as plain bytes.

Fields follow `SpeechCreateParams` of openai 3.52. The bytes are shown as base64 in pieces that can be
joined.
"""

from __future__ import annotations

import base64

import msgspec

from tailrace.errors import ModelFailed
from tailrace.events import types as t
from tailrace.events.items import AudioPart, Message
from tailrace.events.request import ModelRequest
from tailrace.protocols.contract import HttpRequest
from tailrace.protocols.openai_media.prompt import options, prompt
from tailrace.protocols.upstream import http_failure

FORMAT = "mp3"
VOICE = "alloy"
MAX_AUDIO = 64_000_000
"""Maximum size of one reply, in bytes; a server that sends more does not send speech."""


class SpeechCodec:
    """`UpstreamCodec` for speech. Options of the request (`voice`, `response_format` …) are passed on."""

    dialect: str = "speech"

    def __init__(self) -> None:
        self._format = FORMAT

    def request(self, request: ModelRequest, model: str) -> HttpRequest:
        parameters = {"voice": VOICE, "response_format": FORMAT, **options(request, self.dialect)}
        body = {**parameters, "model": model, "input": prompt(request)}
        self._format = str(parameters["response_format"])
        return HttpRequest("/audio/speech", {"accept": "*/*"}, msgspec.json.encode(body))

    def decoder(self, model: str) -> SpeechDecoder:
        return SpeechDecoder(model, self._format)

    def failure(self, status: int, body: bytes) -> ModelFailed:
        return http_failure(status, body, self.dialect)


class SpeechDecoder:
    """One reply of speech: it ends with the body."""

    def __init__(self, model: str, form: str) -> None:
        self.failure: ModelFailed | None = None
        self.done = False
        self.progress = 0
        self._model = model
        self._form = form
        self._item: int | None = None
        self._rest = b""
        self._size = 0
        self._pieces: list[str] = []

    def feed(self, data: bytes) -> list[t.Payload]:
        payloads: list[t.Payload] = []
        self._size += len(data)
        self.progress += bool(data)
        if self._size > MAX_AUDIO:
            self.failure = ModelFailed(f"The model server sent over {MAX_AUDIO} bytes of audio.")
            return payloads
        if self._item is None and data:
            self._item = 0
            payloads.append(t.ItemStarted(self._item, "audio"))
        whole = self._rest + data
        cut = len(whole) - len(whole) % 3  # base64 of such pieces joins without padding between
        self._rest = whole[cut:]
        return [*payloads, *self._piece(whole[:cut])]

    def close(self) -> list[t.Payload]:
        if self.failure is not None:
            return []
        if self._item is None:
            self.failure = ModelFailed("The model server sent no audio.")
            return []
        deltas = self._piece(self._rest)
        part = AudioPart(data="".join(self._pieces), format=self._form)
        content = Message(role="assistant", content=(part,))
        self.done = True
        return [*deltas, t.ItemCompleted(self._item, content=content), t.Usage(self._model)]

    def _piece(self, data: bytes) -> list[t.Payload]:
        if not data or self._item is None:
            return []
        text = base64.b64encode(data).decode()
        self._pieces.append(text)
        return [t.AudioDelta(self._item, text)]

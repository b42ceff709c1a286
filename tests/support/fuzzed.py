"""The targets of fuzzing: all code that reads bytes from other programs. A target raises only its
documented errors.

`tests/fuzz/test_fuzz.py` runs them over the corpus and a fixed number of changed inputs,
`tests/fuzz/long.py` (`make fuzz`) under atheris for any duration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from tailrace.cli.convert import Converter
from tailrace.errors import BadRequest, Malformed, ModelFailed, Unprocessable
from tailrace.events.types import Payload
from tailrace.http import bodies
from tailrace.protocols.ag_ui import request as ag_ui
from tailrace.protocols.ai_sdk_ui import request as ai_sdk_ui
from tailrace.protocols.anthropic_messages import request as messages
from tailrace.protocols.anthropic_messages.upstream import MessagesCodec
from tailrace.protocols.contract import UpstreamCodec
from tailrace.protocols.framing.sse import SseDecoder, SseEvent
from tailrace.protocols.node_stream import request as native
from tailrace.protocols.openai_chat import request as chat
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tailrace.protocols.openai_media.images import ImagesCodec
from tailrace.protocols.openai_media.speech import SpeechCodec
from tailrace.protocols.openai_responses import conversations
from tailrace.protocols.openai_responses import request as responses
from tailrace.protocols.openai_responses.upstream import ResponsesCodec
from tailrace.protocols.session_lines import request as session

Target = Callable[[bytes], object]

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "fuzz" / "corpus"
TRANSCRIPTS = ROOT / "transcripts"


def _request(decode: Callable[[bytes], object], body: bytes) -> None:
    """As a route does it: bounds first, so a decoder receives no JSON that is deeper."""
    try:
        bodies.check_json(body)
        decode(body)
    except (BadRequest, Unprocessable):
        return


def _bounds(body: bytes) -> None:
    with suppress(BadRequest):
        bodies.check_json(body)


def _pieces(data: bytes) -> Iterator[bytes]:
    """The bytes in pieces, whose size is given by the first byte."""
    size = data[:1][0] + 1 if data else 1
    yield from (data[at : at + size] for at in range(0, len(data), size))


def _upstream(make: Callable[[], UpstreamCodec], data: bytes) -> None:
    """A model server's reply: the complete reply and its pieces give the same result, for any bytes."""
    assert _decoded(make(), [data]) == _decoded(make(), _pieces(data))
    failure = make().failure(500, data)
    assert len(failure.message) < 10_000


def _decoded(codec: UpstreamCodec, pieces: Iterator[bytes] | list[bytes]) -> object:
    decoder = codec.decoder("m")
    made: list[Payload] = []
    for piece in pieces:
        made += decoder.feed(piece)
        if decoder.done or decoder.failure is not None:
            break
    else:
        made += decoder.close()
    # The reply of a model server is streamed in pieces: joined they must be the same.
    return str(decoder.failure), decoder.done, _joined(made)


def _joined(payloads: list[Payload]) -> list[object]:
    joined: list[object] = []
    for payload in payloads:
        last = joined[-1] if joined else None
        key = (type(payload).__name__, getattr(payload, "item", None))
        text = getattr(payload, "text", getattr(payload, "data", None))
        if isinstance(text, str) and isinstance(last, tuple) and last[:2] == key:
            joined[-1] = (*key, last[2] + text)
        else:
            joined.append((*key, text) if isinstance(text, str) else repr(payload))
    return joined


def _sse(data: bytes) -> None:
    """Any way to cut a stream results in the same events."""
    whole, cut = SseDecoder(), SseDecoder()
    pieces: list[SseEvent] = []
    for piece in _pieces(data):
        pieces += cut.feed(piece)
    assert whole.feed(data) == pieces
    assert whole.pending == cut.pending


def _convert(source: str, data: bytes) -> None:
    """A recording of any kind: other data is rejected, with the offset of a byte within it."""
    converter = Converter(source, "native")
    try:
        for piece in _pieces(data):
            for _ in converter.feed(piece):
                pass
        for _ in converter.close():
            pass
    except Malformed as error:
        if not 0 <= error.offset <= len(data):
            raise AssertionError(f"byte {error.offset} of {len(data)}") from error
    except ModelFailed:
        return


REQUESTS: Mapping[str, Callable[[bytes], object]] = {
    "responses": responses.decode,
    "input-tokens": responses.decode_input_tokens,
    "conversations": conversations.decode,
    "chat": chat.decode,
    "messages": partial(messages.decode, version="2026-10-21"),
    "count-tokens": partial(messages.decode_count, version="2023-06-01"),
    "ui": ai_sdk_ui.decode,
    "agui": ag_ui.decode,
    "agui-cancel": ag_ui.decode_cancel,
    "session": session.decode,
    "jobs": native.decode,
    "answers": native.decode_answers,
}
UPSTREAM: Mapping[str, Callable[[], UpstreamCodec]] = {
    "responses": ResponsesCodec,
    "chat": ChatCodec,
    "messages": MessagesCodec,
    "images": ImagesCodec,
    "speech": SpeechCodec,
}
RECORDED = ("responses", "chat", "messages", "ui", "agui", "session", "native")

TARGETS: Mapping[str, Target] = {
    **{f"request-{name}": partial(_request, decode) for name, decode in REQUESTS.items()},
    **{f"upstream-{name}": partial(_upstream, codec) for name, codec in UPSTREAM.items()},
    **{f"recorded-{name}": partial(_convert, name) for name in RECORDED},
    "sse": _sse,
    "bounds": _bounds,
}


def seeds(target: str) -> list[bytes]:
    """The initial inputs: the target's corpus, and for streams also our own output."""
    kept = [path.read_bytes() for path in sorted((CORPUS / target).glob("*"))]
    kind, _, name = target.partition("-")
    if kind == "request" or target == "bounds":
        return kept
    ending = "ndjson" if name == "session" else "sse"
    streams = sorted(TRANSCRIPTS.glob(f"*/{name or 'responses'}.{ending}"))
    return kept + [path.read_bytes() for path in streams]

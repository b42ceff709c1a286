"""Server-sent events: every line ending, any chunking."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.errors import ModelFailed
from tailrace.protocols.framing import sse
from tailrace.protocols.framing.sse import SseDecoder, SseEvent

CASES: dict[str, tuple[bytes, list[SseEvent]]] = {
    "plain": (b"data: a\n\ndata: b\n\n", [SseEvent("", b"a"), SseEvent("", b"b")]),
    "named": (b"event: x\ndata: a\n\n", [SseEvent("x", b"a")]),
    "no space": (b"data:a\n\n", [SseEvent("", b"a")]),
    "two spaces": (b"data:  a\n\n", [SseEvent("", b" a")]),
    "many lines": (b"data: a\ndata: b\n\n", [SseEvent("", b"a\nb")]),
    "carriage returns and line feeds": (b"event: x\r\ndata: a\r\n\r\n", [SseEvent("x", b"a")]),
    "carriage returns": (b"data: a\r\rdata: b\r\r:", [SseEvent("", b"a"), SseEvent("", b"b")]),
    "comments": (b": hi\n\n: ping\ndata: a\n\n: x\n\n", [SseEvent("", b"a")]),
    "id and retry": (b"id: 1\nretry: 5\ndata: a\n\nid: 2\n\n", [SseEvent("", b"a")]),
    "a mark at the start": (b"\xef\xbb\xbfdata: a\n\n", [SseEvent("", b"a")]),
    "an unfinished event": (b"data: a\n\ndata: b\n", [SseEvent("", b"a")]),
    "blank lines between": (
        b"data: a\n\n\n\ndata: b\n\n",
        [SseEvent("", b"a"), SseEvent("", b"b")],
    ),
    "empty data": (b"data\n\n", [SseEvent("", b"")]),
}


@pytest.mark.parametrize("name", CASES)
def test_whole_and_byte_by_byte(name: str) -> None:
    data, expected = CASES[name]
    assert SseDecoder().feed(data) == expected
    decoder = SseDecoder()
    found = [event for byte in data for event in decoder.feed(bytes([byte]))]
    assert found == expected


@given(
    texts=st.lists(
        st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), max_size=8
    ),
    ending=st.sampled_from(["\n", "\r\n"]),
    cuts=st.lists(st.integers(0, 200)),
)
def test_any_chunking_gives_the_same_events(texts: list[str], ending: str, cuts: list[int]) -> None:
    data = "".join(f"data: {text}{ending}{ending}" for text in texts).encode()
    decoder, found, start = SseDecoder(), list[bytes](), 0
    for cut in [*sorted(cuts), len(data)]:
        found += [event.data for event in decoder.feed(data[start:cut])]
        start = max(start, cut)
    assert found == [text.encode() for text in texts]
    assert not decoder.pending


def test_an_endless_event_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT", 100)
    with pytest.raises(ModelFailed):
        SseDecoder().feed(b"data: " + b"x" * 200)


@pytest.mark.parametrize("piece", [b"x\r" * 4000, b"\r" + b"x" * 4095, b"data: x\n" * 500])
def test_the_time_grows_with_the_bytes_and_not_with_their_square(piece: bytes) -> None:
    """A count, not a time: the number of bytes that are joined again while an event does not end."""
    decoder = SseDecoder()
    for _ in range(400):
        assert decoder.feed(piece) == []
    assert len(decoder._pieces) == 400, "what came is put by, not joined at every piece"
    assert len(decoder.feed(b"\n\ndata: end\n\n")) >= 1

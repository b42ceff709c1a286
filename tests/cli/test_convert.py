"""`tailrace convert` turns every recorded stream into every surface, in pieces of any size, and names the
first bad byte."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailrace.cli.convert import SOURCES, Converter
from tailrace.errors import ConfigError, Malformed, Undecodable
from tailrace.service.views import VIEWS
from tests.protocols.test_transcripts import ALL, CHECKS, EXTENSION, FOLDER
from tests.protocols.test_upstream import CODECS, REPORTS, SAYS_NOTHING
from tests.protocols.test_upstream import reply as whole_reply
from tests.support import strict

RECORDINGS = Path(__file__).parents[3] / "shared" / "recordings"
CHECKED = ("responses", "chat", "messages", "session", "agui")
ASKED = ("question_below", "approval_granted", "approval_denied", "approval_pending")
FEW = ("plain", "reasoning", "parallel_tools", "client_tools_first", "failure_inside", "unicode")


def _golden(name: str, surface: str) -> bytes:
    return (FOLDER / name / f"{surface}.{EXTENSION.get(surface, 'sse')}").read_bytes()


def _converted(source: str, target: str, data: bytes, cuts: Sequence[int] = ()) -> list[bytes]:
    converter, made, start = Converter(source, target), list[bytes](), 0
    for cut in [*sorted(cuts), len(data)]:
        made += converter.feed(data[start:cut])
        start = max(start, cut)
    return [*made, *converter.close()]


def _frames(surface: str, made: Sequence[bytes]) -> list[bytes]:
    end = b"\n" if surface == "session" else b"\n\n"
    return [frame + end for frame in b"".join(made).split(end)[:-1]]


@pytest.mark.parametrize(
    ("name", "target"),
    # The golden UI files of runs that ask are for a client that declared which approvals it knows.
    [(name, target) for name in ALL for target in VIEWS if target != "ui" or name not in ASKED],
)
def test_from_the_native_stream_the_bytes_are_those_of_the_run(name: str, target: str) -> None:
    made = b"".join(_converted("native", target, _golden(name, "native")))
    assert made == _golden(name, target)


@pytest.mark.parametrize("target", VIEWS)
@pytest.mark.parametrize("source", [source for source in SOURCES if source != "native"])
def test_every_stream_becomes_every_other(source: str, target: str) -> None:
    for name in ALL:
        frames = _frames(target, _converted(source, target, _golden(name, source)))
        assert frames, name
        if target in SOURCES:  # a stream that is read back without an error is in order
            list(Converter(target, "native").feed(b"".join(frames)))
        if target in CHECKED and name in FEW:
            CHECKS[target](frames)


@pytest.mark.parametrize("source", SOURCES)
@given(name=st.sampled_from(FEW), cuts=st.lists(st.integers(0, 3000), max_size=5))
def test_how_it_is_cut_changes_nothing(source: str, name: str, cuts: list[int]) -> None:
    data = _golden(name, source)
    whole = b"".join(_converted(source, "responses", data))
    assert b"".join(_converted(source, "responses", data, cuts)) == whole


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", FEW)
def test_the_converted_stream_has_the_same_content(source: str, name: str) -> None:
    """The text and the client's calls of a run survive every surface."""

    def words(frames: list[bytes]) -> tuple[str, list[str]]:
        chunks = [msgspec.json.decode(data) for data in strict.data_of(_frames("chat", frames))]
        deltas = [choice["delta"] for chunk in chunks for choice in chunk.get("choices", ())]
        calls = [call for delta in deltas for call in delta.get("tool_calls", ()) if "id" in call]
        names = [call["function"]["name"] for call in calls]
        return "".join("".join(d.get("content") or "" for d in deltas).split()), names

    direct = words(_converted("native", "chat", _golden(name, "native")))
    assert words(_converted(source, "chat", _golden(name, source))) == direct


BAD: dict[str, tuple[str, bytes, int]] = {
    "no JSON": ("chat", b'data: {"choices":[]}\n\ndata: {"choices":!}\n\n', 39),
    "a broken escape": ("responses", b'event: a\ndata: {"type":"\\x"}\n\n', 24),
    "not UTF-8": ("native", b'data: {"type":"\xff"}\n\n', 15),
    "no event of the dialect": ("messages", b'data: {"type":"ping"}\n\ndata: {"type":1}\n\n', 23),
    "a gap": ("native", _golden("plain", "native").split(b"\n\n", 1)[1], 0),
    "a line that is no event": ("session", b'{"type":"session.start"}\n', 0),
    "a line that is no JSON": ("session", b'\n\n{"type":\n', 10),
    "a delta without a start": ("ui", b'data: {"type":"text-delta","id":"x","delta":"y"}\n\n', 0),
    "a chunk that there is not": (
        "ui",
        b'data: {"type":"start"}\n\ndata: {"type":"teXt-delta"}\n\n',
        24,
    ),
    "an event that there is not": ("agui", b'data: {"type":"TEXT_MESSAGE_CONTEXT"}\n\n', 0),
    "an event of no message": (
        "agui",
        b'data: {"type":"TEXT_MESSAGE_CONTENT","messageId":"x","delta":"y"}\n\n',
        0,
    ),
    "a cut in the middle of a frame": ("native", b'data: {"v":1', 12),
    "a cut in the middle of a text": ("native", b'data: {"v":"1', 13),
    "a field that there is not": ("chat", b'data: {"choices":[]}\n\ndXta: {}\n\n', 22),
    "a field of no name": ("responses", b'event: x\n{"type":"x"}\n\n', 9),
}


@pytest.mark.parametrize("name", BAD)
def test_the_first_bad_byte_is_named(name: str) -> None:
    source, data, offset = BAD[name]
    with pytest.raises(Malformed) as caught:
        _converted(source, "chat", data)
    assert caught.value.offset == offset
    assert f"byte {offset}:" in str(caught.value)


ODD = st.sampled_from(
    (
        "NaN",
        "-Infinity",
        "1e999",
        '"\\ud83d"',
        '"\\ude00 and \\ud83d\\ude00"',
        '"\\ud83d\\ud83d"',
        '"tab\tline"',
        '"bytes \\u0000"',
        "[NaN, {}]",
        "null",
    )
)
"""Values that are not valid JSON or not strict text; the decoders accept them."""
BETWEEN = st.sampled_from(
    [*SAYS_NOTHING.values(), *(event for event, _ in REPORTS.values()), b"data: {!\n\n", b""]
)


@pytest.mark.parametrize("dialect", CODECS)
@given(
    halves=st.sampled_from((("", ""), ("\\ud83d", "\\ude00"), ("\\ud83d", ""), ("", "\\ude00"))),
    odd=ODD,
    more=BETWEEN,
    place=st.integers(0, 6),
    end=st.sampled_from((b"\n", b"\r\n")),
)
def test_a_recording_is_read_as_it_is_live(
    dialect: str, halves: tuple[str, str], odd: str, more: bytes, place: int, end: bytes
) -> None:
    frames = whole_reply(dialect, halves)
    frames = [frame.replace(b'{"', b'{"odd":' + odd.encode() + b',"', 1) for frame in frames]
    frames.insert(place, more)
    data = b"".join(frames).replace(b"\n", end)
    decoder = CODECS[dialect].decoder("recorded")
    live = [*decoder.feed(data), *decoder.close()]
    try:
        made = strict.data_of(_frames("native", _converted(dialect, "native", data)))
    except Malformed:
        assert isinstance(decoder.failure, Undecodable)
        return
    told = [msgspec.json.decode(each)["payload"] for each in made]
    assert [each for each in told if each["type"] in PLAIN] == [
        each for each in map(msgspec.to_builtins, live) if each["type"] in PLAIN
    ]
    failed = told[-1] if told[-1]["type"] == "run.failed" else {"message": None}
    assert failed["message"] == (decoder.failure and decoder.failure.message)


PLAIN = ("item.started", "text.delta", "usage")
"""Events to which the fold adds nothing."""


@pytest.mark.parametrize("source", SOURCES)
def test_line_ends_and_a_byte_order_mark_change_nothing(source: str) -> None:
    data = _golden("plain", source)
    whole = b"".join(_converted(source, "responses", data))
    for other in (b"\xef\xbb\xbf" + data, data.replace(b"\n", b"\r\n")):
        assert b"".join(_converted(source, "responses", other)) == whole
    if source != "session":  # its lines end with a line feed
        assert b"".join(_converted(source, "responses", data.replace(b"\n", b"\r"))) == whole


def test_a_stream_that_ends_in_the_middle_is_a_run_that_failed() -> None:
    for source in ("chat", "responses", "messages", "session", "ui", "agui"):
        data = _golden("plain", source)
        end = b"\n" if source == "session" else b"\n\n"
        half = b"".join(data[: len(data) // 2].rpartition(end)[:2])
        made = _converted(source, "responses", half)
        last = strict.data_of(_frames("responses", made))[-1]
        assert b'"response.failed"' in last


@pytest.mark.parametrize(("source", "taken_for"), list(itertools.permutations(SOURCES, 2)))
def test_a_stream_that_is_taken_for_another_fails(source: str, taken_for: str) -> None:
    for name in FEW:
        if name != "failure_inside":  # many dialects have the same form for it
            with pytest.raises(Malformed):
                _converted(taken_for, "chat", _golden(name, source))


@pytest.mark.parametrize("source", SOURCES)
def test_nothing_is_no_stream(source: str) -> None:
    with pytest.raises(Malformed, match=f"no event of a '{source}' stream"):
        _converted(source, "chat", b"")


def test_unknown_surfaces_are_refused() -> None:
    for source, target in (("air", "chat"), ("chat", "air")):
        with pytest.raises(ConfigError, match="air"):
            Converter(source, target)


@pytest.mark.skipif(not RECORDINGS.exists(), reason="the recordings are not beside this checkout")
@pytest.mark.parametrize("source", ["chat", "responses", "messages"])
def test_real_recordings_become_every_surface(source: str) -> None:
    files = sorted((RECORDINGS / source).rglob("*.sse"))
    assert files
    for file in files:
        for target in VIEWS:
            assert b"".join(_converted(source, target, file.read_bytes())), (file.name, target)


def test_the_command_streams_from_input_to_output(tmp_path: Path) -> None:
    program = "from tailrace.cli import main; main()"
    command = [sys.executable, "-c", program, "convert", "--from", "native", "--to", "ui"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        data = _golden("plain", "native")
        half = data.index(b"\n\n") + 2
        process.stdin.write(data[:half])
        process.stdin.flush()
        first = os.read(process.stdout.fileno(), 65_536)
        assert first.startswith(b'data: {"type":"start"')
        process.stdin.write(data[half:])
        process.stdin.close()
        assert first + process.stdout.read() == _golden("plain", "ui")
    assert process.returncode == 0
    done = subprocess.run(command, input=b"data: {\n\n", capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr == b"tailrace: byte 7: not JSON: Input data was truncated\n"

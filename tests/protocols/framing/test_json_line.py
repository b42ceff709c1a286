"""JSON on one line for every reader: the value is the same, and the line contains no line end of any
reader."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from tailrace.protocols.framing import json_line


@given(st.text())
@example("\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e\r\n")
@example("â\x80¨")
def test_a_string_is_the_same_and_on_one_line(text: str) -> None:
    made = json_line.encode({"text": text, text: [text]})
    assert json.loads(made) == {"text": text, text: [text]}
    assert len(made.decode().splitlines()) == 1

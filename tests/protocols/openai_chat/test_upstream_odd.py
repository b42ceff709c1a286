"""Fields of chunks that are of an odd type: a harmless one changes nothing."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.support.chat_replies import OSLO, Json, frames, read

CHUNK: Json = {
    "id": "c",
    "object": "chat.completion.chunk",
    "created": 1,
    "model": "m",
    "system_fingerprint": "f",
}
VALID: list[Json] = [
    {
        **CHUNK,
        "choices": [
            {
                "index": 0,
                "delta": {
                    "role": "assistant",
                    "content": "",
                    "refusal": None,
                    "reasoning_content": "Hm",
                },
                "logprobs": None,
                "finish_reason": None,
            }
        ],
        "usage": None,
    },
    {
        **CHUNK,
        "choices": [
            {
                "index": 0,
                "delta": {"content": "ok", "annotations": [], "images": [], "audio": None},
                "logprobs": {"content": [], "refusal": None},
                "finish_reason": None,
            }
        ],
        "x_groq": {"id": "g"},
    },
    {
        **CHUNK,
        "choices": [
            {
                "index": 0,
                "delta": {
                    "tool_calls": [
                        {
                            "index": 0,
                            "id": "a",
                            "type": "function",
                            "function": {"name": "w", "arguments": OSLO},
                        }
                    ]
                },
                "finish_reason": None,
            }
        ],
    },
    {**CHUNK, "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}], "timings": {}},
    {
        **CHUNK,
        "choices": [],
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 3,
            "total_tokens": 8,
            "prompt_tokens_details": {"cached_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 1},
        },
    },
]
SAYS = frozenset(
    {"choices", "delta", "content", "tool_calls", "function", "name", "arguments", "finish_reason"}
)
"""Fields with meaning: without them the reply is another one. All others are harmless."""
SPOKEN = frozenset(
    {
        "refusal",
        "reasoning_content",
        "reasoning",
        "images",
        "audio",
        "annotations",
        "error",
        "message",
    }
)
"""Fields in which a text or an object has a meaning."""


def _places(value: Json, path: tuple[Json, ...] = ()) -> Iterator[tuple[Json, ...]]:
    entries = (
        enumerate(value)
        if isinstance(value, list)
        else value.items()
        if isinstance(value, dict)
        else ()
    )
    for key, inner in entries:
        if key not in SAYS and not isinstance(key, int):
            yield (*path, key)
        yield from _places(inner, (*path, key))


PLACES = list(_places(VALID))
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(place=st.sampled_from(PLACES), odd=ODD, role=st.booleans())
def test_an_odd_field_changes_nothing(place: tuple[Json, ...], odd: Json, *, role: bool) -> None:
    """With any value of a harmless field, the text, the calls and the finish reason stay."""
    chunks = copy.deepcopy(VALID)
    inner: Json = chunks
    for key in place[:-1]:
        inner = inner[key]
    if place[-1] == "index" and isinstance(odd, (int, float, str)):
        odd = None  # another choice or another call: this value has a meaning
    if place[-1] == "id" and role:
        del inner["id"]
    else:
        inner[place[-1]] = odd
    found = read(frames(*chunks))
    assert found.failure is None
    assert (found.text, found.calls) == ("ok", [("w", OSLO)])
    assert found.usage is not None
    assert found.usage.finish == "tool_calls"


@given(chunk=ODD, place=st.integers(0, len(VALID)))
def test_an_odd_chunk_ends_a_run_by_a_word_or_not_at_all(chunk: Json, place: int) -> None:
    data = b"".join(
        b"data: " + msgspec.json.encode(each) + b"\n\n"
        for each in [*VALID[:place], chunk, *VALID[place:]]
    )
    found = read(data + b"data: [DONE]\n\n")
    if found.failure is None:
        assert (found.text, found.calls) == ("ok", [("w", OSLO)])
    else:
        assert isinstance(chunk, (str, list, dict))
        assert "cannot be read" in found.failure.message or isinstance(chunk, dict)

"""Ends and usage in the replies of chat servers: a failure is reported as one, and a complete reply is
read."""

from __future__ import annotations

import pytest

from tailrace.events import types as t
from tailrace.protocols.openai_chat.upstream import ChatCodec
from tests.support.chat_replies import STOP, Json, f, frames, read, tool

ENDS: dict[str, tuple[Json, bool, str]] = {
    "stop": ("stop", True, "stop"),
    "in capitals": ("STOP", True, "stop"),
    "an end of turn": ("end_turn", True, "stop"),
    "a limit": ("MAX_TOKENS", True, "length"),
    "Mistral's limit": ("model_length", True, "length"),
    "a filter": ("SAFETY", True, "content_filter"),
    "none, and done": (None, True, "stop"),
    "empty, and done": ("", True, "stop"),
    "the word null, and done": ("null", True, "stop"),
    "of an odd type, and done": ({"reason": "stop"}, True, "stop"),
    "none, and not done": (None, False, ""),
    "abort": ("abort", True, ""),
    "error": ("error", True, ""),
    "DeepSeek": ("insufficient_system_resource", True, ""),
    "Gemini": ("MALFORMED_FUNCTION_CALL", True, ""),
    "a word that nobody knows": ("gone_fishing", True, ""),
}


@pytest.mark.parametrize("name", ENDS)
def test_why_a_reply_ends(name: str) -> None:
    reason, done, finish = ENDS[name]
    found = read(frames({"delta": {"content": "par"}, "finish_reason": reason}, done=done))
    assert found.text == "par"
    if finish:
        assert found.failure is None
        assert found.usage is not None
        assert found.usage.finish == finish
    else:
        assert found.failure is not None


FAILS: dict[str, tuple[bytes, str]] = {
    "done and nothing else": (b"data: [DONE]\n\n", "said nothing"),
    "a role and nothing else": (
        frames({"delta": {"role": "assistant", "content": ""}}),
        "said nothing",
    ),
    "a call that is cut, and done": (
        frames(tool(f("w", '{"city":', index=0))),
        "ended in the middle",
    ),
    "error text in a choice": (
        frames(
            {"delta": {"content": ""}, "finish_reason": "error", "error": {"message": "too hot"}}
        ),
        "too hot",
    ),
    "an error in a delta": (frames({"delta": {"error": {"message": "too hot"}}}), "too hot"),
    "a message that is one": (
        frames({"message": {"error": "too hot"}, "finish_reason": "error"}),
        "too hot",
    ),
    "an error and choices": (
        frames({"choices": [{"delta": {"content": "par"}}], "error": {"message": "too hot"}}),
        "too hot",
    ),
    "only words": (frames({"choices": None, "message": "too hot"}), "too hot"),
}


@pytest.mark.parametrize("name", FAILS)
def test_what_fails_is_no_success(name: str) -> None:
    data, words = FAILS[name]
    failure = read(data).failure
    assert failure is not None
    assert words in failure.message


WHOLE: dict[str, bytes] = {
    "a message in one chunk": frames({"message": {"content": "ok"}, "finish_reason": "stop"}),
    "a document": b'{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant",'
    b'"content":"ok"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":3}}',
    "lines of JSON": frames({"delta": {"content": "ok"}}, STOP, done=False)
    .replace(b"data: ", b"")
    .replace(b"\n\n", b"\n"),
    "a message beside its deltas": frames(
        {"delta": {"content": "ok"}}, {"message": {"content": "ok"}, "finish_reason": "stop"}
    ),
    "a text of old": frames({"text": "ok", "finish_reason": "stop"}),
    "content in parts": frames(
        {"delta": {"content": [{"type": "text", "text": "o"}, {"text": "k"}]}}, STOP
    ),
    "content that is one part": frames(
        {"delta": {"content": {"type": "text", "text": "ok"}}}, STOP
    ),
    "a choice that is no list": frames(
        {"choices": {"delta": {"content": "ok"}, "finish_reason": "stop"}}
    ),
    "another choice beside it": frames(
        {
            "choices": [
                {"index": 0, "delta": {"content": "ok"}},
                {"index": 1, "delta": {"content": "no"}},
            ]
        },
        STOP,
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_message_is_read(name: str) -> None:
    found = read(WHOLE[name])
    assert (found.text, found.failure) == ("ok", None)


COUNTS: dict[str, Json] = {
    "in a chunk": {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 3}},
    "with fractions": {"choices": [], "usage": {"prompt_tokens": 5.0, "completion_tokens": 3.5}},
    "as texts": {"choices": [], "usage": {"prompt_tokens": "5", "completion_tokens": "3"}},
    "without choices": {"usage": {"prompt_tokens": 5, "completion_tokens": 3}, "choices": None},
    "in the choice": {
        "choices": [{"delta": {}, "usage": {"prompt_tokens": 5, "completion_tokens": 3}}]
    },
    "Groq": {"choices": [], "x_groq": {"usage": {"prompt_tokens": 5, "completion_tokens": 3}}},
    "llama.cpp": {"choices": [], "timings": {"prompt_n": 5, "predicted_n": 3}},
    "in the words of Responses": {"choices": [], "usage": {"input_tokens": 5, "output_tokens": 3}},
}


@pytest.mark.parametrize("name", COUNTS)
def test_tokens_are_counted_wherever_they_stand(name: str) -> None:
    usage = read(frames({"delta": {"content": "ok"}}, STOP, COUNTS[name])).usage
    assert usage is not None
    assert (usage.input, usage.output) == (5, 3)


@pytest.mark.parametrize("odd", [-1, True, None, "", "many", [], {}, 1e300, "1" * 400, 2**70])
def test_counts_that_cannot_be_read_are_none(odd: Json) -> None:
    chunk = {"choices": [], "usage": {"prompt_tokens": odd, "completion_tokens": 3}}
    usage = read(frames({"delta": {"content": "ok"}}, STOP, chunk)).usage
    assert usage is not None
    assert (usage.input, usage.output) == (0, 3)


@pytest.mark.parametrize("number", ["-Infinity", "Infinity", "NaN", "1e999", "null"])
def test_a_probability_of_nothing_is_a_number(number: str) -> None:
    token = (
        f'{{"token":"ok","logprob":{number},"top_logprobs":[{{"token":"a","logprob":{number}}}]}}'
    )
    choice = f'"delta":{{"content":"ok"}},"logprobs":{{"content":[{token}]}},"finish_reason":"stop"'
    decoder = ChatCodec().decoder("m")
    made = decoder.feed(f'data: {{"choices":[{{{choice}}}]}}\n\n'.encode())
    (delta,) = [p for p in made if isinstance(p, t.TextDelta)]
    assert delta.logprobs == (
        {"token": "ok", "logprob": -9999.0, "top_logprobs": [{"token": "a", "logprob": -9999.0}]},
    )

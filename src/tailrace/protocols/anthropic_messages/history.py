"""Makes the conversation of another dialect valid for the Messages API: calls and their results.

The API requires the results of an assistant's calls at the beginning of the next message, one for each
call, under unique ids of letters, digits, `_` and `-`. Other dialects allow messages in between, results
that come later, earlier or never, and their servers make ids of any characters, some of them the same ids
in each reply. Nothing is omitted: a result without a call becomes text, and a call without a result gets an
error result that states it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from tailrace.protocols.fields import Object

NO_RESULT = "No result was given."
_ODD = re.compile(r"[^a-zA-Z0-9_-]")


def legal(turns: list[Object]) -> list[Object]:
    """The messages, with each call's result at the position that the API requires."""
    call_ids = _rename_calls(turns)
    results = {
        block["tool_use_id"]: block
        for turn in turns
        for block in turn.get("content", ())
        if block["type"] == "tool_result" and block["tool_use_id"] in call_ids
    }
    messages: list[Object] = []
    open_calls: list[str] = []
    for turn in turns:
        content = turn.get("content", [])
        answers = [_answer(results, id) for id in open_calls]
        if turn["role"] == "user":
            content = [*answers, *_rest(content, call_ids)]
            open_calls = []
        else:
            if answers:
                messages.append({"role": "user", "content": answers})
            open_calls = [block["id"] for block in content if block["type"] == "tool_use"]
        if content or turn["role"] == "system":
            messages.append({**turn, "content": content} if content else turn)
    if open_calls:
        messages.append({"role": "user", "content": [_answer(results, id) for id in open_calls]})
    return _join(messages)


def _rename_calls(turns: list[Object]) -> set[str]:
    """Give all calls ids that the API accepts, and each result the id of its call: among calls with the
    same id, the first result belongs to the first call. Returns the ids of the calls; a result with any
    other id has no call."""
    ids: dict[tuple[str, int], str] = {}
    used_ids: set[str] = set()
    for block, key in _with_ordinals(turns, "tool_use", "id"):
        plain, number = _ODD.sub("_", key[0]) or "call", 2
        id = plain
        while id in used_ids:
            id, number = f"{plain}_{number}", number + 1
        used_ids.add(id)
        ids[key] = block["id"] = id
    for block, key in _with_ordinals(turns, "tool_result", "tool_use_id"):
        block["tool_use_id"] = ids.get(key, f"{key[0]} ")  # the space marks the id of no call
    return used_ids


def _with_ordinals(
    turns: list[Object], kind: str, name: str
) -> Iterator[tuple[Object, tuple[str, int]]]:
    """The blocks of a type, each with its id and the number of earlier blocks with that id."""
    counts: Counter[str] = Counter()
    for turn in turns:
        for block in turn.get("content", ()):
            if block["type"] == kind:
                id: str = block[name]
                yield block, (id, counts[id])
                counts[id] += 1


def _answer(results: dict[str, Object], id: str) -> Object:
    none: Object = {
        "type": "tool_result",
        "tool_use_id": id,
        "content": [{"type": "text", "text": NO_RESULT}],
        "is_error": True,
    }
    return results.get(id, none)


def _rest(content: list[Object], call_ids: set[str]) -> Iterator[Object]:
    """The content of a user's message without the results of calls."""
    for block in content:
        if block["type"] != "tool_result":
            yield block
        elif block["tool_use_id"] not in call_ids:
            yield {"type": "text", "text": f"Result of the call {block['tool_use_id'].strip()}:"}
            yield from block.get("content", ())


def _join(turns: list[Object]) -> list[Object]:
    """The messages, with consecutive ones of the same role joined, except system messages."""
    messages: list[Object] = []
    for turn in turns:
        if messages and messages[-1]["role"] == turn["role"] != "system":
            messages[-1] = {**messages[-1], "content": [*messages[-1]["content"], *turn["content"]]}
        else:
            messages.append(turn)
    return messages

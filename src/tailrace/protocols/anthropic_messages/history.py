"""Another dialect's conversation made legal for the Messages API: calls and their results.

The API wants the results of an assistant's calls at the beginning of the message that follows them, one for
each call, under ids of letters, digits, `_` and `-`, no two calls alike. Other dialects let a client say
something in between, give results later, earlier or not at all, and their servers make ids of any
characters, some the same ids in each reply. Nothing is left out: a result without a call is told as text, a
call without a result is told to have none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from tailrace.protocols.fields import Object

NO_RESULT = "No result was given."
_ODD = re.compile(r"[^a-zA-Z0-9_-]")


def legal(turns: list[Object]) -> list[Object]:
    """The messages with each call's result where the API wants it."""
    named = _named(turns)
    results = {
        block["tool_use_id"]: block
        for turn in turns
        for block in turn.get("content", ())
        if block["type"] == "tool_result" and block["tool_use_id"] in named
    }
    made: list[Object] = []
    wanted: list[str] = []
    for turn in turns:
        content = turn.get("content", [])
        answers = [_answer(results, id) for id in wanted]
        if turn["role"] == "user":
            content = [*answers, *_rest(content, named)]
            wanted = []
        else:
            if answers:
                made.append({"role": "user", "content": answers})
            wanted = [block["id"] for block in content if block["type"] == "tool_use"]
        if content or turn["role"] == "system":
            made.append({**turn, "content": content} if content else turn)
    if wanted:
        made.append({"role": "user", "content": [_answer(results, id) for id in wanted]})
    return _joined(made)


def _named(turns: list[Object]) -> set[str]:
    """Give all calls ids that the API takes, and each result that of its call: of those with one id the first
    result is the first call's. Returns the calls' ids; what has another is no call's result."""
    ids: dict[tuple[str, int], str] = {}
    taken: set[str] = set()
    for block, key in _numbered(turns, "tool_use", "id"):
        plain, number = _ODD.sub("_", key[0]) or "call", 2
        made = plain
        while made in taken:
            made, number = f"{plain}_{number}", number + 1
        taken.add(made)
        ids[key] = block["id"] = made
    for block, key in _numbered(turns, "tool_result", "tool_use_id"):
        block["tool_use_id"] = ids.get(key, f"{key[0]} ")  # a space: no call's
    return taken


def _numbered(
    turns: list[Object], kind: str, name: str
) -> Iterator[tuple[Object, tuple[str, int]]]:
    """The blocks of a type, each with its id and how many with this id came before."""
    seen: Counter[str] = Counter()
    for turn in turns:
        for block in turn.get("content", ()):
            if block["type"] == kind:
                id: str = block[name]
                yield block, (id, seen[id])
                seen[id] += 1


def _answer(results: dict[str, Object], id: str) -> Object:
    none: Object = {
        "type": "tool_result",
        "tool_use_id": id,
        "content": [{"type": "text", "text": NO_RESULT}],
        "is_error": True,
    }
    return results.get(id, none)


def _rest(content: list[Object], named: set[str]) -> Iterator[Object]:
    """What a user's message says besides the results of calls."""
    for block in content:
        if block["type"] != "tool_result":
            yield block
        elif block["tool_use_id"] not in named:
            yield {"type": "text", "text": f"Result of the call {block['tool_use_id'].strip()}:"}
            yield from block.get("content", ())


def _joined(turns: list[Object]) -> list[Object]:
    """The messages without two of one role in a row, system messages aside."""
    made: list[Object] = []
    for turn in turns:
        if made and made[-1]["role"] == turn["role"] != "system":
            made[-1] = {**made[-1], "content": [*made[-1]["content"], *turn["content"]]}
        else:
            made.append(turn)
    return made

"""Ids: one suffix names a run on every surface, and item ids derive from (run, position).

A run's suffix is a ULID in lower case: 48 bits of time, so that keys sort by age, and 80 random bits, so that
none can be guessed. It is drawn once, when the run is accepted (`runs/`); all other ids are computed from it,
so a replay in any process gives the same bytes.

    run_<suffix>  job_<suffix>  resp_<suffix>  chatcmpl-<suffix>  msg_<suffix>      the run
    resp_<suffix>_2  chatcmpl-<suffix>_2                              its turn after the first pause
    msg_<suffix>_3  rs_<suffix>_4  fc_<suffix>_5  call_<suffix>_5     its items, by ordinal
    mcpr_<suffix>_5  mcpr_<suffix>_5_2  apr_<suffix>_5                an approval request of a call
    ask_<suffix>_0                                                    a question to a person
"""

from __future__ import annotations

import re

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32
SUFFIX_LENGTH = 26
_SUFFIX = re.compile(rf"[{ALPHABET}]{{{SUFFIX_LENGTH}}}")
_RUN = re.compile(r"(?:run_|job_|resp_|chatcmpl-|msg_)?(.*)", re.DOTALL)
_TURN = re.compile(r"(?:resp_|chatcmpl-)(.*)_([2-9]|[1-9][0-9]{1,4})", re.DOTALL)
_TIME = "_([2-9]|[1-9][0-9]{1,4})"
_ITEM = re.compile(rf"[a-z]+_([^_]+)_(0|[1-9][0-9]{{0,9}})(?:{_TIME})?")
_REQUEST_ID = re.compile(rf".*_(?:0|[1-9][0-9]{{0,9}}){_TIME}", re.DOTALL)


def ulid(milliseconds: int, entropy: bytes) -> str:
    """A suffix from a time and 10 random bytes; sorts by time, then by chance."""
    number = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(entropy[:10], "big")
    return "".join(ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def run_id(suffix: str) -> str:
    """The run's own id, also its key in the log."""
    return f"run_{suffix}"


def job_id(suffix: str) -> str:
    """The run's name on the native surface."""
    return f"job_{suffix}"


def response_id(suffix: str, turn: int = 0) -> str:
    """The run's name on the Responses surface, where each pause ends a response: turn 0, 1, 2 …"""
    return f"resp_{suffix}_{turn + 1}" if turn else f"resp_{suffix}"


def response_turn(response_id: str) -> int:
    """Which turn of its run a response id names."""
    match = _TURN.fullmatch(response_id)
    return int(match[2]) - 1 if match else 0


def chat_id(suffix: str, turn: int = 0) -> str:
    """The run's name on the Chat Completions surface, where each pause ends a completion."""
    return f"chatcmpl-{suffix}_{turn + 1}" if turn else f"chatcmpl-{suffix}"


def message_id(suffix: str, turn: int = 0) -> str:
    """The run's name where a turn of it is one message. Later turns have a separator of their own, because
    `msg_<suffix>_2` is an item."""
    return f"msg_{suffix}-{turn + 1}" if turn else f"msg_{suffix}"


def item_id(prefix: str, suffix: str, item: int) -> str:
    """An item's id: `prefix` is the surface's word for its kind (`msg`, `rs`, `fc`, `mcp`)."""
    return f"{prefix}_{suffix}_{item}"


def asked_id(item_id: str, time: int) -> str:
    """The id of an approval request, from its call's id: a call may need approval a second time, a third …,
    and an answer to one request does not count for another."""
    return f"{item_id}_{time}" if time > 1 else item_id


def asked_time(asked_id: str) -> int:
    """Which request about its call an id names: 1, 2, 3 …"""
    match = _REQUEST_ID.fullmatch(asked_id)
    return int(match[1]) if match else 1


def conversation_id(entropy: bytes) -> str:
    """A conversation's id from 16 bytes, random or computed."""
    return f"conv_{entropy[:16].hex()}"


def run_suffix(any_id: str) -> str | None:
    """The suffix in any of a run's names, or None when this is no name of a run."""
    match = _TURN.fullmatch(any_id) or _RUN.fullmatch(any_id)
    return match[1] if match and _SUFFIX.fullmatch(match[1]) else None


def run_of(any_id: str) -> str:
    """The suffix of the run in the id of a run, of a turn, or of an item; `""` for any other id."""
    position = item_position(any_id)
    return run_suffix(any_id) or (position[0] if position is not None else "")


def item_position(any_id: str) -> tuple[str, int] | None:
    """(run suffix, ordinal) of the id of an item, or of a request about it; None when it is none of ours."""
    match = _ITEM.fullmatch(any_id)
    if match is None or not _SUFFIX.fullmatch(match[1]):
        return None
    return match[1], int(match[2])

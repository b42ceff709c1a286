"""What a process asks of the one that works on a run, and what it is told: plain bytes, both ways."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from tailrace.errors import BadRequest, CallerError, Conflict, Fenced, LogError
from tailrace.events.answers import Answer, Approval, Declined, Output, Reply

KINDS: dict[str, type[Approval | Reply | Declined | Output]] = {
    "Approval": Approval,
    "Reply": Reply,
    "Declined": Declined,
    "Output": Output,
}
NAMES = {kind: name for name, kind in KINDS.items()}
"""What the parts of an answer are called between processes, which may be of different versions."""
REFUSALS: dict[str, type[CallerError]] = {"BadRequest": BadRequest, "Conflict": Conflict}
"""What a run may say to an answer, by its name between processes."""
OTHER = "LogError"
"""The name of anything else that went wrong."""


class Cancel(Struct, frozen=True, tag="cancel"):
    """End the run."""

    by: str


class Ask(Struct, frozen=True, tag="ask"):
    """Say whether the run is worked on."""


class Answers(Struct, frozen=True, tag="answers"):
    """Answers, each with the name of its kind."""

    given: list[tuple[str, dict[str, Any]]]

    @classmethod
    def of(cls, answer: Answer) -> Answers:
        return cls([(NAMES[type(each)], msgspec.to_builtins(each)) for each in answer])

    def answer(self) -> Answer:
        return tuple(msgspec.convert(fields, KINDS[kind]) for kind, fields in self.given)


class CallResult(Struct, frozen=True, omit_defaults=True):
    """How it went: `taken`, or not for the run's own sake; `refused` names the error."""

    taken: bool
    refused: str = ""
    message: str = ""
    param: str = ""
    code: str = ""


encode = msgspec.msgpack.Encoder().encode
_call = msgspec.msgpack.Decoder(Cancel | Ask | Answers)
_said = msgspec.msgpack.Decoder(CallResult)


def outcome(body: bytes) -> bool:
    """Whether the run took it. Raises what the run said against it, and `LogError`."""
    said = _said.decode(body)
    if said.refused in REFUSALS:
        raise REFUSALS[said.refused](said.message, param=said.param, code=said.code)
    if said.refused:
        raise LogError(said.message)
    return said.taken


async def respond(
    body: bytes,
    *,
    works: Callable[[], bool],
    cancel: Callable[[str], Awaitable[bool]],
    answer: Callable[[Answer], Awaitable[bool]],
) -> bytes | None:
    """Do what is asked, and say how it went; nothing, when another worker has the run: it was asked too."""
    try:
        call = _call.decode(body)
        if isinstance(call, Cancel):
            return encode(CallResult(await cancel(call.by)))
        if isinstance(call, Ask):
            return encode(CallResult(works()))
        return encode(CallResult(await answer(call.answer())))
    except CallerError as error:
        name = next((name for name, kind in REFUSALS.items() if type(error) is kind), OTHER)
        said = CallResult(taken=False, refused=name, message=error.message)
        return encode(msgspec.structs.replace(said, param=error.param, code=error.code))
    except Fenced:
        return None
    except (LogError, msgspec.MsgspecError) as error:
        return encode(CallResult(taken=False, refused=OTHER, message=str(error)))

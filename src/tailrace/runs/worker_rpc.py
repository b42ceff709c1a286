"""Calls between the processes of a cluster: cancel a run, answer it, ask whether it is worked on.
MessagePack."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from tailrace.errors import BadRequest, CallerError, Conflict, Fenced, LogError
from tailrace.events.answers import Answer, Approval, Decline, Output, Reply

KINDS: dict[str, type[Approval | Reply | Decline | Output]] = {
    "Approval": Approval,
    "Reply": Reply,
    "Declined": Decline,
    "Output": Output,
}
NAMES = {kind: name for name, kind in KINDS.items()}
"""The names of the parts of an answer between processes, which may be of different versions."""
REFUSALS: dict[str, type[CallerError]] = {"BadRequest": BadRequest, "Conflict": Conflict}
"""The errors with which a run may refuse an answer, by their name between processes."""
OTHER = "LogError"
"""The name of any other error."""


class Cancel(Struct, frozen=True, tag="cancel"):
    """End the run."""

    by: str


class Ask(Struct, frozen=True, tag="ask"):
    """Say whether the run is worked on."""


class Answers(Struct, frozen=True, tag="answers"):
    """Answers of user `by`, each with the name of its kind."""

    answers: list[tuple[str, dict[str, Any]]] = msgspec.field(name="given")
    by: str = ""

    @classmethod
    def of(cls, answer: Answer, by: str) -> Answers:
        """The call that gives these answers."""
        return cls([(NAMES[type(each)], msgspec.to_builtins(each)) for each in answer], by)

    def answer(self) -> Answer:
        """The answers of the call. Raises `msgspec.MsgspecError` for fields that do not fit their kind."""
        return tuple(msgspec.convert(fields, KINDS[kind]) for kind, fields in self.answers)


class CallResult(Struct, frozen=True, omit_defaults=True):
    """The outcome of a call. `is_accepted` is false if the run rejected it; `refusal` names the error
    (`REFUSALS`, `OTHER`). The names on the wire are those of the first version."""

    is_accepted: bool = msgspec.field(name="taken")
    refusal: str = msgspec.field(default="", name="refused")
    message: str = ""
    param: str = ""
    code: str = ""


encode = msgspec.msgpack.Encoder().encode
_call = msgspec.msgpack.Decoder(Cancel | Ask | Answers)
_result = msgspec.msgpack.Decoder(CallResult)


def outcome(body: bytes) -> bool:
    """Whether the run accepted it. Raises the run's error, and `LogError`."""
    result = _result.decode(body)
    if result.refusal in REFUSALS:
        raise REFUSALS[result.refusal](result.message, param=result.param, code=result.code)
    if result.refusal:
        raise LogError(result.message)
    return result.is_accepted


async def respond(
    body: bytes,
    *,
    works: Callable[[], bool],
    cancel: Callable[[str], Awaitable[bool]],
    answer: Callable[[Answer, str], Awaitable[bool]],
) -> bytes | None:
    """Execute a call and reply with its result; no reply if another worker has the run, because it got the
    call too."""
    try:
        call = _call.decode(body)
        if isinstance(call, Cancel):
            return encode(CallResult(await cancel(call.by)))
        if isinstance(call, Ask):
            return encode(CallResult(works()))
        return encode(CallResult(await answer(call.answer(), call.by)))
    except CallerError as error:
        name = next((name for name, kind in REFUSALS.items() if type(error) is kind), OTHER)
        result = CallResult(is_accepted=False, refusal=name, message=error.message)
        return encode(msgspec.structs.replace(result, param=error.param, code=error.code))
    except Fenced:
        return None
    except (LogError, msgspec.MsgspecError) as error:
        return encode(CallResult(is_accepted=False, refusal=OTHER, message=str(error)))

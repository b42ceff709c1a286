"""The requests of the people in `tenants.py`: every surface, by ids of their own, of others, and that do
not exist."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from tailrace.runtimes.tools.functions import tool

ID = re.compile(
    r"\b(?:[a-z]+[_-])?[0-9a-hjkmnp-tv-z]{26}(?:_\d+)*\b|\b(?:conv|item)_[0-9a-f]{32}(?:_\d+)?\b"
)
NAMES = ("talk", "chat")
"""The names of conversations and keys: all people use the same ones."""


@tool(idempotent=True)
def order(what: str) -> str:
    """Order a thing."""
    return what


class Request(Struct, frozen=True):
    """One request. `races`: it shows a run that has just begun, as far as it is; a person who `stays`
    continues to read while others send requests."""

    name: str
    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = {}
    races: bool = False
    stays: bool = False


def suffix(id: str) -> str:
    """The part of an id that is common to all ids of the same run or conversation."""
    return re.sub(r"^[a-z]+[_-]|_\d+$", "", re.sub(r"_\d+$", "", id))


class Asker:
    """A person whose requests a program chooses, from the ids that the person knows and guesses."""

    def __init__(self, marker: str) -> None:
        self.marker = marker
        self.known: list[str] = []
        self.sent: set[str] = set()
        self.guessed: list[str] = []
        self._choices: list[int] = []
        self._others: Sequence[str] = ()
        self._same: list[str] | None = None

    def begin(
        self, choices: Sequence[int], others: Sequence[str], same: Sequence[str] | None
    ) -> None:
        """A new request; `others` are ids to guess, or `same` are those to guess again."""
        self._choices, self._others = list(choices), others
        self._same = None if same is None else list(same)
        self.guessed = []

    def learn(self, text: str) -> None:
        """Ids that a person received: those of own resources, or ids that the person guessed."""
        for id in ID.findall(text):
            if id not in self.known and suffix(id) not in self.sent:
                self.known.append(id)

    def choose(self, options: Sequence[Any]) -> Any:
        return options[self._choices.pop(0) % len(options)]

    def text(self) -> str:
        """A text, with the marker or one that anyone may send."""
        return str(self.choose([f"hello {self.marker} there", "buy", f"{self.marker} buy", "buy"]))

    def name(self) -> str:
        return str(self.choose(NAMES))

    def target(self) -> str:
        return str(self.choose(["echo", "asker"]))

    def run(self, prefix: str) -> str:
        """The name of a run: one's own, or that of another person."""
        return prefix + suffix(self.id(lambda id: len(suffix(id)) == 26, "run_" + "0" * 26))

    def conversation(self) -> str:
        return self.id(lambda id: id.startswith("conv_"), "conv_" + "0" * 32)

    def item(self) -> str:
        return self.id(lambda id: id.count("_") > 1, f"msg_{'0' * 26}_0")

    def id(self, fits: Callable[[str], bool], nobody: str) -> str:
        """One of the ids that fit, or the unknown id `nobody`."""
        mine = [id for id in self.known if fits(id)][-6:]
        if self.choose([True, True, True, False]) and mine:
            return str(self.choose(mine))
        theirs = [id for id in self._others if fits(id)][-8:]
        guess = str(self.choose([*theirs, nobody]))
        if self._same is not None:
            guess = self._same.pop(0)
        self.guessed.append(guess)
        self.sent.add(suffix(guess))
        return guess


def _user(asker: Asker) -> list[dict[str, Any]]:
    return [{"id": "m1", "role": "user", "content": asker.text()}]


def _part(asker: Asker) -> dict[str, Any]:
    return {"id": "m1", "role": "user", "parts": [{"type": "text", "text": asker.text()}]}


def _mount(asker: Asker) -> str:
    return str(asker.choose(["/v1", "/v1", "/agent/7"]))


def _retry(asker: Asker) -> dict[str, str]:
    key = {"idempotency-key": asker.name()}
    return dict(asker.choose([{}, key, {"x-stainless-retry-count": "1"}]))


def responses(asker: Asker) -> Request:
    more = asker.choose(
        [
            dict,
            lambda: {"stream": True},
            lambda: {"background": True},
            lambda: {"previous_response_id": asker.run("resp_")},
            lambda: {"conversation": asker.conversation()},
            lambda: {"input": [{"type": "item_reference", "id": asker.item()}]},
        ]
    )()
    body = {"model": asker.target(), "input": asker.text(), **more}
    path, head = _mount(asker) + "/responses", _retry(asker)
    return Request("responses", "POST", path, body, head, races="background" in more)


def responses_answer(asker: Asker) -> Request:
    """An approval, by the id of the call or the response."""
    run = asker.run("")
    yes = {"type": "mcp_approval_response", "approve": True}
    given = asker.choose(
        [
            {**yes, "approval_request_id": f"apr_{run}_0"},
            {**yes, "approval_request_id": f"mcpr_{run}_0"},
            {"type": "function_call_output", "call_id": "call_1", "output": "red"},
        ]
    )
    body = {"model": "asker", "input": [given], "previous_response_id": f"resp_{run}"}
    return Request("answer a response", "POST", "/v1/responses", body)


def chat(asker: Asker) -> Request:
    body = {"model": asker.target(), "messages": _user(asker), "stream": asker.choose([1, 0]) == 1}
    body |= asker.choose([{}, {"conversation_id": asker.name()}])
    return Request("chat", "POST", _mount(asker) + "/chat/completions", body, _retry(asker))


def messages(asker: Asker) -> Request:
    said = [{"role": "user", "content": asker.text()}]
    body = {"model": asker.target(), "max_tokens": 99, "messages": said}
    body |= {"stream": asker.choose([True, False])}
    return Request("messages", "POST", _mount(asker) + "/messages", body, _retry(asker))


def jobs(asker: Asker) -> Request:
    body = {"agent": asker.target(), "input": asker.text()}
    return Request("jobs", "POST", "/jobs", body, _retry(asker), races=True)


def job(asker: Asker) -> Request:
    method, path, body = asker.choose(
        [
            ("GET", "", None),
            ("GET", "/stream", None),
            ("GET", "/stream?as=responses&after=2", None),
            ("GET", "/stream?as=agui", None),
            ("POST", "/cancel", None),
            ("POST", "/input", {"item": 0, "approved": True}),
            ("POST", "/input", {"request_id": "call_1", "value": asker.marker}),
        ]
    )
    named = asker.run(asker.choose(["job_", "run_", "msg_", "chatcmpl-"]))
    stays = path.startswith("/stream")
    where = f"/jobs/{named}{path}"
    return Request("job" + path, method, where, body, races=path == "/input", stays=stays)


def all_jobs(_: Asker) -> Request:
    return Request("all jobs", "GET", "/jobs")


def response(asker: Asker) -> Request:
    method, path = asker.choose(
        [
            ("GET", ""),
            ("GET", "?stream=true"),
            ("GET", "?starting_after=3"),
            ("GET", "/input_items"),
            ("POST", "/cancel"),
            ("DELETE", ""),
        ]
    )
    where = f"{_mount(asker)}/responses/{asker.run('resp_')}{path}"
    return Request(f"{method} response{path}", method, where)


def tokens(asker: Asker) -> Request:
    more = asker.choose(
        [
            lambda: {"previous_response_id": asker.run("resp_")},
            lambda: {"conversation": asker.conversation()},
        ]
    )()
    body = {"model": "echo", "input": asker.text(), **more}
    return Request("input tokens", "POST", "/v1/responses/input_tokens", body)


def conversations(asker: Asker) -> Request:
    item = {"type": "message", "role": "user", "content": asker.text()}
    body = {"items": [item], "metadata": {"of": asker.marker}}
    return Request("conversations", "POST", "/v1/conversations", body)


def conversation(asker: Asker) -> Request:
    item = {"type": "message", "role": "user", "content": asker.text()}
    method, path, body = asker.choose(
        [
            ("GET", "", None),
            ("POST", "", {"metadata": {"by": asker.marker}}),
            ("DELETE", "", None),
            ("GET", "/items", None),
            ("POST", "/items", {"items": [item]}),
            ("GET", "/items/ITEM", None),
            ("DELETE", "/items/ITEM", None),
        ]
    )
    named = asker.conversation()
    where = f"{_mount(asker)}/conversations/{named}{path}"
    if path.endswith("ITEM"):
        where = where.replace("ITEM", asker.item())
    return Request(f"{method} conversation{path}", method, where, body)


def session(asker: Asker) -> Request:
    body = {"message": asker.text(), "sessionId": asker.name(), "agentId": asker.target()}
    head = asker.choose([{}, {"accept": "text/event-stream"}])
    return Request("session", "POST", "/api/stream", body, head)


def session_again(asker: Asker) -> Request:
    path = f"/api/stream/{asker.name()}" + asker.choose(["", "?after=1"])
    return Request("session again", "GET", path)


def ui(asker: Asker) -> Request:
    body = {"id": asker.name(), "agent": asker.target(), "messages": [_part(asker)]}
    return Request("ui", "POST", "/api/chat", body)


def ui_answer(asker: Asker) -> Request:
    run = asker.run("")
    approval = {"id": f"apr_{run}_0", "approved": True}
    part: dict[str, Any] = {
        "type": "dynamic-tool",
        "toolName": "order",
        "toolCallId": f"call_{run}_0",
    }
    part |= {"state": "approval-responded", "input": {}, "approval": approval}
    message = {"id": "m2", "role": "assistant", "parts": [part]}
    body = {"id": asker.name(), "messages": [_part(asker), message]}
    return Request("answer ui", "POST", "/api/chat", body)


def ui_again(asker: Asker) -> Request:
    name = asker.name()
    method, path = asker.choose(
        [
            ("GET", "/stream"),
            ("GET", "/stream?after=0"),
            ("GET", "/stream?responseId=RUN"),
            ("POST", "/cancel"),
        ]
    )
    if path.endswith("RUN"):
        path = path.replace("RUN", asker.run("run_"))
    return Request("ui" + path.partition("?")[0], method, f"/api/chat/{name}{path}")


def agui(asker: Asker) -> Request:
    body = {"threadId": asker.name(), "runId": asker.name(), "messages": _user(asker)}
    return Request("agui", "POST", "/agui/" + asker.target(), body)


def agui_answer(asker: Asker) -> Request:
    given = {"interruptId": asker.run("apr_") + "_0", "status": "resolved", "payload": True}
    body = {"threadId": asker.name(), "runId": "next", "messages": [], "resume": [given]}
    return Request("answer agui", "POST", "/agui/asker", body)


def agui_cancel(asker: Asker) -> Request:
    body = {"threadId": asker.name(), "runId": asker.name()}
    return Request("agui cancel", "POST", "/agui/asker/cancel", body)


REQUESTS: tuple[Callable[[Asker], Request], ...] = (
    responses,
    responses_answer,
    chat,
    messages,
    jobs,
    job,
    all_jobs,
    response,
    tokens,
    conversations,
    conversation,
    session,
    session_again,
    ui,
    ui_answer,
    ui_again,
    agui,
    agui_answer,
    agui_cancel,
)

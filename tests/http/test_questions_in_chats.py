"""What a run waits for, on Chat Completions and Messages: the reply ends with it, and the client's next
request answers it, by the call's output or in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NamedTuple

import anthropic
import httpx
import openai
import pytest

from tests.http.test_questions import CONFIG, TOOLS
from tests.support.forks import Forks
from tests.support.servers import ChildServer, select_a_moment
from tests.support.team_files import effects, team_server


@pytest.fixture
def server(tmp_path: Path, forks: Forks) -> Generator[ChildServer, None, None]:
    child = ChildServer(tmp_path, config=CONFIG, tools=TOOLS).start(forks=forks)
    yield child
    child.kill()
    assert "Traceback" not in child.errors()


@pytest.fixture
def team(tmp_path: Path, forks: Forks) -> Generator[ChildServer, None, None]:
    child = team_server(tmp_path).start(forks=forks)
    yield child
    child.kill()
    assert "Traceback" not in child.errors()


class Said(NamedTuple):
    """A reply: its text, its calls (id, name, arguments), why it ended, and the message for the history."""

    id: str
    text: str
    calls: list[tuple[str, str, Any]]
    reason: str
    message: Any


class Chat:
    """A conversation through an official client, which sends its whole history each time."""

    reason = ("stop", "tool_calls")

    def __init__(self, url: str, model: str, *, streamed: bool) -> None:
        self.messages: list[Any] = []
        self.model = model
        self.streamed = streamed
        self.open(url)

    def open(self, url: str) -> None:
        self.client = openai.OpenAI(base_url=url + "/v1", api_key="x", max_retries=0)

    def say(self, text: str, **more: Any) -> Said:
        self.messages.append({"role": "user", "content": text})
        return self.send(**more)

    def answer(self, call_id: str, text: str) -> Said:
        self.messages.append(self.output(call_id, text))
        return self.send()

    def output(self, call_id: str, text: str) -> Any:
        return {"role": "tool", "tool_call_id": call_id, "content": text}

    def send(self, **more: Any) -> Said:
        said = self.create(more)
        self.messages.append(said.message)
        return said

    def create(self, more: dict[str, Any]) -> Said:
        fields: Any = {"model": self.model, "messages": self.messages, "extra_body": more}
        if self.streamed:
            with self.client.chat.completions.stream(**fields) as stream:
                reply: Any = stream.get_final_completion()
        else:
            reply = self.client.chat.completions.create(**fields)
        (choice,) = reply.choices
        made = choice.message.tool_calls or []
        calls = [(c.id, c.function.name, json.loads(c.function.arguments)) for c in made]
        message = choice.message.model_dump(
            exclude_none=True, include={"role", "content", "tool_calls"}
        )
        for call in message.get("tool_calls", ()):  # what the SDK's helper adds to a streamed reply
            call.pop("index", None)
            call["function"].pop("parsed_arguments", None)
        return Said(reply.id, choice.message.content or "", calls, choice.finish_reason, message)


class Messages(Chat):
    reason = ("end_turn", "tool_use")

    def open(self, url: str) -> None:
        self.anthropic = anthropic.Anthropic(base_url=url, api_key="x", max_retries=0)

    def output(self, call_id: str, text: str) -> Any:
        result = {"type": "tool_result", "tool_use_id": call_id, "content": text}
        return {"role": "user", "content": [result]}

    def create(self, more: dict[str, Any]) -> Said:
        fields: Any = {"model": self.model, "messages": self.messages, "max_tokens": 999}
        fields["extra_body"] = more
        if self.streamed:
            with self.anthropic.messages.stream(**fields) as stream:
                reply: Any = stream.get_final_message()
        else:
            reply = self.anthropic.messages.create(**fields)
        text = "\n\n".join(each.text for each in reply.content if each.type == "text")
        calls = [(c.id, c.name, c.input) for c in reply.content if c.type == "tool_use"]
        content = [each.model_dump(exclude_none=True) for each in reply.content]
        message = {"role": "assistant", "content": content}
        return Said(reply.id, text, calls, reply.stop_reason, message)


def refusal(chat: Chat) -> openai.APIStatusError | anthropic.APIStatusError:
    try:
        chat.send()
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        return error
    raise AssertionError("the request was accepted")


Open = Callable[..., Chat]
SURFACES = pytest.mark.parametrize("surface", [Chat, Messages])
STREAMED = pytest.mark.parametrize("streamed", [False, True])


def jobs(server: ChildServer) -> list[str]:
    return [job["status"] for job in httpx.get(server.url + "/jobs").json()["data"]]


@STREAMED
@SURFACES
def test_a_client_with_tools_answers_by_their_outputs(
    server: ChildServer, surface: Open, streamed: bool
) -> None:
    chat = surface(server.url, "booker", streamed=streamed)
    first = chat.say("book")
    assert (first.text, first.reason) == ("Which day?", chat.reason[1])
    ((id, name, arguments),) = first.calls
    assert (name, arguments) == ("ask_user", {"question": "Which day?"})
    second = chat.answer(id, "Monday")
    assert second.text == "Which seat?"
    third = chat.answer(second.calls[0][0], "2A")
    assert (third.text, third.calls, third.reason) == ("Booked for Monday, 2A.", [], chat.reason[0])
    assert len(jobs(server)) == 1
    assert len({first.id, second.id, third.id}) == 3


@STREAMED
@SURFACES
def test_a_client_without_tools_answers_in_words(
    server: ChildServer, surface: Open, streamed: bool
) -> None:
    chat = surface(server.url, "booker", streamed=streamed)
    assert chat.say("book").text == "Which day?"
    assert chat.say("Monday").text == "Which seat?"
    assert chat.say("2A").text == "Booked for Monday, 2A."
    assert len(jobs(server)) == 1
    assert chat.say("book").text == "Which day?", "the next turn is a new run"
    assert len(jobs(server)) == 2


def test_a_conversation_names_its_run(server: ChildServer) -> None:
    """A chat page that keeps only texts: its conversation has an id."""
    chat = Chat(server.url, "booker", streamed=False)
    texts = []
    for text in ("book", "Monday", "2A"):
        chat.messages = []
        texts.append(chat.say(text, conversation_id="desk 7").text)
    assert texts == ["Which day?", "Which seat?", "Booked for Monday, 2A."]
    assert len(jobs(server)) == 1


@SURFACES
def test_a_repeated_answer_returns_the_same_reply(server: ChildServer, surface: Open) -> None:
    """As an SDK repeats a request whose reply it lost."""
    chat = surface(server.url, "booker", streamed=False)
    first = chat.say("book")
    answer = [*chat.messages, chat.output(first.calls[0][0], "Monday")]
    replies = []
    for _ in range(2):
        chat.messages = list(answer)
        replies.append(chat.send())
    assert replies[0] == replies[1]
    chat.messages = [*answer[:-1], chat.output(first.calls[0][0], "Friday")]
    assert refusal(chat).status_code == 409
    chat.messages = [*answer[:-1], {"role": "user", "content": "Friday"}]
    assert refusal(chat).status_code == 409
    assert jobs(server) == ["waiting"]


@SURFACES
def test_an_output_that_answers_nothing_is_refused(server: ChildServer, surface: Open) -> None:
    chat = surface(server.url, "booker", streamed=False)
    first = chat.say("book")
    before = list(chat.messages)
    wrong = {
        "another question": first.calls[0][0][:-1] + "7",
        "no such run": "ask_01kabcdefghjkmnpqrstvwxyz0_0",
        "no such approval": "apr_01kabcdefghjkmnpqrstvwxyz0_0",
    }
    for id in wrong.values():
        chat.messages = [*before, chat.output(id, "Monday")]
        refused = refusal(chat)
        assert refused.status_code == 400
        assert "There is no open question with the id" in str(refused)
    assert jobs(server) == ["waiting"], "and no run began"


@SURFACES
def test_an_answer_survives_a_crash(server: ChildServer, surface: Open) -> None:
    chat = surface(server.url, "booker", streamed=True)
    first = chat.say("book")
    server.kill()
    server.start()
    chat.open(server.url)
    assert chat.answer(first.calls[0][0], "Monday").text == "Which seat?"


@STREAMED
@SURFACES
def test_approvals_are_asked_and_given(
    team: ChildServer, tmp_path: Path, surface: Open, streamed: bool
) -> None:
    chat = surface(team.url, "lead", streamed=streamed)
    first = chat.say("order a hat")
    assert first.text.endswith('Run order({"what":"hat"})?')
    ((id, name, arguments),) = first.calls
    assert (name, arguments["tool"], arguments["arguments"]) == (
        "ask_user",
        "order",
        {"what": "hat"},
    )
    assert arguments["schema"]["properties"].keys() == {
        "approved",
        "arguments",
        "reason",
        "response",
    }
    assert effects(tmp_path, "order") == 0
    final = chat.answer(id, '{"approved": true}')
    assert (final.text, final.reason) == ("All is done now.", chat.reason[0])
    assert effects(tmp_path, "order") == 1


def test_a_messages_client_sees_the_call_with_its_result(team: ChildServer) -> None:
    """AI SDK fails at a result without its call, so the message in which it runs has both."""
    chat = Messages(team.url, "lead", streamed=False)
    first = chat.say("order a hat")
    names = [each["name"] for each in first.message["content"] if each["type"] == "mcp_tool_use"]
    assert "order" not in names
    final = chat.answer(
        first.calls[0][0], json.dumps({"approved": True, "arguments": {"what": "ship"}})
    )
    call, result, *_ = final.message["content"]
    assert (call["type"], call["name"], call["input"]) == (
        "mcp_tool_use",
        "order",
        {"what": "ship"},
    )
    assert (result["type"], result["tool_use_id"]) == ("mcp_tool_result", call["id"])


@STREAMED
@SURFACES
def test_the_question_of_an_agent_below(team: ChildServer, surface: Open, streamed: bool) -> None:
    """A model's own call of `ask_user`, two agents down."""
    chat = surface(team.url, "lead", streamed=streamed)
    first = chat.say("ask them")
    assert first.text == "Which colour?"
    ((id, _, arguments),) = first.calls
    assert arguments["question"] == "Which colour?"
    assert chat.answer(id, "red").reason == chat.reason[0]
    assert len(jobs(team)) == 1


@SURFACES
def test_another_surface_may_answer(server: ChildServer, surface: Open) -> None:
    chat = surface(server.url, "booker", streamed=True)
    first = chat.say("book")
    (listed,) = httpx.get(server.url + "/jobs").json()["data"]
    job = f"{server.url}/jobs/{listed['id']}"
    (asked,) = httpx.get(job).json()["waiting_for"]
    httpx.post(f"{job}/input", json={"request_id": asked["request_id"], "value": "Monday"})
    while [each["message"] for each in httpx.get(job).json()["waiting_for"]] != ["Which seat?"]:
        select_a_moment()
    chat.messages.append(chat.output(first.calls[0][0], "Friday"))
    assert refusal(chat).status_code == 409

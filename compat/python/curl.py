"""curl, its output read line by line; the argument is the surface: chat, responses, messages or native."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from compat.python import reporting as r
from compat.python.broken import Broken
from compat.python.frames import READ, Frame, Told

TOOL = {"name": "get_weather", "description": "Weather"}


def body(asked: Any, model: str) -> tuple[str, Frame]:
    """Path and body of a streamed request; `asked` is text or the surface's own messages."""
    surface = r.argument()
    told = asked if isinstance(asked, list) else [{"role": "user", "content": asked}]
    if surface == "responses":
        return "/v1/responses", {"model": model, "input": asked, "stream": True}
    if surface == "native":
        return "/jobs", {"agent": model, "input": asked}
    path = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}[surface]
    return path, {"model": model, "messages": told, "stream": True, "max_tokens": 9000}


@contextmanager
def curl(
    path: str, data: Frame | None = None, *more: str, at: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """A curl that writes what it gets at once; it is killed when the `with` is left."""
    command = [
        "curl",
        "--silent",
        "--show-error",
        "--no-buffer",
        *more,
        (at or r.base_url()) + path,
    ]
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        if data is not None:
            json.dump(data, file)
            file.flush()
            command += ["--header", "content-type: application/json", "--data", f"@{file.name}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
            try:
                yield running
            finally:
                running.kill()


def frames(running: subprocess.Popen[bytes]) -> Iterator[Frame]:
    """The `data:` lines of its output, decoded."""
    assert running.stdout is not None
    for line in running.stdout:
        if line.startswith(b"data: ") and line.strip() != b"data: [DONE]":
            yield json.loads(line.removeprefix(b"data: "))


def fetch(path: str, data: Frame | None = None, *more: str) -> tuple[int, Any]:
    """Status and decoded body."""
    with curl(path, data, "--write-out", "\n%{http_code}", *more) as running:
        assert running.stdout is not None
        text, _, status = running.stdout.read().rpartition(b"\n")
    return int(status), json.loads(text)


@contextmanager
def asking(asked: Any, model: str = "helper", **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """The stream of a request. A job is started by one curl and watched by another."""
    path, data = body(asked, model)
    data |= more
    if r.argument() == "native":
        status, job = fetch(path, data)
        r.same(status, 202)
        path, data = f"/jobs/{job['id']}/stream", {}
    with curl(path, data or None) as running:
        yield running


def ask(asked: Any, model: str = "helper", **more: Any) -> Told:
    told = Told()
    with asking(asked, model, **more) as running:
        for frame in frames(running):
            READ[r.argument()](frame, told)
    told.text = " ".join(told.text.split("\n\n"))
    return told


@r.scenario
def text() -> None:
    told = ask("One two three", "echo")
    r.same((told.text, told.end, told.error), ("One two three", "stop", ""))


@r.scenario
def reasoning() -> None:
    told = ask("think")
    r.same((told.thoughts, told.text), ("Adding up. ", "It is 4."))


@r.scenario
def client_tools() -> None:
    surface = r.argument()
    kinds: dict[str, Frame] = {
        "chat": {"type": "function", "function": {**TOOL, "parameters": r.PARAMETERS}},
        "responses": {"type": "function", **TOOL, "parameters": r.PARAMETERS, "strict": False},
        "messages": {**TOOL, "input_schema": r.PARAMETERS},
        "native": {**TOOL, "parameters": r.PARAMETERS},
    }
    tools = {"tools": [kinds[surface]]}
    more: Frame = {"settings": tools} if surface == "native" else tools
    told = ask("both cities", **more)
    whole = "".join(call["arguments"] for call in told.calls)
    r.same(json.loads(f"[{whole.replace('}{', '},{')}]"), r.CITIES)
    r.same(ask(_second_turn(), **more).text, "Snow and sun.")


def _second_turn() -> list[Frame]:
    """The first turn and the outputs of its calls, as each surface has them."""
    calls = [("call_oslo", "Oslo"), ("call_rome", "Rome")]
    user = {"role": "user", "content": "both cities"}
    given = [(id, {"city": city}, json.dumps({"city": city})) for id, city in calls]
    name = "get_weather"
    if r.argument() == "chat":
        made: list[Frame] = [
            {"id": id, "type": "function", "function": {"name": name, "arguments": text}}
            for id, _, text in given
        ]
        outputs = [{"role": "tool", "tool_call_id": id, "content": "fine"} for id, _ in calls]
        return [user, {"role": "assistant", "tool_calls": made}, *outputs]
    if r.argument() == "messages":
        made = [
            {"type": "tool_use", "id": id, "name": name, "input": fields} for id, fields, _ in given
        ]
        results = [{"type": "tool_result", "tool_use_id": id, "content": "fine"} for id, _ in calls]
        return [user, {"role": "assistant", "content": made}, {"role": "user", "content": results}]
    if r.argument() == "responses":
        made = [
            {"type": "function_call", "call_id": id, "name": name, "arguments": text}
            for id, _, text in given
        ]
        outputs = [
            {"type": "function_call_output", "call_id": id, "output": "fine"} for id, _ in calls
        ]
        return [user, *made, *outputs]
    made = [
        {"type": "tool_call", "call_id": id, "name": name, "arguments": text}
        for id, _, text in given
    ]
    fine = [{"type": "text", "text": "fine"}]
    told: list[Frame] = [{"type": "tool_output", "call_id": id, "output": fine} for id, _ in calls]
    asked: Frame = {
        "type": "message",
        "role": "user",
        "content": [{"type": "text", "text": "both cities"}],
    }
    return [asked, *made, *told]


def _ran_there(asked: str, wanted: str) -> None:
    told = ask(asked)
    r.same(" ".join(told.text.split()), wanted)
    shown = {"responses": "mcp_call.completed", "messages": "mcp_tool_result"}
    if r.argument() == "chat":
        r.same(told.calls, [])
    else:
        assert shown.get(r.argument(), "tool.completed") in told.kinds, told.kinds


@r.scenario
def server_tool() -> None:
    _ran_there("Where is my hat?", "Let me look. Found a hat.")


@r.scenario
def mcp_tool() -> None:
    _ran_there("Read my notes", "Milk, it says.")


@r.scenario
def subagents() -> None:
    told = ask("let two look")
    r.same(" ".join(told.text.split()), "I let two look. Both are back.")
    if r.argument() == "native":
        assert {"researcher", "researcher#2"} <= {*told.kinds}, told.kinds


@r.scenario
def refusal() -> None:
    told = ask("refuse")
    r.same(told.text + told.refusal, "No, thank you.")


@r.scenario
def failure_before() -> None:
    told = ask("fail before")
    r.same((told.text, told.error), ("", "The model is out."))
    path, data = body("x", "nobody")
    status, document = fetch(path, data)
    r.same(status, 404)
    assert "nobody" in document["error"]["message"], document


@r.scenario
def failure_during() -> None:
    told = ask("fail during")
    r.same((told.text, told.error), ("Half of it", "The model died."))


@r.scenario
def failure_after() -> None:
    told = ask("fail after")
    r.same((told.text.strip(), told.error), ("All of it.", "The model died."))


@r.scenario
def incomplete() -> None:
    r.same(ask("too long").end, "length")


@r.scenario
def cancel() -> None:
    """By its own route, or where there is none by going away."""
    words = f"curl {r.argument()} {r.SLOW}"
    with asking(words, "slow") as running:
        next(frames(running))
        run = r.run_of(words)
        suffix = run.removeprefix("job_")
        paths = {"responses": f"/v1/responses/resp_{suffix}", "native": f"/jobs/{run}"}
        if r.argument() in paths:
            status, _ = fetch(f"{paths[r.argument()]}/cancel", {}, "--request", "POST")
            r.same(status, 200)
    r.until_cancelled(run)


@r.scenario
def resume() -> None:
    words = f"resume {r.argument()} two three four five six seven"
    read = READ[r.argument()]
    told = Told()
    last = 0
    with asking(words, "slow") as running:
        for frame in frames(running):
            read(frame, told)
            last = frame["sequence_number" if r.argument() == "responses" else "seq"]
            if told.text:
                break
    run = r.run_of(words)
    id = run.replace("job_", "resp_")
    paths = {
        "responses": f"/v1/responses/{id}?starting_after={last}",
        "native": f"/jobs/{run}/stream?after={last}",
    }
    with curl(paths[r.argument()]) as running:
        for frame in frames(running):
            read(frame, told)
    r.same((told.text, told.end), (words, "stop"))


@r.scenario
def chain() -> None:
    wanted = "My colour is blue. | And now? (0 pictures)"
    turns = [("user", "My colour is blue."), ("assistant", "Ah."), ("user", "And now?")]
    asked: list[Frame] = [{"role": role, "content": said} for role, said in turns]
    if r.argument() == "native":
        asked = [
            {"type": "message", "role": role, "content": [{"type": "text", "text": said}]}
            for role, said in turns
        ]
    r.same(ask(asked, "witness").text, wanted)
    if r.argument() == "responses":
        _, first = fetch("/v1/responses", {"model": "witness", "input": "My colour is blue."})
        again = ask("And now?", "witness", previous_response_id=first["id"])
        r.same(again.text, wanted)


@r.scenario
def structured() -> None:
    form = {"name": "answer", "schema": r.ANSWER_SCHEMA, "strict": True}
    more: dict[str, Frame] = {
        "chat": {"response_format": {"type": "json_schema", "json_schema": form}},
        "responses": {"text": {"format": {"type": "json_schema", **form}}},
        "messages": {
            "output_config": {"format": {"type": "json_schema", "schema": r.ANSWER_SCHEMA}}
        },
        "native": {"settings": {"output": {"type": "json_schema", **form}}},
    }
    r.same(json.loads(ask("as json", **more[r.argument()]).text), r.ANSWER)


@r.scenario
def image() -> None:
    url = f"data:image/png;base64,{r.PICTURE}"
    words = {"type": "text", "text": "What is this?"}
    source = {"type": "base64", "media_type": "image/png", "data": r.PICTURE}
    parts: dict[str, list[Frame]] = {
        "chat": [words, {"type": "image_url", "image_url": {"url": url}}],
        "responses": [
            {"type": "input_text", "text": "What is this?"},
            {"type": "input_image", "image_url": url},
        ],
        "messages": [words, {"type": "image", "source": source}],
        "native": [words, {"type": "image", "url": url}],
    }
    message: Frame = {"role": "user", "content": parts[r.argument()]}
    if r.argument() == "native":
        message["type"] = "message"
    r.same(ask([message], "witness").text, "What is this? (1 pictures)")


@r.scenario
def unicode() -> None:
    r.same(ask(r.UNICODE, "echo").text, r.UNICODE)


@r.scenario
def long() -> None:
    r.same(ask(r.LONG, "echo").text, r.LONG)


@r.scenario
def retry() -> None:
    """curl asks again by `--retry`; the key is what the request is known by."""
    broken = Broken()
    path, data = body(broken.words, "echo")
    again = [
        "--retry",
        "1",
        "--retry-all-errors",
        "--header",
        f"idempotency-key: {broken.base_url}",
    ]
    with curl(path, data, *again, at=broken.base_url) as running:
        running.communicate()
    r.same(running.returncode, 0)
    broken.check()


@r.scenario
def approval() -> None:
    path, data = body("Where is my hat?", "clerk")
    if r.argument() in ("chat", "messages"):
        answer = {"role": "user", "content": "yes"}
        _, first = fetch(path, {**data, "stream": False})
        said = first["choices"][0]["message"] if "choices" in first else first
        asked = {
            "role": "assistant",
            **{key: said[key] for key in ("content", "tool_calls") if key in said},
        }
        if "choices" not in first:
            asked["content"] = [each for each in said["content"] if each["type"] == "tool_use"]
        told = ask([*data["messages"], asked, answer], "clerk")
    elif r.argument() == "responses":
        _, first = fetch(path, {**data, "stream": False})
        asked = first["output"][-1]["id"]
        yes = {"type": "mcp_approval_response", "approval_request_id": asked, "approve": True}
        told = ask([yes], "clerk", previous_response_id=first["id"])
    else:
        _, job = fetch(path, data)
        with curl(f"/jobs/{job['id']}/stream") as running:
            request = next(f["payload"] for f in frames(running) if "approval" in json.dumps(f))
        fetch(f"/jobs/{job['id']}/input", {"item": request["item"], "approved": True})
        told = Told()
        with curl(f"/jobs/{job['id']}/stream") as running:
            for frame in frames(running):
                READ["native"](frame, told)
    assert told.text.endswith("Found a hat."), told.text


if __name__ == "__main__":
    sys.exit(r.main("any"))

"""`/chat/completions` and `/models`; `/models` in Anthropic's form for Anthropic's clients."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from tailrace.events.request import RunRequest
from tailrace.http.guard import Reply, guarded_routes
from tailrace.http.instance import Edge
from tailrace.http.mounts import Mount
from tailrace.http.replies import document
from tailrace.http.run_reply import RunReply
from tailrace.protocols.anthropic_messages import models
from tailrace.protocols.anthropic_messages.wire import VERSION
from tailrace.protocols.failures import error_body
from tailrace.protocols.openai_chat import reply, request, stream
from tailrace.service.caller import Caller
from tailrace.service.catalog import Target
from tailrace.service.run_service import RunService
from tailrace.service.views import View


def routes(service: RunService, edge: Edge, mount: Mount) -> list[Route]:
    """The routes of one mount."""
    handlers = _Chat(service, edge, mount)
    table = {
        ("POST", "/chat/completions"): handlers.create,
        ("GET", "/models"): handlers.models,
        ("GET", "/models/{model}"): handlers.model,
    }
    return guarded_routes(edge.gate, table, error_body, mount.path)


class _Chat:
    def __init__(self, service: RunService, edge: Edge, mount: Mount) -> None:
        self._service = service
        self._edge = edge
        self._mount = mount
        self._reply = RunReply(service, edge)

    async def create(self, http: Request, caller: Caller) -> Reply:
        """Start a run or answer a waiting one; stream its turn, or wait for its document."""
        body = await self._edge.body(http, caller)
        create = request.decode(body)
        target = self._mount.target(http, create.request.model)
        run_request = await self._in_session(caller, create.request, target)
        run, turn = await self._service.answer_or_start(
            caller,
            run_request,
            body,
            to_agent=target.kind == "agent",
            param="" if self._mount.names_agent else "model",
        )
        mount = self._mount
        options = stream.ChatStreamOptions(create.include_usage, mount.key, mount.functions, turn)
        view = View(options, lambda: stream.ChatEncoder(run, options))
        if create.stream and (reply_stream := await self._reply.stream(caller, run, view, turn)):
            return reply_stream
        return await self._reply.document(
            caller, run, lambda events: reply.completion(run, events, options)
        )

    async def _in_session(
        self, caller: Caller, run_request: RunRequest, target: Target
    ) -> RunRequest:
        """The request as a turn of the conversation that its `conversation_id` names, if it names one."""
        run_request = msgspec.structs.replace(run_request, agent=target.name)
        if not run_request.session:
            return run_request
        session = await self._service.conversations.by_name(run_request.session, caller.maker)
        return msgspec.structs.replace(run_request, conversation=session.id)

    async def models(self, http: Request, caller: Caller) -> Reply:
        """The targets of this mount, in the form of OpenAI or Anthropic."""
        targets = self._mount.targets(http)
        if VERSION in http.headers:
            names = [target.name for target in targets]
            return document(models.page(names, http.query_params))
        return document({"object": "list", "data": [_model(target) for target in targets]})

    async def model(self, http: Request, caller: Caller) -> Reply:
        """One target."""
        name = http.path_params["model"]
        here = self._mount.names_agent
        target = self._mount.targets(http)[0] if here else self._mount.catalog.by_name(name)
        if VERSION in http.headers:
            return document(models.model(name))
        return document({**_model(target), "id": name})


def _model(target: Target) -> dict[str, object]:
    """A model object in OpenAI's form; `created` is unknown, and 0."""
    owner = "tailrace" if target.kind == "agent" else "upstream"
    return {"id": target.name, "object": "model", "created": 0, "owned_by": owner}

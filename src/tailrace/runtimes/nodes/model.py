"""A node that is one model call: `image_generation` and `speech`.

After a crash the call is made again, unless its output is in the log already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing

from tailrace.errors import ModelFailed
from tailrace.events.items import Item, Json, Message
from tailrace.events.request import ModelRequest, Settings
from tailrace.events.types import NO_AGENT, AgentEntry, Usage
from tailrace.models.contract import Model
from tailrace.runtimes.foreign import without_server_words
from tailrace.runtimes.node_lifecycle import ModelReply
from tailrace.runtimes.nodes.contract import NodeContext, output_of_node


class ModelNode:
    """Sends its input to a model of one dialect; `options` are parameters of that endpoint."""

    repeats = True

    def __init__(self, model: Model, dialect: str, options: Mapping[str, Json]) -> None:
        self._model = model
        self._dialect = dialect
        self._options = dict(options)

    def registry(self) -> Sequence[AgentEntry]:
        return ()

    async def work(self, context: NodeContext, items: tuple[Item, ...]) -> bool:
        state = context.run.state
        if output_of_node(state, context.id):  # its output was complete before its worker died
            if not state.replies.get(context.id):
                context.emit([Usage(self._model.name)])
            return True
        reply = ModelReply(context.run.state, context.id, NO_AGENT)
        request = ModelRequest(
            items=tuple(item for item in items if isinstance(item, Message)),
            settings=Settings(origin=self._dialect, extra=self._options),
        )
        try:
            async with aclosing(self._model.stream(request)) as batches:
                async for payloads in batches:
                    context.run.emit(reply.convert(payloads))
                    await context.run.room()
        except ModelFailed as failure:
            raise without_server_words(failure, context.run.run) from None
        return True

"""A plain async generator as an agent.

    tailrace serve examples.generator:app
    curl -N 127.0.0.1:8700/v1/responses -H 'content-type: application/json' \
      -d '{"model": "poet", "input": "the sea", "stream": true}'
"""

import asyncio
from collections.abc import AsyncGenerator

import tailrace
from tailrace.runtimes.adapters.generator.run import GeneratorPiece

app = tailrace.App(data="tailrace-data/examples")


@app.agent("poet", restarts=True)
async def poet(run: tailrace.Run) -> AsyncGenerator[GeneratorPiece, None]:
    """Thinks, looks something up, lets a critic speak, and answers."""
    yield run.reasoning("Pick a metre. ")
    search = run.tool("rhymes", word=run.input.split()[-1])
    yield search
    await asyncio.sleep(0.1)
    yield search.result(["free", "be"])
    critic = run.subagent("critic")
    yield critic.text("Not too sweet, please.")
    yield critic.done()
    for word in f"Of {run.input} I sing, and I am free.".split():
        yield word + " "

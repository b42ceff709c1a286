"""The table: outcomes in, markdown out; deterministic, so that it can be checked in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from compat.clients import Client
from compat.scenarios import SCENARIOS

PASSED, FAILED, NONE = "✓", "✗", "–"

HEAD = """# Compatibility

Written by `make test-clients`, which drives every client against a live server; nothing is mocked.
✓: the client did what the column says. ✗: it did not, for the reason below. –: the client has no form for
it, for the reason below.

"""

NOTES = """## Notes

- **LangChain ChatOpenAI, Responses**: a stream has the response's id in `response_metadata["id"]` of one
  chunk, and so of all chunks added up. Since `langchain-openai` 1 that is the first chunk
  (`response.created`): the client takes the id out of the last one itself. A loop that keeps the id of
  whichever chunk has one works with either; the chain scenario is it.
- **retry**: OpenAI's and Anthropic's SDKs, and what is built on them, say that they ask again. For `ai` and
  curl the scenario sends an `Idempotency-Key`, without which their second try is a run of its own."""


def page(clients: Sequence[Client], outcomes: Mapping[str, Mapping[str, str]]) -> str:
    """The whole page. `outcomes` has for each row's key the reason of each failure, `""` for a pass."""
    notes: dict[str, int] = {}
    lines = [
        f"| client | version | surface | {' | '.join(_title(name) for name in SCENARIOS)} |",
        f"|---|---|---|{'---|' * len(SCENARIOS)}",
    ]
    for client in clients:
        cells = [_cell(client, name, outcomes[client.key], notes) for name in SCENARIOS]
        lines.append(
            f"| {client.name} | {client.version} | {client.surface} | {' | '.join(cells)} |"
        )
    told = [f"{number}. {reason}" for reason, number in notes.items()]
    meant = [f"- **{_title(name)}**: {meaning}" for name, meaning in SCENARIOS.items()]
    parts = [
        "\n".join(lines),
        NOTES.strip(),
        "## Reasons",
        "\n".join(told),
        "## Scenarios",
        "\n".join(meant),
    ]
    return HEAD + "\n\n".join(parts) + "\n"


def read(text: str) -> dict[str, dict[str, str]]:
    """A page's cells: for each row's key, each scenario's mark with its note's number."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {
        f"{name} {version}, {surface}": dict(zip(SCENARIOS, cells, strict=True))
        for name, version, surface, *cells in rows[1:]
    }


def _title(name: str) -> str:
    return name.replace("_", " ")


def _cell(client: Client, scenario: str, outcome: Mapping[str, str], notes: dict[str, int]) -> str:
    if scenario in client.without:
        return f"{NONE} {_note(client.without[scenario], notes)}"
    reason = outcome.get(scenario, "the script did not report it")
    if not reason:
        return PASSED
    return f"{FAILED} {_note(client.limits.get(scenario) or _steady(reason), notes)}"


def _note(reason: str, notes: dict[str, int]) -> int:
    return notes.setdefault(reason, len(notes) + 1)


def _steady(reason: str) -> str:
    """A reason without what differs from run to run: ports, ids; and without table marks."""
    without_ids = re.sub(r"[0-9a-z]{26}", "…", re.sub(r"127\.0\.0\.1:\d+", "…", reason))
    return without_ids.replace("|", "¦")

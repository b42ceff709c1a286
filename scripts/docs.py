"""Writes the generated pages of docs/ from the code; with `--check`, says which are out of date.

docs/events.md            the event types, their fields and the grammar's tables
docs/events.schema.json   the JSON schema of the native envelope
docs/session-events.d.ts  the events of NDJSON sessions, for TypeScript
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import get_args

import msgspec

from scripts.typescript import Declarations
from tailrace.events import grammar
from tailrace.events.types import Base, Payload
from tailrace.protocols.node_stream.stream import NodeStreamEvent
from tailrace.protocols.session_lines.wire_events import HostEvent, RuntimeEvent, SkillEvent

DOCS = Path(__file__).parents[1] / "docs"

INTRODUCTION = """# Events

Generated from `src/tailrace/events/` by `make docs`; do not edit.

A run is a log of events, numbered `seq` 0, 1, 2 … without gaps. The native stream shows each of them in the
envelope `{"v", "job_id", "run_id", "seq", "ts", "node_id", "node_type", "node_name", "agent_id", "parent_id",
"payload"}`; `events.schema.json` is its JSON schema. The payloads:
"""


def events_page() -> str:
    """The page about events."""
    lines = [INTRODUCTION, "| type | meaning | fields |", "|---|---|---|"]
    lines += [
        f"| `{grammar.tag(kind)}` | {_summary(kind)} | {_fields(kind)} |"
        for kind in get_args(Payload)
    ]
    lines.append(
        "\n## Legal order\n\nEach table is one state machine; a transition outside the tables is illegal.\n"
    )
    for name, table in grammar.MACHINES.items():
        drawn = "<!-- not run: a diagram of a table, drawn from it -->"
        lines.append(f"### {name}\n\n{drawn}\n```mermaid\nstateDiagram-v2")
        lines += [
            f"  {before} --> {after}: {grammar.tag(event)}"
            for (before, event), after in table.items()
        ]
        lines.append("```\n")
    lines.append("Legal deltas of an item, by its kind:\n")
    for kind, deltas in grammar.DELTAS.items():
        names = ", ".join(sorted(f"`{grammar.tag(delta)}`" for delta in deltas)) or "none"
        lines.append(f"- {kind}: {names}")
    return "\n".join(lines) + "\n"


def schema() -> str:
    """The JSON schema of the native envelope."""
    made = msgspec.json.schema(NodeStreamEvent)
    return msgspec.json.format(msgspec.json.encode(made), indent=1).decode() + "\n"


def session_events() -> str:
    """The events of a session, as a TypeScript file."""
    made = Declarations()
    made.union("RuntimeEvent", RuntimeEvent)
    made.union("SkillEvent", SkillEvent)
    made.union("HostEvent", HostEvent)
    made.alias("SessionEvent", "RuntimeEvent", "SkillEvent", "HostEvent")
    source = "Generated from src/tailrace/protocols/session_lines/ by scripts/docs.py (`make docs`)"
    head = f"// {source}; do not edit. The events of\n// `POST /api/stream`, one a line.\n\n"
    return head + made.text()


def _summary(kind: type[Base]) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


def _fields(kind: type[Base]) -> str:
    return ", ".join(f"`{name}`" for name in kind.__struct_encode_fields__) or "–"


def main() -> int:
    """Write or check; returns the exit status."""
    pages = {
        "events.md": events_page(),
        "events.schema.json": schema(),
        "session-events.d.ts": session_events(),
    }
    stale = [
        name
        for name, text in pages.items()
        if not (DOCS / name).exists() or (DOCS / name).read_text(encoding="utf-8") != text
    ]
    if "--check" not in sys.argv:
        for name in stale:
            (DOCS / name).write_text(pages[name], encoding="utf-8")
        print("written:", ", ".join(stale) or "nothing")
        return 0
    if stale:
        print("out of date, run `make docs`:", ", ".join(stale))
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())

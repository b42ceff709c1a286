"""The tree checks itself: sizes, mirrors, exports, words that must not be there."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

import tailrace

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tailrace"
MAX_LINES = 400

COVERED_ELSEWHERE = {
    "service/documents.py": "tests/http/test_endless.py",
    "service/no_form.py": "tests/http/test_refused_first.py",
    "models/reply_body.py": "tests/models/test_bounded.py",
    # tested by another file than their own: where
    "assembly/stores.py": "tests/cli/test_engines.py",
    "auth/principal.py": "tests/auth/test_gate.py",
    "cli/main.py": "tests/cli/test_commands.py",
    "cli/tokens.py": "tests/http/test_auth.py",
    "cli/client.py": "tests/cli/test_commands.py",
    "cli/local.py": "tests/cli/test_commands.py",
    "cli/render.py": "tests/cli/test_commands.py",
    "cli/scrubbing.py": "tests/crash/test_damage.py",
    "cli/serving.py": "tests/cli/test_commands.py",
    "cli/demo/show.py": "tests/cli/test_commands.py",
    "cli/demo/tools.py": "tests/cli/test_commands.py",
    "cli/errors.py": "shapes",
    "errors.py": "a tree of exceptions",
    "events/abandoning.py": "tests/runtimes/test_abandoning.py",
    "events/grammar.py": "tests/events/test_state.py",
    "events/items.py": "shapes",
    "events/item_state.py": "tests/events/test_state.py",
    "events/request.py": "shapes",
    "events/schema_shapes.py": "tests/events/test_schemas.py",
    "events/schema_values.py": "tests/events/test_schemas.py",
    "events/stored.py": "tests/events/test_state.py",
    "events/types.py": "shapes",
    "events/usage.py": "tests/events/test_state.py",
    "events/work.py": "tests/events/test_schemas.py",
    "service/agui_turns.py": "tests/http/test_agui.py",
    "http/app.py": "tests/http/test_bad_input.py",
    "service/catalog.py": "tests/http/test_bad_input.py",
    "http/direct.py": "tests/http/test_streaming.py",
    "service/readers.py": "tests/http/test_limits.py",
    "http/health.py": "tests/http/test_deploy.py",
    "service/lifecycle.py": "tests/test_app.py",
    "service/session_turns.py": "tests/http/test_sessions.py",
    "http/guard.py": "tests/http/test_auth.py",
    "http/intake.py": "tests/http/test_protocol.py",
    "http/framing.py": "tests/http/test_streaming.py",
    "http/mounts.py": "tests/http/test_bad_input.py",
    "http/callers.py": "tests/http/test_owners.py",
    "http/instance.py": "tests/http/test_streaming.py",
    "http/queries.py": "tests/http/test_bad_input.py",
    "http/replies.py": "tests/http/test_request_ids.py",
    "service/answers.py": "tests/http/test_answers.py",
    "service/outcomes.py": "tests/http/test_outcomes.py",
    "service/stored_runs.py": "tests/service/test_run_service.py",
    "service/shutdown.py": "tests/http/test_stopping.py",
    "http/routes/agui.py": "tests/http/test_agui.py",
    "http/routes/chat.py": "tests/clients",
    "http/routes/conversations.py": "tests/http/test_conversations.py",
    "http/routes/jobs.py": "tests/http/test_jobs.py",
    "http/routes/messages.py": "tests/http/test_messages.py",
    "http/routes/responses.py": "tests/clients",
    "http/routes/sessions.py": "tests/http/test_sessions.py",
    "http/routes/ui.py": "tests/http/test_ui.py",
    "http/server.py": "tests/http/test_streaming.py",
    "service/refusals.py": "tests/http/test_refusals.py",
    "service/subscription.py": "tests/log/test_follow.py",
    "service/turns.py": "tests/clients",
    "service/ui_turns.py": "tests/http/test_ui.py",
    "service/views.py": "tests/http/test_jobs.py",
    "models/contract.py": "shapes",
    "models/replay.py": "tests/models/test_scripted.py",
    "models/echo.py": "tests/models/test_scripted.py",
    "models/pace.py": "tests/models/test_scripted.py",
    "models/scenario.py": "tests/models/test_scripted.py",
    "protocols/contract.py": "shapes",
    "protocols/errors.py": "tests/http/test_bad_input.py",
    "protocols/fields.py": "tests/protocols/test_requests.py",
    "protocols/upstream.py": "tests/recordings",
    "protocols/framing/sse.py": "tests/protocols/test_sse.py",
    "assembly/models.py": "tests/http/test_secrets.py",
    "assembly/check.py": "tests/cli/test_check.py",
    "config/origins.py": "tests/cli/test_check.py",
    "assembly/auth.py": "tests/http/test_auth.py",
    "assembly/workflows.py": "tests/http/test_workflows.py",
    "assembly/agents.py": "tests/test_assembly.py",
    "assembly/instance.py": "tests/test_assembly.py",
    "assembly/tools.py": "tests/test_assembly.py",
    "config/safety.py": "tests/http/test_secrets.py",
    "config/checks.py": "tests/test_config.py",
    "config/reader.py": "tests/test_config.py",
    "config/shapes.py": "shapes",
    "config/workflows.py": "tests/http/test_workflows.py",
    "events/answers.py": "tests/runs/test_pauses.py",
    "runtimes/asked.py": "tests/http/test_refused_first.py",
    "runtimes/nodes/contract.py": "shapes",
    "runtimes/nodes/deep_agent.py": "tests/runtimes/test_workflow.py",
    "runtimes/nodes/model.py": "tests/http/test_workflows.py",
    "runs/directory.py": "tests/runs/test_life.py",
    "runs/owner.py": "tests/http/test_owners.py",
    "runs/run_task.py": "tests/runs/test_life.py",
    "runs/retention.py": "tests/runs/test_life.py",
    "runs/concurrency.py": "tests/contracts/limits_contract.py",
    "runs/settings.py": "shapes",
    "runs/run_records.py": "tests/runs/test_life.py",
    "runs/supervisor.py": "tests/runs/test_life.py",
    "runs/worker_rpc.py": "tests/runs/test_cluster.py",
    "runs/executor.py": "shapes",
    "runs/writer.py": "tests/runs/test_life.py",
    "runtimes/adapters/reply_recorder.py": "tests/runtimes/test_abandoning.py",
    "runtimes/adapters/langgraph/journal.py": "tests/runtimes/adapters/langgraph/test_saver.py",
    "runtimes/adapters/langgraph/anatomy.py": "tests/runtimes/adapters/langgraph/test_runtime.py",
    "models/interim.py": "tests/http/test_endless.py",
    "runs/membership.py": "tests/runs/test_turns.py",
    "runs/presence.py": "tests/runs/test_cluster.py",
    "runtimes/adapters/langgraph/messages.py": "tests/runtimes/adapters/langgraph/test_runtime.py",
    "runtimes/adapters/langgraph/offer.py": "tests/runtimes/adapters/langgraph/test_runtime.py",
    "runtimes/adapters/langgraph/reply.py": "tests/runtimes/adapters/langgraph/test_runtime.py",
    "runtimes/adapters/langgraph/patches.py": "tests/runtimes/adapters/langgraph/test_runtime.py",
    "runtimes/adapters/openai_agents/items.py": "tests/runtimes/adapters/openai_agents/test_runtime.py",
    "http/uvicorn_hooks.py": "tests/test_hooks.py",
    "runtimes/adapters/openai_agents/patches.py": "tests/test_hooks.py",
    "runtimes/adapters/pydantic_ai/patches.py": "tests/test_hooks.py",
    "runtimes/adapters/openai_agents/model.py": "tests/runtimes/adapters/openai_agents/test_runtime.py",
    "runtimes/adapters/pydantic_ai/messages.py": "tests/runtimes/adapters/pydantic_ai/test_runtime.py",
    "runtimes/adapters/pydantic_ai/reply.py": "tests/runtimes/adapters/pydantic_ai/test_runtime.py",
    "runtimes/adapters/pydantic_ai/tap.py": "tests/runtimes/adapters/pydantic_ai/test_runtime.py",
    "runtimes/adapters/recognise.py": "tests/test_app.py",
    "runtimes/adapters/generator/run.py": "tests/runtimes/adapters/generator/test_runtime.py",
    "runtimes/contract.py": "shapes",
    "runtimes/gateway.py": "tests/clients",
    "runtimes/agent.py": "tests/runtimes/test_one_agent_work.py",
    "runtimes/compaction.py": "tests/runtimes/test_one_agent_work.py",
    "runtimes/steps.py": "tests/runtimes/test_one_agent_work.py",
    "runtimes/structured.py": "tests/runtimes/test_one_agent_work.py",
    "runtimes/tools/contract.py": "shapes",
    "runtimes/tools/dispatch.py": "tests/runtimes/test_one_agent_work.py",
    "runtimes/tools/mcp_endpoint.py": "tests/runtimes/tools/test_mcp.py",
    "runtimes/tools/mcp_session.py": "tests/runtimes/tools/test_mcp.py",
}
"""Source files without a test file of their own name. May only shrink, or name where they are tested."""


def _sources() -> list[Path]:
    return sorted(
        path for path in SOURCE.rglob("*.py") if path.name not in ("__init__.py", "__main__.py")
    )


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.splitlines()]


@pytest.mark.parametrize("folder", ["src", "tests", "benchmarks", "compat", "scripts"])
def test_no_file_is_too_long(folder: str) -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert not long


@pytest.mark.parametrize("path", _sources(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_source_file_says_what_it_is_and_is_tested(path: Path) -> None:
    name = path.relative_to(SOURCE)
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), (
        f"{name} does not begin by saying what it is"
    )
    if name.parts[0] in ("protocols", "log"):
        return  # transcripts, properties, recordings and the store contract cover these by folder
    mirror = ROOT / "tests" / name.parent / f"test_{name.name}"
    assert mirror.exists() != (str(name) in COVERED_ELSEWHERE), (
        f"{name}: a test file or a line here, not both"
    )


def test_where_a_file_is_said_to_be_tested_there_are_tests() -> None:
    for where in COVERED_ELSEWHERE.values():
        if where.startswith("tests/"):
            assert (ROOT / where).exists(), where


def test_the_public_names() -> None:
    agents = {"App", "Custom", "Progress", "Run", "ToolContext", "ToolError", "Usage", "tool"}
    frameworks = {"LangGraphRuntime", "OpenAIAgentsRuntime", "PydanticAIRuntime"}
    others = {"HostEvent", "NodeContext", "NodeSpec", "SessionEvent", "__version__"}
    assert set(tailrace.__all__) == agents | frameworks | others
    for name in tailrace.__all__:
        assert hasattr(tailrace, name)


def test_version_and_changelog_agree() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {tailrace.__version__}" in changelog
    assert f'version = "{tailrace.__version__}"' in (ROOT / "pyproject.toml").read_text(
        encoding="utf-8"
    )


def test_every_package_is_pinned_and_no_registry_is_named() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert "==" in line, f"{path.name}: {line}"
            assert "://" not in line


def test_nothing_built_is_tracked() -> None:
    built = [
        p for p in _tracked() if p.suffix in (".pyc", ".db", ".lock") or "__pycache__" in p.parts
    ]
    assert not built


def test_the_architecture_names_every_folder() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for folder in SOURCE.iterdir():
        if folder.is_dir() and folder.name != "__pycache__":
            assert f"`{folder.name}/`" in text, folder.name


def test_every_event_type_is_in_the_protocols_page() -> None:
    from tailrace.events.grammar import MACHINES, tag

    text = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    for table in MACHINES.values():
        for _, event in table:
            assert tag(event) in text

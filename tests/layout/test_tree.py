"""The tree checks itself: sizes, mirrors, exports, and words that must not occur."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

import pytest

import tailrace

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tailrace"
MAX_LINES = 400

SUITES: dict[str, tuple[str, ...]] = {
    # folder of source files: the suites that test those of its files that have no test file of their own
    "": ("tests/http", "tests/cli", "tests/test_hooks.py"),
    "assembly": ("tests/test_app.py", "tests/cli", "tests/http"),
    "auth": ("tests/auth",),
    "cli": ("tests/cli",),
    "cli/demo": ("tests/cli",),
    "config": ("tests/test_config.py", "tests/test_app.py", "tests/cli"),
    "events": ("tests/events", "tests/properties"),
    "http": ("tests/http",),
    "http/routes": ("tests/http", "tests/clients"),
    "log": ("tests/contracts", "tests/log"),
    "log/stores": ("tests/contracts", "tests/log/stores"),
    "log/stores/memory": ("tests/contracts", "tests/log/stores/test_registry.py"),
    "log/stores/nats": ("tests/contracts", "tests/log/stores/nats", "tests/test_deploy.py"),
    "log/stores/sqlite": ("tests/contracts", "tests/log/stores/sqlite"),
    "models": ("tests/models",),
    "protocols": ("tests/protocols", "tests/recordings", "tests/http"),
    "protocols/ag_ui": ("tests/protocols",),
    "protocols/ai_sdk_ui": ("tests/protocols",),
    "protocols/anthropic_messages": ("tests/protocols", "tests/recordings", "tests/http"),
    "protocols/framing": ("tests/protocols", "tests/fuzz", "tests/http"),
    "protocols/node_stream": ("tests/protocols",),
    "protocols/openai_chat": ("tests/protocols", "tests/recordings"),
    "protocols/openai_media": ("tests/models", "tests/fuzz", "tests/http"),
    "protocols/openai_responses": ("tests/protocols", "tests/recordings"),
    "protocols/session_lines": ("tests/protocols",),
    "runs": ("tests/runs", "tests/crash"),
    "runtimes": ("tests/runtimes", "tests/clients"),
    "runtimes/adapters": ("tests/runtimes/adapters", "tests/test_app.py"),
    "runtimes/adapters/generator": ("tests/runtimes/adapters/generator",),
    "runtimes/adapters/langgraph": ("tests/runtimes/adapters/langgraph",),
    "runtimes/adapters/openai_agents": ("tests/runtimes/adapters/openai_agents",),
    "runtimes/adapters/pydantic_ai": ("tests/runtimes/adapters/pydantic_ai",),
    "runtimes/nodes": ("tests/runtimes",),
    "runtimes/tools": ("tests/runtimes",),
    "service": ("tests/service", "tests/http"),
}
"""tests/README.md says what each suite proves."""


def _sources() -> list[Path]:
    return sorted(
        path for path in SOURCE.rglob("*.py") if path.name not in ("__init__.py", "__main__.py")
    )


def _is_in_suite(path: Path) -> bool:
    return path.relative_to(ROOT).parts[0] == "tests" and len(path.relative_to(ROOT).parts) > 2


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
def test_a_source_file_begins_with_its_purpose(path: Path) -> None:
    name = path.relative_to(SOURCE)
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), (
        f"{name} does not begin by saying what it is"
    )


@pytest.mark.parametrize("path", _sources(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_source_file_is_tested(path: Path) -> None:
    name = path.relative_to(SOURCE)
    if (ROOT / "tests" / name.parent / f"test_{name.name}").exists():
        return
    folder = name.parent.as_posix().removeprefix(".")
    assert folder in SUITES, f"{folder}: name the suite that tests its files"
    assert path in _imports(SUITES[folder]), f"{name}: {SUITES[folder]} do not import it"


def test_each_folder_of_the_table_has_files_without_a_test_file() -> None:
    folders = {path.parent.relative_to(SOURCE).as_posix().removeprefix(".") for path in _sources()}
    assert SUITES.keys() <= folders
    assert all((ROOT / suite).exists() for suites in SUITES.values() for suite in suites)


@cache
def _imports(suites: tuple[str, ...]) -> set[Path]:
    """All files of the repository that the files of some suites import, directly or not."""
    queue = [path for suite in suites for path in _python_files(ROOT / suite)]
    files = set(queue)
    for path in queue:
        new = [each for each in _imported_by(path) if each not in files]
        files.update(new)
        queue += new
    return files


def _python_files(path: Path) -> list[Path]:
    return [path] if path.suffix else sorted(path.rglob("*.py"))


@cache
def _imported_by(path: Path) -> set[Path]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.ImportFrom(module=str(module), names=names):
                modules |= {module, *(f"{module}.{each.name}" for each in names)}
            case ast.Import(names=names):
                modules |= {each.name for each in names}
            case ast.Constant(value=str(name)) if name.startswith("tailrace."):
                modules.add(
                    name
                )  # imported by name (`log/stores/registry.py`), or run by `python -m`
            case _:
                pass
    files = {
        ROOT / root / f"{module.replace('.', '/')}{end}"
        for module in modules
        for root in ("", "src")
        for end in (".py", "/__init__.py")
    }
    return {file for file in files if file.exists()}


def test_the_page_on_tests_names_every_suite() -> None:
    page = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    folders = {path.relative_to(ROOT).parts[1] for path in _tracked() if _is_in_suite(path)}
    assert not [folder for folder in folders if f"`{folder}" not in page]


def test_the_public_names() -> None:
    agents = {"App", "Custom", "Progress", "Run", "ToolContext", "ToolError", "Usage", "tool"}
    agents |= {"CurrentRun", "RunCaller", "current_run"}
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

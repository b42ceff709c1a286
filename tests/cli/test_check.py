"""`tailrace check` reports all faults of a configuration at once, each with its line; origins and
addresses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tailrace import config
from tailrace.config import origins
from tailrace.errors import ConfigError
from tests.support.commands import tailrace

GOOD = """
[server]
port = 8700
max_runs = 100
cors_origins = [
  "https://app.example.com",
  "https://chat.example.com",
]

[engine]
shards = 8

[limits.token]
concurrent_runs = 5

[limits.run]
events = 1000

[models.fast]
dialect = "chat"
base_url = "http://127.0.0.1:8000/v1"
model = "qwen"
retries = 2

[models.said]
dialect = "script"
scenario = "scenario.toml"

[models.echo]
dialect = "echo"

[agents.support]
id = 7
model = "fast"
instructions = """
GOOD += '"""\n[models.fake]\nYou help.\n"""\n'
GOOD += """
tools = [
  "check_tools:find",
  "check_tools:order",
]
approve = ["order"]
subagents = ["clerk"]
max_turns = 9
output_schema = { type = "object" }

[[agents.support.mcp]]
label = "docs"
url = "http://127.0.0.1:9000/mcp"

[agents.clerk]
model = "echo"

[agents."poet"]
entry = "check_tools:poet"

[workflows.report]
id = 8

[[workflows.report.nodes]]
id = "write"
type = "deep_agent"
agent = "clerk"

[[workflows.report.nodes]]
id = "read"
type = "deep_agent"
agent = "support"
needs = ["write"]
"""
TOOLS = '''
def find(what: str) -> str:
    """Find."""
    return what


def order(what: str) -> str:
    """Order."""
    return what


async def poet(run):
    yield "x"


def silent(run):
    """No agent."""
'''
MISTAKES = [
    # the correct line, the line that replaces it, and the message about it
    ("port = 8700", "port = 87000", "[server] port cannot be 87000"),
    ("max_runs = 100", 'max_runs = "many"', "[server] max_runs: Expected `int`, got `str`"),
    ('"https://chat.example.com"', '"chat.example.com"', "'chat.example.com' is no origin"),
    ("shards = 8", "shards = 800", "[engine] shards must be 1 to 256, not 800"),
    ("concurrent_runs = 5", "concurent_runs = 5", "did you mean 'concurrent_runs'?"),
    ("events = 1000", "events = -1", "[limits.run] events must not be negative"),
    (":8000/v1", ":8000/v1/chat/completions", "[models.fast] base_url ends in an endpoint"),
    ("retries = 2", "retries = 2\nretry = 3", "unknown key 'retry' in [models.fast]"),
    ('"scenario.toml"', '"none.toml"', "No such file or directory"),
    ("id = 7", "id = 8", "[workflows.report] id 8 is taken by support"),
    ('model = "fast"', 'model = "fats"', "[agents.support] unknown model 'fats'; did you"),
    ("check_tools:order", "check_tools:odrer", "check_tools has no odrer; did you mean 'order'?"),
    ('approve = ["order"]', 'approve = ["pay"]', "[agents.support] approve: no tool 'pay'"),
    ('subagents = ["clerk"]', 'subagents = ["klerk"]', "unknown agent 'klerk'; did you mean"),
    ("max_turns = 9", "max_turns = 0", "[agents.support] max_turns must be at least 1"),
    ('type = "object" }', 'type = "thing" }', "output_schema cannot be used"),
    ('label = "docs"', 'label = "do cs"', "mcp 'do cs': a label is up to 32 letters"),
    (
        "check_tools:poet",
        "check_tools:silent",
        "it is a plain function: write 'async def', or yield the answer",
    ),
    ('needs = ["write"]', 'needs = ["wrote"]', "node 'read' needs unknown node 'wrote'"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "check_tools.py").write_text(TOOLS, encoding="utf-8")
    said = "[[replies]]\nsteps = [{ text = 'x' }]\n"
    (tmp_path / "scenario.toml").write_text(said, encoding="utf-8")
    return tmp_path


def faults(folder: Path, text: str) -> list[str]:
    """The output of `tailrace check` for it, one line per message."""
    (folder / "tailrace.toml").write_text(text, encoding="utf-8")
    done = tailrace("check", folder=folder)
    assert "Traceback" not in done.stderr
    assert done.returncode == (2 if "tailrace.toml:" in done.stderr else 0)
    return done.stderr.splitlines()


def test_a_good_one_is_fine(folder: Path) -> None:
    assert faults(folder, GOOD) == []


def said_at(text: str, wrong: str) -> int:
    """The line on which a text appears first."""
    return text[: text.index(wrong)].count("\n") + 1


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake[1])
def test_a_fault_is_reported_once_with_its_line(
    folder: Path, mistake: tuple[str, str, str]
) -> None:
    right, wrong, message = mistake
    text = GOOD.replace(right, wrong, 1)
    assert text != GOOD
    (line,) = faults(folder, text)
    assert message in line
    at = said_at(text, "[workflows.report]") + 1 if wrong == "id = 8" else said_at(text, wrong)
    at += wrong.count("\n")
    assert line.startswith(f"tailrace: tailrace.toml:{at}: "), (line, at)


def test_all_faults_are_reported_at_once_in_the_order_of_their_lines(folder: Path) -> None:
    text = GOOD
    for right, wrong, _ in MISTAKES:
        text = text.replace(right, wrong, 1)
    told = faults(folder, text)
    for right, wrong, message in MISTAKES:
        if wrong == 'approve = ["pay"]':
            continue  # the tools are unknown while one module cannot be imported
        assert len([line for line in told if message in line]) == 1, (right, told)
    lines = [int(line.split(":")[2]) for line in told]
    assert lines == sorted(lines)
    assert len(told) == len(MISTAKES) - 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("models.m = { dialect = 'echo', repeat = 'x' }", 1),
        ("[models]\n\nm = { dialect = 'echo', repeat = 'x' }", 3),
        ("[models]\nm.dialect = 'echo'\nm.repeat = 'x'", 2),
        ("[models.\"m\"]\ndialect = 'echo'\nrepeat = 'x'", 3),
        ("[models . m]\ndialect = 'echo'\nrepeat = 'x'", 3),
        ("[models.n]\ndialect = 'echo'\nrepeat = 1\n[models.m]\ndialect = 'echo'\nrepeat = 'x'", 6),
        ("[models.n]\ndialect = 'echo'\nrepeat = 1\n[models.m]\nrepeat = 1", 4),
    ],
)
def test_however_a_table_is_written_its_line_is_found(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=rf"^tailrace\.toml:{line}: \[models\.m\]"):
        config.parse(text)


def test_numbers_and_names_are_not_mixed_up() -> None:
    text = (
        '[models.m]\ndialect = "echo"\n[agents.7]\nmodel = "m"\n[agents.b]\nmodel = "m"\nid = 7\n'
    )
    with pytest.raises(
        ConfigError, match=r"^tailrace\.toml:7: \[agents\.b\] id 7 is taken by the name '7'"
    ):
        config.parse(text)


ORIGINS = [
    ("https://a.example", "https://a.example"),
    ("https://a.example/", "https://a.example"),
    ("HTTPS://A.Example:443/", "https://a.example"),
    ("http://a.example:80", "http://a.example"),
    ("http://a.example:8080/", "http://a.example:8080"),
    ("https://a.example:80", "https://a.example:80"),
    ("http://[::1]:3000", "http://[::1]:3000"),
    ("http://LOCALHOST:3000", "http://localhost:3000"),
    ("capacitor://localhost", "capacitor://localhost"),
    ("*", "*"),
    ("null", "null"),
]


@pytest.mark.parametrize(("written", "said"), ORIGINS)
def test_an_origin_is_compared_as_browsers_send_it(written: str, said: str) -> None:
    text = f'[server]\ncors_origins = ["{written}"]\n'
    assert config.parse(text).server.cors_origins == (said,)
    assert origins.normal(said) == said


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("a.example", "is no origin"),
        ("localhost:3000", "is no origin"),
        ("https://", "is no origin"),
        ("https://a.example:port", "is no origin"),
        ("", "is no origin"),
        ("https://*.example", "name each origin"),
        ("https://a.example/chat", "write 'https://a.example'"),
        ("https://ann@a.example", "write 'https://a.example'"),
        ("https://a.example?x=1", "write 'https://a.example'"),
    ],
)
def test_an_origin_that_no_browser_sends_is_refused(written: str, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"^tailrace\.toml:2: \[server\] .*{re.escape(why)}"):
        config.parse(f'[server]\ncors_origins = ["{written}"]\n')


@pytest.mark.parametrize(
    ("path", "warns"), [("", True), ("/", True), ("/v1", False), ("/v1beta/openai/", False)]
)
def test_an_address_without_v1_is_a_warning(folder: Path, path: str, warns: bool) -> None:
    text = f'[models.m]\ndialect = "chat"\nmodel = "m"\nbase_url = "http://127.0.0.1:8000{path}"\n'
    (folder / "tailrace.toml").write_text(text, encoding="utf-8")
    done = tailrace("check", folder=folder)
    assert done.returncode == 0
    assert ("under /v1: 'http://127.0.0.1:8000/v1'" in done.stderr) == warns

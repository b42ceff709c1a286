"""`tailrace engine`, and servers that are configured to share an engine."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support import commands
from tests.support.nats_servers import Node, cluster, free_ports

STREAMS = ("RUNS-0", "RUNS-1", "RECORDS", "JOBS")
ECHO = '[models.echo]\ndialect = "echo"\n'


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Generator[Node, None, None]:
    with cluster(tmp_path_factory.mktemp("nats"), 1) as (made,):
        yield made


def tailrace(
    folder: Path, *arguments: str, engine: str = "", program: str = commands.PROGRAM
) -> tuple[int, str]:
    """Run a command in a folder with a configuration; return its exit status and its complete output."""
    (folder / "tailrace.toml").write_text(engine + ECHO, encoding="utf-8")
    done = commands.tailrace(*arguments, folder=folder, program=program)
    return done.returncode, done.stdout + done.stderr


def test_streams_are_made_once_and_checked(node: Node, tmp_path: Path) -> None:
    table = f'[engine]\nurl = "{node.url}"\nname = "made"\nshards = 2\nreplicas = 1\n'
    assert tailrace(tmp_path, "engine", "check", engine=table) == (
        2,
        "tailrace: the stream made-RUNS-0 does not exist: run `tailrace engine init`\n",
    )
    assert tailrace(tmp_path, "serve", "--port", "0", engine=table)[0] != 0
    for _ in range(2):
        status, said = tailrace(tmp_path, "engine", "init", engine=table)
        assert (status, said) == (0, "made: 4 streams, 1 replicas\n")
    status, said = tailrace(tmp_path, "engine", "check", engine=table)
    assert status == 1
    for line, name in zip(said.splitlines(), STREAMS, strict=False):
        assert line.startswith(f"made: the stream made-{name} has num_replicas 1: ")
    assert "made: whether the servers write to disk before they acknowledge cannot be seen" in said
    seen = tailrace(tmp_path, "engine", "check", "--monitor", node.monitoring, engine=table)
    assert seen == (1, "".join(said.splitlines(keepends=True)[:4]))
    other = table.replace("shards = 2", "shards = 3")
    status, said = tailrace(tmp_path, "engine", "check", engine=other)
    assert status == 2
    assert said == (
        "tailrace: made has 2 shards, and [engine] shards is 3: their number stays as it was made\n"
    )
    other = table.replace("replicas = 1", "replicas = 3")
    status, said = tailrace(tmp_path, "engine", "init", engine=other)
    assert (status, said.splitlines()[0]) == (0, "made: 4 streams, 1 replicas")
    assert "as they were made" in said.splitlines()[1]
    longer = table + "[server]\nretention_hours = 9000\n"
    assert "and runs are kept for" in tailrace(tmp_path, "engine", "check", engine=longer)[1]
    assert tailrace(tmp_path, "engine", "init", engine=longer)[0] == 0
    assert "runs are kept for" not in tailrace(tmp_path, "engine", "check", engine=longer)[1]


def test_a_server_without_encryption_does_not_get_the_password(node: Node, tmp_path: Path) -> None:
    where = node.url.replace("nats://", "tls://me:s3cret@")
    status, said = tailrace(tmp_path, "engine", "check", "--engine", where)
    told = f"tls://…@{node.url.removeprefix('nats://')} does not ask for TLS"
    assert (status, said) == (2, f"tailrace: [engine] url: the server at {told}\n")


def test_a_safe_cluster_is_fine(tmp_path: Path) -> None:
    with cluster(tmp_path / "nats", 3) as nodes:
        table = (
            f'[engine]\nurl = "{",".join(node.url for node in nodes)}"\nname = "made"\nshards = 2\n'
        )
        status, said = tailrace(tmp_path, "engine", "init", engine=table)
        assert status == 0, said
        monitors = [word for node in nodes for word in ("--monitor", node.monitoring)]
        while (seen := tailrace(tmp_path, "engine", "check", *monitors, engine=table))[0]:
            assert "is behind on" in seen[1], "what was just made need not be everywhere yet"
        assert seen == (0, "made: fine\n")


def test_impossible_options_are_reported_in_one_line(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    cases = {
        ("serve", "--role", "api"): "needs an engine that processes can share",
        ("engine", "check"): "no engine: set [engine] url, or give --engine",
        ("engine", "check", "--engine", "http://localhost"): "'http://localhost' is not nats://",
        ("engine", "check", "--engine", "nats://"): "'nats://' is not nats://host:port",
        ("engine", "check", "--engine", "nats://h:port"): "'nats://h:port' is not nats://",
        ("engine", "check", "--engine", "nats://[h"): "'nats://[h' is not nats://",
        ("serve", "--engine", "nats://me:s3cret@h:port"): "address 1 is not nats://",
        ("serve", "--engine", "nats://h,nats://me:s3/cret@h"): "address 2 is not nats://",
        ("serve", "--engine", "nats://me:s3,cret@h"): "address 1 is not nats://",
        ("engine", "check", "--engine", f"nats://127.0.0.1:{port}"): "no NATS server answers at",
        ("engine", "check", "--engine", f"nats://me:s3cret@127.0.0.1:{port}"): "//…@127.0.0.1",
    }
    for arguments, words in cases.items():
        status, said = tailrace(tmp_path, *arguments)
        assert status in (1, 2), arguments
        assert words in said
        assert "s3" not in said
        assert said.count("\n") == 1, said


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("name", '"a b"', "[engine] name 'a b' must be letters, digits, _ and -"),
        ("name", '""', "[engine] name '' must be"),
        ("shards", "0", "[engine] shards must be 1 to 256, not 0"),
        ("replicas", "-1", "[engine] replicas must be 1 to 5, not -1"),
        ("lease_seconds", "0.0", "[engine] lease_seconds must be 1 to 3600, not 0"),
        ("url", '"nats://h:port"', "[engine] url: 'nats://h:port' is not nats://host:port"),
    ],
)
def test_an_invalid_engine_is_reported_with_its_line(
    key: str, value: str, words: str, tmp_path: Path
) -> None:
    status, said = tailrace(tmp_path, "check", engine=f"[engine]\n{key} = {value}\n")
    assert status == 2
    assert said.startswith("tailrace: tailrace.toml:2: " + words)
    assert said.count("\n") == 1


def test_tokens_are_the_installation_s(node: Node, tmp_path: Path) -> None:
    table = f'[engine]\nurl = "{node.url}"\nname = "keys"\nshards = 1\nreplicas = 1\n'
    assert tailrace(tmp_path, "engine", "init", engine=table)[0] == 0
    status, secret = tailrace(tmp_path, "token", "create", "me", engine=table)
    assert status == 0, secret
    assert secret.startswith("oat_")
    other = tmp_path / "another machine"
    other.mkdir()
    assert "me" in tailrace(other, "token", "list", engine=table)[1]


def test_without_the_extra_commands_report_it(tmp_path: Path) -> None:
    program = "import sys; sys.modules['nats'] = None; " + commands.PROGRAM
    for arguments in (("serve",), ("engine", "check"), ("token", "list"), ("engine", "init")):
        table = '[engine]\nurl = "nats://127.0.0.1:1"\n'
        status, said = tailrace(tmp_path, *arguments, engine=table, program=program)
        assert status == 2, said
        assert "pip install 'tailrace[nats]'" in said
        assert said.count("\n") == 1, said

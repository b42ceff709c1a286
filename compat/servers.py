"""A real tailrace server over a folder of its own, for the length of a `with`."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from compat.clients import ROOT

CONFIG = ROOT / "compat" / "server"
MCP_SERVER = ROOT / "tests" / "support" / "mcp_server.py"


@contextmanager
def running() -> Generator[str, None, None]:
    """Its base URL. Raises AssertionError when it wrote a traceback."""
    with tempfile.TemporaryDirectory(prefix="tailrace-compat-") as name:
        folder = Path(name)
        shutil.copytree(CONFIG, folder, dirs_exist_ok=True)
        shutil.copy(MCP_SERVER, folder)
        config = folder / "tailrace.toml"
        text = config.read_text(encoding="utf-8")
        config.write_text(text.replace('"python"', f'"{sys.executable}"'), encoding="utf-8")
        with served(folder) as url:
            yield url
        written = (folder / "stderr.txt").read_text(encoding="utf-8")
        assert "Traceback" not in written, written


@contextmanager
def served(folder: Path) -> Generator[str, None, None]:
    """The base URL of a server over the folder's `tailrace.toml`; it logs into `stderr.txt` there."""
    port = _free_port()
    config = str(folder / "tailrace.toml")
    command = [sys.executable, "-m", "tailrace", "serve", config, "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    with (folder / "stderr.txt").open("wb") as errors:
        process = subprocess.Popen(command, cwd=folder, stderr=errors, env=environment)
    try:
        _until_it_answers(f"http://127.0.0.1:{port}/v1/models")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _until_it_answers(url: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server does not answer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

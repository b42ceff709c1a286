"""Which clients there are: the rows of the table, and what each has no form for.

`without` names the scenarios that a client's protocol or library has no form for, with the reason; `limits`
those that fail by the client's own doing, which the run must confirm. Whatever is in neither must pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compat.scenarios import SCENARIOS

ROOT = Path(__file__).parents[1]
DEV = ""
NODE = ROOT / ".clients" / "node22" / "node_modules" / ".bin" / "node"

NO_RESUME = "the protocol has no resume"
AGENT_ONLY = (
    "the protocol shows one message; who spoke in it is told in fields that this client drops"
)
NO_SCHEMA = "the client cannot ask for a schema"


@dataclass(frozen=True, kw_only=True)
class Client:
    """One row: a client of one version on one surface, and the script that drives it.

    `environment` is a folder of .clients, or `DEV` for the development environment. The script prints the
    version it runs, which must be `version`.
    """

    name: str
    version: str
    surface: str
    environment: str
    script: str
    argument: str = ""
    without: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = {*self.without, *self.limits}
        if named - SCENARIOS.keys() or self.without.keys() & self.limits.keys():
            raise ValueError(f"{self.name}: {named}")

    @property
    def key(self) -> str:
        """How a test names the row."""
        return f"{self.name} {self.version}, {self.surface}"

    def command(self, base_url: str) -> list[str]:
        """How to run the script, in `folder`."""
        if self.script.endswith(".mjs"):
            return [str(NODE), self.script, base_url, self.argument]
        python = (
            ROOT / (f".clients/{self.environment}" if self.environment else ".venv") / "bin/python"
        )
        return [str(python), "-m", f"compat.{self.script}", base_url, self.argument]

    @property
    def folder(self) -> Path:
        """Where it runs: Node finds packages beside the script."""
        return ROOT / ".clients" / self.environment if self.script.endswith(".mjs") else ROOT


def _openai() -> list[Client]:
    rows: list[Client] = []
    versions = [
        ("openai (Python)", "1.50.2", "openai-1.50.2", "python.openai_{}"),
        ("openai (Python)", "1.109.1", "openai-1.109.1", "python.openai_{}"),
        ("openai (Python)", "2.54.0", "openai-2.54.0", "python.openai_{}"),
        ("openai (Python)", "3.52.0", DEV, "python.openai_{}"),
        ("openai (Node)", "6.30.1", "openai-6", "openai_{}.mjs"),
        ("openai (Node)", "7.57.0", "openai-7", "openai_{}.mjs"),
    ]
    for name, version, environment, script in versions:
        row = {"name": name, "version": version, "environment": environment}
        rows += [
            Client(
                **row,
                surface="Chat",
                script=script.format("chat"),
                without={"resume": NO_RESUME},
            ),
            Client(**row, surface="Responses", script=script.format("responses")),
        ]
    return rows


def clients() -> list[Client]:
    """All rows, in the order of the table."""
    return [*_openai()]

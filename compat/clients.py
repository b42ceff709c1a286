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

SURFACES = {
    "responses": "Responses",
    "chat": "Chat",
    "compatible": "Chat",
    "anthropic": "Messages",
    "messages": "Messages",
}
NO_RESUME = "the protocol has no resume"
NO_CURSOR = "the client never asks for the rest of a stream"
READS_ONLY = "the client can only stop reading; the run continues, as this protocol requires"
NO_REASONING = "the client ignores reasoning on Chat Completions"
NO_REASON = "the client does not tell why an answer ended"
NO_SCHEMA = "the client has no way to ask for a schema"
NO_RETRY = "the client does not ask again by itself"
NO_PAUSE = "the question is a call of the tool `ask_user`, which this client does not have here"
NO_APPROVAL = "the client has no form for an approval"
NO_REFUSAL = "the client has no form for a refusal and drops it"


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

    @property
    def asked(self) -> list[str]:
        """The scenarios that the client has a form for."""
        return [name for name in SCENARIOS if name not in self.without]

    def command(self, base_url: str) -> list[str]:
        """How to run the script, in `folder`."""
        told = [base_url, ",".join(self.asked), self.argument]
        if self.script.endswith(".mjs"):
            return [str(NODE), self.script, *told]
        python = (
            ROOT / (f".clients/{self.environment}" if self.environment else ".venv") / "bin/python"
        )
        return [str(python), "-m", f"compat.{self.script}", *told]

    @property
    def folder(self) -> Path:
        """Where it runs: Node finds packages beside the script."""
        return ROOT / ".clients" / self.environment if self.script.endswith(".mjs") else ROOT


def _openai() -> list[Client]:
    versions = [
        ("openai (Python)", "1.50.2", "openai-1.50.2", "python.openai_{}"),
        ("openai (Python)", "1.109.1", "openai-1.109.1", "python.openai_{}"),
        ("openai (Python)", "2.54.0", "openai-2.54.0", "python.openai_{}"),
        ("openai (Python)", "3.52.0", DEV, "python.openai_{}"),
        ("openai (Node)", "6.30.1", "openai-6", "openai_{}.mjs"),
        ("openai (Node)", "7.57.0", "openai-7", "openai_{}.mjs"),
    ]
    return [
        Client(
            name=name,
            version=version,
            surface=surface,
            environment=environment,
            script=script.format(surface.lower()),
            without={"resume": NO_RESUME} if surface == "Chat" else {},
        )
        for name, version, environment, script in versions
        for surface in ("Chat", "Responses")
    ]


def _ai_sdk() -> list[Client]:
    """The AI SDK's own functions over each provider; version 5 drops refusals, 6 in one of its providers."""
    rows: list[Client] = []
    generations = [
        (
            "5.0.277",
            "ai-5",
            {
                "responses": "2.0.131",
                "chat": "2.0.131",
                "compatible": "1.0.61",
                "anthropic": "2.0.112",
            },
        ),
        ("6.0.168", "ai-6.0.168", {"responses": "3.0.53", "chat": "3.0.53"}),
        (
            "6.0.326",
            "ai-6",
            {
                "responses": "3.0.141",
                "chat": "3.0.141",
                "compatible": "2.0.87",
                "anthropic": "3.0.138",
            },
        ),
        (
            "7.0.173",
            "ai-7",
            {
                "responses": "4.0.118",
                "chat": "4.0.118",
                "compatible": "3.0.92",
                "anthropic": "4.0.105",
            },
        ),
    ]
    packages = {"compatible": "openai-compatible", "anthropic": "anthropic"}
    deaf = {
        "ai-5": {"responses", "chat", "compatible"},
        "ai-6": {"compatible"},
        "ai-6.0.168": {"responses", "chat"},
    }
    for version, environment, providers in generations:
        for provider, its_version in providers.items():
            without = {"resume": NO_CURSOR}
            if provider != "responses":
                without["approval"] = NO_PAUSE
            else:
                without["cancel"] = READS_ONLY
                if environment == "ai-5":
                    without["approval"] = NO_APPROVAL
            if provider == "chat":
                without["reasoning"] = NO_REASONING
            if provider in deaf.get(environment, ()):
                without["refusal"] = NO_REFUSAL
            rows.append(
                Client(
                    name=f"ai + @ai-sdk/{packages.get(provider, 'openai')} {its_version}",
                    version=version,
                    surface=SURFACES[provider],
                    environment=environment,
                    script="ai.mjs",
                    argument=provider,
                    without=without,
                )
            )
    return rows


def _anthropic() -> list[Client]:
    versions = [
        ("anthropic (Python)", "0.125.0", "anthropic-0.125.0", "python.anthropic_messages"),
        ("anthropic (Python)", "2.11.0", "anthropic-2.11.0", "python.anthropic_messages"),
        ("@anthropic-ai/sdk", "1.11.0", "anthropic-1", "anthropic.mjs"),
    ]
    return [
        Client(
            name=name,
            version=version,
            surface="Messages",
            environment=environment,
            script=script,
            without={"resume": NO_RESUME},
        )
        for name, version, environment, script in versions
    ]


def _ui() -> list[Client]:
    """The AI SDK in a page: its transport and message reader of six versions, and React's hook."""
    without = {"structured": NO_SCHEMA, "retry": NO_RETRY}
    versions = {
        "5.0.0": "ai-5.0.0",
        "5.0.277": "ai-5",
        "6.0.168": "ai-6.0.168",
        "6.0.326": "ai-6",
        "7.0.0": "ai-7.0.0",
        "7.0.173": "ai-7",
    }
    rows = [
        Client(
            name="ai DefaultChatTransport",
            version=version,
            surface="AI SDK UI",
            environment=environment,
            script="ui_chat.mjs",
            argument="class",
            without=without,
        )
        for version, environment in versions.items()
    ]
    hook = Client(
        name="@ai-sdk/react useChat 4.0.177",
        version="7.0.173",
        surface="AI SDK UI",
        environment="ai-react",
        script="ui_chat.mjs",
        argument="hook",
        without=without,
    )
    return [*rows, hook]


def _ag_ui() -> list[Client]:
    """The client of the AG-UI protocol, its verifier included."""
    row = Client(
        name="@ag-ui/client HttpAgent",
        version="1.0.0",
        surface="AG-UI",
        environment="ag-ui-1",
        script="ag_ui.mjs",
        without={"structured": NO_SCHEMA, "retry": NO_RETRY},
    )
    return [row]


def _frameworks() -> list[Client]:
    """Agent frameworks whose model is a tailrace agent."""
    rows: list[Client] = []
    frameworks = [
        (
            "LangChain ChatOpenAI",
            "1.7.3",
            "langchain",
            "langchain_openai_chat",
            ("chat", "responses"),
        ),
        (
            "LangChain ChatAnthropic",
            "1.7.7",
            "langchain",
            "langchain_anthropic_chat",
            ("messages",),
        ),
        (
            "LangGraph, ChatOpenAI in its nodes",
            "1.2.22",
            "langchain",
            "langgraph_graph",
            ("responses",),
        ),
        ("Pydantic AI", "2.68.0", DEV, "pydantic_ai_agent", ("chat", "responses", "messages")),
        ("OpenAI Agents SDK", "0.24.0", DEV, "openai_agents_runner", ("chat", "responses")),
    ]
    for name, version, environment, script, surfaces in frameworks:
        for surface in surfaces:
            without: dict[str, str] = {}
            if surface != "responses":
                without |= {"resume": NO_RESUME, "approval": NO_PAUSE}
            elif name != "Pydantic AI":
                without |= {"resume": NO_CURSOR, "cancel": READS_ONLY}
            if surface == "responses" and name == "Pydantic AI":
                without["approval"] = NO_APPROVAL
            if script == "langchain_openai_chat" and surface == "chat":
                without["reasoning"] = NO_REASONING
            if script == "openai_agents_runner" and surface == "chat":
                without["incomplete"] = NO_REASON
            rows.append(
                Client(
                    name=name,
                    version=version,
                    surface=SURFACES[surface],
                    environment=environment,
                    script=f"python.{script}",
                    argument=surface,
                    without=without,
                )
            )
    return rows


def _plain() -> list[Client]:
    """No library at all."""
    without = {
        "client_tools": "sessions have no tools of the client",
        "structured": NO_SCHEMA,
        "retry": NO_RETRY,
    }
    node = Client(
        name="Node fetch, the guide's loop",
        version="22.23.3",
        surface="NDJSON sessions",
        environment="node22",
        script="sessions.mjs",
        without=without,
    )
    surfaces = {**SURFACES, "native": "Native"}
    return [
        node,
        *(
            Client(
                name="curl",
                version="any",
                surface=surfaces[surface],
                environment=DEV,
                script="python.curl",
                argument=surface,
                without={"resume": NO_RESUME} if surface in ("chat", "messages") else {},
            )
            for surface in ("chat", "responses", "messages", "native")
        ),
    ]


def clients() -> list[Client]:
    """All rows, in the order of the table."""
    return [*_openai(), *_ai_sdk(), *_anthropic(), *_ui(), *_ag_ui(), *_frameworks(), *_plain()]

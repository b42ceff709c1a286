"""The configuration's `mcp` tables; `tests/cli` tests what `tailrace check` reports about the rest."""

from __future__ import annotations

import pytest

from tailrace.config import McpConfig, parse
from tailrace.errors import ConfigError

START = """
[models.m]
dialect = "echo"

[agents.a]
model = "m"
"""


def test_servers_of_an_agent() -> None:
    text = """
mcp = [
  { label = "docs", url = "https://u:p@docs.example/mcp?key=k", header_env = { Authorization = "KEY" } },
  { label = "files", command = "serve", args = ["-v"], env = { A = "b" }, approval = ["write"] },
]
"""
    docs, files = parse(START + text).agents["a"].mcp
    assert (docs.header_env, docs.approval, docs.timeout) == (
        {"Authorization": "KEY"},
        "always",
        60,
    )
    assert files == McpConfig(
        label="files", command="serve", args=("-v",), env={"A": "b"}, approval=("write",)
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('user_claim = ""', "[auth.jwt] user_claim is empty"),
        ('tenant_claim = " "', "[auth.jwt] tenant_claim is empty"),
        ('tenant = "\\u200B"', "[auth.jwt] tenant is empty"),
        ('tenant = "a\\u001Fb"', "[auth.jwt] tenant has characters that names may not have"),
        ('without_user = "tenant"', "without_user"),
        ("without_user = true", "without_user"),
    ],
)
def test_faults_of_an_identity_provider(entry: str, message: str) -> None:
    text = f'[auth.jwt]\nsecret_env = "X"\nalgorithms = ["HS256"]\n{entry}\n'
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (
            'url = "http://h/m"',
            "tailrace.toml:7: [agents.a] mcp[0]: Object missing required field",
        ),
        (
            'label = "d"',
            "tailrace.toml:7: [agents.a] mcp 'd': it needs 'url' or 'command', one of them",
        ),
        (
            'label = "d", url = "http://h/m", command = "x"',
            "it needs 'url' or 'command', one of them",
        ),
        ('label = "d.e", command = "x"', "mcp 'd.e': a label is up to 32 letters, digits, '_'"),
        ('label = "d", url = "h/m?key=secret"', "[agents.a] mcp 'd': url is no http or https URL"),
        ('label = "d", url = "http://[h/m"', "url is no http or https URL"),
        ('label = "d", url = "http://h/m", args = ["x"]', "'args' does not go with 'url'"),
        (
            'label = "d", command = "x", header_env = { A = "B" }',
            "'header_env' does not go with 'com",
        ),
        (
            'label = "d", command = "x", approval = "sometimes"',
            "[agents.a] mcp[0].approval: Inval",
        ),
        ('label = "d", command = "x", timeout = 0', "timeout must be more than 0"),
        (
            'label = "d", allows = "x"',
            "unknown key 'allows' in [agents.a]; did you mean 'allow'?",
        ),
        (
            'label = "d", command = "x", allow = ["read"], approval = ["reed"]',
            "approval names 'reed', which is not in allow; did you mean 'read'?",
        ),
        ('label = "d", command = "x" }, { label = "d", command = "y"', "two mcp servers are 'd'"),
    ],
)
def test_faults_of_a_server(entry: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(START + f"mcp = [{{ {entry} }}]")
    assert message in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('max_tokens_field = "max_output_tokens"', "max_tokens_field"),
        ('developer_role = "user"', "developer_role"),
        ('custom_tools = "none"', "custom_tools"),
        ('allowed_tools = "yes"', "allowed_tools"),
        ("encrypted_reasoning = true", "'encrypted_reasoning' is for dialect 'responses' only"),
        ("system_first = 1", "system_first"),
        ("user_max_length = 8", "user_max_length must be 0 or at least 16"),
        ("user_max_length = -1", "user_max_length must be 0 or at least 16"),
        ('max_token_field = "max_tokens"', "did you mean 'max_tokens_field'?"),
    ],
)
def test_faults_of_what_servers_differ_in(entry: str, message: str) -> None:
    server = 'dialect = "chat"\nbase_url = "http://h/v1"\nmodel = "m"\n'
    with pytest.raises(ConfigError) as raised:
        parse(f"[models.m]\n{server}{entry}\n")
    assert message in str(raised.value)


@pytest.mark.parametrize("dialect", ["responses", "messages", "echo"])
@pytest.mark.parametrize(
    "entry",
    [
        'max_tokens_field = "max_tokens"',
        'developer_role = "system"',
        "system_first = false",
        'custom_tools = "custom"',
        "allowed_tools = true",
    ],
)
def test_chat_servers_differ_in_what_others_do_not(dialect: str, entry: str) -> None:
    server = f'dialect = "{dialect}"\nbase_url = "http://h/v1"\nmodel = "m"\n'
    with pytest.raises(ConfigError, match="is for dialect 'chat' only"):
        parse(f"[models.m]\n{server}{entry}\n")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("Authorization", "has a secret, which is never stored"),
        ("cookie", "has a secret, which is never stored"),
        ("X-API-Key", "has a secret, which is never stored"),
        ("x shop", "is not the name of a header"),
        ("", "is not the name of a header"),
    ],
)
def test_headers_that_a_run_cannot_keep(header: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f'[server]\nrun_headers = ["{header}"]\n')
    assert f"[server] run_headers: '{header}' {message}" in str(caught.value)

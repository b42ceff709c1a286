"""Values of a run's request in texts of the configuration."""

from __future__ import annotations

import pytest

from tailrace.events.request import RunCaller, RunRequest
from tailrace.runtimes import variables

REQUEST = RunRequest(
    agent="a",
    model="m",
    surface="chat",
    input=(),
    caller=RunCaller(
        tenant="acme",
        user="ann",
        scopes=("read", "run"),
        claims={
            "email": "ann@acme.test",
            "groups": ["a", "b"],
            "level": 3,
            "https://x.test/y": "z",
        },
    ),
    headers={"x-shop": "north"},
    metadata={"ticket": "7", "trick": "{caller.user}"},
    fields={"plan": {"name": "gold"}},
)
FILLED = {
    "You help {caller.user} of {caller.tenant}.": "You help ann of acme.",
    "{caller.scopes}": "read run",
    "{caller.claims.email} {caller.claims.groups} {caller.claims.level}": "ann@acme.test a b 3",
    "{caller.claims.https://x.test/y}": "z",
    "{headers.X-Shop}": "north",
    "{metadata.ticket}, {metadata.none}": "7, ",
    "{metadata.trick}": "{caller.user}",
    "{fields.plan}": '{"name":"gold"}',
    'Answer as {"a": 1}, {user}, {{caller.user}}': 'Answer as {"a": 1}, {user}, {ann}',
    "{caller.claims}": "",
    "no braces": "no braces",
}


@pytest.mark.parametrize("text", FILLED)
def test_variables_have_the_values_of_the_request(text: str) -> None:
    assert variables.fill(text, REQUEST) == FILLED[text]


FAULTS = {
    "{caller.name}": "{caller.name} does not exist; known: tenant, user, token, scopes, claims.NAME",
    "{caller.claims}": "{caller.claims} does not exist; known:",
    "{headers.x-desk}": "{headers.x-desk} needs 'x-desk' in [server] run_headers",
    "{caller.user} {headers.X-Shop} {metadata.a} {fields.b} {caller.claims.c} {other}": "",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_variable_that_never_has_a_value_is_a_fault(text: str) -> None:
    fault = variables.fault(text, ["x-shop"])
    assert fault.startswith(FAULTS[text])
    assert bool(fault) == bool(FAULTS[text])

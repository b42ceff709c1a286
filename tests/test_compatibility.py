"""The table of real clients is complete, and each cell that stands for a promise is a pass.

`make test-clients` proves the cells against a live server; this test reads its output.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from compat.clients import Client, clients
from compat.scenarios import SCENARIOS
from compat.table import FAILED, NONE, PASSED, page, read

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
TABLE = read(TEXT)
CLIENTS = clients()


def rows(*words: str) -> list[str]:
    """The rows whose key has all the words; at least one must exist."""
    found = [key for key in TABLE if all(word in key for word in words)]
    assert found, words
    return found


def passed(scenario: str, *words: str) -> None:
    for key in rows(*words):
        assert TABLE[key][scenario] == PASSED, f"{key}: {scenario}: {TABLE[key][scenario]}"


def test_the_table_has_every_client_in_order() -> None:
    assert list(TABLE) == [client.key for client in CLIENTS]


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.key)
def test_a_table_cell_is_empty_only_if_the_dialect_has_no_form(client: Client) -> None:
    for scenario, cell in TABLE[client.key].items():
        if scenario in client.without:
            wanted = NONE
        elif scenario in client.limits:
            wanted = FAILED
        else:
            wanted = PASSED
        assert cell.split()[0] == wanted, scenario


def test_the_page_is_what_its_outcomes_make() -> None:
    outcomes = {client.key: dict.fromkeys(client.asked, "") for client in CLIENTS}
    for client in CLIENTS:
        outcomes[client.key] |= client.limits
    assert page(CLIENTS, outcomes) == TEXT


def test_a_failure_message_has_no_text_that_differs_between_runs() -> None:
    client = CLIENTS[0]
    reason = "no chatcmpl-01m7yzyhv2ssx69mvbaz4c0k46 at 127.0.0.1:4711 | x"
    outcomes = {client.key: {**dict.fromkeys(SCENARIOS, ""), "text": reason}}
    text = page([client], outcomes)
    assert read(text)[client.key]["text"] == f"{FAILED} 1"
    assert "1. no chatcmpl-… at … ¦ x" in text


def test_a_scenario_that_a_script_did_not_report_has_failed() -> None:
    client = CLIENTS[0]
    assert read(page([client], {client.key: {}}))[client.key]["text"].startswith(FAILED)


@pytest.mark.req("R6")
def test_three_kinds_of_client_read_chat_streams() -> None:
    passed("text", "LangChain ChatOpenAI", ", Chat")
    passed("text", "@ai-sdk/openai-compatible", ", Chat")
    passed("text", "openai (Python)", ", Chat")


@pytest.mark.req("R27")
def test_responses_stream_to_the_oldest_clients() -> None:
    passed("text", "openai (Python) 1.50.2, Responses")
    for generation in ("5.0.277", "6.0.326", "7.0.173"):
        passed("text", f"{generation}, Responses")


@pytest.mark.req("R45")
@pytest.mark.req("R47")
def test_the_ai_sdk_through_its_responses_provider() -> None:
    for version in ("3.0.53 6.0.168", "3.0.141 6.0.326", "4.0.118 7.0.173"):
        for scenario in set(SCENARIOS) - {"resume", "cancel", "refusal"}:
            passed(scenario, f"@ai-sdk/openai {version}, Responses")


@pytest.mark.req("R55")
@pytest.mark.req("R59")
@pytest.mark.req("R65")
@pytest.mark.req("R66")
@pytest.mark.req("R69")
def test_text_streams_whole_and_raw_events_are_there() -> None:
    """The script's text scenario reads `textStream` and every raw event up to `response.completed`."""
    passed("text", "@ai-sdk/openai ", ", Responses")
    passed("unicode", "@ai-sdk/openai ", ", Responses")


@pytest.mark.req("R63")
def test_smoothed_text_is_whole() -> None:
    """The script's long scenario runs `smoothStream` over the same 5,000 words."""
    passed("long", "@ai-sdk/openai ", ", Responses")


@pytest.mark.req("R111")
@pytest.mark.req("R112")
def test_pydantic_ai_runs_and_streams() -> None:
    for scenario in set(SCENARIOS) - {"approval"}:
        passed(scenario, "Pydantic AI", ", Responses")


@pytest.mark.req("R114")
@pytest.mark.req("R115")
def test_langchain_streams_text_and_reports_the_id() -> None:
    """The chain scenario is the loop of the guide: the id is that of any chunk that has one (the page's
    notes)."""
    passed("text", "LangChain ChatOpenAI", ", Responses")
    passed("chain", "LangChain ChatOpenAI", ", Responses")


@pytest.mark.req("R116")
def test_langchain_continues_from_that_id() -> None:
    passed("chain", "LangChain ChatOpenAI", ", Responses")


@pytest.mark.req("R117")
def test_langgraph_streams_chunks_by_node() -> None:
    passed("text", "LangGraph")


@pytest.mark.req("R163")
def test_the_guides_loop_on_node_has_all_events_and_the_session() -> None:
    passed("text", "Node fetch", "NDJSON sessions")
    passed("chain", "Node fetch", "NDJSON sessions")

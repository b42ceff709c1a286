"""The part of a model server's failure that clients of an agent see: status, code and `param`, none of its
text.

The server's text is about a request that the client did not write, and may have secrets: keys, names of
deployments, parts of the instructions. It goes to the log. The exception of a library for a refusal
(`openai.RateLimitError`, …) is read like the refusal itself, by its status and body.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, cast

from tailrace.errors import ModelFailed
from tailrace.models.retrying import server_wait
from tailrace.protocols.upstream_errors import server_failure

logger = logging.getLogger("tailrace.runtimes")

SERVER = "The model server"
LIBRARIES = frozenset(
    {
        "openai",
        "anthropic",
        "pydantic_ai",
        "groq",
        "mistralai",
        "cohere",
        "litellm",
        "google",
        "together",
    }
    | {
        "langchain_core",
        "langchain_google_genai",
        "huggingface_hub",
        "botocore",
        "ollama",
        "cerebras",
    }
)
"""Packages whose exceptions with a status report the response of a model server."""


def model_failure(error: BaseException) -> ModelFailed | None:
    """The failure for a library's exception over a model server's refusal; None for any other exception."""
    roots = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    if not roots & LIBRARIES or not isinstance(status, int) or not 300 <= status < 600:
        return None
    return refusal(error, status)


def refusal(error: BaseException, status: int, who: str = SERVER) -> ModelFailed:
    """The failure for an exception with a status and maybe a body, of the server named `who`."""
    body = getattr(error, "body", None)
    text = getattr(error, "message", None) or str(error)
    failure = server_failure(str(text), body, status)
    logger.warning("the agent's model %s", failure.detail or failure.message)
    headers = getattr(getattr(error, "response", None), "headers", None)
    if isinstance(headers, Mapping):
        plain = {str(name).lower(): str(value) for name, value in cast("Any", headers).items()}
        wait = server_wait(plain, time.time())
        failure = failure if wait is None else failure.but(retry_after=wait)
    return failure.but(message=failure.public.replace(SERVER, who, 1))


def without_server_words(failure: ModelFailed, run: str) -> ModelFailed:
    """A failure of a run's agent without the server's text, which goes to the log: the client that reads
    the failure did not write the request."""
    if not failure.public or failure.public == failure.message:
        return failure
    logger.warning("run %s: %s", run, failure.message)
    return failure.but(message=failure.public)

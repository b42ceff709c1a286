"""The audit log: one line of JSON for each request, with its caller, action and status.

Lines go to the logger `tailrace.audit` (`[server] audit` gives it a file); without a handler nothing is done.
They have no content of requests and replies, and no keys.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec
from starlette.requests import Request

from tailrace.auth.principal import Principal
from tailrace.events import ids
from tailrace.events.answers import Answer, Approval

logger = logging.getLogger("tailrace.audit")

MOST_SAID = 2_000
"""Characters of a path: requests without a key are logged too."""


def record_answer(http: Request, run: str, answer: Answer) -> None:
    """Add the decisions on a run's questions to the line of this request, by the ordinals of their calls."""
    decisions = [each for each in answer if isinstance(each, Approval)]
    http.state.answer = {
        "action": "answer",
        "run": ids.run_id(run),
        "approved": [each.item for each in decisions if each.approved],
        "edited": [each.item for each in decisions if each.arguments is not None],
        "denied": [each.item for each in decisions if not each.approved and each.response is None],
        "responded": [each.item for each in decisions if each.response is not None],
    }


def line(http: Request, action: str, status: int, headers: Mapping[str, str]) -> None:
    """Write the line of a request when its reply begins."""
    if not logger.isEnabledFor(logging.INFO):
        return
    who: Principal | None = getattr(http.state, "principal", None)
    fields = {
        "action": action,
        "run": headers.get("x-run-id", ""),
        "method": http.method,
        "path": http.scope["path"][:MOST_SAID],
        "status": status,
        "request_id": headers["x-request-id"],
        "tenant": who.tenant if who else "",
        "user": who.user if who else "",
        "token": who.token if who else "",
        "from": http.client.host if http.client else "",
        **getattr(http.state, "answer", {}),
    }
    logger.info("%s", msgspec.json.encode(fields).decode())

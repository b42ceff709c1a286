"""The `Caller` of an HTTP request: the guard makes it once, and every handler receives it."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request

from tailrace.auth.gate import Gate
from tailrace.auth.principal import Principal
from tailrace.http import audit
from tailrace.runs.owner import Owner
from tailrace.service.caller import GRACE, Caller, Delivery


def caller(http: Request, principal: Principal, gate: Gate) -> Caller:
    """The caller of an admitted request."""
    retries = http.headers.get("x-stainless-retry-count", "0")
    return Caller(
        owner=Owner(principal.tenant, "" if "admin" in principal.scopes else principal.user),
        maker=Owner(principal.tenant, principal.user),
        accounts=principal.accounts,
        delivery=Delivery(
            path=http.scope["path"],
            key=http.headers.get("idempotency-key", ""),
            retry=retries.isascii() and retries.isdigit() and retries.strip("0") != "",
            grace=http.headers.get(GRACE),
        ),
        is_valid=partial(gate.still, http.headers, principal),
        wait_for_disconnect=partial(_wait_for_disconnect, http),
        record_answer=partial(audit.record_answer, http),
    )


async def _wait_for_disconnect(http: Request) -> None:
    """Return when the client has left."""
    while (await http.receive())["type"] != "http.disconnect":
        pass

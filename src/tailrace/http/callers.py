"""The `Caller` of an HTTP request. The guard makes it once, and every handler receives it."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request

from tailrace.auth.gate import Gate
from tailrace.auth.principal import Principal
from tailrace.http import audit
from tailrace.runs.owner import Owner
from tailrace.service.caller import GRACE, Caller, Delivery


def caller(http: Request, who: Principal, gate: Gate) -> Caller:
    """The caller of an admitted request."""
    retries = http.headers.get("x-stainless-retry-count", "0")
    return Caller(
        owner=Owner(who.tenant, "" if "admin" in who.scopes else who.user),
        maker=Owner(who.tenant, who.user),
        accounts=who.accounts,
        delivery=Delivery(
            path=http.scope["path"],
            key=http.headers.get("idempotency-key", ""),
            retry=retries.isascii() and retries.isdigit() and retries.strip("0") != "",
            grace=http.headers.get(GRACE),
        ),
        valid=partial(gate.still, http.headers, who),
        left=partial(_left, http),
        decides=partial(audit.answers, http),
    )


async def _left(http: Request) -> None:
    """Return when the client is gone."""
    while (await http.receive())["type"] != "http.disconnect":
        pass

"""What `protocol.py` and `direct.py` use of uvicorn's HTTP protocol beyond its public interface.

Imported for its check: with a release that lacks one of these, replies would be written by no path of ours
and requests would not be counted (seen with 0.40: `drop()` closed nothing).
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tailrace import hooks

NEEDS = ("uvicorn", "0.45")
METHODS = ("_start_asgi_task", "_unset_keepalive_if_required", "on_response_complete")
FIELDS = ("cycle", "flow", "headers", "loop", "parser", "pipeline", "server_state", "transport")
CYCLE_FIELDS = (
    "chunked_encoding",
    "disconnected",
    "flow",
    "keep_alive",
    "message_event",
    "more_body",
    "response_complete",
    "response_started",
    "scope",
    "transport",
    "waiting_for_100_continue",
)

hooks.require(*NEEDS, HttpToolsProtocol, *METHODS)
hooks.require_fields(*NEEDS, HttpToolsProtocol, *FIELDS)
hooks.require_fields(*NEEDS, RequestResponseCycle, *CYCLE_FIELDS)

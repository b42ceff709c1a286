"""The run that a session's message requests."""

from __future__ import annotations

import msgspec

from tailrace.events.items import FilePart, ImagePart, Message, TextPart
from tailrace.protocols.session_lines.request import decode


def test_attachments_are_parts_of_the_message() -> None:
    picture = {"name": "a.png", "base64": "AAAA", "mimeType": "image/png"}
    page = {"name": "b.pdf", "base64": "BBBB", "mimeType": "application/pdf"}
    found = decode(msgspec.json.encode({"message": "", "attachments": [picture, page]}))
    assert found.request.input == (
        Message(
            role="user",
            content=(
                ImagePart(url="data:image/png;base64,AAAA"),
                FilePart(data="data:application/pdf;base64,BBBB", filename="b.pdf"),
            ),
        ),
    )


def test_names_are_kept() -> None:
    body = {"message": "x", "agentId": "a", "sessionId": "s", "tenantId": "t", "userId": "u"}
    found = decode(msgspec.json.encode(body))
    assert (found.agent, found.session, found.tenant) == ("a", "s", "t")
    assert found.request.metadata == {"tenantId": "t", "userId": "u"}
    assert found.request.input == (Message(role="user", content=(TextPart("x"),)),)

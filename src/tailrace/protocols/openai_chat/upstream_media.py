"""Pictures and sound in a chat server's reply: the fields `images` and `audio` of a message."""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.events import types as t
from tailrace.events.items import AudioPart, ImagePart, Message
from tailrace.protocols.fields import Object
from tailrace.protocols.openai_chat import upstream_wire as wire
from tailrace.protocols.openai_chat.messages import details_of

AUDIO_FORMAT = "pcm16"
"""The only format that servers stream."""


def image(url: str, entry: Object) -> Message:
    """A picture as the content of its item; `entry`, the form in which the server sent it, is kept to send it
    back."""
    return Message(
        role="assistant", content=(ImagePart(url),), details=details_of(message={"images": [entry]})
    )


class Audio:
    """The sound of one reply."""

    def __init__(self, item: int) -> None:
        self._item = item
        self._data: list[str] = []
        self._about: Object = {}

    def add(self, sound: Object) -> Iterator[t.Payload]:
        """Add the next piece."""
        if data := wire.text(sound.get("data")):
            self._data.append(data)
            yield t.AudioDelta(self._item, data)
        if transcript := wire.text(sound.get("transcript")):
            yield t.TranscriptDelta(self._item, transcript)
        self._about |= {n: sound[n] for n in ("id", "expires_at") if sound.get(n) is not None}

    def whole(self) -> t.ItemCompleted:
        """Returns the end of the item."""
        part = AudioPart(data="".join(self._data), format=AUDIO_FORMAT)
        content = Message(
            role="assistant", content=(part,), details=details_of(message={"audio": self._about})
        )
        return t.ItemCompleted(self._item, content=content)

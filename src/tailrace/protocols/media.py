"""Files by media type: the part that a model reads, and the URL that a client shows."""

from __future__ import annotations

from typing import NamedTuple, assert_never

from tailrace.events.items import (
    AudioPart,
    FilePart,
    ImagePart,
    Part,
    ProviderPart,
    RefusalPart,
    TextPart,
)

_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav"}
_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav"}


class MediaSource(NamedTuple):
    """The part for an image or audio."""

    url: str
    media_type: str


def part_of_url(url: str, media_type: str, name: str = "") -> Part:
    """The part for a file that a client sent, by its URL or as a data URL."""
    major, _, minor = media_type.partition("/")
    _, comma, data = url.partition(";base64,")
    inline = url.startswith("data:")
    if major == "image":
        return ImagePart(url=url)
    if major == "audio" and inline and comma:
        return AudioPart(data=data, format=_FORMATS.get(minor, minor))
    return FilePart(data=url, filename=name) if inline else FilePart(url=url, filename=name)


def part_of_file(id: str, media_type: str, name: str = "") -> Part:
    """The part for a file stored at a model's provider, by the provider's id."""
    if media_type.startswith("image/"):
        return ImagePart(file_id=id)
    return FilePart(file_id=id, filename=name)


def source_of(part: Part) -> MediaSource | None:
    """A part that a client can show by URL; None without one."""
    match part:
        case ImagePart():
            return MediaSource(part.url, _type(part.url, "image/*")) if part.url else None
        case AudioPart():
            kind = _TYPES.get(part.format, f"audio/{part.format}")
            return MediaSource(f"data:{kind};base64,{part.data}", kind)
        case TextPart() | RefusalPart() | FilePart() | ProviderPart():
            return None
        case _:
            assert_never(part)


def _type(url: str, default: str) -> str:
    """The media type of a data URL."""
    if not url.startswith("data:"):
        return default
    return url[5:].partition(",")[0].partition(";")[0] or default

"""A block of a message's or a tool result's content ⇄ its canonical part.

A part keeps what all dialects understand. The other fields (cache control, citations, the mode of a
document, search results) are kept beside it as `more`, and a server of this dialect gets the block
unchanged: `encode(part, more(block, part)) == block` for every block.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator
from typing import assert_never
from urllib.parse import unquote_to_bytes

import msgspec

from tailrace.errors import BadRequest, NoForm
from tailrace.events.items import (
    AudioPart,
    FilePart,
    ImagePart,
    Json,
    Part,
    ProviderPart,
    RefusalPart,
    TextPart,
)
from tailrace.protocols import foreign
from tailrace.protocols.anthropic_messages.wire import DIALECT
from tailrace.protocols.fields import (
    Object,
    as_list,
    as_object,
    nested,
    objects,
    optional,
    text,
    without_empty,
)

WORDS = ("text", "content")
"""Types of sources of documents that contain text."""
PDF = "application/pdf"


def words(value: Json) -> str:
    """The value if it is a string, else `""`."""
    return value if isinstance(value, str) else ""


def unknown(block: Object, where: str) -> BadRequest:
    """The error for a block of an unknown type."""
    return BadRequest(f"{where}.type: {block.get('type')!r} is not known", param=f"{where}.type")


def blocks(content: Json, where: str) -> Iterator[tuple[Object, str]]:
    """The blocks of a content, each with its position; a string is one text block."""
    if isinstance(content, str):
        yield {"type": "text", "text": content}, where
        return
    if not isinstance(content, list):
        raise BadRequest(f"{where}: must be a string or a list of blocks", param=where)
    for n, block in enumerate(as_list(content, where)):
        yield as_object(block, f"{where}.{n}"), f"{where}.{n}"


def decode(block: Object, where: str) -> Part | None:
    """A block that is content of a message; None for one that is an item of its own."""
    match block.get("type"):
        case "text":
            return TextPart(text(block, "text", where))
        case "image":
            url, file_id = _source(block, where)
            return ImagePart(url=url, file_id=file_id)
        case "document":
            return _document(block, where)
        case "search_result":
            words = _words(block.get("content"), f"{where}.content")
            return TextPart(_with_header(block, ("title", "source"), words))
        case _:
            return None


def as_text(block: Object, where: str) -> Part:
    """A block of a tool's result; a block that has no canonical part becomes text."""
    part = decode(block, where)
    if part is not None:
        return part
    if not isinstance(block.get("type"), str):
        raise unknown(block, where)
    if block["type"] == "tool_reference":
        return TextPart(f"[tool {text(block, 'tool_name', where)}]")
    return TextPart(msgspec.json.encode(block).decode())


def more(block: Object, part: Part) -> Object:
    """The fields of a block that its part does not encode to; the whole block if the part encodes to a
    different one."""
    try:
        fields = _block(part, "")
    except NoForm:
        return block
    if any(name not in block or block[name] != value for name, value in fields.items()):
        return block
    return {name: value for name, value in block.items() if name not in fields}


def encode(part: Part, more: Object, param: str) -> Object:
    """The block of a part. Raises `NoForm` for a part without one in this dialect, as a fault of `param`."""
    try:
        return more if "type" in more else {**_block(part, param), **more}
    except NoForm as refusal:
        raise refusal.about(part=part) from None


def _block(part: Part, param: str) -> Object:
    match part:
        case TextPart():
            return {"type": "text", "text": part.text}
        case RefusalPart():
            return {"type": "text", "text": part.refusal}
        case ImagePart():
            return {"type": "image", "source": _image(part, param)}
        case FilePart():
            document = {"type": "document", "source": _file(part, param)}
            return {**document, **without_empty({"title": part.filename})}
        case AudioPart():
            return {"type": "text", "text": f"[{part.format} audio, which this model cannot hear]"}
        case ProviderPart():
            if part.dialect != DIALECT:
                raise foreign.unknown(DIALECT, part.data, param)
            return dict(part.data)
        case _:
            assert_never(part)


def _image(part: ImagePart, param: str) -> Object:
    if part.file_id:
        return {"type": "file", "file_id": part.file_id}
    if not part.url:
        raise NoForm("A picture has neither an address nor a file id.", param=param)
    if not part.url.startswith("data:"):
        return {"type": "url", "url": part.url}
    kind, data = _data(part.url, param)
    return {"type": "base64", "media_type": kind, "data": data}


def _file(part: FilePart, param: str) -> Object:
    """A file's source: servers read PDF as bytes, and texts as text."""
    if part.file_id:
        return {"type": "file", "file_id": part.file_id}
    if not part.data and not part.url:
        raise NoForm("A file has no data, no address and no file id.", param=param)
    if not part.data:
        return {"type": "url", "url": part.url}
    if not part.data.startswith("data:"):
        return {"type": "base64", "media_type": PDF, "data": part.data}
    kind, data = _data(part.data, param)
    if kind == PDF:
        return {"type": "base64", "media_type": kind, "data": data}
    if not kind.startswith("text/"):
        raise NoForm(f"The model server reads no files of type {kind!r}.", param=param)
    try:
        words = b64decode(data).decode("utf-8", "replace")
    except binascii.Error:
        raise NoForm("A file's data is not base64.", param=param) from None
    return {"type": "text", "media_type": "text/plain", "data": words}


def _data(url: str, param: str) -> tuple[str, str]:
    """A data URL's media type and its base64."""
    head, comma, data = url.removeprefix("data:").partition(",")
    if not comma:
        raise NoForm("A data URL has no data.", param=param)
    kind, *parameters = head.split(";")
    if "base64" not in parameters:
        data = binascii.b2a_base64(unquote_to_bytes(data), newline=False).decode()
    return kind or "text/plain", data


def _document(block: Object, where: str) -> Part:
    title = optional(block, "title", str, default="", where=where)
    source = nested(block, "source")
    if any(inner.get("type") != "text" for inner in objects(source.get("content"))):
        return ProviderPart(dialect=DIALECT, data=block)  # images: they have no text
    if source.get("type") in WORDS:
        words = _words(source.get("data") or source.get("content"), f"{where}.source")
        return TextPart(_with_header(block, ("title", "context"), words))
    url, file_id = _source(block, where)
    inline = url.startswith("data:")
    return FilePart(
        file_id=file_id,
        data=url if inline else "",
        url="" if inline else url,
        filename=title,
    )


def _with_header(block: Object, names: tuple[str, ...], text: str) -> str:
    """A text under the title of its block."""
    heads = [words(block.get(name)) for name in names if words(block.get(name))]
    return "\n".join(heads) + "\n\n" + text if heads else text


def _words(content: Json, where: str) -> str:
    """The text of a document or a search result."""
    parts = [decode(block, place) for block, place in blocks(content, where)]
    return "\n".join(part.text for part in parts if isinstance(part, TextPart))


def _source(block: Object, where: str) -> tuple[str, str]:
    """(URL, file id) of a block's source: inline data as a data URL."""
    source, place = as_object(block.get("source"), f"{where}.source"), f"{where}.source"
    match source.get("type"):
        case "base64":
            kind = text(source, "media_type", place)
            return f"data:{kind};base64,{text(source, 'data', place)}", ""
        case "url":
            return text(source, "url", place), ""
        case "file":
            return "", text(source, "file_id", place)
        case _:
            raise unknown(source, place)

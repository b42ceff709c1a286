"""Finds names that are a bare participle in a module's source: `found`, `told`, `_opened`.

A participle says what happened to a thing and leaves out the thing. A name is the noun of what it holds
(`record`, `text`, `frames`), a verb for a function (`open_block`), or `_on_node_started` for the handler of
an event. Two kinds are allowed: a state that is true or false (`closed`), and terms of the specifications.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

PARTICIPLE = re.compile(
    "begun|bought|brought|built|caught|chosen|done|drawn|driven|fallen|fed|forgotten|found|given|gone|got|grown"
    "|heard|held|hidden|kept|known|laid|lost|made|meant|met|paid|said|seen|sent|shown|slept|sold|spent|spoken|stood"
    "|stuck|sworn|taken|taught|thought|thrown|told|torn|understood|woken|won|worn|written"
    # regular ones; other words end so, too
    "|(?!(breed|embed|exceed|feed|hundred|indeed|need|proceed|seed|shed|speed|succeed|weed)$)[a-z0-9]{2,}ed"
)
STATE = re.compile(
    "abandoned|allowed|approved|cancelled|closed|completed|connected|damaged|disabled|disconnected|done|dropped|enabled|expired|failed"
    "|finished|interrupted|paused|required|revoked|settled|started|stopped|truncated"
)
"""A state of a run, call, connection or token: a value or a function that is true or false."""
TERM = re.compile(
    "cached|created|encrypted|expected|fenced|hidden|malformed|nested|redacted|unauthorized"
)
"""A term of a specification: `cached` tokens, `created` at, `encrypted` content (OpenAI), `redacted` thinking
(Anthropic), `expected` sequence (of an append), `fenced` writer, `unauthorized` (HTTP); or an adjective."""
PUBLIC = frozenset({"done"})
"""Arguments of the public `Progress` and `Run.progress`: how much of `total` is done."""
CONSTANTS = frozenset({"SHOWN", "HIDDEN"})
"""What an encoder shows and hides (`protocols/encoder.py`)."""


def is_participle(name: str) -> bool:
    """Whether a name is one word, without leading underscores, and that word a past participle."""
    words = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name.strip("_"))
    if len(words) != 1 or "_" in name.strip("_"):
        return False
    return PARTICIPLE.fullmatch(words[0].lower()) is not None


def bare_participles(tree: ast.AST) -> list[str]:
    """The names that a module defines and that the rule forbids, each as `line: name`, sorted by line."""
    values = set(_other_than_booleans(tree))
    return [
        f"{line}: {name}"
        for line, name in sorted(set(_definitions(tree)))
        if is_participle(name) and not _is_allowed(name, boolean=(line, name) not in values)
    ]


def _is_allowed(name: str, *, boolean: bool) -> bool:
    word = name.strip("_").lower()
    return name in CONSTANTS | PUBLIC or bool(
        TERM.fullmatch(word) or (boolean and STATE.fullmatch(word))
    )


def _definitions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of classes, functions, parameters, attributes, fields and local variables."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield node.lineno, name
            case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                yield node.lineno, name
            case ast.Import() | ast.ImportFrom():
                yield from ((node.lineno, each.asname) for each in node.names if each.asname)
            case _:
                pass


def _other_than_booleans(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of functions, parameters and variables that are annotated, but not as `bool`."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                if not _is_boolean(node.returns):
                    yield node.lineno, node.name
            case ast.arg(annotation=ast.expr() as annotation):
                if not _is_boolean(annotation):
                    yield node.lineno, node.arg
            case ast.AnnAssign(target=ast.Name(id=name) | ast.Attribute(attr=name)):
                if not _is_boolean(node.annotation):
                    yield node.lineno, name
            case _:
                pass


def _is_boolean(annotation: ast.expr | None) -> bool:
    if annotation is None:
        return False
    kinds = ast.unparse(annotation).split(" | ")
    return all(
        re.fullmatch(r"bool|None|(msgspec\.)?UnsetType|Type(Is|Guard)\[.*\]", each)
        for each in kinds
    )

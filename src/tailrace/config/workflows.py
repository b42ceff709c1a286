"""`[workflows.NAME]`: a graph of nodes, parsed and checked."""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec import Struct

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
Fault = Callable[[str, str], None]
"""Receives a fault, and a text near it."""


class NodeConfig(Struct, frozen=True, kw_only=True):
    """A node of a workflow. Keys that are not here are its type's own (`options`)."""

    id: str
    type: str
    name: str = ""
    needs: tuple[str, ...] = ()
    options: dict[str, Any] = {}


class WorkflowConfig(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[workflows.NAME]`: served like an agent. `id` is a second, numeric name."""

    nodes: tuple[dict[str, Any], ...] = ()
    id: int | None = None


def nodes_of(workflow: WorkflowConfig, fault: Fault) -> list[NodeConfig]:
    """The checked nodes of a workflow: ids are unique, needs exist, no node waits for itself. `fault`
    receives each fault, and may raise."""
    node_list = [_node(table, fault) for table in workflow.nodes]
    nodes = [node for node in node_list if node is not None]
    ids = [node.id for node in nodes]
    if not node_list:
        fault("needs at least one node", "")
    for node in nodes:
        if not ID.fullmatch(node.id) or ids.count(node.id) > 1:
            fault(f"node id {node.id!r} is bad or used twice", node.id)
        for need in node.needs:
            if need not in ids:
                near = get_close_matches(need, ids, 1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(ids)}"
                fault(f"node {node.id!r} needs unknown node {need!r}{hint}", need)
    _in_order(nodes, fault)
    return nodes


def _node(table: dict[str, Any], fault: Fault) -> NodeConfig | None:
    fields = set(NodeConfig.__struct_fields__) - {"options"}
    common = {key: value for key, value in table.items() if key in fields}
    own = {key: value for key, value in table.items() if key not in fields}
    try:
        return msgspec.convert({**common, "options": own}, NodeConfig)
    except msgspec.ValidationError as error:
        fault(f"a node does not fit: {error}", str(table.get("id", "")))
        return None


def _in_order(nodes: list[NodeConfig], fault: Fault) -> None:
    """No node may wait for itself, directly or not; needs that do not exist are reported elsewhere."""
    ids = {node.id for node in nodes}
    left, done = list(nodes), set[str]()
    while left:
        free = [node for node in left if done.issuperset(ids.intersection(node.needs))]
        if not free:
            fault(f"nodes wait for each other: {', '.join(node.id for node in left)}", "")
            return
        done |= {node.id for node in free}
        left = [node for node in left if node not in free]

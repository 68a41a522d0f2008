"""Which attributes a cell changes while it runs. A script would change its own copies: it shares tensors alone."""

from __future__ import annotations

from typing import Any

CONTAINERS = ("ListType", "DictType", "TupleType", "OptionalType")
FRESH = ("aten::list", "aten::dict", "aten::copy", "aten::slice", "aten::add", "aten::mul")  # operations that copy


def written_attribute(graph: Any) -> str | None:
    """Name an attribute of a cell, or of a part, that its script sets, or whose list or dict it changes; else None.

    Tensors that are changed in place are shared, and don't count. A function that TorchScript leaves to Python may
    change anything, and counts.

    Args:
        graph: Of the script, all its calls inlined.
    """
    return _search(graph, {})


def _search(block: Any, held: dict[str, str]) -> str | None:
    """Go through the operations of a block; `held` names the attribute for each value that is a list or dict of one."""
    for node in block.nodes():
        kind, inputs = node.kind(), [value.debugName() for value in node.inputs()]
        if kind == "prim::SetAttr" and not _is_of_another(node) and not _is_in_place(node):
            return str(node.s("name"))
        if kind == "prim::PythonOp":
            return str(node.pyname())
        if "(a!)" in node.schema() and inputs[0] in held:
            return held[inputs[0]]
        inner = list(node.blocks())
        for body in inner:
            if kind == "prim::Loop":
                carried = list(body.inputs())[1:]
                _pass_on(held, inputs[2:], carried)
                _search(body, held)  # what one round writes, the next one reads
                _pass_on(held, _names(list(body.outputs())[1:]), carried)
            if (found := _search(body, held)) is not None:
                return found
            _pass_on(held, _names(body.outputs())[kind == "prim::Loop" :], node.outputs())
        if kind == "prim::GetAttr":
            if node.output().type().kind() in CONTAINERS:
                held[node.output().debugName()] = str(node.s("name"))
        elif not inner and kind not in FRESH:
            of = [name for name in inputs if name in held][:1]
            _pass_on(held, of * node.outputsSize(), node.outputs())
    return None


def _names(values: Any) -> list[str]:
    return [value.debugName() for value in values]


def _pass_on(held: dict[str, str], names: list[str], values: Any) -> None:
    """Let each value that is a list, dict or the like hold what the value of the given name holds."""
    for name, value in zip(names, values, strict=False):
        if name in held and value.type().kind() in CONTAINERS:
            held[value.debugName()] = held[name]


def _is_of_another(node: Any) -> bool:
    """Whether an attribute is set of an object that the script makes itself, as `with torch.no_grad()` does."""
    return bool(node.inputsAt(0).node().kind() == "prim::CreateObject")


def _is_in_place(node: Any) -> bool:
    """Whether an attribute is set to itself, changed in place, as `self.count += 1` does with a tensor."""
    changed = node.inputsAt(1).node()
    written = [*_path(node.inputsAt(0)), str(node.s("name"))]
    return bool(changed.kind().endswith("_")) and _path(changed.inputsAt(0)) == written


def _path(value: Any) -> list[str]:
    """Name the attributes that lead from the cell to a value, such as `part` and `mean`; none for any other value."""
    node = value.node()
    return [*_path(node.inputsAt(0)), str(node.s("name"))] if node.kind() == "prim::GetAttr" else []

"""What every cell must keep to, whatever it computes: sizes, types, parameters, nothing changed behind one's back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from seqsum.check.registry import check
from seqsum.check.report import Fault
from seqsum.check.subject import BATCH, STEPS, Subject
from seqsum.recurrent.explain import SIGNATURE, describe, unannotated_state, wrong_result
from seqsum.recurrent.unroll import Unroll

MAKES_WEIGHTS = r"nn\.(Linear|Parameter)\(|torch\.(randn|rand|empty|normal)"
MADE_ONCE = "weights made once, in `__init__`, as `self.name = nn.Parameter(…)` or a module"


@check("sizes are whole numbers")
def sizes(subject: Subject) -> None:
    """`input_size`, `hidden_size`, `output_size` and `state_size` are numbers, and each state has a name."""
    cell = subject.cell
    wrong = {name: getattr(cell, name) for name in ("input_size", "hidden_size", "output_size")}
    wrong |= {f"state_size[{k}]": size for k, size in enumerate(cell.state_size)}
    for name, size in wrong.items():
        if not isinstance(size, int) or size < 1:
            raise Fault(
                f"`{name}` is no size",
                expected="a whole number above 0",
                came=repr(size),
                where=subject.where("__init__"),
            )
    if len(cell.state_names) != len(cell.state_size):
        raise Fault(
            "each state must have a name",
            expected=f'`state_names = ("hidden", "cell", …)` with {len(cell.state_size)}, as `state_size` has',
            came=f"{len(cell.state_names)}: {tuple(cell.state_names)}",
            where=subject.where("__init__"),
        )


@check("all weights are parameters")
def parameters_registered(subject: Subject) -> None:
    """No weight is kept in a list, or as a plain tensor, where neither an optimizer nor `.to()` finds it."""
    module = subject.module
    known = {id(tensor) for tensor in [*module.parameters(), *module.buffers()]}
    known |= {id(part) for part in module.modules()}
    for owner in module.modules():
        for name, value in vars(owner).items():
            if name.startswith("_"):
                continue
            for path, thing in _walk(f"self.{name}", value):
                if id(thing) not in known:
                    raise _unregistered(subject, path, thing)


def _walk(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The tensors and modules in a value and the lists, tuples and dicts inside it, by path."""
    if isinstance(value, nn.Module | nn.Parameter) or (isinstance(value, Tensor) and value.is_floating_point()):
        yield path, value
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _walk(f"{path}[{index}]", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(f"{path}[{key!r}]", item)


def _unregistered(subject: Subject, path: str, thing: Any) -> Fault:
    name = path.split("[")[0].removeprefix("self.")
    kept = {nn.Module: "nn.ModuleList or nn.ModuleDict", nn.Parameter: "nn.ParameterList or nn.ParameterDict"}
    remedy = next((remedy for kind, remedy in kept.items() if isinstance(thing, kind)), None)
    plain = f"`self.{name} = nn.Parameter(…)`, or `self.register_buffer(…)` for what is not trained"
    return Fault(
        f"`{path}` is not registered: an optimizer does not find it, nor do `.to()` and `state_dict()`",
        expected=f"{remedy} instead of a plain list or dict" if "[" in path and remedy else plain,
        came=f"a {type(thing).__name__} in a plain {type(vars(subject.module).get(name)).__name__}",
        where=subject.find(rf"self\.{name}\b") or subject.where("__init__"),
    )


@check("`step` makes no weights")
def makes_no_weights(subject: Subject) -> None:
    """No weight is made during a step: it would be another one each time, and never be trained."""
    cell = copy.deepcopy(subject.original)
    made: list[str] = []

    def remember(module: nn.Module, name: str, parameter: Any) -> None:
        made.append(f"{name} of {type(module).__name__}")

    hook = torch.nn.modules.module.register_module_parameter_registration_hook(remember)
    try:
        with suppress(Exception):  # a step that fails is what the next checks are for
            projected = cell.project(torch.ones(BATCH, cell.input_size))
            cell.step(projected, [torch.ones(BATCH, size) for size in cell.state_size])
    finally:
        hook.remove()
    if made:
        where = subject.find_in_step(MAKES_WEIGHTS) or subject.where()
        came = f"{', '.join(dict.fromkeys(made))}, new with each step"
        raise Fault(f"`{subject.step_name}` makes weights", expected=MADE_ONCE, came=came, where=where)


@check("`project` keeps the leading axes", needs=("parameters_registered", "makes_no_weights"))
def projects(subject: Subject) -> None:
    """`project` takes `(T, B, F)` and gives `(T, B, …)`."""
    projected = subject.cell.project(subject.inputs(STEPS, BATCH))
    if not isinstance(projected, Tensor) or projected.shape[:2] != (STEPS, BATCH):
        raise Fault(
            "`project` must keep the axes of time and batch",
            expected=f"a tensor of shape ({STEPS}, {BATCH}, …)",
            came=describe(projected),
            example=f"`project(input)` with an input of shape {(STEPS, BATCH, subject.cell.input_size)}, (T, B, F)",
            where=subject.where("project"),
        )


@check("a step returns (output, state)", needs=("projects",))
def step_returns(subject: Subject) -> None:
    """`step` returns a tensor and a list of as many tensors as `state_size` says."""
    cell, state = subject.cell, subject.state()
    result = cell.step(cell.project(subject.inputs(BATCH)), state)
    if (wrong := wrong_result(result, len(state))) is None:
        return
    count = f"{len(cell.state_size)} state{'s' if len(cell.state_size) > 1 else ''}"
    if subject.wrapped:
        message, expected = "`forward` must return the new state", "`(hidden, cell)`" if len(state) > 1 else "`hidden`"
    else:
        message = "`step` must return (output, state)"
        expected = (
            f"`return output, [{', '.join(cell.state_names)}]`: a tensor and a list of {count}, as `state_size` says"
        )
    raise Fault(message, expected=expected, came=wrong, where=subject.where())


@check("nothing is changed in place", needs=("step_returns",))
def changes_nothing(subject: Subject) -> None:
    """`project` and `step` leave inputs, states and weights as they were."""
    cell = subject.fresh()
    inputs, state = subject.inputs(BATCH), subject.state()
    with torch.no_grad():
        projected = cell.project(inputs)
        given = {"the input": inputs, "`projected`": projected}
        given |= {f"`state[{k}]`, {name}": s for k, (name, s) in enumerate(zip(cell.state_names, state, strict=False))}
        given |= {f"the weight `{name}`": parameter for name, parameter in cell.named_parameters()}
        before = {name: tensor.clone() for name, tensor in given.items()}
        cell.step(projected, list(state))
    for name, tensor in given.items():
        if not torch.equal(tensor, before[name]):
            raise Fault(
                f"{name} is changed in place",
                expected="new tensors: whoever holds the old ones, such as the backward pass, still needs them",
                came=f"{_first(before[name])} became {_first(tensor)}",
                example=f"one step on {BATCH} rows",
                where=next((call.where for call in subject.culprits(in_place=True)), "") or subject.where(),
            )


def _first(tensor: Tensor) -> str:
    return f"{tensor.flatten()[0].item():.4f}"


@check("evaluation is deterministic", needs=("step_returns",))
def deterministic(subject: Subject) -> None:
    """In evaluation the same input and state give the same result, also after other steps."""
    cell = subject.fresh()
    inputs, other = subject.inputs(BATCH), subject.inputs(BATCH, seed=5)
    step = _stepper(cell)
    with torch.no_grad():
        before = _plain(cell)
        first, again = step(inputs, subject.state()), step(inputs, subject.state())
        step(other, subject.state(seed=7))
        after = step(inputs, subject.state())
    kept = [name for name, value in _plain(cell).items() if name not in before or not _same(before[name], value)]
    for came, example in ((again, "the same step twice"), (after, "the same step before and after another one")):
        if torch.allclose(first, came, atol=1e-12, rtol=0):
            continue
        if kept:
            message = f"the cell remembers something from one call to the next: `self.{kept[0]}`"
            expected = "what is remembered is in the state, which is given and returned"
            where = subject.find_in_step(rf"\b{kept[0]}\b")
        else:
            message, expected = "a step is random in evaluation", "dropout and noise only `if self.training`"
            where = subject.find_in_step(r"drop|rand|noise|bernoulli")
        raise Fault(
            message,
            expected=expected,
            came=f"results that differ by up to {(first - came).abs().max().item():.3g}",
            example=example,
            where=where or subject.where(),
        )


def _stepper(cell: Any) -> Callable[[Tensor, list[Tensor]], Tensor]:
    """One step from input and state to all that it returns, in a row."""

    def step(inputs: Tensor, state: list[Tensor]) -> Tensor:
        output, new = cell.step(cell.project(inputs), state)
        return torch.cat([output.flatten(), *(part.flatten() for part in new)])

    return step


def _plain(cell: Any) -> dict[str, Any]:
    """What the cell and its parts hold beside parameters and modules, by name."""
    found: dict[str, Any] = {}
    for module in cell.modules():
        for name, value in [*vars(module).items(), *module.named_buffers(recurse=False)]:
            if not name.startswith("_") and not isinstance(value, nn.Module):
                found[name] = copy.copy(value.detach().clone() if isinstance(value, Tensor) else value)
    return found


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other)
    return type(one) is type(other) and (isinstance(one, list | tuple | dict) or one == other)


@check("outputs and states have the right shapes", needs=("step_returns",))
def shapes(subject: Subject) -> None:
    """Outputs are `(B, O)`, states `(B, S)`, of the type of the input: for several rows, one row, and no row."""
    cell = subject.cell
    for batch in (BATCH, 1, 0):
        state = subject.state(batch)
        output, new = cell.step(cell.project(subject.inputs(batch)), state)
        states = zip(cell.state_names, new, cell.state_size, strict=False)
        named = [("output", output, cell.output_size), *((f"state `{name}`", s, size) for name, s, size in states)]
        for name, tensor, size in named:
            if tuple(tensor.shape) != (batch, size):
                raise Fault(
                    f"the {name} has the wrong shape",
                    expected=f"({batch}, {size}), (B, {'O' if name == 'output' else 'S'})",
                    came=str(tuple(tensor.shape)),
                    example=f"a batch of {batch} row{'' if batch == 1 else 's'}",
                    where=subject.find_in_step(r"squeeze\(") or subject.where(),
                )
            if tensor.dtype != torch.float64:
                raise Fault(
                    f"the {name} changes its type",
                    expected="float64, the type of inputs, states and weights",
                    came=str(tensor.dtype).removeprefix("torch."),
                    where=subject.find(r"\.float\(|dtype=|\.half\(") or subject.where(),
                )


@check("every parameter gets a gradient", needs=("shapes", "deterministic"))
def parameters_used(subject: Subject) -> None:
    """Each parameter has an effect within three steps from a random state."""
    cell = subject.fresh()
    parameters = {name: p for name, p in cell.named_parameters() if p.requires_grad}
    outputs, final = Unroll(cell)(subject.inputs(3, BATCH), subject.state())
    loss = sum(
        (tensor * torch.linspace(1, 2, tensor.numel()).double().view_as(tensor)).sum() for tensor in (outputs, *final)
    )
    gradients: tuple[Tensor | None, ...] = (None,) * len(parameters)
    if isinstance(loss, Tensor) and loss.requires_grad and parameters:
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    idle = [
        name.removeprefix("module.") for name, g in zip(parameters, gradients, strict=True) if g is None or not g.any()
    ]
    if idle:
        name = idle[0].split(".")[0]
        raise Fault(
            f"{', '.join(f'`{name}`' for name in idle)} {'gets' if len(idle) == 1 else 'get'} no gradient",
            expected="each parameter changes the result, or is left out",
            came="no gradient, or one that is zero everywhere: it will never be trained",
            example=f"three steps on {BATCH} rows",
            where=subject.find(rf"self\.{name}\b") or subject.where(),
        )


@check("TorchScript can compile it", needs=("step_returns",))
def compiles(subject: Subject) -> None:
    """Annotations are what TorchScript needs; without, the cell runs as Python, slower."""
    if subject.wrapped:
        raise Fault(
            "a plain module runs as Python, step by step",
            expected="a subclass of seqsum.RecurrentCell with `project` and `step`, which can be compiled",
            where=subject.where(),
            status="noted",
        )
    from seqsum.recurrent.backends import runner

    try:
        runner(copy.deepcopy(subject.original), "script")
    except RuntimeError as error:
        why = str(error).removeprefix(f"TorchScript can't compile {subject.kind.__name__}: ").strip()
        raise Fault(
            (unannotated_state(subject.cell) or why.splitlines()[0]).strip(),
            expected=f"`{SIGNATURE}`" if unannotated_state(subject.cell) else "what TorchScript knows",
            came="a cell that runs as Python, step by step, which is slower and gives the same numbers",
            where=subject.where(),
            status="noted",
        ) from error

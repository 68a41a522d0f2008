"""Gradients against differences in float64, and what stands in their way."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from seqsum.check.adapter import users_name
from seqsum.check.registry import check
from seqsum.check.result import Fault
from seqsum.check.subject import BATCH, LARGE, STEPS, Subject, draw
from seqsum.recurrent.unroll import Unroll

FEW_STEPS, MANY_STEPS = 3, 24  # within which a parameter has an effect in most cells, and in all
DELTA = 1e-6
TOLERANCE = 1e-6  # of a gradient, beside as much of its size
ENTRIES, FEWER = 300, 100  # of one tensor that are tried, of a small cell and of a large one


class OneStep:
    """A step on two rows as a number, a weighted sum of all results, and what it can be differentiated by.

    Args:
        subject: The cell.
        training: Whether to run it in training.
        scale: Factor of input and states, which are normal random numbers.

    Attributes:
        tensors: Input, states and parameters by name.
    """

    def __init__(self, subject: Subject, training: bool = False, scale: float = 1) -> None:
        self.cell = subject.fresh().train(training)
        self.subject = subject
        self.inputs = (scale * subject.inputs(2)).requires_grad_()
        states = subject.state(2)[: len(self.cell.state_size)]
        self.state = [(scale * state).requires_grad_() for state in states]
        named = {f"state `{name}`": s for name, s in zip(self.cell.state_names, self.state, strict=False)}
        weights = {users_name(name): p for name, p in self.cell.named_parameters() if p.requires_grad}
        self.tensors: dict[str, Tensor] = {"input": self.inputs, **named, **{f"`{n}`": p for n, p in weights.items()}}

    def __call__(self) -> Tensor:
        constants = self.subject.constants(self.cell, 2, self.inputs)  # which parameters may take part in
        output, new = self.cell.step(self.cell.project(self.inputs), [*self.state, *constants])
        results = [output, *new[: len(self.state)]]
        return torch.stack([(draw(r.shape, 20 + k) * r).sum() for k, r in enumerate(results)]).sum()


@check("every parameter gets a gradient", needs=("shapes", "deterministic"))
def parameters_used(subject: Subject) -> None:
    """Each parameter has an effect within a few steps from a random or the initial state, if not within many."""
    idle = _idle_parameters(subject, FEW_STEPS) and _idle_parameters(subject, MANY_STEPS)
    of_the_start = subject.parameters_of_the_start() if idle else set()
    idle = [name for name in idle if name not in of_the_start]
    if idle and len(idle) == len(subject.parameters()):
        reason, where = _culprit(subject)
        if reason:
            raise Fault(
                f"no parameter gets a gradient{reason}",
                expected="operations of torch from the parameters to the result",
                came="a result that is cut off from all of them",
                where=where,
            )
    if idle:
        name = idle[0].split(".")[0]
        raise Fault(
            f"{', '.join(f'`{name}`' for name in idle)} {'gets' if len(idle) == 1 else 'get'} no gradient",
            expected="each parameter changes the result, or is left out",
            came="no gradient, or one that is zero everywhere: it will never be trained",
            example=f"{MANY_STEPS} steps on {BATCH} rows",
            where=subject.find(rf"self\.{name}\b") or subject.where(),
        )
    _note_equal_units(subject)


def _idle_parameters(subject: Subject, steps: int) -> list[str]:
    """List the parameters that have no effect on outputs and states of so many steps."""
    cell = subject.fresh()
    parameters = {name: p for name, p in cell.named_parameters() if p.requires_grad}
    runs = [Unroll(cell)(subject.inputs(steps, BATCH), state) for state in subject.states(cell)]
    loss = sum(
        (tensor * torch.linspace(1, 2, tensor.numel()).double().view_as(tensor)).sum()
        for outputs, final in runs
        for tensor in (outputs, *final)
    )
    gradients: tuple[Tensor | None, ...] = (None,) * len(parameters)
    if isinstance(loss, Tensor) and loss.requires_grad and parameters:
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return [users_name(name) for name, g in zip(parameters, gradients, strict=True) if g is None or not g.any()]


def _note_equal_units(subject: Subject) -> None:
    """Units with the same weights get the same gradients, so they stay equal for ever."""
    size = subject.original.hidden_size
    weights = {name: weight for name, weight in subject.original.named_parameters() if not is_lazy(weight)}
    matrices = [users_name(name) for name, weight in weights.items() if weight.dim() > 1]
    buffers = [buffer for buffer in subject.original.buffers() if buffer.is_floating_point()]
    if matrices and all(_is_alike(tensor, size) for tensor in [*weights.values(), *buffers]):
        raise Fault(
            "all units begin equal, and stay so, since they get the same gradients",
            expected="random weights, such as `nn.init.xavier_uniform_` gives, at least in one matrix",
            came=f"one number everywhere in {', '.join(f'`{name}`' for name in matrices)}",
            where=subject.find(r"zeros|ones|fill_|constant_|full") or subject.where("__init__"),
            status="noted",
        )


def _is_alike(tensor: Tensor, units: int) -> bool:
    """Whether a tensor is the same for all units; a vector may have another number for each gate."""
    blocks = tensor.flatten().split(units) if tensor.dim() < 2 else [tensor.flatten()]
    return all(bool((block == block[0]).all()) for block in blocks if len(block))


@check("backward runs", needs=("shapes", "deterministic"))
def backward_runs(subject: Subject) -> None:
    """A backward pass through a step reaches the input and every state, and gives numbers from the initial state."""
    step = OneStep(subject)
    try:
        value = step()
        if value.requires_grad:
            value.backward()
    except RuntimeError as error:
        raise _cannot(subject, error) from error
    if not value.requires_grad:
        reason, where = _culprit(subject)
        raise Fault(
            f"the result of `{subject.step_name}` has no gradient at all{reason}",
            expected="operations of torch from input and state to the result",
            came="a result that is cut off from all of them",
            where=where,
        )
    _require_finite_from_the_start(subject)


def _require_finite_from_the_start(subject: Subject) -> None:
    """The root of zero, for example, is zero, but its derivative infinite: sequences begin from zeros."""
    cell = subject.fresh()
    parameters = {name: weight for name, weight in cell.named_parameters() if weight.requires_grad}
    outputs, final = Unroll(cell)(subject.inputs(STEPS, BATCH), subject.states(cell)[1])
    total = sum(tensor.sum() for tensor in (outputs, *final) if tensor.requires_grad)
    if not (isinstance(total, Tensor) and parameters):
        return
    try:
        found = torch.autograd.grad(total, [*parameters.values()], allow_unused=True)
    except RuntimeError as error:
        raise _cannot(subject, error) from error
    for name, gradient in zip(parameters, found, strict=True):
        if gradient is not None and not gradient.isfinite().all():
            raise Fault(
                f"the gradient of `{users_name(name)}` is not finite from the initial state",
                expected="numbers: a root, norm or logarithm of what may be 0 needs a small number added within it",
                came=f"{gradient[~gradient.isfinite()][0].item()}",
                example=f"{STEPS} steps of {BATCH} rows of random numbers",
                where=_line_of_nan(subject),
            )


def _cannot(subject: Subject, error: RuntimeError) -> Fault:
    if "inplace" not in str(error) and "in-place" not in str(error):
        return Fault(
            "backward fails", came=str(error).splitlines()[0], where=subject.place_in(error) or subject.where()
        )
    calls = subject.culprits(in_place=True)
    return Fault(
        f"backward fails: {calls[0].reason}" if calls else "backward fails: a tensor it needs is changed in place",
        expected="a new tensor: `x = x + y` instead of `x += y` or `x.add_(y)`, `torch.cat` instead of `x[:, k] = y`",
        came=str(error).splitlines()[0],
        where=calls[0].where if calls else subject.where(),
    )


@check("gradients are right", needs=("backward_runs",))
def gradients_right(subject: Subject) -> None:
    """Gradients of inputs, states and every parameter agree with differences in float64."""
    step = OneStep(subject)
    found = torch.autograd.grad(step(), list(step.tensors.values()), allow_unused=True)
    for (name, tensor), gradient in zip(step.tensors.items(), found, strict=True):
        came = _real(torch.zeros_like(tensor) if gradient is None else gradient)
        numbers = _real(tensor.detach())
        for index in _entries(numbers, ENTRIES if subject.cell.hidden_size <= LARGE else FEWER):
            with torch.no_grad():
                slope = difference(step, numbers, index)
            entry = came.flatten()[index].item()
            if not abs(slope - entry) <= TOLERANCE * (1 + abs(slope)):  # nor if it is NaN
                place = f"[{', '.join(map(str, _unravel(index, numbers)))}]"
                reason, where = _culprit(subject) if math.isfinite(entry) else _culprit_of_nan(subject)
                raise Fault(
                    f"the gradient of {name} is wrong{reason}",
                    expected=f"{slope:.6g} at {name}{place}, by differences",
                    came=f"{entry:.6g}, by backward",
                    example="one step on two rows",
                    data={"gradient": {"name": name, "expected": slope, "came": entry}},
                    where=where,
                )


def _real(tensor: Tensor) -> Tensor:
    """A view of complex numbers as pairs of real ones, which a gradient holds the two derivatives by."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def _entries(tensor: Tensor, most: int) -> list[int]:
    """All entries of a small tensor; of a large one, so many that are spread over it."""
    count = tensor.numel()
    every = torch.arange(count) if count <= most else torch.linspace(0, count - 1, most, dtype=torch.float64).long()
    return every.tolist()


def _unravel(index: int, tensor: Tensor) -> list[int]:
    return [int(i) for i in torch.unravel_index(torch.tensor(index), tensor.shape)]


def difference(function: Callable[[], Tensor], tensor: Tensor, index: int) -> float:
    """The central difference of a function by one real entry of a tensor that it reads."""
    entry = tensor.detach()[tuple(_unravel(index, tensor))]
    value = entry.item()
    ends = []
    for moved in (value + DELTA, value - DELTA):
        entry.fill_(moved)
        ends.append(function().item())
    entry.fill_(value)
    return (ends[0] - ends[1]) / (2 * DELTA)


def _culprit(subject: Subject) -> tuple[str, str]:
    """What most likely stands in the way of gradients, `: …`, and its line."""
    calls = subject.culprits() or subject.culprits(in_place=True)
    if calls:
        return f": {calls[0].reason}", calls[0].where
    if where := subject.find(r"\bno_grad\b|\binference_mode\b"):
        return ": what is computed under `no_grad` has none", where
    return "", subject.find(r"autograd\.Function|\.apply\(|backward") or subject.where()


def _culprit_of_nan(subject: Subject) -> tuple[str, str]:
    """Why a gradient is not finite where the values are, `: …`, and the line."""
    if where := subject.find(r"torch\.where|masked_fill"):
        return ": what `where` leaves out is computed all the same; choose before, `sqrt(where(x > 0, x, 1))`", where
    return ": a root, norm or logarithm of what may be 0 needs a small number added within it", _line_of_nan(subject)


def _line_of_nan(subject: Subject) -> str:
    return subject.find_in_step(r"sqrt|norm|log|\*\*|/|rsqrt|acos|asin") or subject.where()


@check("there are second derivatives", needs=("gradients_right",))
def second_derivatives(subject: Subject) -> None:
    """Gradients can be differentiated once more, as meta-learning and gradient penalties do."""
    step = OneStep(subject)
    tensors = list(step.tensors.values())

    def penalty() -> Tensor:
        gradients = torch.autograd.grad(step(), tensors, create_graph=True, allow_unused=True)
        return torch.stack([_real(g).square().sum() for g in gradients if g is not None]).sum()

    def fault(message: str, came: str) -> Fault:
        return Fault(
            message,
            expected="a backward pass that is made of torch's operations itself",
            came=came,
            where=subject.find(r"\.apply\(|autograd\.Function|once_differentiable") or subject.where(),
            status="noted",
        )

    try:
        found = torch.autograd.grad(penalty(), tensors, allow_unused=True)
    except RuntimeError as error:
        raise fault("gradients can't be differentiated once more", str(error).splitlines()[0]) from error
    for (name, tensor), gradient in zip(step.tensors.items(), found, strict=True):
        if tensor.numel() == 0:
            continue
        came = 0.0 if gradient is None else _real(gradient).flatten()[0].item()
        slope = difference(penalty, _real(tensor.detach()), 0)
        if not abs(slope - came) <= 1e-4 * (1 + abs(slope)):  # nor if it is NaN
            came_and_slope = f"{came:.6g} for {name}, where differences give {slope:.6g}"
            raise fault("second derivatives are wrong", came_and_slope)

"""Does a cell learn, do gradients reach back, and do its states stay within bounds: seconds of each."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seqsum.check.registry import check
from seqsum.check.result import Fault
from seqsum.check.subject import Subject
from seqsum.recurrent import GRUCell, LSTMCell, Recurrent, RecurrentCell, RNNCell

REFERENCES: dict[str, type[RecurrentCell]] = {"lstm": LSTMCell, "gru": GRUCell, "rnn": RNNCell}
HIDDEN, BATCH, LENGTH = 24, 32, 6
UPDATES, MOST = 300, 1200  # small first weights, such as normal ones times 0.01, learn late
GUESS = 1 / 6  # the variance of the sum of two uniform numbers: the error of always answering 1
DISTANCES, LONG = 100, 1000
ROWS = 8  # sequences that gradients are measured on
VANISHED, EXPLODED = 1e-8, 1e4  # gradients from 50 steps back, as a multiple of that of the last step


def draw_additions(generator: torch.Generator, features: int) -> tuple[Tensor, Tensor]:
    """A batch of the adding task (Hochreiter & Schmidhuber, 1997).

    Returns:
        Inputs `(T, B, F)`, a number in [0, 1] and a mark, which two steps have; and the sums `(B,)` of those numbers.
    """
    inputs = torch.zeros(LENGTH, BATCH, features)
    inputs[..., 0] = torch.rand(LENGTH, BATCH, generator=generator)
    half = LENGTH // 2
    rows = torch.arange(BATCH)
    for start in (0, half):
        inputs[start + torch.randint(half, (BATCH,), generator=generator), rows, 1] = 1
    return inputs, (inputs[..., 0] * inputs[..., 1]).sum(0)


def train(cell: RecurrentCell, constants: Sequence[Tensor | None] = (), updates: int = 0) -> list[float]:
    """The errors of all updates of one cell, given its constants, and a linear head on the adding task.

    Without a number of updates, it goes on until the cell has learned: for 300, 600, 900 or 1,200.
    """
    torch.default_generator.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    layer = Recurrent(cell.train(), backend="eager")
    head = nn.Linear(cell.output_size, 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.01)
    errors: list[float] = []
    for update in range(1, (updates or MOST) + 1):
        inputs, sums = draw_additions(generator, cell.input_size)
        loss = (head(layer(inputs, constants=constants)[0][-1]).squeeze(-1) - sums).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
        optimizer.step()
        errors.append(loss.item())
        if not updates and update % UPDATES == 0 and at_the_end(errors) < GUESS / 2:
            break
    return errors


def at_the_end(errors: Sequence[float]) -> float:
    """The mean of the last errors."""
    return statistics.mean(errors[-20:])


@check("it learns", needs=("gradients_right", "parameters_used", "rows_independent"))
def learns(subject: Subject) -> str:
    """Within 1,200 updates it adds two marked numbers of six with less than half the error of answering their mean."""
    cell = subject.resize(2, HIDDEN)
    if cell.input_size < 2:
        raise Fault("the adding task needs two features", came="one", status="noted")
    own = train(cell, subject.caller_gives(BATCH, torch.float32))
    curves = {subject.kind.__name__: own}
    if subject.like is not None:
        name = f"seqsum.{subject.like.upper()}"
        curves[name] = train(REFERENCES[subject.like](cell.input_size, cell.hidden_size), (), len(own))
    shown = ", ".join(f"{name} {at_the_end(errors):.4f}" for name, errors in curves.items())
    picture = {
        "x": list(range(len(own))),
        "curves": curves,
        "xlabel": "updates",
        "ylabel": "mean squared error",
        "log": True,
    }
    text = f"mean squared error after {len(own):,} updates: {shown}; of a guess {GUESS:.4f}"
    if not at_the_end(own) < GUESS / 2:
        raise Fault(
            "it does not learn to add two numbers",
            expected=f"an error below {GUESS / 2:.4f}, half of that of always answering 1",
            came=text,
            example=f"sequences of {LENGTH} steps, {cell.hidden_size} units, Adam with a learning rate of 0.01",
            where=subject.where("__init__"),
            data={"curves": picture},
        )
    subject.pictures["curves"] = picture
    return text


@check("gradients reach back", needs=("gradients_right",))
def gradients_reach_back(subject: Subject) -> str:
    """The gradient of the last output by earlier inputs neither vanishes nor explodes at once."""
    given = subject.caller_gives(ROWS, torch.float32)
    curves = {subject.kind.__name__: gradients_by_distance(subject.resize(8, HIDDEN), given)}
    if subject.like is not None:
        curves[f"seqsum.{subject.like.upper()}"] = gradients_by_distance(REFERENCES[subject.like](8, HIDDEN))
    own = curves[subject.kind.__name__]
    shown = ", ".join(f"{own[k] / max(own[0], 1e-300):.1e} from {k} steps back" for k in (10, 50))
    picture = {
        "x": list(range(DISTANCES)),
        "curves": curves,
        "xlabel": "distance in time, steps",
        "ylabel": "mean |gradient|",
        "log": True,
    }
    text = f"as a multiple of that by the last input, {shown}"
    ratio = own[50] / max(own[0], 1e-300)
    if not VANISHED < ratio < EXPLODED:
        raise Fault(
            f"gradients {'vanish' if ratio <= VANISHED else 'explode'} on their way back",  # also to NaN
            expected="weights that start so that a signal keeps its size, such as orthogonal ones, and gates that "
            "start by keeping the state, as a forget bias of 1 does in an LSTM",
            came=text,
            example=f"fresh weights, {DISTANCES} steps of random input",
            where=subject.where("__init__"),
            status="noted",
            data={"curves": picture},
        )
    subject.pictures["curves"] = picture
    return text


def gradients_by_distance(cell: RecurrentCell, constants: Sequence[Tensor | None] = ()) -> list[float]:
    """Mean absolute gradient of the last output by the input so many steps before."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(DISTANCES, ROWS, cell.input_size, generator=generator).requires_grad_()
    outputs, _ = Recurrent(cell.eval(), backend="eager")(inputs, constants=constants)
    weights = torch.randn(outputs.shape[1:], generator=generator)
    (outputs[-1] * weights).sum().backward()
    assert inputs.grad is not None
    return inputs.grad.abs().mean((1, 2)).flip(0).tolist()


@check("states stay within bounds", needs=("step_returns",))
@torch.no_grad()
def states_bounded(subject: Subject) -> str:
    """Over 1,000 steps of random input the states stay finite."""
    cell = subject.resize(8, HIDDEN).eval()
    inputs = torch.randn(LONG, 4, cell.input_size, generator=torch.Generator().manual_seed(2))
    state = cell.initial_state(4, inputs) + subject.constants(cell, 4, inputs)
    sizes: dict[str, list[float]] = {name: [] for name in cell.state_names}
    for t in range(LONG):
        _, state = cell.step(cell.project(inputs[t]), state)
        for name, tensor in zip(cell.state_names, state, strict=False):
            sizes[name].append(tensor.abs().max().item())
            if not tensor.isfinite().all():
                raise Fault(
                    f"the state `{name}` is no longer finite after {t + 1} steps",
                    expected=f"finite states for {LONG} steps",
                    came="NaN or infinity",
                    example="fresh weights, random input",
                    where=subject.where(),
                )
    picture = {"x": list(range(LONG)), "curves": sizes, "xlabel": "steps", "ylabel": "largest |state|"}
    subject.pictures["curves"] = picture
    return ", ".join(f"|{name}| at most {max(size):.3g}" for name, size in sizes.items()) + f" in {LONG:,} steps"

"""What `Diagnosis` sees of a network: in a training step as it goes by, and over time; and where a NaN comes from."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from seqsum.data.base import Batch
from seqsum.diagnosis.findings import (
    BOUNDS,
    SATURATED_GATES,
    Finding,
    dead_units,
    ever_active,
    gradient_over_time,
    large_update,
    relative_change,
    saturated,
)
from seqsum.networks import SequenceNetwork
from seqsum.recurrent import Recurrent, RecurrentCell, trace

Located = tuple[str, Finding]  # the layer, and what was found there


class Onlooker:
    """Sees the next pass of a network: its outputs, and, of a `SequenceNetwork`, what its parts do.

    Attributes:
        outputs: Of the network, `(B, S, K)`.
        features: What the recurrence read, `(B, T, F)`; in a network that runs in windows, of the first of them. None
            where the network has other parts.
        found: Findings in the encoder.
    """

    outputs: Tensor
    features: Tensor | None

    def __init__(self) -> None:
        self.handles: list[RemovableHandle] = []
        self.found: list[Located] = []

    @property
    def looking(self) -> bool:
        """Whether the network is being looked at."""
        return len(self.handles) > 0

    def start(self, network: nn.Module) -> None:
        """Look on from now until `stop`."""
        self.found, self.features = [], None
        self.handles = [network.register_forward_hook(self._keep_outputs)]
        if not isinstance(network, SequenceNetwork):
            return
        self.handles.append(network.encoder.register_forward_hook(self._keep_features))
        activations: tuple[type[nn.Module], ...] = (nn.ReLU, *BOUNDS)
        for path, module in network.encoder.named_modules(prefix="network.encoder"):
            if isinstance(module, activations):
                self.handles.append(module.register_forward_hook(partial(self._look_at_activation, path)))

    def stop(self) -> None:
        """Leave the network as it was."""
        for handle in self.handles:
            handle.remove()
        self.handles = []

    def _keep_features(self, _: nn.Module, __: tuple[Tensor], features: Tensor) -> None:
        if self.features is None:
            self.features = features.detach()

    def _keep_outputs(self, _: nn.Module, __: tuple[Batch], outputs: Tensor) -> None:
        self.outputs = outputs.detach()

    def _look_at_activation(self, path: str, module: nn.Module, _: tuple[Tensor], values: Tensor) -> None:
        """Activations `(N, U, …)`: time is in the batch here."""
        values = values.detach()
        bounds = next((bounds for kind, bounds in BOUNDS.items() if isinstance(module, kind)), None)
        finding = saturated(values, *bounds) if bounds else dead_units(ever_active(values, axis=1))
        if finding:
            self.found.append((path, finding))


def look_over_time(network: SequenceNetwork, features: Tensor, mask: Tensor | None) -> Iterator[Located]:
    """Gates, states and gradients of the recurrence on features `(B, T, F)`, run once more."""
    recurrence = network.recurrence
    features = features.to(next(recurrence.parameters()).dtype)  # the encoder may have run in a lower precision
    devices = [features.device] if features.is_cuda else []
    with torch.random.fork_rng(devices):  # dropout must not draw the numbers that belong to the training
        if any(isinstance(module, Recurrent) for module in recurrence.modules()):
            with trace(network) as traced:
                norms = gradient_norms(network, features, mask)
            yield from _look_inside(recurrence, dict(traced), mask)
        else:  # torch's own
            norms = gradient_norms(network, features, mask)
    if finding := gradient_over_time(norms, mask):
        yield "network.recurrence", finding


def gradient_norms(network: SequenceNetwork, features: Tensor, mask: Tensor | None = None) -> Tensor:
    """How much the last valid step's output moves with each step's features, `(B, T, F) -> (B, T)`.

    That output alone, since each step's own loss would hide what comes back from later ones. No parameter's
    gradient is touched.
    """
    leaf = features.requires_grad_()
    with torch.enable_grad():
        outputs = network.head(network.recur(leaf, mask=mask)[0])
        if mask is None:
            last = outputs[:, -1]
        else:
            valid = mask.to(outputs)
            last = outputs * (valid * (valid.flip(1).cumsum(1).flip(1) == 1)).unsqueeze(-1)
        (gradient,) = torch.autograd.grad(last.float().sum(), leaf)
    return gradient.float().norm(dim=-1)


def _look_inside(recurrence: nn.Module, traced: dict[str, Tensor], mask: Tensor | None) -> Iterator[Located]:
    """Gates and states by name, `(B, T, H)` each."""
    cells = [module for module in recurrence.modules() if hasattr(module, "gate_names")]
    gates = tuple(f"{name}_l" for cell in cells for name in cast("RecurrentCell", cell).gate_names)
    for name, values in traced.items():
        valid = values.flatten(0, 1) if mask is None else values[mask]  # (N, H)
        if not name.rpartition(".")[2].startswith(gates):
            finding = dead_units(ever_active(valid, axis=1))
        elif valid.min() >= 0 and valid.max() <= 1:  # not what a gate lets in, which may well be a clear -1 or 1
            finding = saturated(valid, 0.0, 1.0, SATURATED_GATES)
        else:
            finding = None
        if finding:
            yield f"network.{name}", finding


def sized_matrices(network: nn.Module) -> list[str]:
    """Names of the weights whose changes can be measured by their size.

    To be asked for before the first step: vectors such as biases, and matrices such as gains, may start at zero.
    """
    named = network.named_parameters(prefix="network")
    return [name for name, weights in named if weights.dim() > 1 and weights.any()]


def copy_weights(network: nn.Module, names: list[str]) -> dict[str, Tensor]:
    """Those of the weights that learn, by name."""
    weights = dict(network.named_parameters(prefix="network"))
    return {name: weights[name].detach().clone() for name in names if weights[name].requires_grad}


def look_at_update(network: nn.Module, before: dict[str, Tensor]) -> Iterator[Located]:
    """The weights that changed the most beside their size, if that was too much."""
    after = dict(network.named_parameters(prefix="network"))
    changes = {name: relative_change(old, after[name].detach()) for name, old in before.items()}
    if changes:
        name = max(changes, key=lambda name: changes[name])
        if finding := large_update(changes[name]):
            yield name, finding


@torch.no_grad()
def first_not_finite(network: nn.Module, batch: Batch) -> tuple[str, str]:
    """Where a NaN or an infinity comes from: the layer, and a clause that says what is the matter with it."""
    inputs = batch.inputs if batch.mask is None else batch.inputs[batch.mask]
    if not inputs.isfinite().all():
        return "inputs", "so are some of the inputs"
    for name, parameter in network.named_parameters(prefix="network"):
        if not parameter.isfinite().all():
            return name, "so are these weights, since the step before"
    found: list[str] = []

    def look(path: str, _: nn.Module, __: Any, output: Any) -> None:
        tensor = output if isinstance(output, Tensor) else output[0]
        if not found and isinstance(tensor, Tensor) and not tensor.isfinite().all():
            found.append(path)

    parts = network.named_modules(prefix="network")
    handles = [module.register_forward_hook(partial(look, path)) for path, module in parts]
    try:
        network(batch)
    finally:
        for handle in handles:
            handle.remove()
    if found:
        return found[0], "the outputs of this layer are the first to be so"
    return "loss", "all outputs of the network are finite: it is the loss itself that fails"

"""Observe a network for `Diagnosis`: during a training step and over time; locate a NaN."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.hooks import RemovableHandle

from seqsum.data.base import Batch, ScoredSteps
from seqsum.diagnosis.findings import (
    BOUNDS,
    SATURATED_GATES,
    Finding,
    dead_units,
    ever_active,
    gradient_over_time,
    is_open,
    large_update,
    relative_change,
    saturated,
)
from seqsum.networks import SequenceNetwork
from seqsum.recurrent import Recurrent, RecurrentCell, trace
from seqsum.recurrent.alike import real_weight
from seqsum.recurrent.buffers import spared_buffers

Located = tuple[str, Finding]  # the layer and the finding


class Onlooker:
    """Observe a network's next forward pass: its outputs, and the encoder and features of a `SequenceNetwork`.

    Attributes:
        outputs: The network's outputs, `(B, S, K)`, or those of the scored steps, see `Batch.pair`.
        batch: The batch that they belong to.
        features: Inputs of the recurrence, `(B, T, F)`; of the first window if the network runs in windows. None if it
            is not a `SequenceNetwork`.
        found: Findings in the encoder.
    """

    outputs: Tensor
    batch: Batch
    features: Tensor | None

    def __init__(self) -> None:
        self.handles: list[RemovableHandle] = []
        self.found: list[Located] = []

    @property
    def looking(self) -> bool:
        """Whether the network is being observed."""
        return len(self.handles) > 0

    def start(self, network: nn.Module, by_step: bool = False) -> None:
        """Observe from now until `stop`; `by_step` is the objective's."""
        self.found, self.features, self.by_step = [], None, by_step
        self.handles = [network.register_forward_hook(self._keep_outputs)]
        if not isinstance(network, SequenceNetwork):
            return
        self.handles.append(network.encoder.register_forward_hook(self._keep_features))
        activations: tuple[type[nn.Module], ...] = (nn.ReLU, *BOUNDS)
        for path, module in network.encoder.named_modules(prefix="network.encoder"):
            if isinstance(module, activations):
                self.handles.append(module.register_forward_hook(partial(self._look_at_activation, path)))

    def stop(self) -> None:
        """Remove the hooks."""
        for handle in self.handles:
            handle.remove()
        self.handles = []

    def _keep_features(self, _: nn.Module, __: tuple[Tensor], features: Tensor) -> None:
        if self.features is None:
            self.features = features.detach()

    def _keep_outputs(self, _: nn.Module, read: tuple[Batch], outputs: Tensor | ScoredSteps) -> None:
        paired, self.batch = read[0].pair(outputs, self.by_step)
        self.outputs = paired.detach()

    def _look_at_activation(self, path: str, module: nn.Module, _: tuple[Tensor], values: Tensor) -> None:
        """Check activations `(N, U, …)`, where `N` includes time."""
        values = values.detach()
        bounds = next((bounds for kind, bounds in BOUNDS.items() if isinstance(module, kind)), None)
        finding = saturated(values, *bounds) if bounds else dead_units(ever_active(values))
        if finding:
            self.found.append((path, finding))


def look_over_time(network: SequenceNetwork, features: Tensor, mask: Tensor | None) -> Iterator[Located]:
    """Run the recurrence again on features `(B, T, F)`, and check its gates, states and gradients."""
    recurrence = network.recurrence
    weight = real_weight(recurrence, features)  # a user's own cell may have none
    features = features.to(weight.dtype)  # the encoder may have run in a lower precision
    devices = [features.device] if features.is_cuda else []
    # neither dropout nor batch normalisation may leave a trace in the training
    with torch.random.fork_rng(devices), spared_buffers(network.modules()):
        if any(isinstance(module, Recurrent) for module in recurrence.modules()):
            with trace(network) as traced:
                norms = gradient_norms(network, features, mask)
            yield from _look_inside(recurrence, dict(traced), mask)
        else:  # a layer of torch.nn
            norms = gradient_norms(network, features, mask)
    if finding := gradient_over_time(norms, mask):
        yield "network.recurrence", finding


def gradient_norms(network: SequenceNetwork, features: Tensor, mask: Tensor | None = None) -> Tensor:
    """Norm of the gradient of the last valid step's output by each step's features, `(B, T, F) -> (B, T)`.

    Where the network has one output for each sequence, it is that of this output.

    It uses only that output, since the loss of each step would hide the gradient from later ones. The parameters'
    gradients stay unchanged.
    """
    leaf = features.requires_grad_()
    with torch.enable_grad():
        outputs = network.read(network.recur(leaf, mask=mask)[0], mask)
        if mask is None or not network.readout.every_step:
            last = outputs[:, -1]
        else:
            valid = mask.to(outputs)
            last = outputs * (valid * (valid.flip(1).cumsum(1).flip(1) == 1)).unsqueeze(-1)
        (gradient,) = torch.autograd.grad(last.float().sum(), leaf)
    return gradient.float().norm(dim=-1)


def _look_inside(recurrence: nn.Module, traced: dict[str, Tensor], mask: Tensor | None) -> Iterator[Located]:
    """Check gates and states, `(B, T, H)` each, by name."""
    cells = [module for module in recurrence.modules() if hasattr(module, "gate_names")]
    gates = tuple(f"{name}_l" for cell in cells for name in cast("RecurrentCell", cell).gate_names)
    for name, values in traced.items():
        valid = values.flatten(0, 1) if mask is None else values[mask]  # (N, H)
        if len(valid) == 0:  # the first window of a sequence may be all padding
            continue
        if not name.rpartition(".")[2].startswith(gates):
            finding = dead_units(ever_active(valid))
        elif valid.min() >= 0 and valid.max() <= 1:  # skip candidates such as the cell update, which may be near ±1
            finding = None if is_open(valid) else saturated(valid, 0.0, 1.0, SATURATED_GATES)
        else:
            finding = None
        if finding:
            yield f"network.{name}", finding


def sized_matrices(network: nn.Module) -> list[str]:
    """Names of the weight matrices whose relative change can be measured.

    Call it before the first step: it skips vectors, such as biases, and matrices that start at zero.
    """
    named = network.named_parameters(prefix="network")
    return [name for name, weights in named if weights.dim() > 1 and weights.any()]


def copy_weights(network: nn.Module, names: list[str]) -> dict[str, Tensor]:
    """Copy the named weights that are trainable, and still there: pruning renames them."""
    weights = dict(network.named_parameters(prefix="network"))
    return {name: weights[name].detach().clone() for name in names if name in weights and weights[name].requires_grad}


def look_at_update(network: nn.Module, before: dict[str, Tensor]) -> Iterator[Located]:
    """Yield a finding for the weights with the largest relative change, if it is too large."""
    after = dict(network.named_parameters(prefix="network"))
    changes = {name: relative_change(old, after[name].detach()) for name, old in before.items()}
    if changes:
        name = max(changes, key=lambda name: changes[name])
        if finding := large_update(changes[name]):
            yield name, finding


@torch.no_grad()
def first_not_finite(network: nn.Module, batch: Batch) -> tuple[str, str]:
    """Locate the origin of a NaN or an infinity: the layer, and a clause that describes it."""
    inputs = batch.inputs if batch.mask is None else batch.inputs[batch.mask]
    if not inputs.isfinite().all():
        return "inputs", "some of the inputs are not finite"
    targets = batch.targets if batch.scored is None else batch.targets[batch.scored]
    if not targets.isfinite().all():
        return "targets", "some of the scored targets are not finite; leave them out by a `target_mask`"
    for name, parameter in network.named_parameters(prefix="network"):
        if not parameter.isfinite().all():
            return name, "these weights have not been finite since the step before, though its loss was"
    found: list[str] = []

    def look(path: str, _: nn.Module, __: Any, output: Any) -> None:
        tensors = [each for each in tree_leaves(output) if isinstance(each, Tensor)]
        # what comes beside a result may be infinite, such as scores of places that are masked
        wrong = [tensor.isnan().any() if place else not tensor.isfinite().all() for place, tensor in enumerate(tensors)]
        if any(wrong) and not found:
            found.append(path)

    parts = network.named_modules(prefix="network")
    handles = [module.register_forward_hook(partial(look, path)) for path, module in parts]
    try:
        network(batch)
    finally:
        for handle in handles:
            handle.remove()
    if found:
        return found[0], "the outputs of this layer are the first that are not finite"
    return "loss", "all outputs of the network are finite, but the loss is not"

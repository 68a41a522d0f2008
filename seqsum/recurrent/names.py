"""torch.nn's names for the weights of the cells: whatever takes a module and a name of it finds and replaces them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn


class WeightNames(dict[str, nn.Parameter | None]):
    """The parameters of a layer: its own, and by torch.nn's names those of its cells.

    Takes the place of a module's `_parameters`, which `nn.Module` and `torch.nn.utils` read and change by name: get,
    set, delete or register `weight_hh_l0` of the layer, and it is `weight_hh` of its first cell. Iteration, on the
    other hand, gives the layer's own parameters alone, so that each weight is in a state dict once, as its cell's.

    Args:
        own: The layer's own parameters.
        modules: The `_modules` of the layer, in which `cells` are.
        places: For each of torch.nn's names, the index of a cell and the name there.
    """

    def __init__(
        self,
        own: Mapping[str, nn.Parameter | None],
        modules: Mapping[str, nn.Module | None],
        places: Mapping[str, tuple[int, str]],
    ) -> None:
        super().__init__(own)
        self.modules = modules
        self.places = places

    def __contains__(self, name: object) -> bool:
        if name not in self.places:
            return super().__contains__(name)
        parameters, there = self._place(name)
        return there in parameters

    def __getitem__(self, name: str) -> nn.Parameter | None:
        if name not in self.places:
            return super().__getitem__(name)
        parameters, there = self._place(name)
        return parameters[there]

    def __setitem__(self, name: str, parameter: nn.Parameter | None) -> None:
        if name not in self.places:
            super().__setitem__(name, parameter)
        else:
            parameters, there = self._place(name)
            parameters[there] = parameter

    def __delitem__(self, name: str) -> None:
        if name not in self.places:
            super().__delitem__(name)
        else:
            parameters, there = self._place(name)
            del parameters[there]

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401  # that would be this very function

    def _place(self, name: Any) -> tuple[dict[str, nn.Parameter | None], str]:
        """The parameters among which the one of this name is, and its name there."""
        index, there = self.places[name]
        return self.modules["cells"][index]._parameters, there  # type: ignore[index]

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy or pickle belongs to the copied or pickled layer."""
        return WeightNames, (dict(self), self.modules, self.places)

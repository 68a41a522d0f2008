"""torch.nn's names for the weights of the cells, for code that gets and sets a module's parameters by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn


class WeightNames(dict[str, nn.Parameter | None]):
    """Dict of a layer's parameters in which torch.nn's names refer to the weights of its cells.

    Replaces a module's `_parameters`, which `nn.Module` and `torch.nn.utils` access by name: getting, setting,
    deleting or registering `weight_hh_l0` on the layer does so with `weight_hh` of its first cell. Iteration yields
    only the layer's own parameters, so that a state dict contains each weight once, under its cell's name.

    Args:
        own: The layer's own parameters.
        modules: The layer's `_modules`, which contain `cells`.
        places: For each of torch.nn's names, the index of the cell and the parameter's name there.
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
        return self[name] if name in self else default  # noqa: SIM401  # would call itself

    def pop(self, name: str, *default: Any) -> Any:
        if name not in self.places:
            return super().pop(name, *default)
        parameters, there = self._place(name)
        return parameters.pop(there, *default)

    def _place(self, name: Any) -> tuple[dict[str, nn.Parameter | None], str]:
        """Return the `_parameters` of the cell that torch.nn's `name` refers to, and the parameter's name there."""
        index, there = self.places[name]
        return self.modules["cells"][index]._parameters, there  # type: ignore[index]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle `modules` too, so that a copy refers to the cells of the copied layer."""
        return WeightNames, (dict(self), self.modules, self.places)

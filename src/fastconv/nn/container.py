"""Containers of layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import overload

from numpy.typing import ArrayLike

from fastconv.nn.module import Array, Module


class Sequential(Module):
    """Layers one after another, as `torch.nn.Sequential`: indexable, iterable, with keys ``0.weight``, ...

    Parameters
    ----------
    *layers : Module
        In the order of the forward pass.
    """

    def __init__(self, *layers: Module) -> None:
        for index, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError(f"Sequential takes modules, got {layer!r} at position {index}")
        self._layers = list(layers)

    def forward(self, x: ArrayLike) -> Array:
        for layer in self._layers:
            x = layer(x)
        self._saved = True
        return x  # type: ignore[return-value]  # of an empty Sequential it is the input

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Array | None:
        self._recall()
        first = 0 if need_input_grad else self._first_with_parameters()
        grad = grad_output
        for layer in reversed(self._layers[first + 1 :]):
            grad = layer.backward(grad)  # type: ignore[assignment]  # an array, as need_input_grad is True
        for layer in self._layers[first : first + 1]:
            grad = layer.backward(grad, need_input_grad)  # type: ignore[assignment]
        return grad if need_input_grad else None  # type: ignore[return-value]

    def _first_with_parameters(self) -> int:
        """Index of the layer at which a backward pass that wants no input gradient can stop."""
        for index, layer in enumerate(self._layers):
            if next(layer.parameters(), None) is not None:
                return index
        return len(self._layers)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        return ((str(index), layer) for index, layer in enumerate(self._layers))

    def append(self, layer: Module) -> Sequential:
        """Add a layer at the end; return self."""
        self._layers += Sequential(layer)._layers
        return self

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._layers)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module | Sequential:
        """One layer, or a Sequential that shares the layers of a slice."""
        return Sequential(*self._layers[index]) if isinstance(index, slice) else self._layers[index]

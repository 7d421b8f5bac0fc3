"""Containers of layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import overload

from numpy.typing import ArrayLike

from fastconv.nn.activation import ReLU
from fastconv.nn.flatten import Flatten
from fastconv.nn.module import Array, Module


class Sequential(Module):
    """Layers one after another, as `torch.nn.Sequential`: indexable, iterable, with keys ``0.weight``, ...

    A convolution or linear layer with a ReLU behind it applies that as it stores its output, and one with a ReLU before it
    goes back through that as it stores the gradient of its input: the same numbers, without a pass over memory.

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
        layers = iter(enumerate(self._layers, 1))
        for behind, layer in layers:
            if layer._fuses_relu and self._is_relu(behind):
                x = self._layers[behind]._saved = layer.forward(x, "relu")  # type: ignore[call-arg]
                next(layers)
            else:
                x = layer(x)
        self._saved = True
        return x  # type: ignore[return-value]  # of an empty Sequential it is the input

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Array | None:
        self._recall()
        grad, passed = grad_output, -1
        first = 0 if need_input_grad else self._first_with_parameters()
        for index in range(len(self._layers) - 1, first - 1, -1):
            layer = self._layers[index]
            needed = need_input_grad or index > first
            if index == passed:  # the layer behind has gone back through this ReLU
                continue
            if needed and layer._fuses_relu and (relu := self._relu_before(index)) >= first:
                passed = relu
                grad = layer.backward(grad, True, True)  # type: ignore
            else:
                grad = layer.backward(grad, needed)  # type: ignore[assignment]  # an array, where it is needed
        return grad if need_input_grad else None  # type: ignore[return-value]

    def _is_relu(self, index: int) -> bool:
        return 0 <= index < len(self._layers) and type(self._layers[index]) is ReLU

    def _relu_before(self, index: int) -> int:
        """Index of the ReLU whose output, flattened or not, is what layer `index` reads; -1 if there is none."""
        before = index - 1
        while before >= 0 and type(self._layers[before]) is Flatten:
            before -= 1
        return before if self._is_relu(before) else -1

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

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
        self._layers: list[Module] = []
        self.append(*layers)

    def forward(self, x: ArrayLike) -> Array:
        for layer, relu in self._forward_steps:
            if relu is None:
                x = layer(x)
            else:
                x = relu._saved = layer.forward(x, "relu")  # type: ignore[call-arg]
        self._saved = True
        return x  # type: ignore[return-value]  # of an empty Sequential it is the input

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Array | None:
        self._recall()
        grad, passed = grad_output, len(self._layers)
        first = 0 if need_input_grad else self._first_with_parameters()
        for index, layer, relu in self._backward_steps:
            if index < first:
                break
            needed = need_input_grad or index > first
            if index == passed:  # the layer behind has gone back through this ReLU
                continue
            if relu >= first and needed:
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
            if layer.has_parameters():
                return index
        return len(self._layers)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        return ((str(index), layer) for index, layer in enumerate(self._layers))

    def append(self, *layers: Module) -> Sequential:
        """Add layers at the end; return self."""
        for index, layer in enumerate(layers, len(self._layers)):
            if not isinstance(layer, Module):
                raise TypeError(f"Sequential takes modules, got {layer!r} at position {index}")
        self._layers += layers
        self._forward_steps, self._backward_steps = self._plan()
        return self

    def _plan(self) -> tuple[list[tuple[Module, Module | None]], list[tuple[int, Module, int]]]:
        """What forward and backward go through: each layer with the ReLU that it applies along the way, if any.

        Forward gets the layer of the ReLU, backward its index, -1 for none; decided once, since a step asks every time.
        """
        layers = self._layers
        fused = {i + 1 for i, layer in enumerate(layers) if layer._fuses_relu and self._is_relu(i + 1)}
        forward = [
            (layer, layers[i + 1] if i + 1 in fused else None) for i, layer in enumerate(layers) if i not in fused
        ]
        backward = [
            (i, layer, self._relu_before(i) if layer._fuses_relu else -1) for i, layer in enumerate(layers)
        ]
        return forward, backward[::-1]

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

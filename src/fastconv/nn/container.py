"""Containers of layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import overload

from numpy.typing import ArrayLike

from fastconv.nn.activation import ReLU
from fastconv.nn.flatten import Flatten
from fastconv.nn.module import Array, Module
from fastconv.nn.normalization import BatchNorm1d, BatchNorm2d

RELU = (ReLU,)
NORMS = (BatchNorm1d, BatchNorm2d)


class Sequential(Module):
    """Layers one after another, as `torch.nn.Sequential`: indexable, iterable, with keys ``0.weight``, ...

    A convolution or linear layer with a ReLU behind it applies that as it stores its output, and one with a ReLU before it
    goes back through that as it stores the gradient of its input: the same numbers, without a pass over memory. In ``eval()``
    a batch normalization behind a convolution is folded into its weights: the same numbers but for rounding, no pass at all.

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
        layers, index, folded = self._layers, 0, list[int]()
        while index < len(layers):
            layer, fold = layers[index], None
            index += 1
            if layer._folds_norm and self._is(index, NORMS):
                fold = layer._folded(layers[index], x)  # type: ignore[attr-defined]
                if fold is not None:
                    folded.append(index)
                    index += 1
            if layer._fuses_relu and self._is(index, RELU):
                arguments = ("relu",) if fold is None else ("relu", fold)
                x = layers[index]._saved = layer.forward(x, *arguments)
                index += 1
            else:
                x = layer(x) if fold is None else layer.forward(x, None, fold)  # type: ignore[call-arg]
        self._saved = folded
        return x  # type: ignore[return-value]  # of an empty Sequential it is the input

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Array | None:
        self._see_again(self._recall())
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

    def _see_again(self, folded: list[int]) -> None:
        """Give batch normalizations that were folded away what their ``backward`` needs: the output of the convolution."""
        for index in folded:
            convolution, norm = self._layers[index - 1 : index + 1]
            norm._see(convolution.forward(convolution._recall()[0]))  # type: ignore[attr-defined]
        self._saved = []

    def _is(self, index: int, types: tuple[type[Module], ...]) -> bool:
        return 0 <= index < len(self._layers) and type(self._layers[index]) in types

    def _relu_before(self, index: int) -> int:
        """Index of the ReLU whose output, flattened or not, is what layer `index` reads; -1 if there is none."""
        before = index - 1
        while before >= 0 and type(self._layers[before]) is Flatten:
            before -= 1
        return before if self._is(before, RELU) else -1

    def _first_with_parameters(self) -> int:
        """Index of the layer at which a backward pass that wants no input gradient can stop."""
        for index, layer in enumerate(self._layers):
            if next(layer.parameters(), None) is not None:
                return index
        return len(self._layers)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        return ((str(index), layer) for index, layer in enumerate(self._layers))

    def append(self, layer: Module) -> Sequential:
        """Add a layer at the end; return self.

        Raises
        ------
        ValueError
            For a layer with parameters where `keyed` has named all that the state holds.
        """
        if self._parts is not None and next(Sequential(layer)._tree(), None) is not None:
            raise ValueError("the state of this Sequential has the keys of keyed(), which has none for another layer")
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

"""Containers of layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self, overload

import numpy as np
from numpy.typing import ArrayLike

from fastconv import _core
from fastconv._arguments import FLOATS
from fastconv.nn.activation import ReLU
from fastconv.nn.flatten import Flatten
from fastconv.nn.module import Gradient, Module, _grad_enabled
from fastconv.nn.normalization import BatchNorm1d, BatchNorm2d
from fastconv.nn.padding import Identity
from fastconv.nn.parameter import Array
from fastconv.nn.program import Program, Trace, Value, forget, traceable

RELU = (ReLU,)
NORMS = (BatchNorm1d, BatchNorm2d)

# A layer; the ReLU that it applies along the way; the batch normalization behind it that may be folded into it, and the ReLU behind that;
# the chain of layers that hand one another batch-last outputs; whether it is a convolution whose output is that of all, normalized or not.
_Forward = tuple[Module, Module | None, Module | None, Module | None, _core.BatchChain | None, bool]


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

    _program: Program | None = None

    def __init__(self, *layers: Module) -> None:
        self._layers: list[Module] = []
        self.append(*layers)

    def forward(self, x: ArrayLike) -> Array:
        if not _grad_enabled.get():
            if not self.training and type(x) is np.ndarray and x.dtype in FLOATS:
                return self._infer(x)
        elif self.training and (not self._norms or all(norm.training for norm in self._norms)):  # nothing is folded
            y = self._stages.forward(x)
            self._saved = []
            return y
        return self._forward_added(x, None, None)[0]

    def _infer(self, x: Array) -> Array:
        """``forward`` in eval mode, where nothing is to be kept."""
        program = self._program  # read once: another thread may replace it
        if program is not None and program.serves(x):
            if self._saved is not None:
                forget(self)
            return program.run(x)
        self._program = None  # before there is a new one, whose plans can then have its memory
        if not traceable(self):
            return self._forward_added(x, None, None)[0]
        forget(self)
        program = Program(self, x)
        y = program.trace(self, x)
        self._program = program
        return y

    def _trace(self, trace: Trace, x: Value, *arguments: Any) -> Value:
        return self._trace_added(trace, x, None, None)[0]

    def _trace_added(self, trace: Trace, x: Value, beside: Value | None, activation: str | None) -> tuple[Value, bool]:
        """`_forward_added`, traced."""
        steps, added = iter(self._forward_steps), False
        for layer, relu, norm, relu_behind, _, last in steps:
            fold = None if norm is None else layer._folded(norm, x.array)  # type: ignore[attr-defined]
            if last and beside is not None and layer.activation is None and (norm is None or fold is not None):  # type: ignore[attr-defined]
                x, added = layer._trace(trace, x, activation, fold, beside), True
            elif fold is not None:
                x = layer._trace(trace, x, None if relu_behind is None else "relu", fold)
            elif relu is not None:
                x = layer._trace(trace, x, "relu")
            else:
                x = layer._trace(trace, x)
            if fold is not None:
                next(steps)
                if relu_behind is not None:
                    next(steps)
        return x, added

    def _forward_added(self, x: ArrayLike, beside: Array | None, activation: str | None) -> tuple[Array, bool]:
        """The output; and whether it is the activation of it and `beside` added, which a convolution at the end does as it stores."""
        steps = iter(self._forward_steps)
        folded: list[tuple[Module, Module]] = []
        keep, added = _grad_enabled.get(), False
        for layer in self._layers:  # what the pass before left is the memory of this one, and in the cache
            layer._saved = None
        for layer, relu, norm, relu_behind, chain, last in steps:
            fold = None if norm is None else layer._folded(norm, x)  # type: ignore[attr-defined]
            if last and beside is not None and layer.activation is None and (norm is None or fold is not None):  # type: ignore[attr-defined]
                x, added = layer.forward(x, activation, fold, None, beside), True  # type: ignore[call-arg]
            elif fold is not None:
                x = layer.forward(x, None if relu_behind is None else "relu", fold)  # type: ignore[call-arg]
            elif relu is None:
                x = layer.forward(x) if chain is None else layer.forward(x, None, None, chain)  # type: ignore[call-arg]
            else:
                x = layer.forward(x, "relu") if chain is None else layer.forward(x, "relu", None, chain)  # type: ignore[call-arg]
                relu._saved = x if keep else None
            if fold is not None:
                folded.append((layer, norm))  # type: ignore[arg-type]
                next(steps)
                if relu_behind is not None:
                    relu_behind._saved = x if keep else None
                    next(steps)
            if not keep:
                layer._saved = None
        self._saved = folded if keep else None
        return x, added  # type: ignore[return-value]

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        if folded := self._recall():
            self._see_again(folded)
        first = 0 if need_input_grad or self._learns_at_once else self._first_with_parameters()
        return self._stages.backward(grad_output, need_input_grad, first)

    def _see_again(self, folded: list[tuple[Module, Module]]) -> None:
        """Give batch normalizations that were folded away what their ``backward`` needs: the output of the convolution."""
        for convolution, norm in folded:
            norm._see(convolution.forward(convolution._recall()[0]))  # type: ignore[attr-defined]
        self._saved = []

    def train(self, mode: bool = True) -> Self:
        self._program = None
        return super().train(mode)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_program"}

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
            if layer.has_parameters():
                return index
        return len(self._layers)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        return ((str(index), layer) for index, layer in enumerate(self._layers))

    def append(self, *layers: Module) -> Sequential:
        """Add layers at the end; return self.

        Raises
        ------
        ValueError
            For a layer with parameters where `keyed` has named all that the state holds.
        """
        for index, layer in enumerate(layers, len(self._layers)):
            if not isinstance(layer, Module):
                raise TypeError(f"Sequential takes modules, got {layer!r} at position {index}")
        if self._parts is not None and next(Sequential(*layers)._tree(), None) is not None:
            raise ValueError("the state of this Sequential has the keys of keyed(), which has none for another layer")
        self._layers += layers
        self._forward_steps, self._stages = self._plan()
        self._norms = [norm for _, _, norm, *_ in self._forward_steps if norm is not None]
        self._learns_at_once = self._first_with_parameters() == 0 < len(self._layers)
        return self

    def _plan(self) -> tuple[list[_Forward], _core.Stages]:
        """What a pass goes through, and a training step, decided once, since a step asks every time."""
        layers = self._layers or [Identity()]
        relus = {i: layers[i + 1] for i, layer in enumerate(layers) if layer._fuses_relu and self._is(i + 1, RELU)}
        fused = {i + 1 for i in relus}
        last = self._batch_last_outputs()
        chain = _core.BatchChain(layers[min(last)]._workspace) if last else None  # type: ignore[attr-defined]
        forward = [
            (
                layer,
                relus.get(i),
                layers[i + 1] if layer._folds_norm and self._is(i + 1, NORMS) else None,
                layers[i + 2] if layer._folds_norm and self._is(i + 1, NORMS) and self._is(i + 2, RELU) else None,
                chain if i in last else None,
                layer._folds_norm and i + 1 + self._is(i + 1, NORMS) == len(layers),
            )
            for i, layer in enumerate(layers)
            if i not in fused
        ]
        stages = [layer._stage(relus.get(i), chain if i in last else None) for i, layer in enumerate(layers)]
        back = [(i, self._relu_before(i) if layer._fuses_relu else -1) for i, layer in enumerate(layers)]
        return forward, _core.Stages(stages, [stage for i, stage in enumerate(stages) if i not in fused], back[::-1])

    def _batch_last_outputs(self) -> set[int]:
        """Indices of the layers whose output may lie batch-last: from the first that learns, whose input has no gradient, on to a
        linear layer."""
        first = self._first_with_parameters()
        found: set[int] = set()
        reader: Module | None = None  # of the output at hand; None: the caller, or a layer that knows the usual layout alone
        for index in range(len(self._layers) - 1, -1, -1):
            layer = self._layers[index]
            if layer._batch_last == "in and out" and reader is not None:
                found.add(index)
            elif layer._batch_last == "in":
                reader = layer
            elif not (type(layer) is Flatten or (type(layer) in RELU and self._layers[index - 1]._fuses_relu and index > 0)):
                reader = None
        return found if first in found else set()

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

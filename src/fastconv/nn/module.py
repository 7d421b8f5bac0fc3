"""Module: what every layer is.

There is no graph and no tape. A layer keeps what its own ``backward`` needs, and a container calls its layers in order
and then in reverse order; that is the whole of back-propagation here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from numpy.typing import ArrayLike

from fastconv import _core
from fastconv._arguments import check_state_dict
from fastconv.functional import Gradient
from fastconv.nn.parameter import Array, Buffer, Parameter

if TYPE_CHECKING:
    from fastconv.nn.program import Trace, Value

_grad_enabled: ContextVar[bool] = ContextVar("grad_enabled", default=True)


@contextmanager
def no_grad() -> Iterator[None]:
    """``with no_grad(): ...``, or ``@no_grad()`` before a function: modules keep nothing for ``backward``, as in `torch.no_grad`.

    What a layer has read is free for the layers behind it then, and memory that is used again is in the cache. Of the thread that
    enters it. After it, ``backward`` asks for another forward pass.
    """
    token = _grad_enabled.set(False)
    try:
        yield
    finally:
        _grad_enabled.reset(token)


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict(..., strict=False)`` passed over."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """Base of all layers.

    A subclass writes ``forward(x)``, which puts what ``backward`` needs in ``self._saved``, and
    ``backward(grad_output, need_input_grad=True)``, which adds to the ``grad`` of its parameters and returns the
    gradient of its input, or None where the caller said that nobody wants it. Parameters, buffers and child modules are
    found as attributes, in the order in which they were set. What is saved are references, not copies: do not write to an input
    between ``forward`` and ``backward``.
    """

    training: bool = True
    _saved: Any = None
    #: Whether ``forward`` takes ``activation="relu"``, and ``backward`` ``through_relu=True``: the gradient with respect
    #: to what the ReLU before this layer got. `Sequential` makes use of both.
    _fuses_relu = False
    #: Whether ``forward`` takes ``folded``, weights with the batch normalization behind this layer folded in. `Sequential` does it.
    _folds_norm = False
    #: Whether ``forward`` does well with an input that lies batch-last, "in", and takes the ``chain`` that it may give such an output
    #: to, "in and out" (record 50). `Sequential` decides.
    _batch_last: str | None = None
    #: Where the keys of the state are to be others than the tree gives: the modules that hold it, under their names.
    _parts: Mapping[str, Module] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not vars(cls).keys().isdisjoint(("forward", "backward")):
            for name in ("_fuses_relu", "_folds_norm", "_batch_last"):  # a base class said so of its own methods
                if name not in vars(cls):
                    setattr(cls, name, getattr(Module, name))

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # A dict of its own. `vars` of an object that shares its keys with others of its class makes Python 3.11 look every attribute
        # up the slow way from then on, a tenth of a training step.
        module = super().__new__(cls)
        module.__dict__ = {}
        return module

    def __call__(self, x: ArrayLike) -> Array:
        y = self.forward(x)
        if not _grad_enabled.get():
            self._saved = None
        return y

    def forward(self, x: ArrayLike) -> Array:
        """Compute the output of the layer."""
        raise NotImplementedError(f"{type(self).__name__} has no forward()")

    def backward(self, grad_output: ArrayLike, need_input_grad: bool = True) -> Gradient:
        """Accumulate the gradients of the parameters, and return that of the input.

        Parameters
        ----------
        grad_output : array_like
            Gradient of the loss with respect to the latest output.
        need_input_grad : bool, optional
            False spares the gradient of the input, which the first layer of a network being trained has no use for.

        Raises
        ------
        RuntimeError
            If there was no forward pass.
        """
        raise NotImplementedError(f"{type(self).__name__} has no backward()")

    def _forget(self, *arguments: Any) -> Array:
        """``forward``, of which nothing is kept."""
        y = self.forward(*arguments)
        self._saved = None
        return y

    def _trace(self, trace: Trace, x: Value, *arguments: Any) -> Value:
        """``forward(x, *arguments)`` as calls of `trace`: one, or those of the layers inside."""
        return trace.call(lambda array: self._forget(array, *arguments), x)

    def _stage(self, relu: Module | None, chain: _core.BatchChain | None) -> _core.Stage:
        """This layer as a `Sequential` calls it in training, with the ReLU behind it that it applies along the way."""
        return _core.Stage(self, relu, chain)

    def _written_so(self, base: type[Module], *names: str) -> bool:
        """Whether ``forward`` and ``backward`` are those of `base`, and the attributes of these names its own."""
        kind = type(self)
        return kind.forward is base.forward and kind.backward is base.backward and vars(self).keys() >= set(names)

    def _recall(self) -> Any:
        if self._saved is None:
            raise RuntimeError(
                f"{type(self).__name__}.backward() before forward: call the module on an input first"
            )
        return self._saved

    # The tree of modules

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside this one, with their names."""
        return ((name, value) for name, value in vars(self).items() if isinstance(value, Module))

    def children(self) -> Iterator[Module]:
        """The modules directly inside this one."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all inside it, from the outside in, with their names in the tree; one that comes twice comes once."""
        seen: set[int] = set()
        ahead: list[tuple[str, Module]] = [(prefix, self)]
        while ahead:
            name, module = ahead.pop()
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module
                ahead += [(f"{name}.{key}" if name else key, child) for key, child in module.named_children()][::-1]

    def modules(self) -> Iterator[Module]:
        """This module and all inside it."""
        return (module for _, module in self.named_modules())

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call ``function(module)`` for every module inside this one and for itself, from the inside out; return self."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def _tree(self, prefix: str = "") -> Iterator[tuple[str, Buffer]]:
        for name, value in vars(self).items():
            if isinstance(value, Buffer):
                yield prefix + name, value
        for name, child in self.named_children() if self._parts is None else self._parts.items():
            yield from child._tree(f"{prefix}{name}.")

    def keyed(self, **parts: Module) -> Self:
        """Give the state the keys that it has in another tree; return self.

        Composition may nest modules in another way than the PyTorch code whose ``state_dict`` is to be loaded: a U-Net is
        levels within levels here, and lists of encoders and decoders there.

        Parameters
        ----------
        **parts : Module
            Modules somewhere inside this one, under the names that they have there; together they hold all parameters
            and buffers.

        Raises
        ------
        ValueError
            If they hold others than this module does.
        """
        own = {id(value) for child in self.children() for _, value in child._tree()}
        given = {id(value) for part in parts.values() for _, value in part._tree()}
        if own != given:
            raise ValueError(f"keyed() must be given all parameters and buffers of the module and no others, got {[*parts]}")
        self._parts = parts
        return self

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Parameters with their keys; one that two layers share comes once."""
        seen: set[int] = set()
        for key, value in self._tree():
            if isinstance(value, Parameter) and id(value) not in seen:
                seen.add(id(value))
                yield key, value

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Arrays of the state that are not learned (running statistics), with their keys."""
        return ((key, value) for key, value in self._tree() if not isinstance(value, Parameter))

    def parameters(self) -> Iterator[Parameter]:
        """All parameters of this module and the modules inside it."""
        return (parameter for _, parameter in self.named_parameters())

    def has_parameters(self) -> bool:
        """Whether there is a parameter in this module or in one inside it."""
        for value in vars(self).values():
            if isinstance(value, Parameter):
                return True
        return any(child.has_parameters() for child in self.children())

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Zero all gradients in place, or forget them with ``set_to_none=True``."""
        for parameter in self.parameters():
            parameter.zero_grad(set_to_none)

    def train(self, mode: bool = True) -> Self:
        """Set training mode (or eval mode with ``mode=False``) here and in every module inside; return self."""
        self.training = bool(mode)
        for value in vars(self).values():
            if isinstance(value, Buffer):
                value.thaw() if mode else value.freeze()
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Self:
        """Set eval mode: the data of all parameters and buffers become read-only until ``train()``; return self."""
        return self.train(False)

    # State

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and buffers under PyTorch's keys (``0.weight``, ``0.bias``, ...)."""
        return {key: value.data.copy() for key, value in self._tree()}

    def load_state_dict(self, state_dict: Mapping[str, ArrayLike], strict: bool = True) -> IncompatibleKeys:
        """Copy values in from `state_dict`; on an error nothing has changed.

        Parameters
        ----------
        state_dict : mapping of str to array_like
            Under the keys of ``state_dict()``.
        strict : bool, optional
            Whether missing and unexpected keys are errors. Wrong shapes always are.

        Returns
        -------
        IncompatibleKeys
            The keys passed over, both lists empty if `strict`.

        Raises
        ------
        ValueError
            For missing or unexpected keys and for wrong shapes; the message lists all of them.
        TypeError
            For what is no mapping, and for values that do not convert to the parameter's dtype.
        """
        check_state_dict(state_dict)
        own = dict(self._tree())
        skipped = IncompatibleKeys(
            [k for k in own if k not in state_dict], [k for k in state_dict if k not in own]
        )
        problems = [f"missing key {key!r}" for key in skipped.missing_keys] if strict else []
        problems += [f"unexpected key {key!r}" for key in skipped.unexpected_keys] if strict else []
        values: dict[str, Array] = {}
        for key in own.keys() & state_dict.keys():
            try:
                values[key] = own[key].checked(state_dict[key], key)
            except ValueError as error:
                problems.append(str(error))
        if problems:
            raise ValueError(f"state_dict does not fit {type(self).__name__}: " + "; ".join(problems))
        for key, value in values.items():
            own[key].replace(value)
        return skipped

    def __getstate__(self) -> dict[str, Any]:
        # What the last forward left behind is no part of a copied or pickled model. (A workspace is copied as a new one.)
        return {name: value for name, value in vars(self).items() if name != "_saved"}

    def extra_repr(self) -> str:
        """What stands between the parentheses of the repr of a layer."""
        return ""

    def __repr__(self) -> str:
        children = list(self.named_children())
        if not children:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = [f"  ({name}): " + repr(child).replace("\n", "\n  ") for name, child in children]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])

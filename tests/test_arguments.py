"""Every bad call gets an error that names the argument; nothing reaches C unchecked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastconv as fc
from fastconv import _arguments, _conv_arguments, reference

BOTH = pytest.mark.parametrize("module", [fc, reference], ids=["library", "reference"])


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


GOOD_1D = {"x": zeros(2, 4, 9), "weight": zeros(6, 2, 3), "bias": zeros(6), "groups": 2}
GOOD_2D = {"x": zeros(2, 4, 9, 8), "weight": zeros(6, 4, 3, 3), "bias": zeros(6)}

BAD_ARRAYS = [
    ("text", TypeError),
    (object, TypeError),
    ([[1.0], [1.0, 2.0]], TypeError),
    ([1, 2, 3], TypeError),
    (zeros(2, 4, 9).astype(int), TypeError),
    (zeros(2, 4, 9).astype(bool), TypeError),
    (zeros(2, 4, 9).astype(complex), TypeError),
    (zeros(2, 4, 9).astype(np.float16), TypeError),
    (zeros(2, 4, 9).astype(np.longdouble), TypeError),
    (zeros(2, 4, 9).astype(object), TypeError),
    (np.zeros((2, 4, 9), "M8[s]"), TypeError),
]

BAD_1D = [
    ("x", None, TypeError),
    ("weight", None, TypeError),
    ("x", zeros(), ValueError),
    ("x", zeros(9), ValueError),
    ("x", zeros(2, 4, 9, 1), ValueError),
    ("x", zeros(2, 4, 0), ValueError),
    ("x", zeros(2, 0, 9), ValueError),
    ("x", zeros(2, 4, 2), ValueError),
    ("x", zeros(2, 5, 9), ValueError),
    ("weight", zeros(6, 2), ValueError),
    ("weight", zeros(6, 4, 3), ValueError),
    ("weight", zeros(5, 2, 3), ValueError),
    ("weight", zeros(0, 2, 3), ValueError),
    ("weight", zeros(6, 2, 0), ValueError),
    ("weight", zeros(6, 2, 10), ValueError),
    ("bias", zeros(5), ValueError),
    ("bias", zeros(1, 6), ValueError),
    ("bias", zeros(), ValueError),
    ("stride", 0, ValueError),
    ("stride", -1, ValueError),
    ("stride", (1, 1), ValueError),
    ("stride", (), ValueError),
    ("stride", 1.0, TypeError),
    ("stride", True, TypeError),
    ("stride", np.True_, TypeError),
    ("stride", None, TypeError),
    ("stride", "1", TypeError),
    ("stride", 2**63, ValueError),
    ("dilation", 0, ValueError),
    ("dilation", 4.5, TypeError),
    ("dilation", 5, ValueError),
    ("dilation", 2**31, ValueError),
    ("dilation", 2**62, ValueError),
    ("padding", -1, ValueError),
    ("padding", (1, -1), ValueError),
    ("padding", (1, 2, 3), ValueError),
    ("padding", ((1, 2, 3),), ValueError),
    ("padding", ((1, 2), (1, 2)), ValueError),
    ("padding", 0.5, TypeError),
    ("padding", False, TypeError),
    ("padding", None, TypeError),
    ("padding", "SAME", ValueError),
    ("padding", 2**63 - 5, ValueError),
    ("padding", 2**62, ValueError),
    ("padding", 2**60, ValueError),
    ("groups", 0, ValueError),
    ("groups", -2, ValueError),
    ("groups", 3, ValueError),
    ("groups", 4, ValueError),
    ("groups", 2.0, TypeError),
    ("groups", True, TypeError),
    ("groups", (2,), TypeError),
    ("padding_mode", "constant", ValueError),
    ("padding_mode", None, TypeError),
    ("padding_mode", ["zeros"], TypeError),
    ("activation", "gelu", ValueError),
    ("activation", 1, TypeError),
    ("activation", ["relu"], TypeError),
    ("out", zeros(2, 6, 8), ValueError),
    ("out", np.zeros((2, 6, 7)), TypeError),
    ("out", [0.0], TypeError),
]

BAD_2D = [
    ("x", zeros(4, 9), ValueError),
    ("x", zeros(2, 4, 9, 0), ValueError),
    ("weight", zeros(6, 4, 3), ValueError),
    ("weight", zeros(6, 4, 3, 9), ValueError),
    ("stride", (1, 2, 3), ValueError),
    ("stride", (1, 0), ValueError),
    ("padding", "causal", ValueError),
    ("padding", ((1, 2), -1), ValueError),
    ("padding", ((1, 2), (3,)), ValueError),
    ("padding", (1, 2, 3, 4), ValueError),
    ("padding", 2**40, ValueError),
    ("dilation", (1, 2**31), ValueError),
]


def describe(value: Any) -> str:
    """A short test id."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}".replace(" ", "")
    return value.__name__ if isinstance(value, type) else repr(value)[:24]


@BOTH
@pytest.mark.parametrize(("name", "value", "error"), BAD_1D, ids=describe)
def test_conv1d(module: Any, name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        module.conv1d(**GOOD_1D | {name: value})


@BOTH
@pytest.mark.parametrize(("name", "value", "error"), BAD_2D, ids=describe)
def test_conv2d(module: Any, name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        module.conv2d(**GOOD_2D | {name: value})


@BOTH
@pytest.mark.parametrize("name", ["x", "weight", "bias"])
@pytest.mark.parametrize(("value", "error"), BAD_ARRAYS, ids=describe)
def test_arrays(module: Any, name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=name):
        module.conv1d(**GOOD_1D | {name: value})


@BOTH
@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("grad_output", zeros(2, 6, 8), ValueError),
        ("grad_output", zeros(6, 7), ValueError),
        ("grad_output", zeros(1, 6, 7), ValueError),
        ("grad_output", zeros(2, 6, 7).astype(int), TypeError),
        ("grad_output", None, TypeError),
        ("x", zeros(2, 5, 9), ValueError),
        ("weight", zeros(6, 2), ValueError),
        ("stride", 0, ValueError),
        ("padding", 2**63 - 5, ValueError),
        ("need", (True, True), ValueError),
        ("need", ("a", "b", "c"), TypeError),
        ("need", [1, 2, 1], TypeError),
    ],
    ids=describe,
)
def test_backward(module: Any, name: str, value: Any, error: type[Exception]) -> None:
    good = {"grad_output": zeros(2, 6, 7), "x": GOOD_1D["x"], "weight": GOOD_1D["weight"], "groups": 2}
    with pytest.raises(error, match=name):
        module.conv1d_backward(**good | {name: value})


@BOTH
@pytest.mark.parametrize(
    ("mode", "largest"), [("reflect", 8), ("circular", 9), ("replicate", None), ("zeros", None)]
)
def test_padding_reaches_as_far_as_its_mode_can(module: Any, mode: str, largest: int | None) -> None:
    x, weight = zeros(1, 1, 9), zeros(1, 1, 3)
    assert module.conv1d(x, weight, padding=largest or 50, padding_mode=mode).shape[-1] >= 9
    if largest is not None:
        with pytest.raises(ValueError, match="padding"):
            module.conv1d(x, weight, padding=(largest + 1, 0), padding_mode=mode)


@BOTH
def test_out_must_be_writeable(module: Any) -> None:
    out = zeros(2, 6, 7)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out"):
        module.conv1d(**GOOD_1D, out=out)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        (r"groups must be an integer, got \(1, 2\)", lambda: fc.conv1d(**GOOD_1D | {"groups": (1, 2)})),
        ("n must be an integer, got '2'", lambda: fc.set_num_threads("2")),
        ("x_shape must be a sequence of integers, got 9.0", lambda: fc.plan_conv1d((2, 4, 9.0), GOOD_1D["weight"])),
        ("stride must be an integer or a sequence of integers, got 1.5", lambda: fc.conv1d(**GOOD_1D, stride=1.5)),
        ("padding must be an integer, a sequence of .* or a word, got 0.5", lambda: fc.conv1d(**GOOD_1D, padding=(0, 0.5))),
        (r"weight .* both at least 1, got \(0, 5\)", lambda: fc.linear(zeros(2, 5), zeros(0, 5))),
        ("name must be one of .* got 'foo'", lambda: fc.use_isa("foo")),
        ("name must be one of .* got None", lambda: fc.use_isa(None)),
    ],
)
def test_messages_say_what_is_accepted(message: str, call: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        call()


def test_an_unknown_algorithm() -> None:
    with pytest.raises(ValueError, match="algorithm"):
        fc.conv1d(**GOOD_1D, algorithm="fastest")
    with pytest.raises(TypeError, match="algorithm"):
        fc.conv1d(**GOOD_1D, algorithm=3)
    with pytest.raises(TypeError, match="algorithm"):
        fc.conv1d(**GOOD_1D, algorithm=["auto"])


@BOTH
def test_sizes_that_no_machine_has_are_an_error_and_no_crash(module: Any) -> None:
    """2**63 - 5 and 2**31 crashed others."""
    x, weight = zeros(1, 1, 4, 4), zeros(1, 1, 3, 3)
    for padding in (2**31, 2**40, 2**59, 2**62, 2**63 - 5, 2**64):
        with pytest.raises((ValueError, MemoryError)):
            module.conv2d(x, weight, padding=padding)
    y = module.conv2d(x + 1, zeros(1, 1, 1, 1) + 1, dilation=2**31, stride=2**62)
    np.testing.assert_array_equal(y, [[[[1]]]])


@BOTH
@pytest.mark.parametrize("name", ["linear", "linear_backward"])
def test_linear(module: Any, name: str) -> None:
    first = (zeros(3, 4),) if name == "linear_backward" else ()
    call = getattr(module, name)
    with pytest.raises(ValueError, match="x"):
        call(*first, zeros(3, 6), zeros(4, 5))
    with pytest.raises(ValueError, match="weight"):
        call(*first, zeros(3, 5), zeros(5))
    with pytest.raises(TypeError, match="weight"):
        call(*first, zeros(3, 5), zeros(4, 5).astype(int))


# ---- the good forms of each argument ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (1, ((1, 1), (1, 1))),
        (np.int8(1), ((1, 1), (1, 1))),
        ((1,), ((1, 1), (1, 1))),
        ([1, 2], ((1, 1), (2, 2))),
        (np.array([1, 2]), ((1, 1), (2, 2))),
        (((1, 2),), ((1, 2), (1, 2))),
        (((1, 2), 3), ((1, 2), (3, 3))),
        ([[0, 1], [2, 3]], ((0, 1), (2, 3))),
        (np.array([[0, 1], [2, 3]]), ((0, 1), (2, 3))),
        ("valid", ((0, 0), (0, 0))),
        ("same", ((0, 1), (1, 1))),
        ("same_lower", ((1, 0), (1, 1))),
    ],
    ids=repr,
)
def test_padding_forms_2d(padding: Any, expected: Any) -> None:
    given = _conv_arguments.conv_arguments(2, (1, 9, 9), (1, 1, 2, 3), None, 1, padding, 1, 1)
    assert given.padding == expected


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        (2, (2, 2)),
        ([2], (2, 2)),
        ((1, 2), (1, 2)),
        (np.array([1, 2]), (1, 2)),
        (((1, 2),), (1, 2)),
        ("same", (2, 2)),
        ("causal", (6, 0)),
    ],
    ids=repr,
)
def test_padding_forms_1d(padding: Any, expected: Any) -> None:
    """In 1-D two ints are the two sides of the one dimension."""
    given = _conv_arguments.conv_arguments(1, (1, 9), (1, 1, 4), None, (3,), padding, 2, 1)
    assert given.padding == (expected,)


@pytest.mark.parametrize("padding", [2, 0, (1, 2), "valid", "same", "same_lower", "causal"], ids=repr)
@pytest.mark.parametrize("stride", [1, (2,), 3])
@pytest.mark.parametrize("dilation", [1, (3,)])
def test_the_short_way_of_a_call_is_the_long_one_1d(padding: Any, stride: Any, dilation: Any) -> None:
    """Ints, tuples and words are read by the seam, lists by `_arguments`."""
    x, weight = random(1, 2, 11), random(3, 2, 4)
    pairs = _conv_arguments.conv_arguments(1, x.shape, weight.shape, None, stride, padding, dilation, 1).padding
    actual = fc.conv1d(x, weight, None, stride, padding, dilation)
    expected = fc.conv1d(x, weight, None, stride, [list(pair) for pair in pairs], dilation)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(
    "padding", [1, (2, 1), ((1, 0), 2), ((0, 2), (1, 3)), "valid", "same", "same_lower"], ids=repr
)
@pytest.mark.parametrize("stride", [1, (1, 2), 4])
@pytest.mark.parametrize("dilation", [1, (3, 2)])
@pytest.mark.parametrize("padding_mode", _conv_arguments.PADDING_MODES)
def test_the_short_way_of_a_call_is_the_long_one_2d(
    padding: Any, stride: Any, dilation: Any, padding_mode: str
) -> None:
    x, weight = random(2, 9, 12), random(3, 2, 2, 3)
    pairs = _conv_arguments.conv_arguments(2, x.shape, weight.shape, None, stride, padding, dilation, 1).padding
    settings = {"stride": stride, "dilation": dilation, "padding_mode": padding_mode}
    actual = fc.conv2d(x, weight, padding=padding, **settings)
    expected = fc.conv2d(x, weight, padding=[list(pair) for pair in pairs], **settings)
    np.testing.assert_array_equal(actual, expected)


def test_words_are_listed() -> None:
    assert _arguments.choice("a", "letter", ("a", "b")) == "a"
    with pytest.raises(ValueError, match="letter must be one of 'a', 'b', got 'c'"):
        _arguments.choice("c", "letter", ("a", "b"))
    with pytest.raises(TypeError, match="letter"):
        _arguments.choice(["a"], "letter", ("a", "b"))


class Subclass(np.ndarray):
    pass


class OffersArray:
    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array([[1.0, 2.0]])


@pytest.mark.parametrize(
    "value",
    [
        [[1.0, 2.0]],
        np.array([[1, 2]], ">f8"),
        np.array([[1.0, 2.0]]).view(Subclass),
        OffersArray(),
    ],
    ids=["list", "big-endian", "subclass", "__array__"],
)
def test_array_likes(value: Any) -> None:
    array = _arguments.as_array(value, "x")
    assert type(array) is np.ndarray
    assert array.dtype == np.float64
    assert array.dtype.isnative
    np.testing.assert_array_equal(array, [[1, 2]])


class OnlyDLPack:
    """An array of another library: no ``__array__``, a device."""

    def __init__(self, device: tuple[int, int] = (1, 0)) -> None:
        self.array, self.device = np.array([[1.0, 2.0]], np.float32), device

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


def test_dlpack() -> None:
    np.testing.assert_array_equal(_arguments.as_array(OnlyDLPack(), "x"), [[1, 2]])
    with pytest.raises(TypeError, match=r"x of type OnlyDLPack .* not on the CPU"):
        _arguments.as_array(OnlyDLPack((2, 0)), "x")


def test_no_copy_where_none_is_needed() -> None:
    array = zeros(4, 5)[::-1, ::2]
    assert _arguments.as_array(array, "x") is array

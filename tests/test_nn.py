"""Layers: the module protocol, the keys, the gradients, the errors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from differences import central_difference

from fastconv import nn

RNG_SEED = 7


def small_network(dtype: type = np.float64) -> nn.Sequential:
    rng = np.random.default_rng(RNG_SEED)
    return nn.Sequential(
        nn.Conv1d(2, 4, 3, stride=2, padding=1, rng=rng, dtype=dtype),
        nn.ReLU(),
        nn.Conv1d(4, 4, 3, padding="same", groups=2, bias=False, activation="relu", rng=rng, dtype=dtype),
        nn.Flatten(),
        nn.Linear(4 * 5, 3, rng=rng, dtype=dtype),
    )


def small_network_2d() -> nn.Sequential:
    rng = np.random.default_rng(RNG_SEED)
    return nn.Sequential(
        nn.Conv2d(
            2, 3, (3, 2), stride=(1, 2), padding=(1, 0), padding_mode="circular", rng=rng, dtype=np.float64
        ),
        nn.ReLU(),
        nn.Conv2d(3, 2, 2, dilation=2, rng=rng, dtype=np.float64),
        nn.Flatten(),
        nn.Linear(2 * 3 * 1, 3, rng=rng, dtype=np.float64),
    )


NETWORKS = {"1d": (small_network, (3, 2, 10)), "2d": (small_network_2d, (3, 2, 5, 6))}


@pytest.mark.parametrize("loss_name", ["cross_entropy", "mse"])
@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_of_a_whole_network_equal_finite_differences(network: str, loss_name: str) -> None:
    make, shape = NETWORKS[network]
    model, rng = make(), np.random.default_rng(1)
    x = rng.standard_normal(shape)
    if loss_name == "mse":
        loss, target = nn.MSELoss(), rng.standard_normal((shape[0], 3))
    else:
        loss, target = nn.CrossEntropyLoss(), np.array([0, 2, 1])
    loss(model(x), target)
    grad_input = model.backward(loss.backward())

    def value() -> float:
        return loss(model(x), target)

    np.testing.assert_allclose(grad_input, central_difference(value, x), rtol=1e-6, atol=1e-8)
    for key, parameter in model.named_parameters():
        expected = central_difference(value, parameter.data)
        np.testing.assert_allclose(parameter.grad, expected, rtol=1e-6, atol=1e-8, err_msg=key)


def test_keys_and_shapes_are_those_of_pytorch() -> None:
    shapes = {key: value.shape for key, value in small_network().state_dict().items()}
    assert shapes == {
        "0.weight": (4, 2, 3),
        "0.bias": (4,),
        "2.weight": (4, 2, 3),
        "4.weight": (3, 20),
        "4.bias": (3,),
    }


@pytest.mark.torch
@pytest.mark.parametrize("loss_name", ["CrossEntropyLoss", "MSELoss"])
def test_network_equals_pytorch(loss_name: str) -> None:
    torch = pytest.importorskip("torch")
    ours = nn.Sequential(nn.Conv1d(2, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    theirs = torch.nn.Sequential(
        torch.nn.Conv1d(2, 4, 3, stride=2), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(16, 3)
    )
    theirs.load_state_dict({key: torch.from_numpy(value) for key, value in ours.state_dict().items()})
    rng = np.random.default_rng(2)
    x = rng.standard_normal((5, 2, 10)).astype(np.float32)
    target = np.array([0, 1, 2, 2, 0])
    if loss_name == "MSELoss":
        target = rng.standard_normal((5, 3)).astype(np.float32)
    loss, their_loss = getattr(nn, loss_name)(), getattr(torch.nn, loss_name)()
    their_x = torch.from_numpy(x).requires_grad_()
    their_value = their_loss(theirs(their_x), torch.from_numpy(target))
    their_value.backward()
    assert loss(ours(x), target) == pytest.approx(their_value.item(), rel=1e-6)
    grad_input = ours.backward(loss.backward())
    np.testing.assert_allclose(grad_input, their_x.grad.numpy(), rtol=1e-4, atol=1e-6)
    for parameter, their_parameter in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(parameter.grad, their_parameter.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_gradients_accumulate_until_zeroed() -> None:
    model, x = small_network(), np.ones((2, 2, 10))
    assert all(parameter.grad is None for parameter in model.parameters())
    model.backward(np.ones_like(model(x)))
    once = [parameter.grad.copy() for parameter in model.parameters()]
    model.backward(np.ones_like(model(x)))
    for parameter, grad in zip(model.parameters(), once, strict=True):
        np.testing.assert_array_equal(parameter.grad, 2 * grad)
    held = [parameter.grad for parameter in model.parameters()]
    model.zero_grad()
    assert all(
        parameter.grad is grad and not grad.any()
        for parameter, grad in zip(model.parameters(), held, strict=True)
    )
    model.zero_grad(set_to_none=True)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("network", NETWORKS)
def test_parameter_gradients_do_not_depend_on_need_input_grad(network: str) -> None:
    make, shape = NETWORKS[network]
    x = np.random.default_rng(3).standard_normal(shape)
    full, spared = make(), make()
    assert full.backward(np.ones_like(full(x))) is not None
    assert spared.backward(np.ones_like(spared(x)), need_input_grad=False) is None
    for a, b in zip(full.parameters(), spared.parameters(), strict=True):
        np.testing.assert_array_equal(a.grad, b.grad)


def test_layers_before_the_first_parameters_are_left_out_of_a_backward_that_wants_no_input_gradient() -> None:
    class Loud(nn.ReLU):
        def backward(self, grad_output, need_input_grad=True):
            raise AssertionError("not needed")

    model = nn.Sequential(Loud(), nn.Flatten(), nn.Sequential(Loud(), nn.Linear(4, 2)))
    model.backward(np.ones_like(model(np.ones((3, 4)))), need_input_grad=False)
    assert nn.Sequential(Loud()).forward(np.ones(3)).shape == (3,)


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv1d(1, 1, 1),
        nn.Conv2d(1, 1, 1),
        nn.Linear(1, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Sequential(nn.ReLU()),
    ],
)
def test_backward_before_forward_is_an_error(module: nn.Module) -> None:
    with pytest.raises(RuntimeError, match=f"{type(module).__name__}.*forward"):
        module.backward(np.ones((1, 1)))


PASSING = pytest.mark.parametrize(
    "module",
    [
        nn.Identity(),
        nn.Flatten(),
        nn.Flatten(0),
        nn.Dropout(0.5, rng=0),
        nn.Dropout(0.0),
        nn.Dropout(0.5).eval(),
        nn.Sequential(),
        nn.Residual(nn.Identity()),
        nn.Residual(nn.Sequential(), activation="relu"),
    ],
    ids=repr,
)


@PASSING
def test_layers_without_arithmetic_check_their_gradients(module: nn.Module) -> None:
    y = module(np.ones((2, 3, 4), np.float32))
    for needed in (True, False):
        for wrong in (y[:1], y[np.newaxis], np.ones(24, np.float32).reshape(-1, 1)):
            with pytest.raises(ValueError, match="grad_output (has|must have) shape"):
                module.backward(wrong, needed)
        with pytest.raises(TypeError, match="grad_output must have dtype"):
            module.backward(y.astype(int), needed)
    assert module.backward(np.ones_like(y)).shape == (2, 3, 4)
    assert module.backward(np.ones_like(y), False) is None


@PASSING
def test_layers_without_arithmetic_refuse_other_dtypes(module: nn.Module) -> None:
    for dtype in (int, bool, complex, np.float16, object):
        with pytest.raises(TypeError, match="x must have dtype float32 or float64"):
            module(np.ones((2, 3, 4), dtype))


class TestEval:
    def test_data_are_read_only_until_train(self) -> None:
        layer = nn.Linear(2, 2)
        assert layer.eval() is layer
        assert not layer.training
        with pytest.raises(ValueError, match="read-only"):
            layer.weight.data[0, 0] = 1
        with pytest.raises(ValueError, match="train()"):
            layer.weight.data = np.zeros((2, 2))
        assert layer.train().training
        layer.weight.data[0, 0] = 1
        layer.weight.data -= 1
        assert layer.weight.data[0, 0] == 0

    def test_views_taken_before_cannot_change_frozen_data(self) -> None:
        layer = nn.Linear(2, 2)
        view = layer.weight.data[:]
        frozen = layer.eval().weight.data
        before = frozen.copy()
        view[...] = 99
        np.testing.assert_array_equal(frozen, before)

    def test_frozen_data_never_change_even_when_state_is_loaded(self) -> None:
        layer = nn.Linear(2, 2).eval()
        frozen = layer.weight.data
        before = frozen.copy()
        layer.load_state_dict({"weight": np.ones((2, 2)), "bias": np.zeros(2)})
        np.testing.assert_array_equal(frozen, before)
        np.testing.assert_array_equal(layer(np.ones((1, 2))), [[2, 2]])
        assert not layer.weight.data.flags.writeable

    @pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
    def test_copies_are_equal_and_stay_frozen(self, clone) -> None:
        model = small_network().eval()
        x = np.random.default_rng(0).standard_normal((2, 2, 10))
        twin = clone(model)
        np.testing.assert_array_equal(twin(x), model(x))
        assert not any(parameter.data.flags.writeable for parameter in twin.parameters())
        assert all(parameter.data.flags.writeable for parameter in twin.train().parameters())


class TestState:
    def test_is_a_copy(self) -> None:
        model = small_network()
        model.state_dict()["0.weight"][...] = 0
        assert model[0].weight.data.any()

    def test_round_trip(self) -> None:
        source, target = small_network(), small_network()
        source[0].weight.data += 1
        target.load_state_dict(source.state_dict())
        for key, value in source.state_dict().items():
            np.testing.assert_array_equal(target.state_dict()[key], value)

    def test_all_problems_are_named_and_nothing_changes(self) -> None:
        model = small_network()
        before, state = model.state_dict(), model.state_dict()
        state["0.weight"] = state["0.weight"] + 1
        state["4.bias"] = np.zeros(7)
        state["extra"] = np.zeros(1)
        del state["0.bias"]
        with pytest.raises(ValueError, match=r"0\.bias.*extra.*4\.bias.*\(3,\).*\(7,\)"):
            model.load_state_dict(state)
        for key, value in model.state_dict().items():
            np.testing.assert_array_equal(value, before[key])

    def test_not_strict(self) -> None:
        model = small_network()
        skipped = model.load_state_dict({"0.bias": np.ones(4), "extra": np.zeros(1)}, strict=False)
        assert skipped.unexpected_keys == ["extra"]
        assert "0.weight" in skipped.missing_keys
        np.testing.assert_array_equal(model[0].bias.data, np.ones(4))
        with pytest.raises(ValueError, match="shape"):
            model.load_state_dict({"0.bias": np.ones(5)}, strict=False)

    def test_shared_parameter_is_one_parameter_under_two_keys(self) -> None:
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].weight = model[0].weight
        assert [key for key, _ in model.named_parameters()] == ["0.weight", "0.bias", "1.bias"]
        assert len(model.state_dict()) == 4


class TestSequential:
    def test_is_a_sequence(self) -> None:
        model = small_network()
        assert len(model) == 5
        assert model[-1] is list(model)[4]
        assert isinstance(model[1:3], nn.Sequential)
        assert model[1:3][0] is model[1]
        assert len(model.append(nn.ReLU())) == 6
        assert "(2): Conv1d(4, 4" in repr(model)

    def test_only_modules_are_layers(self) -> None:
        with pytest.raises(TypeError, match="position 1"):
            nn.Sequential(nn.ReLU(), len)

    def test_without_layers_is_the_identity(self) -> None:
        model, x = nn.Sequential(), np.arange(3.0)
        assert model(x) is x
        assert model.backward(x) is x


class TestInit:
    @pytest.mark.parametrize(
        ("name", "std", "bound"),
        [("pytorch", 1 / 3**0.5, 1), ("he_uniform", 2**0.5, 6**0.5), ("he_normal", 2**0.5, None)],
    )
    def test_distribution(self, name: str, std: float, bound: float | None) -> None:
        layer = nn.Conv2d(8, 500, 3, init=name, rng=0)
        scaled = layer.weight.data * np.sqrt(8 * 9)  # fan-in
        assert scaled.std() == pytest.approx(std, rel=0.02)
        assert abs(scaled.mean()) < 0.02
        if bound is not None:
            assert bound * 0.99 < np.abs(scaled).max() <= bound * (1 + 1e-6)
        assert layer.bias.data.any() == (name == "pytorch")

    def test_seed_and_generator(self) -> None:
        a, b, c = (nn.Linear(4, 4, rng=rng) for rng in (5, 5, np.random.default_rng(5)))
        np.testing.assert_array_equal(a.weight.data, b.weight.data)
        np.testing.assert_array_equal(a.weight.data, c.weight.data)
        assert (nn.Linear(4, 4).weight.data != nn.Linear(4, 4).weight.data).any()

    def test_float32_is_float64_rounded(self) -> None:
        wide, narrow = nn.Linear(4, 4, rng=5, dtype=np.float64), nn.Linear(4, 4, rng=5)
        np.testing.assert_array_equal(wide.weight.data.astype(np.float32), narrow.weight.data)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Conv1d(0, 1, 1), ValueError, "in_channels"),
        (lambda: nn.Conv1d(1, 1.5, 1), TypeError, "out_channels"),
        (lambda: nn.Linear(1, True), TypeError, "out_features"),
        (lambda: nn.Conv1d(3, 4, 1, groups=2), ValueError, "in_channels.*groups"),
        (lambda: nn.Conv1d(4, 3, 1, groups=2), ValueError, "out_channels.*groups"),
        (lambda: nn.Conv2d(1, 1, (1, 2, 3)), ValueError, "kernel_size"),
        (lambda: nn.Conv2d(1, 1, 3, stride=0), ValueError, "stride"),
        (lambda: nn.Conv2d(1, 1, 3, activation="tanh"), ValueError, "activation"),
        (lambda: nn.Linear(1, 1, init="xavier"), ValueError, "he_uniform"),
        (lambda: nn.Linear(1, 1, dtype=np.float16), TypeError, "float16"),
        (lambda: nn.MSELoss("none"), ValueError, "reduction"),
        (lambda: nn.Flatten(2)(np.ones((2, 2))), ValueError, r"start_dim=2.*\(2, 2\)"),
        (lambda: nn.MSELoss()(np.ones(2), np.ones(3)), ValueError, "shape"),
    ],
)
def test_bad_arguments_are_named(make, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_the_tree_of_modules() -> None:
    shared = nn.ReLU()
    model = nn.Sequential(nn.Conv1d(1, 2, 3), shared, nn.Residual(nn.Sequential(nn.Conv1d(2, 2, 1), shared)))
    assert [name for name, _ in model.named_modules()] == ["", "0", "1", "2", "2.body", "2.body.0"]
    assert [name for name, _ in model.named_modules("net")][:2] == ["net", "net.0"]
    assert list(model.modules()) == [module for _, module in model.named_modules()]
    assert list(model.children()) == list(model)
    seen: list[nn.Module] = []
    assert model.apply(seen.append) is model
    assert [type(module).__name__ for module in seen] == ["Conv1d", "ReLU", "Conv1d", "ReLU", "Sequential", "Residual", "Sequential"]


class Doubled(nn.Conv2d):
    """A layer of a user's, with PyTorch's signatures."""

    def forward(self, x: Any) -> Any:
        return 2 * super().forward(x)

    def backward(self, grad_output: Any, need_input_grad: bool = True) -> Any:
        return super().backward(2 * grad_output, need_input_grad)


@pytest.mark.parametrize("behind", [[nn.ReLU()], [nn.BatchNorm2d(3, dtype=np.float64), nn.ReLU()]], ids=["relu", "norm"])
@pytest.mark.parametrize("training", [True, False])
def test_a_subclass_is_called_as_it_was_written(training: bool, behind: list[nn.Module]) -> None:
    """`Sequential` fuses into its own layers alone: what is behind a subclass with a forward of its own, or before it, stays apart."""
    rng = np.random.default_rng(3)
    layers = nn.Conv2d(2, 2, 1, rng=rng, dtype=np.float64), nn.ReLU(), Doubled(2, 3, 3, rng=rng, dtype=np.float64), *behind
    model = nn.Sequential(*layers).train(training)
    x = rng.standard_normal((2, 2, 5, 6))
    expected = x
    for layer in layers:
        expected = layer(expected)
    dy = rng.standard_normal(expected.shape)
    np.testing.assert_allclose(model(x), expected, rtol=1e-12, atol=1e-14)
    numerical = central_difference(lambda: float(np.vdot(dy, model(x))), x)
    model(x)
    np.testing.assert_allclose(model.backward(dy), numerical, rtol=1e-6, atol=1e-7)


def test_empty_batch_has_zero_gradients() -> None:
    model, loss = small_network(), nn.CrossEntropyLoss()
    assert loss(model(np.empty((0, 2, 10))), np.empty(0, int)) == 0
    assert model.backward(loss.backward()).shape == (0, 2, 10)
    assert all(not parameter.grad.any() for parameter in model.parameters())

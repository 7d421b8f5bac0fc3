"""A network of ours in other libraries, with the same weights, as their users would run it when they want it fast.

``PEERS[name](network, x, threads)`` prepares everything that is prepared once, and returns a callable without arguments that runs the
network, which is in ``eval()``, on `x` and returns its output. It raises ImportError where the library is not installed.

Both translations walk the tree of modules: layers have PyTorch's names and settings here, and branches meet where they parted.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, reduce
from importlib import import_module
from typing import Any

import numpy as np

import fastconv as fc
from fastconv import nn
from fastconv.bench.timing import Call

OTHER_NAMES = {"GlobalAvgPool2d": ("AdaptiveAvgPool2d", {"output_size": 1})}  # of PyTorch's layers


def fastconv(network: nn.Module, x: np.ndarray, threads: int) -> Call:
    """The network itself."""
    fc.set_num_threads(threads)

    def run() -> np.ndarray:
        with fc.no_grad():
            return network(x)

    return run


def torch(
    network: nn.Module, x: np.ndarray, threads: int, channels_last: bool = False, frozen: bool = False
) -> Call:
    """Modules in ``eval()`` under ``inference_mode``.

    `channels_last`: weights and input in that layout. `frozen`: traced and through ``torch.jit.optimize_for_inference``, which folds
    batch normalization and keeps weights in oneDNN's layout.
    """
    torch = import_module("torch")
    torch.set_num_threads(threads)
    model, image = torch_module(network).eval(), torch.from_numpy(x)
    if channels_last:
        model, image = (
            model.to(memory_format=torch.channels_last),
            image.to(memory_format=torch.channels_last),
        )
    if frozen:
        with torch.no_grad():
            model = torch.jit.optimize_for_inference(torch.jit.trace(model, image))

    def run() -> np.ndarray:
        with torch.inference_mode():
            return model(image).numpy()

    return run


def torch_module(layer: nn.Module) -> Any:
    """The same layer, or tree of layers, of PyTorch; what may work in place does, as in torchvision."""
    torch = import_module("torch")

    class Residual(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, relu: bool, body: Any, shortcut: Any = None) -> None:
            super().__init__()
            self.body, self.shortcut, self.relu = body, shortcut or torch.nn.Identity(), relu

        def forward(self, x: Any) -> Any:
            y = self.body(x)
            y += self.shortcut(x)
            return torch.relu_(y) if self.relu else y

    class Concat(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, branches: list[Any], dim: int) -> None:
            super().__init__()
            self.branches, self.dim = torch.nn.ModuleList(branches), dim

        def forward(self, x: Any) -> Any:
            return torch.cat([branch(x) for branch in self.branches], self.dim)

    children = [torch_module(child) for child in layer.children()]
    match layer:
        case nn.Sequential():
            return torch.nn.Sequential(*children)
        case nn.Residual():
            return Residual(layer.activation == "relu", *children)
        case nn.Concat():
            return Concat(children, layer.dim)
    name, settings = OTHER_NAMES.get(type(layer).__name__, (type(layer).__name__, {}))
    make = getattr(torch.nn, name)
    shared = {key: getattr(layer, key) for key in inspect.signature(make).parameters if hasattr(layer, key)}
    if "bias" in shared:
        shared["bias"] = shared["bias"] is not None
    if name == "ReLU":
        shared["inplace"] = True
    made = make(**shared | settings)
    made.load_state_dict({key: torch.from_numpy(value) for key, value in layer.state_dict().items()})
    return made


def onnxruntime(network: nn.Module, x: np.ndarray, threads: int) -> Call:
    """A session, which folds, fuses and lays out the weights when it is made."""
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    model = onnx_model(network, x.shape, network(x).shape)
    session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})[0]


def _window(layer: Any) -> dict[str, Any]:
    """The attributes that ONNX gives to a layer with a window in two dimensions."""
    kernel, stride, padding, dilation = (
        (value, value) if isinstance(value, int) else tuple(value)
        for value in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    )
    return {"kernel_shape": kernel, "strides": stride, "pads": padding * 2, "dilations": dilation}


#: Operator and attributes of a layer; its arrays follow its input in the order of its state.
ONNX: dict[type[nn.Module], Callable[[Any], tuple[str, dict[str, Any]]]] = {
    nn.Conv2d: lambda layer: ("Conv", _window(layer) | {"group": layer.groups}),
    nn.ConvTranspose2d: lambda layer: ("ConvTranspose", _window(layer) | {"group": layer.groups}),
    nn.BatchNorm2d: lambda layer: ("BatchNormalization", {"epsilon": layer.eps}),
    nn.ReLU: lambda layer: ("Relu", {}),
    nn.MaxPool2d: lambda layer: ("MaxPool", _window(layer)),
    nn.GlobalAvgPool2d: lambda layer: ("GlobalAveragePool", {}),
    nn.Flatten: lambda layer: ("Flatten", {}),
    nn.Linear: lambda layer: ("Gemm", {"transB": 1}),
}


def onnx_model(network: nn.Module, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> Any:
    """The network from "x" to "y", for inference in float32."""
    onnx = import_module("onnx")
    helper, from_array = onnx.helper, onnx.numpy_helper.from_array
    nodes: list[Any] = []
    arrays: list[Any] = []

    def add(operator: str, inputs: list[str], **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [f"t{len(nodes)}"], **attributes))
        return str(nodes[-1].output[0])

    def keep(array: np.ndarray) -> str:
        arrays.append(from_array(array, f"w{len(arrays)}"))
        return str(arrays[-1].name)

    def walk(x: str, layer: nn.Module) -> str:
        match layer:
            case nn.Identity():
                return x
            case nn.Sequential():
                return reduce(walk, layer, x)
            case nn.Residual():
                beside = x if layer.shortcut is None else walk(x, layer.shortcut)
                total = add("Add", [walk(x, layer.body), beside])
                return add("Relu", [total]) if layer.activation else total
            case nn.Concat():
                return add(
                    "Concat", [walk(x, branch) for branch in layer.children()], axis=layer.dim
                )
        operator, attributes = ONNX[type(layer)](layer)
        return add(
            operator, [x, *(keep(array) for array in layer.state_dict().values() if array.ndim)], **attributes
        )

    last = walk("x", network)
    nodes.append(helper.make_node("Identity", [last], ["y"]))
    graph = helper.make_graph(
        nodes, "network",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, x_shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, y_shape)],
        arrays,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


PEERS: dict[str, Callable[[nn.Module, np.ndarray, int], Call]] = {
    "fastconv": fastconv,
    "torch": torch,
    "torch channels_last": partial(torch, channels_last=True),
    "torch frozen": partial(torch, frozen=True),
    "onnxruntime": onnxruntime,
}

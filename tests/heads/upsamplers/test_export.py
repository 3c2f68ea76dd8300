"""What torch asks of an operator, and the stack through torch.compile, torch.export and ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from heads.upsamplers.jbu import JBUStack
from heads.upsamplers.resizing import bands

OPS = torch.ops.pixelpretext
NAMES = (
    "adaptive_conv",
    "adaptive_conv_grad_x",
    "adaptive_conv_grad_w",
    "jbu_filters",
    "jbu_filters_backward",
)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def arguments(name: str, *, grad: bool) -> tuple[Any, ...]:
    """Legal arguments of an operator, float32; ``grad`` asks for gradients where the operator has
    them.
    """
    x, w, y = torch.randn(1, 3, 2, 3), torch.randn(1, 4, 6, 3, 3), torch.randn(1, 3, 4, 6)
    scalars = [torch.tensor(0.8), torch.tensor(0.7)]
    parameters = [torch.randn(*s) / 3 for s in ((9, 12), (9,), (9, 9), (9,))]
    leaves = [torch.randn(1, 4, 6, 8), *scalars, torch.randn(1, 3, 4, 6)]
    filters = (*leaves, parameters, torch.rand(1, 9), *bands((2, 3), x, factor=2, radius=1), 1)
    cases = dict(
        adaptive_conv=(x, w, 2, 1),
        adaptive_conv_grad_x=(y, w, 2, 1),
        adaptive_conv_grad_w=(y, x, 2, 1),
        jbu_filters=filters,
        jbu_filters_backward=(
            torch.randn(1, 4, 6, filters[6].shape[2], filters[6].shape[2]),
            *filters,
        ),
    )
    if grad and name != "jbu_filters_backward":  # has no second derivative
        for tensor in (x, w, y, *leaves, *parameters):
            tensor.requires_grad_()
    return cases[name]


@pytest.mark.parametrize("name", NAMES)
def test_opcheck(name: str) -> None:
    torch.library.opcheck(getattr(OPS, name).default, arguments(name, grad=True))


@pytest.mark.parametrize("name", NAMES)
def test_shapes_are_known_without_data(name: str) -> None:
    given = arguments(name, grad=False)
    meta = [[t.to("meta") for t in a] if isinstance(a, list) else a for a in given]
    meta = [t.to("meta") if isinstance(t, Tensor) else t for t in meta]
    flat = lambda out: [out] if isinstance(out, Tensor) else [*out[:-1], *out[-1]]  # noqa: E731
    real, fake = flat(getattr(OPS, name)(*given)), flat(getattr(OPS, name)(*meta))
    assert [(t.shape, t.dtype, t.stride()) for t in fake] == [
        (t.shape, t.dtype, t.stride()) for t in real
    ]


class Fixed(nn.Module):
    """A stack with its output size set: exporters take tensors only."""

    def __init__(self, stack: JBUStack, size: tuple[int, int]) -> None:
        super().__init__()
        self.stack, self.size = stack, size

    def forward(self, image: Tensor, features: Tensor) -> Tensor:
        return self.stack(image, features, self.size)


@pytest.fixture
def stack() -> Fixed:
    return Fixed(JBUStack(3, 6, radius=1, key_dim=4), (17, 20))


IMAGE, FEATURES = (
    torch.linspace(-2, 2, 2 * 3 * 18 * 24).cos().view(2, 3, 18, 24),
    torch.ones(2, 3, 3, 4),
)


def test_compile_in_one_graph_forward_and_backward(stack: Fixed) -> None:
    stack.eval()
    features = [torch.randn(2, 3, 3, 4).requires_grad_()]
    features.append(features[0].detach().clone().requires_grad_())
    compiled = torch.compile(stack, fullgraph=True, backend="aot_eager")
    gradients = []
    for run, given in zip((stack, compiled), features, strict=True):
        stack.zero_grad()
        out = run(IMAGE, given)
        out.square().sum().backward()
        gradients.append([out.detach(), given.grad, *(p.grad.clone() for p in stack.parameters())])
    torch.testing.assert_close(
        gradients[1], gradients[0], atol=1e-4, rtol=1e-4
    )  # sums of many terms that cancel


def test_export_keeps_the_operators(stack: Fixed, tmp_path: Path) -> None:
    features = torch.randn(2, 3, 3, 4)
    program = torch.export.export(stack.eval(), (IMAGE, FEATURES))
    graphs = [
        m.graph for m in program.graph_module.modules() if isinstance(m, torch.fx.GraphModule)
    ]
    targets = {str(node.target) for graph in graphs for node in graph.nodes}
    assert {"pixelpretext.adaptive_conv.default", "pixelpretext.jbu_filters.default"} <= targets
    torch.export.save(program, tmp_path / "stack.pt2")
    again = torch.export.load(tmp_path / "stack.pt2").module()
    torch.testing.assert_close(again(IMAGE, features), stack(IMAGE, features))


def test_onnx_needs_no_operator_of_ours(tmp_path: Path) -> None:
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    stack = Fixed(JBUStack(3, 2, radius=1, key_dim=4), (7, 8)).eval()
    path, features = tmp_path / "stack.onnx", torch.randn(2, 3, 3, 4)
    torch.onnx.export(
        stack,
        (IMAGE, FEATURES),
        str(path),
        dynamo=True,
        input_names=["image", "features"],
        verbose=False,
    )
    assert {node.domain for node in onnx.load(path).graph.node} == {""}
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, dict(image=IMAGE.numpy(), features=features.numpy()))
    torch.testing.assert_close(
        torch.from_numpy(found), stack(IMAGE, features).detach(), atol=1e-5, rtol=1e-5
    )

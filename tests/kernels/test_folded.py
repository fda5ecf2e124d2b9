"""The chain with folded normalisation: against the module, against Eq. 1 written out, and as an operator of torch."""

import pytest
import torch
from naive import naive_chain
from torch import nn

from res2net.errors import InputError
from res2net.kernels import ChainOptions, Layout, folded_chain, folded_chain_op
from res2net.nn import Res2Conv

ORDERS = ("official", "paper", "arxiv-v1")


def example(layout, *, size=(9, 7), batch=2, groups=1, kernel=3, dtype=torch.float32):
    """An input, weights and biases of a layout."""
    torch.manual_seed(0)
    branches, width = len(layout.convolved), layout.width
    x = torch.randn(batch, layout.scale * width, *size, dtype=dtype)
    weights = torch.randn(branches, width, width // groups, kernel, kernel, dtype=dtype) / (width * kernel)
    return x, weights, torch.randn(branches, width, dtype=dtype)


def folded(module):
    """Weights and biases of a `Res2Conv` with the statistics of its normalisations in them."""
    weights, biases = [], []
    for conv, norm, _ in module.branches():
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        weights.append(conv.weight * scale[:, None, None, None])
        biases.append(norm.bias - norm.running_mean * scale)
    return torch.stack(weights).detach(), torch.stack(biases).detach()


@pytest.mark.parametrize("scale", range(1, 9))
@pytest.mark.parametrize("mode", ["hierarchical", "stage"])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("pass_through", ["identity", "pool", "conv"])
def test_it_is_the_module_in_evaluation(scale, mode, order, pass_through):
    torch.manual_seed(0)
    strides = (1, 2) if mode == "stage" and pass_through != "identity" else (1,)
    for stride in strides:
        module = Res2Conv(4, scale=scale, mode=mode, stride=stride, split_order=order, pass_through=pass_through)
        for norm in module.bns:
            nn.init.normal_(norm.weight, 1, 0.3)
            nn.init.normal_(norm.bias)
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
        x = torch.randn(2, 4 * scale, 7, 6)
        chosen = "identity" if module.pass_through == "conv" else module.pass_through
        options = ChainOptions(stride, pass_through=chosen if module.layout.passes else None)
        y = folded_chain(x, *folded(module), module.layout, options)
        with torch.no_grad():
            torch.testing.assert_close(y, module.eval()(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("hierarchical", "options"),
    [
        (True, {"dilation": 2}),
        (True, {"groups": 2, "act": "none"}),
        (True, {"pass_through": "pool"}),
        (False, {"stride": 2}),
        (False, {"stride": 3, "pool_counts_padding": False}),
    ],
)
def test_it_is_equation_1(order, hierarchical, options):
    layout = Layout(6, 4, hierarchical, order)
    arguments = (*example(layout, groups=options.get("groups", 1), kernel=5, dtype=torch.float64), layout)
    naive = {name: value for name, value in options.items() if name not in ("pass_through", "pool_counts_padding")}
    pool = True if options.get("pass_through") == "pool" else None
    expected = naive_chain(*arguments, **naive, pool=pool, counts=options.get("pool_counts_padding", True))
    torch.testing.assert_close(folded_chain(*arguments, ChainOptions(**options)), expected)


@pytest.mark.parametrize(
    ("layout", "options", "message"),
    [
        (Layout(4, 3), {"act": "rely"}, "did you mean 'relu'"),
        (Layout(4, 3), {"pass_through": "conv"}, "Unknown pass-through 'conv'"),
        (Layout(4, 3), {"stride": 2}, "hierarchical layout"),
        (Layout(4, 3, hierarchical=False), {"stride": 2, "pass_through": "identity"}, "give 'pool'"),
        (Layout(4, 3), {"dilation": 0}, "Dilation 0"),
        (Layout(4, 3), {"groups": 3}, "Weights of shape"),
        (Layout(4, 4), {}, r"give \(N, 16, H, W\)"),
        (Layout(4, 3, passes=False), {}, "3 convolutions"),
    ],
)
def test_what_does_not_fit_is_told(layout, options, message):
    with pytest.raises(InputError, match=message):
        folded_chain_op(*example(Layout(4, 3)), layout, ChainOptions(**options))


def test_an_unknown_backend():
    layout = Layout(4, 3)
    with pytest.raises(InputError, match="Unknown backend 'cuda'"):
        folded_chain_op(*example(layout), layout, backend="cuda")


def test_tensors_that_do_not_fit_are_told():
    layout = Layout(4, 3)
    x, weights, biases = example(layout)
    with pytest.raises(InputError, match="odd k"):
        folded_chain(x, weights[..., :2, :2], biases, layout)
    with pytest.raises(InputError, match="Biases of shape"):
        folded_chain(x, weights, biases[:1], layout)
    with pytest.raises(InputError, match="give one precision"):
        folded_chain(x.bfloat16(), weights, biases, layout)


class Chain(nn.Module):
    """A module that calls the operator."""

    def __init__(self, layout, **options):
        super().__init__()
        self.layout, self.options = layout, ChainOptions(**options)
        _, weights, biases = example(layout)
        self.register_buffer("weights", weights)
        self.register_buffer("biases", biases)

    def forward(self, x):
        return folded_chain_op(2 * x, self.weights, self.biases, self.layout, self.options) + 1


CASES = {
    "hierarchical": (Layout(4, 3), {}),
    "stage": (Layout(4, 3, hierarchical=False), {"stride": 2, "pool_counts_padding": False}),
    "scale 1": (Layout(4, 1), {"act": "none"}),
}


@pytest.mark.parametrize(("layout", "options"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("size", [(9, 7), (1, 1)])
def test_the_operator_keeps_the_rules_of_torch(layout, options, size):
    splits = (layout.width, layout.scale, layout.hierarchical, layout.split_order, layout.passes)
    given = (*example(layout, size=size), *splits, *ChainOptions(**options), "reference", False)
    torch.library.opcheck(torch.ops.res2net.folded_chain.default, given)


@pytest.mark.parametrize(("layout", "options"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_it_compiles_whole(layout, options, backend):
    torch.compiler.reset()
    x, weights, biases = example(layout)
    expected = folded_chain(2 * x, weights, biases, layout, ChainOptions(**options)) + 1
    compiled = torch.compile(Chain(layout, **options), fullgraph=True, backend=backend)
    torch.testing.assert_close(compiled(x), expected)


def test_it_is_exported_as_one_operator():
    layout = Layout(4, 3)
    x, weights, biases = example(layout)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(Chain(layout), (x,), dynamic_shapes=({0: batch},))
    targets = [node.target for node in program.graph.nodes if node.op == "call_function"]
    assert targets.count(torch.ops.res2net.folded_chain.default) == 1
    assert not any("conv" in str(target) for target in targets)
    more = torch.cat([x, x, x])
    torch.testing.assert_close(program.module()(more), folded_chain(2 * more, weights, biases, layout) + 1)


def test_triton_without_a_gpu_is_told_in_a_sentence():
    pytest.importorskip("triton")
    layout = Layout(4, 3)
    with pytest.raises(InputError, match="on a GPU, and the input is on cpu: use backend='reference'"):
        folded_chain_op(*example(layout), layout, backend="triton")


WITHOUT_TRITON = """
import sys
import torch
# As if it were not installed.
sys.modules |= {"triton": None} | {name: None for name in sys.modules if name.startswith("triton.")}
import res2net.nn
from res2net.errors import InputError
from res2net.kernels import Layout, folded_chain_op
x, weights, biases = torch.ones(1, 2, 1, 1), torch.ones(1, 1, 1, 1, 1), torch.ones(1, 1)
assert folded_chain_op(x, weights, biases, Layout(1, 2)).flatten().tolist() == [2.0, 1.0]
try:
    folded_chain_op(x, weights, biases, Layout(1, 2), backend="triton")
except InputError as error:
    assert str(error) == "backend='triton' needs triton, which is not installed: use 'reference'.", error
else:
    raise AssertionError("it ran without triton")
"""


def test_the_library_works_without_triton(fresh):
    fresh(WITHOUT_TRITON)

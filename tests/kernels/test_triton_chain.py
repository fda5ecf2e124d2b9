"""The Triton kernel, interpreted on the CPU: against the reference and Eq. 1; and compiled for GPUs that are not here.

The interpreter is chosen when triton is imported: the kernel runs in a process of its own.
"""

import importlib.util
import itertools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from naive import naive_chain

from res2net.errors import InputError
from res2net.kernels import ChainOptions, Layout, folded_chain, folded_chain_op, tap_major

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")

ORDERS = ("official", "paper", "arxiv-v1")
LIMITS = {torch.float32: 2e-6, torch.bfloat16: 2e-2, torch.float16: 2e-3}
"""Of max |a - b| / max |b|: sums of another order, and rounding of each split's output."""


def example(layout, *, size=(9, 7), batch=2, groups=1, kernel=3, dtype=torch.float32, seed=0):
    torch.manual_seed(seed)
    branches, width = len(layout.convolved), layout.width
    x = torch.randn(batch, layout.scale * width, *size)
    weights = torch.randn(branches, width, width // groups, kernel, kernel) / (width / groups * kernel**2) ** 0.5
    return tuple(tensor.to(dtype) for tensor in (x, weights, torch.randn(branches, width)))


def distance(a, b):
    """max |a - b| / max |b|."""
    assert a.shape == b.shape
    return ((a.double() - b.double()).abs().max() / b.double().abs().max()).item()


def kernel_alone(*arguments, **options):
    from res2net.kernels.triton_chain import folded_chain_triton

    return folded_chain_triton(*arguments, **options)


def compiled_operator(*arguments):
    return torch.compile(folded_chain_op, fullgraph=True, backend="aot_eager")(*arguments, backend="triton")


@pytest.fixture(scope="module")
def interpreted():
    """`folded_chain_triton`, in a process that interprets kernels."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRITON_INTERPRET", "1")
            patch.setenv("OMP_NUM_THREADS", "1")  # its many small products are slower in several threads
            patch.setenv("OPENBLAS_NUM_THREADS", "1")
            pool.submit(int).result()

        def run(*arguments, function=kernel_alone, **options):
            return pool.submit(function, *arguments, **options).result()

        yield run


LAYOUTS = list(itertools.product(LIMITS, (True, False), (True, False), ORDERS))
# In half precision a few: every order, both modes, with and without a split that passes.
QUICK = [*LAYOUTS[:12], *LAYOUTS[12:24:5], *LAYOUTS[24::4]]


@pytest.mark.parametrize(
    ("dtype", "passes", "hierarchical", "order"),
    [pytest.param(*layout, marks=() if layout in QUICK else pytest.mark.slow) for layout in LAYOUTS],
    ids=str,
)
def test_every_layout(interpreted, order, hierarchical, passes, dtype):
    layout = Layout(7, 3, hierarchical, order, passes)
    stride = 1 if hierarchical else 2
    arguments = (*example(layout, dtype=dtype), layout)
    y = interpreted(*arguments, ChainOptions(stride))
    assert y.dtype == dtype
    assert distance(y, folded_chain(*arguments, ChainOptions(stride))) < LIMITS[dtype]
    assert distance(y, naive_chain(*arguments, stride=stride)) < LIMITS[dtype]


SHAPES = {
    "width 26": (Layout(26, 4), {}, {}),
    "width 14, 8 splits": (Layout(14, 8, hierarchical=False), {}, {"stride": 2}),
    "width 52, stage": (Layout(52, 2, hierarchical=False), {"size": (4, 5)}, {"stride": 2}),
    "width 104": (Layout(104, 2), {"size": (3, 3)}, {}),
    "width 130, several blocks of outputs": (Layout(130, 2), {"size": (3, 2), "batch": 1}, {}),
    "one channel": (Layout(1, 2), {}, {}),
    "one split, stride 2": (Layout(5, 1), {}, {"stride": 2}),
    "one split, paper": (Layout(5, 1, split_order="paper"), {}, {"act": "none"}),
    "no activation": (Layout(7, 3), {}, {"act": "none"}),
    "dilation": (Layout(7, 3), {}, {"dilation": 3}),
    "dilation, stage": (Layout(7, 3, hierarchical=False), {}, {"dilation": 2, "stride": 2}),
    "groups": (Layout(12, 3), {"groups": 3}, {}),
    "groups of one channel, stage": (Layout(3, 3, hierarchical=False), {"groups": 3}, {"stride": 2}),
    "kernel of 1": (Layout(7, 3), {"kernel": 1}, {}),
    "kernel of 5, stage": (Layout(7, 3, hierarchical=False), {"kernel": 5}, {"stride": 3}),
    "pooled in the hierarchy": (Layout(7, 3, split_order="arxiv-v1"), {}, {"pass_through": "pool"}),
    "not pooled in a stage": (Layout(7, 3, hierarchical=False), {}, {"pass_through": "identity"}),
    "zeros around do not count": (Layout(7, 3, hierarchical=False), {}, {"stride": 2, "pool_counts_padding": False}),
    "one pixel": (Layout(7, 3), {"size": (1, 1)}, {}),
    "one pixel, stage": (Layout(7, 3, hierarchical=False), {"size": (1, 1)}, {"stride": 2}),
    "one line": (Layout(7, 3, hierarchical=False), {"size": (1, 70), "batch": 3}, {"stride": 2}),
}


@pytest.mark.parametrize(("layout", "shapes", "options"), SHAPES.values(), ids=SHAPES)
def test_every_shape(interpreted, layout, shapes, options):
    arguments = (*example(layout, **shapes), layout)
    options = {"groups": shapes.get("groups", 1), **options}
    y = interpreted(*arguments, ChainOptions(**options))
    assert distance(y, folded_chain(*arguments, ChainOptions(**options))) < LIMITS[torch.float32]
    naive = {name: value for name, value in options.items() if name not in ("pass_through", "pool_counts_padding")}
    pool = {"pool": True, "identity": False}.get(options.get("pass_through"))
    expected = naive_chain(*arguments, **naive, pool=pool, counts=options.get("pool_counts_padding", True))
    assert distance(y, expected) < LIMITS[torch.float32]


def test_shapes_drawn_at_random(interpreted):
    """Whatever fits together: more of it than is written above."""
    generator = torch.Generator().manual_seed(1)

    def draw(*choices):
        return choices[int(torch.randint(len(choices), (), generator=generator))]

    for seed in range(12):
        groups = draw(1, 1, 2)
        layout = Layout(
            groups * draw(3, 5, 9, 17), draw(1, 2, 3, 5), draw(True, False), draw(*ORDERS), draw(True, False)
        )
        shapes = {"size": (draw(1, 4, 11), draw(2, 5, 8)), "batch": draw(1, 2, 5), "groups": groups, "seed": seed}
        dtype, kernel = draw(*LIMITS), draw(1, 3)
        options = {"dilation": draw(1, 2), "groups": groups, "act": draw("relu", "none")}
        options["stride"] = 1 if layout.hierarchical else draw(1, 2)
        arguments = (*example(layout, dtype=dtype, kernel=kernel, **shapes), layout)
        y = interpreted(*arguments, ChainOptions(**options))
        assert distance(y, naive_chain(*arguments, **options)) < LIMITS[dtype], (layout, shapes, dtype, options)


def test_any_memory_is_taken(interpreted):
    layout = Layout(7, 3)
    x, weights, biases = example(layout, size=(6, 5))
    expected = folded_chain(x, weights, biases, layout)
    turned = x.transpose(2, 3).contiguous().transpose(2, 3)
    for memory in (x, x.to(memory_format=torch.channels_last), turned, torch.stack([x, x], -1)[..., 0]):
        y = interpreted(memory, weights, biases, layout)
        assert y.is_contiguous(memory_format=torch.channels_last)
        assert distance(y, expected) < LIMITS[torch.float32]
    by_tap = tap_major(weights)
    assert torch.equal(by_tap, weights)
    assert by_tap.permute(0, 3, 4, 1, 2).is_contiguous()
    assert distance(interpreted(x, by_tap, biases, layout), expected) < LIMITS[torch.float32]


def test_an_empty_batch_is_empty(interpreted):
    layout = Layout(7, 3, hierarchical=False)
    x, weights, biases = example(layout, batch=0)
    assert interpreted(x, weights, biases, layout, ChainOptions(stride=2)).shape == (0, 21, 5, 4)


def test_neighbouring_splits_do_not_leak(interpreted):
    """Blocks are padded by masks: what is no number stays in its own split, and passes the ReLU."""
    layout = Layout(7, 3, hierarchical=False)
    x, weights, biases = example(layout)
    x[:, 7:14] = float("nan")
    y = interpreted(x, weights, biases, layout)
    assert y[:, 7:14].isnan().all()
    assert y[:, :7].isfinite().all()
    assert y[:, 14:].isfinite().all()


@pytest.mark.parametrize("hierarchical", [True, False])
def test_large_tensors_are_addressed_by_64_bits(interpreted, hierarchical):
    layout = Layout(7, 3, hierarchical)
    arguments = (*example(layout), layout)
    y = interpreted(*arguments, int32_elements=0)
    assert distance(y, folded_chain(*arguments)) < LIMITS[torch.float32]


def test_stages_are_one_launch_and_hierarchies_one_a_convolution():
    from res2net.kernels.triton_chain import launches

    assert [(launch.branches, launch.passes) for launch in launches(Layout(7, 4, hierarchical=False))] == [(3, True)]
    assert [(launch.branches, launch.passes) for launch in launches(Layout(7, 4))] == [
        (1, True),
        (1, False),
        (1, False),
    ]
    assert [launch.before_at for launch in launches(Layout(7, 4, split_order="paper"))][1:] == [1, 2]


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex64], ids=str)
def test_other_precisions_are_refused(interpreted, dtype):
    with pytest.raises(InputError, match="give float32, bfloat16 or float16"):
        interpreted(*example(Layout(4, 3), dtype=dtype), Layout(4, 3))


def test_tensors_lie_on_one_device(interpreted):
    x, weights, biases = example(Layout(4, 3))
    with pytest.raises(InputError, match="weights on meta"):
        interpreted(x, weights.to("meta"), biases, Layout(4, 3))


def test_the_operator_runs_it(interpreted):
    layout = Layout(7, 3)
    arguments = (*example(layout), layout)
    y = interpreted(*arguments, function=compiled_operator)
    assert distance(y, folded_chain(*arguments)) < LIMITS[torch.float32]

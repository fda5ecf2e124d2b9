"""Each graph against functions written from the program that computes so, and against the other graphs."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from res2net.backbones.graphs import GRAPHS, choose_graph
from res2net.backbones.registry import build
from res2net.errors import InputError
from res2net.measure import stage_fields

LAYERS = (2, 2, 1, 1)
SMALL = {"layers": LAYERS, "channels": (8, 12, 16, 20), "stem_channels": 8, "num_classes": 5}
NETWORKS = {
    "plain": {"scale": 4, "base_width": 26},
    "v1b / d": {"scale": 3, "base_width": 26, "stem": "deep", "shortcut": "avg_pool"},
    "groups": {"scale": 2, "base_width": 16, "cardinality": 2, "channels": (16,) * 4},
    "bottleneck of ResNet": {"scale": 1, "base_width": 64},
}


class Weights:
    """Layers as functions of their names in a state dict; averages are written as sums."""

    def __init__(self, state, dilations):
        self.state = state
        self.dilations = dilations

    def has(self, name):
        return f"{name}.weight" in self.state

    def conv(self, name, x, stride=1):
        weight = self.state[f"{name}.weight"]
        groups = x.shape[1] // weight.shape[1]
        size, dilation = weight.shape[-1], self.dilations.get(name.partition(".conv")[0], 1)
        if size == 1 or not name.startswith("layer"):
            dilation = 1
        return F.conv2d(x, weight, stride=stride, padding=size // 2 * dilation, dilation=dilation, groups=groups)

    def norm(self, name, x):
        scale, shift, mean, variance = (
            self.state[f"{name}.{kind}"].view(-1, 1, 1) for kind in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / (variance + 1e-5).sqrt() * scale + shift

    def split(self, block, index, x, stride):
        return self.norm(f"{block}.bns.{index}", self.conv(f"{block}.convs.{index}", x, stride)).relu()


def summed(x, stride):
    return F.conv2d(x, torch.ones(x.shape[1], 1, 3, 3, dtype=x.dtype), stride=stride, padding=1, groups=x.shape[1])


def inclusive_average(x, stride):
    return summed(x, stride) / 9


def exclusive_average(x, stride):
    return summed(x, stride) / summed(torch.ones_like(x), stride)


def hierarchy(w, block, xs):
    ys = [w.split(block, 0, xs[0], 1)]
    for index in range(1, len(xs) - 1):
        ys.append(w.split(block, index, xs[index] + ys[-1], 1))
    return [*ys, xs[-1]]


def alone(w, block, xs, stride):
    return [w.split(block, index, x, stride) for index, x in enumerate(xs[:-1])]


def official(w, block, xs, first, stride):
    """`stype == "stage"` in the first block of each stage: an average pooling of the block's stride."""
    if not first:
        return hierarchy(w, block, xs)
    return [*alone(w, block, xs, stride), inclusive_average(xs[-1], stride)]


def mmdet(w, block, xs, first, stride):
    """The pooling exists only where the 3x3 convolution has a stride."""
    if not first:
        return hierarchy(w, block, xs)
    return [*alone(w, block, xs, stride), xs[-1] if stride == 1 else inclusive_average(xs[-1], stride)]


def paddle(w, block, xs, first, stride):
    """All goes by the stride, and Paddle's average pooling leaves padding out."""
    if stride == 1:
        return hierarchy(w, block, xs)
    return [*alone(w, block, xs, stride), exclusive_average(xs[-1], stride)]


def detectron2(w, block, xs, first, stride):
    """The stride was in the 1x1 convolution, so that the last split passes; no additions where channels change."""
    return [*alone(w, block, xs, 1), xs[-1]] if first else hierarchy(w, block, xs)


def maskrcnn(w, block, xs, first, stride):
    """The same, but with a pooling of stride 1."""
    return [*alone(w, block, xs, 1), inclusive_average(xs[-1], 1)] if first else hierarchy(w, block, xs)


MODULES = {"official": official, "mmdet": mmdet, "paddle": paddle, "detectron2": detectron2, "maskrcnn": maskrcnn}
STRIDE_IN_1X1 = ("detectron2", "maskrcnn")


def naive(graph, state, x, *, scale, stem="conv7", shortcut="conv", strides=(1, 2, 2, 2), dilations=None):
    """The logits of a network under official names; `dilations` are those of blocks, by name."""
    w = Weights(state, dilations or {})
    if stem == "deep":
        for index, stride in ((0, 2), (3, 1)):
            x = w.norm(f"conv1.{index + 1}", w.conv(f"conv1.{index}", x, stride)).relu()
        x = w.conv("conv1.6", x)
    else:
        x = w.conv("conv1", x, 2)
    x = F.max_pool2d(w.norm("bn1", x).relu(), 3, 2, 1)
    for layer, blocks in enumerate(LAYERS, start=1):
        for index in range(blocks):
            block, first = f"layer{layer}.{index}", index == 0
            stride = strides[layer - 1] if first else 1
            in_front, inside = (stride, 1) if graph in STRIDE_IN_1X1 else (1, stride)
            y = w.norm(f"{block}.bn1", w.conv(f"{block}.conv1", x, in_front)).relu()
            if scale == 1:
                y = w.norm(f"{block}.bn2", w.conv(f"{block}.conv2", y, inside)).relu()
            else:
                y = torch.cat(MODULES[graph](w, block, y.chunk(scale, 1), first, inside), 1)
            y = w.norm(f"{block}.bn3", w.conv(f"{block}.conv3", y))
            if first and shortcut == "avg_pool":
                pooled = F.avg_pool2d(x, stride, stride, ceil_mode=True, count_include_pad=False)
                x = w.norm(f"{block}.downsample.2", w.conv(f"{block}.downsample.1", pooled))
            elif first:
                x = w.norm(f"{block}.downsample.1", w.conv(f"{block}.downsample.0", x, stride))
            x = (x + y).relu()
    return F.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"])


def network(alike, graph, options, **others):
    """A small network with random weights and statistics, in double precision."""
    with torch.device("meta"):
        model = build("resnet26", **SMALL | options | others, graph=graph)
    alike(model)
    return model.double().eval()


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("graph", GRAPHS)
@torch.no_grad()
def test_logits_are_those_of_the_program(alike, graph, options):
    model = network(alike, graph, options)
    x = torch.randn(2, 3, 65, 47, dtype=torch.double)
    kept = ("scale", "stem", "shortcut")
    expected = naive(graph, model.state_dict(), x, **{name: options[name] for name in kept if name in options})
    torch.testing.assert_close(model(x), expected, rtol=1e-11, atol=1e-11)
    assert expected.std() > 0.01


@pytest.mark.parametrize("options", [NETWORKS["plain"], NETWORKS["v1b / d"]], ids=["plain", "v1b / d"])
@torch.no_grad()
def test_graphs_have_the_same_weights_and_give_different_logits(alike, options):
    models = {graph: network(alike, graph, options) for graph in GRAPHS}
    names = {tuple((key, t.shape) for key, t in model.state_dict().items()) for model in models.values()}
    assert len(names) == 1
    x = torch.randn(2, 3, 65, 47, dtype=torch.double)
    logits = {graph: model(x) for graph, model in models.items()}
    for one, other in itertools.combinations(GRAPHS, 2):
        change = (logits[one] - logits[other]).norm() / logits[one].norm()
        assert change > 1e-4, f"{one} and {other} differ by {change:.1e}"


@torch.no_grad()
def test_without_splits_only_the_place_of_the_stride_differs(alike):
    options = NETWORKS["bottleneck of ResNet"]
    x = torch.randn(1, 3, 64, 64, dtype=torch.double)
    same = [network(alike, graph, options)(x) for graph in ("official", "mmdet", "paddle")]
    moved = [network(alike, graph, options)(x) for graph in STRIDE_IN_1X1]
    assert torch.equal(same[0], same[1])
    assert torch.equal(same[0], same[2])
    assert torch.equal(*moved)
    assert not torch.allclose(same[0], moved[0])


@pytest.mark.parametrize(
    ("options", "graph"),
    [
        ({"layer1_pass_through": "identity"}, "mmdet"),
        ({"layer1_mode": "hierarchical", "layer1_pass_through": "identity", "pool_counts_padding": False}, "paddle"),
        ({"stage_pass_through": "identity", "stride_in_1x1": True}, "detectron2"),
        ({"stride_in_1x1": True}, "maskrcnn"),
        ({"graph": "detectron2", "stage_pass_through": "pool", "stride_in_1x1": False}, "official"),
    ],
)
@torch.no_grad()
def test_single_options_make_the_graphs_too(alike, options, graph):
    by_options = network(alike, options.pop("graph", "official"), NETWORKS["plain"], **options)
    by_name = network(alike, graph, NETWORKS["plain"])
    x = torch.randn(1, 3, 64, 64, dtype=torch.double)
    assert torch.equal(by_options(x), by_name(x))


def test_an_option_replaces_that_of_the_graph():
    assert choose_graph("paddle") is not GRAPHS["paddle"]
    assert choose_graph("paddle") == GRAPHS["paddle"]
    assert choose_graph("paddle", pool_counts_padding=True).pool_counts_padding
    model = build("res2net14_26w_4s", stage_pass_through="conv")
    assert [layer[0].pass_through for layer in (model.layer1, model.layer2)] == ["conv", "conv"]
    model = build("res2net14_26w_4s", stage_pass_through="conv", layer1_pass_through="pool")
    assert [layer[0].pass_through for layer in (model.layer1, model.layer2)] == ["pool", "conv"]
    assert choose_graph("detectron2", stride_in_1x1=False).stride_in_1x1 is False


@pytest.mark.parametrize("options", [NETWORKS["plain"], NETWORKS["v1b / d"]], ids=["plain", "v1b / d"])
@pytest.mark.parametrize("graph", ["official", "mmdet", "paddle", "detectron2"])
@torch.no_grad()
def test_dilation_in_place_of_strides_computes_the_same_at_more_positions(alike, graph, options):
    """Of the last stride, and on an image of full windows: poolings are not dilated, and so see nearer neighbours."""
    plain = network(alike, graph, options | {"layers": (1, 2, 2, 2)})
    dense = network(alike, graph, options | {"layers": (1, 2, 2, 2)}, output_stride=16)
    x = torch.randn(1, 3, 128, 128, dtype=torch.double)
    torch.testing.assert_close(dense.features(x)[-1][..., ::2, ::2], plain.features(x)[-1], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("graph", GRAPHS)
def test_recomputing_gives_the_same_gradients(alike, graph):
    models = [network(alike, graph, NETWORKS["plain"], recompute=recompute).train() for recompute in (False, True)]
    models[1].load_state_dict({name: tensor.clone() for name, tensor in models[0].state_dict().items()}, assign=True)
    x = torch.randn(2, 3, 64, 64, dtype=torch.double)
    results = []
    for model in models:
        model.requires_grad_()
        gradients = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
        results.append({name: g for (name, _), g in zip(model.named_parameters(), gradients, strict=True)})
    torch.testing.assert_close(results[1], results[0], rtol=1e-8, atol=1e-8)
    for name, buffer in models[0].named_buffers():
        torch.testing.assert_close(models[1].get_buffer(name), buffer)


@pytest.mark.parametrize("graph", GRAPHS)
def test_receptive_fields_are_those_that_gradients_show(alike, graph):
    model = network(alike, graph, NETWORKS["plain"] | {"layers": (1, 1, 1, 1)}).requires_grad_(False)
    for field, level in zip(stage_fields(model)[1:3], (1, 2), strict=True):
        # Several images, since in one of them activations may be zero along all paths to the edges.
        x = torch.randn(8, 3, 160, 160, dtype=torch.double, requires_grad=True)
        feature = model.features(x)[level]
        (gradient,) = torch.autograd.grad(feature[:, :, 10, 10].sum(), x)
        seen = gradient.abs().sum((0, 1, 2)).nonzero().flatten()
        at = 10 * field.stride
        assert (seen[0].item(), seen[-1].item()) == (at + field.first, at + field.last)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"graph": "padle"}, r"Unknown graph 'padle': did you mean 'paddle'\?"),
        ({"layer1_mode": "stages"}, r"Unknown mode 'stages': did you mean 'stage'\?"),
        ({"layer1_pass_through": "pooling"}, r"Unknown pass-through 'pooling': did you mean 'pool'\?"),
        ({"graph": "detectron2", "stride_in_1x1": False}, "Stride 2 does not fit pass_through='identity'"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with torch.device("meta"), pytest.raises(InputError, match=message):
        build("res2net26_26w_4s", **options)


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize(
    ("output_stride", "strides", "dilations", "multi_grid"),
    [
        (16, (1, 2, 2, 1), {"layer4.0": 2}, ()),
        (8, (1, 2, 1, 1), {"layer3.0": 2, "layer4.0": 4}, ()),
        (16, (1, 2, 2, 1), {"layer4.0": 6}, (3,)),
        (32, (1, 2, 2, 2), {"layer4.0": 2}, (2,)),
    ],
)
@torch.no_grad()
def test_dilated_stages_of_published_programs(alike, graph, options, output_stride, strides, dilations, multi_grid):
    """`strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)` of MMPretrain and others: all goes by the stride of a block."""
    model = network(alike, graph, options, output_stride=output_stride, dilate_first=True, multi_grid=multi_grid)
    x = torch.randn(2, 3, 65, 47, dtype=torch.double)
    kept = {name: options[name] for name in ("scale", "stem", "shortcut") if name in options}
    expected = naive(graph, model.state_dict(), x, **kept, strides=strides, dilations=dilations)
    torch.testing.assert_close(model(x), expected, rtol=1e-11, atol=1e-11)
    assert model.output_stride == output_stride


def test_dilations_of_every_block():
    def dilations(**options):
        with torch.device("meta"):
            model = build("res2net50_26w_4s", **options)
        return [[block.convs[0].dilation[0] for block in stage] for stage in (model.layer3, model.layer4)]

    assert dilations(output_stride=8) == [[1, 2, 2, 2, 2, 2], [2, 4, 4]]
    assert dilations(output_stride=8, dilate_first=True) == [[2] * 6, [4] * 3]
    assert dilations(output_stride=16, dilate_first=True, multi_grid=(1, 2, 4)) == [[1] * 6, [2, 4, 8]]
    assert dilations(output_stride=8, dilate_first=True, multi_grid=(1, 2, 4)) == [[2] * 6, [4, 8, 16]]
    assert dilations(output_stride=16, multi_grid=(2, 2, 1)) == [[1] * 6, [2, 4, 2]]
    assert dilations(output_stride=16, dilate_first=True, multi_grid="1,2,4") == [[1] * 6, [2, 4, 8]]
    assert dilations(dilate_first=True) == [[1] * 6, [1] * 3]


@pytest.mark.parametrize(
    ("grid", "sentence"), [((1, 2), "2 factors"), ((1, 0, 2), "Factor of"), ("1;2", "such as 1,2,4")]
)
def test_a_multi_grid_that_does_not_fit(grid, sentence):
    with pytest.raises(InputError, match=sentence):
        build("res2net50_26w_4s", output_stride=16, multi_grid=grid)

"""What computes the convolutions and chains of an optimised network: chosen by name, the same function by each."""

import copy
import importlib.util
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

import pytest
import timm
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from res2net import convert, create_model, optimize
from res2net.errors import InputError
from res2net.nn import Res2Bottleneck, Res2Conv
from res2net.surgery.fused import Chain, FoldedChain, PackedConv, StageChain

with_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")


def with_random_statistics(model):
    """The model in evaluation, with statistics and weights of its normalisations that no fresh network has."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            with torch.no_grad():
                module.running_mean.normal_(0, 0.2)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.5, 1.2)
                module.bias.normal_(0, 0.2)
    return model.eval()


def difference(one, two):
    assert one.shape == two.shape
    return ((one - two).abs().max() / two.abs().max()).item()


def stage_block():
    shortcut = nn.Sequential(nn.Conv2d(24, 32, 1, stride=2, bias=False), nn.BatchNorm2d(32))
    return Res2Bottleneck(24, 8, base_width=64, mode="stage", stride=2, downsample=shortcut)


# Few channels: the interpreter of kernels takes its time.
NARROW = {"channels": (16, 16, 32, 32), "num_classes": 7}


def res2net14():
    return create_model("res2net14_26w_4s", stem_channels=16, **NARROW)


def converted_resnet10():
    return convert(timm.create_model("resnet18", layers=(1, 1, 1, 1), **NARROW))[0]


NETWORKS = {
    "res2net14_26w_4s": (res2net14, (2, 3, 32, 32), 4),
    "stage-mode block, stride 2": (stage_block, (2, 24, 9, 7), 1),
    "converted resnet10": (converted_resnet10, (1, 3, 32, 32), 8),
}


def network(name):
    torch.manual_seed(0)
    make, shape, chains = NETWORKS[name]
    return with_random_statistics(make()), torch.randn(shape), chains


def chains_of(model):
    return [module for module in model.modules() if isinstance(module, FoldedChain)]


@pytest.mark.parametrize("target", ["eager", "export"])
@pytest.mark.parametrize("kernels", ["torch", "reference"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_choice_is_the_same_function(name, kernels, target):
    model, x, chains = network(name)
    rewritten = optimize(model, target, kernels=kernels, example_input=x)
    assert not any(isinstance(module, PackedConv | _BatchNorm) for module in rewritten.modules())
    assert len(chains_of(rewritten)) == (chains if kernels == "reference" else 0)
    with torch.no_grad():
        y = rewritten(x)
        assert difference(y, model(x)) <= 1e-5
        assert difference(rewritten(x[:1, :, :7]), model(x[:1, :, :7])) <= 1e-5
    if target == "eager" and y.ndim == 4:
        assert y.is_contiguous(memory_format=torch.channels_last)


CHAINS = {
    "paper": {"split_order": "paper"},
    "arxiv-v1": {"split_order": "arxiv-v1"},
    "all convolved": {"pass_through": "conv"},
    "stage": {"mode": "stage", "stride": 2},
    "stage, zeros around do not count": {"mode": "stage", "stride": 2, "pool_counts_padding": False},
    "groups": {"cardinality": 3},
    "dilation": {"dilation": 2},
    "kernel of 5": {"kernel_size": 5, "mode": "stage"},
    "no activation": {"act": "none"},
    "bias, no normalisation": {"bias": True, "norm": "none"},
    "no bias, no normalisation": {"norm": "none"},
}


@pytest.mark.parametrize("options", CHAINS.values(), ids=CHAINS)
def test_a_chain_alone_becomes_one_operator(options):
    torch.manual_seed(0)
    model = with_random_statistics(Res2Conv(6, **options))
    x = torch.randn(2, 24, 9, 7)
    rewritten = optimize(model, kernels="reference", example_input=x)
    assert isinstance(rewritten, FoldedChain)
    with torch.no_grad():
        assert difference(rewritten(x), model(x)) <= 1e-5


PLAIN = {
    "another activation": {"act": "silu"},
    "other edges": {"padding_mode": "reflect"},
    "three dimensions": {"dims": 3},
    "one dimension": {"dims": 1},
    "a kernel that is no square": {"kernel_size": (3, 1)},
    "two strides": {"stride": (1, 2), "mode": "stage"},
    "one split": {"scale": 1},
}


@pytest.mark.parametrize("options", PLAIN.values(), ids=PLAIN)
def test_other_chains_stay_plain(options):
    torch.manual_seed(0)
    model = with_random_statistics(Res2Conv(6, **options))
    x = torch.randn(2, 6 * model.scale, *(8, 9, 7)[: model.dims])
    rewritten = optimize(model, kernels="reference", example_input=x)
    assert isinstance(rewritten, Chain | StageChain)
    with torch.no_grad():
        assert difference(rewritten(x), model(x)) <= 1e-5


def test_double_precision_stays_plain():
    model = Res2Conv(6).double()
    assert isinstance(optimize(model, kernels="reference", example_input=torch.randn(1, 24, 8, 8).double()), Chain)


@pytest.mark.parametrize(
    "change",
    [
        lambda model: setattr(model, "convs", unlike(model, dilation=2, padding=2)),
        lambda model: setattr(model, "convs", unlike(model, padding="same")),
        lambda model: setattr(model, "convs", unlike(model, padding_mode="circular", padding=1)),
        lambda model: setattr(model, "convs", unlike(model, groups=2, padding=1)),
        lambda model: setattr(model, "acts", nn.ModuleList([nn.ReLU(), nn.Identity(), nn.ReLU()])),
        lambda model: setattr(model, "pool", nn.AvgPool2d(5, 1, 2)),
        lambda model: setattr(model, "pool", nn.MaxPool2d(3, 1, 1)),
        lambda model: setattr(model, "pool", nn.AvgPool2d(3, 1, 1, divisor_override=2)),
    ],
)
def test_what_the_operator_does_not_compute_stays_plain(change):
    torch.manual_seed(0)
    model = Res2Conv(6, mode="stage")
    change(model)
    with_random_statistics(model)
    x = torch.randn(2, 24, 9, 7)
    rewritten = optimize(model, kernels="reference", example_input=x)
    assert isinstance(rewritten, Chain | StageChain)
    with torch.no_grad():
        assert difference(rewritten(x), model(x)) <= 1e-5


def unlike(model, **options):
    """Its convolutions with another in their middle."""
    return nn.ModuleList([model.convs[0], nn.Conv2d(6, 6, 3, bias=False, **options), model.convs[2]])


def test_weights_of_a_chain_are_kept_by_copies_states_and_casts():
    model, x, _ = network("res2net14_26w_4s")
    rewritten = optimize(model, kernels="reference")
    other = optimize(res2net14(), kernels="reference")
    with torch.no_grad():
        expected = rewritten(x)
        assert torch.equal(copy.deepcopy(rewritten)(x), expected)
        assert not torch.equal(other(x), expected)
        other.load_state_dict(rewritten.state_dict())
        assert torch.equal(other(x), expected)
        assert torch.equal(copy.deepcopy(rewritten).to(memory_format=torch.channels_last)(x), expected)
        narrow = rewritten.to(torch.bfloat16)
        assert narrow(x.bfloat16()).dtype == torch.bfloat16
        assert difference(narrow(x.bfloat16()).float(), expected) < 0.05
    for chain in chains_of(narrow):
        # As the kernel reads them: no copy at each call.
        assert chain.weights.permute(0, 3, 4, 1, 2).is_contiguous()


@pytest.mark.parametrize("target", ["eager", "export"])
def test_it_compiles_and_exports_whole(target):
    model, x, chains = network("res2net14_26w_4s")
    rewritten = optimize(model, target, kernels="reference")
    with torch.no_grad():
        expected = model(x)
        program = torch.export.export(rewritten, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        calls = [node for node in program.graph.nodes if "folded_chain" in str(node.target)]
        assert len(calls) == chains
        assert difference(program.module()(torch.cat([x, x])), torch.cat([expected, expected])) <= 1e-5
        assert difference(torch.compile(rewritten, backend="aot_eager", fullgraph=True)(x), expected) <= 1e-5


def test_the_default_is_chosen_by_target_and_device():
    model = create_model("res2net14_26w_4s")
    packed = [isinstance(module, PackedConv) for module in optimize(model).modules()]
    assert sum(packed) > 10
    explicit = optimize(model, kernels="onednn")
    assert [isinstance(module, PackedConv) for module in explicit.modules()] == packed
    for plain in (optimize(model, "export"), optimize(model.to("meta"))):
        assert not any(isinstance(module, PackedConv | FoldedChain) for module in plain.modules())


def test_weights_are_in_channels_last_memory_when_eager_alone():
    model = create_model("res2net14_26w_4s")
    assert optimize(model, kernels="torch").conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert optimize(model, "export", kernels="torch").conv1.weight.is_contiguous()
    assert model.conv1.weight.is_contiguous()


def test_kernels_that_do_not_run_here_are_refused(monkeypatch):
    model = create_model("res2net14_26w_4s")
    with pytest.raises(InputError, match="Unknown kernels 'tritn': did you mean 'triton'"):
        optimize(model, kernels="tritn")
    with pytest.raises(InputError, match="kernels='onednn' cannot be exported"):
        optimize(model, "export", kernels="onednn")
    with pytest.raises(InputError, match=r"needs oneDNN and a CPU, and the network is on meta"):
        optimize(model.to("meta"), kernels="onednn")
    monkeypatch.setitem(sys.modules, "triton", None)  # as if it were not installed
    with pytest.raises(InputError, match="triton and a GPU, and triton is not installed"):
        optimize(create_model("res2net14_26w_4s"), kernels="triton")


@with_triton
def test_triton_needs_a_gpu():
    with pytest.raises(InputError, match="needs triton and a GPU, and the network is on cpu: use 'torch'"):
        optimize(create_model("res2net14_26w_4s"), kernels="triton")


def compared_by_triton(name, target):
    """Runs where kernels are interpreted: distances of the network alone, compiled and exported; chains missed."""
    torch.set_num_threads(1)
    model, x, chains = network(name)
    with torch.no_grad():
        rewritten = optimize(model, target, kernels="triton", example_input=x)
        expected = model(x)
        distances = [difference(rewritten(x), expected)]
        found = sum(chain.backend == "triton" for chain in chains_of(rewritten))
        if target == "export":
            program = torch.export.export(rewritten, (x,))
            found += sum("triton" in node.args for node in program.graph.nodes if "folded_chain" in str(node.target))
            distances.append(difference(program.module()(x), expected))
            distances.append(difference(torch.compile(rewritten, backend="aot_eager", fullgraph=True)(x), expected))
    return distances, (2 if target == "export" else 1) * chains - found


@pytest.fixture(scope="module")
def interpreting():
    """A process that interprets kernels, which is chosen when triton is imported."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRITON_INTERPRET", "1")
            patch.setenv("OMP_NUM_THREADS", "1")  # its many small products are slower in several threads
            patch.setenv("OPENBLAS_NUM_THREADS", "1")
            pool.submit(int).result()
        yield pool


SLOW = ("res2net14_26w_4s", "stage-mode block, stride 2")


@with_triton
@pytest.mark.parametrize(
    ("name", "target"),
    [
        *(pytest.param(name, "eager", marks=pytest.mark.slow if name in SLOW else ()) for name in NETWORKS),
        ("stage-mode block, stride 2", "export"),
    ],
)
def test_the_kernel_is_the_same_function(interpreting, name, target):
    distances, missed = interpreting.submit(compared_by_triton, name, target).result()
    assert max(distances) <= 1e-5
    assert missed == 0

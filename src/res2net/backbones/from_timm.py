"""Networks of timm that the paper compares with: Inception, DenseNet, VGG and HRNet."""

from __future__ import annotations

from itertools import chain
from typing import Any, Self

from torch import Tensor, nn

from res2net.backbones.base import Backbone, Stage, numbered
from res2net.backbones.dilated import dilate
from res2net.backbones.registry import register
from res2net.backbones.stages import check_fixed_stride, check_no_drop_path, check_output_stride
from res2net.errors import InputError
from res2net.kernels.chain import is_traced

SMALLEST = {"inception_v3": 75}
"""Smallest side of an image; 32 for other networks."""
BRANCHED = ("hrnet",)
"""Prefixes of the names of networks with parallel branches of several resolutions."""
FIXED_STRIDES = {
    "hrnet": "its parallel branches of strides 4, 8, 16 and 32 exchange maps, and `features` gives all of them",
    "inception": "some of its poolings are function calls inside of timm's code, which dilation cannot replace",
}
"""Why dilation cannot replace strides, by prefix of the name of a network."""
BRANCHED_STAGES = [
    ["conv1", "bn1", "act1"],
    ["conv2", "bn2", "act2", "layer1"],
    ["transition1", "stage2"],
    ["transition2", "stage3"],
    ["transition3", "stage4", *(f"incre_modules.{index}" for index in range(4))],
    ["downsamp_modules", "final_layer", "global_pool", "head_drop", "classifier"],
]
"""Names of the modules of each stage of an HRNet (Wang et al., TPAMI 2021), and at the end those of the head."""


class TimmBackbone(Backbone):
    """A network of timm, with the pyramid that timm's `feature_info` declares.

    The network is the attribute `network`; weights have timm's names behind `network.`, and files with timm's names can
    be loaded. Sizes of features differ from `ceil(size / stride)`, since these networks drop incomplete windows and
    Inception does not pad. An HRNet keeps all resolutions to its end: its stages are computed together, and the sides
    of its images are multiples of 32; its stages for `freeze` are the stem, the first layer, and the three stages of
    the source. Other options are those of `Backbone`.

    Args:
        architecture: name of the network in timm.
        num_classes: number of classes of the classifier; 0 for no classifier and no layers between the last features
            and the classifier.
        output_stride: stride of the last stage; below the network's own, dilation replaces the strides of VGG and
            DenseNet (also in VGG's 7x7 convolution before the classifier). HRNet and Inception only have their own.
        drop_path_rate: only 0 is possible, since these networks have no stochastic depth.

    Shape: `(N, in_channels, H, W)` to `(N, num_classes)`.

    Raises:
        InputError: an option is out of range; in `forward`, an image is too small or its sides are not divisible.
    """

    exact_sizes = False
    network: Any

    def __init__(
        self,
        architecture: str,
        *,
        num_classes: int = 1000,
        in_channels: int = 3,
        output_stride: int | None = None,
        drop_path_rate: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, dropout=dropout)
        check_no_drop_path(drop_path_rate)
        import timm  # it takes seconds to import, and few networks need it

        network: Any = timm.create_model(architecture, num_classes=num_classes, in_chans=in_channels, drop_rate=dropout)
        self.network = network
        strides = [level["reduction"] for level in network.feature_info]
        stride = strides[-1] if output_stride is None else output_stride
        for beginning, because in FIXED_STRIDES.items():
            if architecture.startswith(beginning):
                check_fixed_stride(output_stride, strides[-1], because)
        check_output_stride(stride, strides)
        self.smallest = SMALLEST.get(architecture, 32)
        self.branched = architecture.startswith(BRANCHED)
        self.size_multiple = 32 if self.branched else 1
        self.classifier_name = f"network.{network.default_cfg['classifier']}"
        self.input_layer_name = f"network.{network.default_cfg['first_conv']}"
        # The stages of an HRNet are those of its computation.
        *stages, head = BRANCHED_STAGES if self.branched else chained_stages(network)
        self.declare(
            (Stage(level["num_chs"], min(level["reduction"], stride)) for level in network.feature_info),
            numbered([f"network.{name}" for name in names] for names in stages),
        )
        if stride < strides[-1]:
            dilate(network, chain(*stages, head), stride)
            if hasattr(network, "pre_logits"):
                # VGG upsamples maps that are smaller than the kernel of this convolution, which dilation spreads.
                before = network.pre_logits
                before.input_kernel_size = (before.input_kernel_size - 1) * before.fc1.dilation[0] + 1
        if not num_classes:
            for name in head:
                delattr(network, name)

    def features(self, x: Tensor) -> list[Tensor]:
        """The pyramid: for each of `stages` a map of about `size / stride`, finest first."""
        self.check_image(x)
        if not self.branched:
            return super().features(x)
        network = self.network
        stem = network.act1(network.bn1(network.conv1(x)))
        branches = network.stages(network.act2(network.bn2(network.conv2(stem))))
        return [stem, *(widen(branch) for widen, branch in zip(network.incre_modules, branches, strict=True))]

    def keep_branches(self) -> Self:
        """Remove the modules that widen the branches of an HRNet: `features` then gives its stem and the branches.

        It is for a network without a classifier, since a classifier needs them.
        """
        if self.branched:
            modules = self.network.incre_modules
            widths = [module[0].conv1.in_channels for module in modules]
            self.network.incre_modules = nn.ModuleList(nn.Identity() for _ in modules)
            branches = zip(widths, self.stages[1:], strict=True)
            self.stages = (self.stages[0], *(Stage(width, stage.stride) for width, stage in branches))
        return self

    def forward(self, x: Tensor) -> Tensor:
        """`(N, in_channels, H, W)` to logits `(N, num_classes)`, or to the last features without a classifier."""
        if not self.num_classes:
            return self.features(x)[-1]
        self.check_image(x)
        return self.network(x)

    def check_image(self, x: Tensor) -> None:
        """Raise `InputError` for an image whose size the network does not accept."""
        self.check_input(x)
        if is_traced(x):
            return
        height, width = x.shape[2:]
        if min(height, width) < self.smallest:
            raise InputError(
                f"An image of {height} x {width} is too small for this network: give sides of {self.smallest} or more."
            )
        if height % self.size_multiple or width % self.size_multiple:
            raise InputError(
                f"An image of {height} x {width} does not fit this network: give multiples of {self.size_multiple}."
            )


def chained_stages(network: Any) -> list[list[str]]:
    """Names of the modules of each stage of a sequential network, and at the end those of the head."""
    names: list[str] = []
    for name, module in network.named_children():
        names += [f"features.{inner}" for inner, _ in module.named_children()] if name == "features" else [name]
    stages, start = [], 0
    for level in network.feature_info:
        end = names.index(level["module"]) + 1
        stages.append(names[start:end])
        start = end
    return [*stages, names[start:]]


for _about, _parameters in {
    "VGG (Simonyan and Zisserman, ICLR 2015), from timm": {"vgg16": 138_357_544},
    "Inception v3 (Szegedy et al., CVPR 2016), from timm": {"inception_v3": 23_834_568},
    "DenseNet (Huang et al., CVPR 2017), from timm": {"densenet161": 28_681_000},
    "HRNet v2 (Wang et al., TPAMI 2021), from timm": {"hrnet_w18": 21_299_004, "hrnet_w48": 77_469_864},
}.items():
    register(TimmBackbone, _about, {name: {"architecture": name} for name in _parameters}, _parameters)

"""ECAPA-TDNN: Res2 convolutions along time for speaker embeddings (Desplanques et al., Interspeech 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from res2net.backbones.base import Backbone, Stage, numbered
from res2net.backbones.registry import register
from res2net.backbones.stages import check_fixed_stride, rising
from res2net.errors import InputError, check_range
from res2net.nn import Res2Conv, SqueezeExcitation, initialise
from res2net.nn.layers import activation, check_positive, conv, norm_layer, stochastic_depth

DILATIONS = (2, 3, 4)
"""Dilation of the Res2 convolution of each block."""
HIDDEN = 128
"""Number of channels of the hidden layers of squeeze-and-excitation and attention."""
AGGREGATED = 1536
"""Number of channels of a frame after the aggregation of the outputs of all blocks."""
VARIANCE_FLOOR = 1e-5
"""Lower bound of the variance under the square root, whose derivative is infinite at 0."""


def dense_layer(in_channels: int, out_channels: int, kernel_size: int = 1) -> nn.Sequential:
    """Make a convolution along time, ReLU and normalisation, which keep the size."""
    return nn.Sequential(
        conv(1, in_channels, out_channels, kernel_size, bias=True),
        activation("relu"),
        norm_layer("batch", out_channels, 1),
    )


class SERes2Block(nn.Module):
    """1x1, dilated Res2 and 1x1 convolution, squeeze-and-excitation, and a residual connection (Fig. 1 of the source).

    The first split of the Res2 convolution passes through, as in Eq. 1 of the paper.

    Shape: `(N, channels, T)` to the same.
    """

    def __init__(self, channels: int, *, dilation: int, scale: int = 8, drop_path: float = 0.0) -> None:
        super().__init__()
        self.layer1 = dense_layer(channels, channels)
        self.res2 = Res2Conv(
            channels // scale,
            scale=scale,
            dims=1,
            dilation=dilation,
            order="conv-act-norm",
            split_order="paper",
            bias=True,
        )
        self.layer3 = dense_layer(channels, channels)
        self.se = SqueezeExcitation(channels, max(1, channels // HIDDEN), dims=1)
        self.drop_path = stochastic_depth(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, channels, T)` to the same shape."""
        return x + self.drop_path(self.se(self.layer3(self.res2(self.layer1(x)))))


class AttentiveStatistics(nn.Module):
    """Mean and standard deviation over time, weighted by an attention for each channel (section 3.1 of the source).

    The attention of a frame is computed, through `hidden` channels, from the frame and from the unweighted statistics
    of all frames.

    Shape: `(N, channels, T)` to `(N, 2 * channels)`.
    """

    def __init__(self, channels: int, hidden: int = HIDDEN, *, variance_floor: float = VARIANCE_FLOOR) -> None:
        super().__init__()
        self.variance_floor = variance_floor
        self.hidden = conv(1, 3 * channels, hidden, bias=True)
        self.act = nn.Tanh()
        self.scores = conv(1, hidden, channels, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """Frames `(N, channels, T)` to the weighted mean and standard deviation, `(N, 2 * channels)`."""
        uniform = x.new_full((), 1 / x.shape[2])
        context = statistics(x, uniform, self.variance_floor).unsqueeze(2).expand(-1, -1, x.shape[2])
        scores = self.scores(self.act(self.hidden(torch.cat((x, context), 1))))
        return statistics(x, scores.softmax(2), self.variance_floor)


def statistics(x: Tensor, weights: Tensor, variance_floor: float = VARIANCE_FLOOR) -> Tensor:
    """Weighted mean and standard deviation over time, `(N, C, T)` to `(N, 2 C)`, with weights that sum to 1."""
    mean = (x * weights).sum(2)
    variance = ((x - mean.unsqueeze(2)).square() * weights).sum(2)
    return torch.cat((mean, variance.clamp_min(variance_floor).sqrt()), 1)


class EcapaTdnn(Backbone):
    """ECAPA-TDNN: a convolution of 5 frames, three `SERes2Block`s, and an embedding from attentive statistics.

    `features` gives the first convolution and each block, all at stride 1. `embed` gives the embedding of a whole
    signal, and `forward` the logits of a linear classifier on it. Without a classifier `forward` returns the last
    features, like every backbone; `embed` works all the same.

    Args:
        channels: number of channels of a frame; 512 and 1024 in the source.
        embedding: number of dimensions of the embedding.
        num_classes: number of speakers of the classifier (5994 in the training part of VoxCeleb2); 0 for no classifier.
        in_channels: number of input features of a frame.
        output_stride: only 1 is possible.
        scale: as in `SERes2Block`.
        summed_inputs: whether a block receives the sum of the outputs of all layers before it (section 3.3 of the
            source) instead of the last one only.
        variance_floor: lower bound of a variance before its square root: 1e-5, or 1e-7 as in wespeaker. Weights need
            the one that they were trained with.
        drop_path_rate: probability of dropping the last block in training; it rises linearly from 0 at the first.

    Shape: `(N, in_channels, T)` to `(N, num_classes)`.

    Raises:
        InputError: an option is out of range.
    """

    input_layer_name = "stem.0"

    def __init__(
        self,
        channels: int = 512,
        *,
        embedding: int = 192,
        num_classes: int = 5994,
        in_channels: int = 80,
        output_stride: int | None = None,
        scale: int = 8,
        summed_inputs: bool = True,
        variance_floor: float = VARIANCE_FLOOR,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__(num_classes, in_channels, dims=1)
        for what, value in (("Channels", channels), ("Embedding", embedding), ("Scale", scale)):
            check_positive(what, value)
        if channels % scale:
            raise InputError(f"Scale {scale} does not divide {channels} channels: choose one that does.")
        check_range("Variance floor", variance_floor, 1e-12, 1.0)
        check_fixed_stride(output_stride, 1, "this network has no stride that dilation could replace")
        self.summed_inputs = summed_inputs
        self.stem = dense_layer(in_channels, channels, 5)
        self.blocks = nn.ModuleList(
            SERes2Block(channels, dilation=dilation, scale=scale, drop_path=rate)
            for dilation, rate in zip(DILATIONS, rising(drop_path_rate, len(DILATIONS)), strict=True)
        )
        self.aggregation = nn.Sequential(conv(1, 3 * channels, AGGREGATED, bias=True), activation("relu"))
        self.pool = AttentiveStatistics(AGGREGATED, variance_floor=variance_floor)
        self.bn = norm_layer("batch", 2 * AGGREGATED, 1)
        self.embedding = nn.Linear(2 * AGGREGATED, embedding)
        self.embedding_bn = norm_layer("batch", embedding, 1)
        self.fc = nn.Linear(embedding, num_classes) if num_classes else nn.Identity()
        parts = numbered((name,) for name in ("stem", "blocks.0", "blocks.1", "blocks.2"))
        self.declare([Stage(channels, 1)] * len(parts), parts)
        initialise(self)

    def features(self, x: Tensor) -> list[Tensor]:
        """`(N, in_channels, T)` to the outputs of the first convolution and of each block, `(N, channels, T)`."""
        self.check_input(x)
        pyramid = [self.stem(x)]
        received = pyramid[0]
        for block in self.blocks:
            pyramid.append(block(received))
            received = received + pyramid[-1] if self.summed_inputs else pyramid[-1]
        return pyramid

    def embed(self, x: Tensor) -> Tensor:
        """`(N, in_channels, T)` to embeddings `(N, embedding)`."""
        return self._embed(self.features(x))

    def forward(self, x: Tensor) -> Tensor:
        """`(N, in_channels, T)` to logits `(N, num_classes)`, or to the last features without a classifier."""
        pyramid = self.features(x)
        return self.fc(self._embed(pyramid)) if self.num_classes else pyramid[-1]

    def _embed(self, pyramid: list[Tensor]) -> Tensor:
        frames = self.aggregation(torch.cat(pyramid[1:], 1))
        return self.embedding_bn(self.embedding(self.bn(self.pool(frames))))


register(
    EcapaTdnn,
    "ECAPA-TDNN: the embedding of a voice, in one dimension (Desplanques et al., Interspeech 2020)",
    {f"ecapa_tdnn_{channels}": {"channels": channels} for channels in (512, 1024)},
)

"""Graphs of published implementations, which connect layers of the same shapes in different ways."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from res2net.errors import check_choice
from res2net.nn.res2conv import Mode, PassThrough

GraphName: TypeAlias = Literal["official", "mmdet", "paddle", "detectron2", "maskrcnn"]


@dataclass(frozen=True)
class Graph:
    """Options of blocks in which implementations differ.

    A "first block" is the first block of a stage. All of them but that of layer1 have a stride, also where dilation
    replaces it.
    """

    about: str
    """The implementations that compute this graph."""
    layer1_mode: Mode = "stage"
    """Mode of the first block of layer1."""
    layer1_pass_through: PassThrough = "pool"
    """What the last split of the first block of layer1 goes through."""
    stage_pass_through: PassThrough = "pool"
    """What the last split of the other first blocks goes through."""
    pool_counts_padding: bool = True
    """Whether that pooling counts the zeros around the image."""
    stride_in_1x1: bool = False
    """Whether the stride of a block is in its first 1x1 convolution instead of the 3x3 convolutions."""


GRAPHS: dict[GraphName, Graph] = {
    "official": Graph("the official code, timm, MMPretrain, Jittor"),
    # Its source pools only beside a stride; no published checkpoint has confirmed it.
    "mmdet": Graph("MMDetection", layer1_pass_through="identity"),
    # Only its blocks of stride 2 are "stage" blocks, and its average pooling excludes padding.
    "paddle": Graph(
        "PaddleClas", layer1_mode="hierarchical", layer1_pass_through="identity", pool_counts_padding=False
    ),
    # Strides come before the 3x3 convolutions, so none of these has one and nothing is pooled.
    "detectron2": Graph(
        "the authors' fork of Detectron2",
        layer1_pass_through="identity",
        stage_pass_through="identity",
        stride_in_1x1=True,
    ),
    "maskrcnn": Graph("the authors' fork of maskrcnn-benchmark", stride_in_1x1=True),
}
"""The graphs by name. The same weights in another graph give other logits, without any error."""


def choose_graph(name: GraphName, **options: Any) -> Graph:
    """The graph of that name, with the options that are given and not None in place of its own."""
    check_choice("Graph", name, GRAPHS)
    return dataclasses.replace(
        GRAPHS[name], **{option: value for option, value in options.items() if value is not None}
    )

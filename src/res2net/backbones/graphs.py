"""Graphs of published implementations, which connect layers of the same shapes in different ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from res2net.errors import check_choice
from res2net.nn.res2conv import Mode, PassThrough

__all__ = ["GRAPHS", "Graph", "GraphName", "choose_graph"]

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

    def first_block(self) -> Mapping[str, Any]:
        """Options of the first block of a stage that has a stride."""
        return {"mode": "stage", "pass_through": self.stage_pass_through}

    def first_block_of_layer1(self) -> Mapping[str, Any]:
        """Options of the first block of layer1."""
        return {"mode": self.layer1_mode, "pass_through": self.layer1_pass_through}

    def every_block(self) -> Mapping[str, Any]:
        """Options of all blocks."""
        return {"pool_counts_padding": self.pool_counts_padding, "stride_in_1x1": self.stride_in_1x1}


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


def choose_graph(
    name: GraphName,
    *,
    layer1_mode: Mode | None = None,
    layer1_pass_through: PassThrough | None = None,
    stage_pass_through: PassThrough | None = None,
    pool_counts_padding: bool | None = None,
    stride_in_1x1: bool | None = None,
) -> Graph:
    """The graph of that name, with the options that are given in place of its own.

    `stage_pass_through` also applies to layer1 unless `layer1_pass_through` is given.

    Raises:
        InputError: the name is unknown; the message names the nearest.
    """
    check_choice("Graph", name, GRAPHS)
    given: dict[str, Any] = {
        "layer1_mode": layer1_mode,
        "layer1_pass_through": layer1_pass_through or stage_pass_through,
        "stage_pass_through": stage_pass_through,
        "pool_counts_padding": pool_counts_padding,
        "stride_in_1x1": stride_in_1x1,
    }
    return dataclasses.replace(GRAPHS[name], **{option: value for option, value in given.items() if value is not None})

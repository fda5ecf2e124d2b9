"""Where published implementations disagree: layers of the same shapes, connected in another way."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from res2net.errors import check_choice

__all__ = ["GRAPHS", "Graph", "choose_graph"]


@dataclass(frozen=True)
class Graph:
    """Options of the blocks in which implementations differ.

    A "first block" is the first of a stage. All of them but that of layer1 have a stride of their own, also where
    dilation replaces it.
    """

    about: str
    """Who computes so."""
    layer1_mode: str = "stage"
    """Of the first block of layer1: "stage" has no additions between its splits, "hierarchical" has them."""
    layer1_pass_through: str = "pool"
    """What the last split of that block goes through."""
    stage_pass_through: str = "pool"
    """What the last split of the other first blocks goes through."""
    pool_counts_padding: bool = True
    """Whether that pooling counts the zeros around the image."""
    stride_in_1x1: bool = False
    """Whether the first 1x1 convolution of a block has its stride, and not the 3x3 convolutions."""

    def first_block(self) -> Mapping[str, Any]:
        """Options of the first block of a stage that has a stride."""
        return {"mode": "stage", "pass_through": self.stage_pass_through}

    def first_block_of_layer1(self) -> Mapping[str, Any]:
        """Options of the first block of layer1."""
        return {"mode": self.layer1_mode, "pass_through": self.layer1_pass_through}

    def every_block(self) -> Mapping[str, Any]:
        """Options of all blocks."""
        return {"pool_counts_padding": self.pool_counts_padding, "stride_in_1x1": self.stride_in_1x1}


GRAPHS: dict[str, Graph] = {
    "official": Graph("the official code, timm, MMPretrain, Jittor"),
    # As its source says, which pools only beside a stride; no published file has confirmed it.
    "mmdet": Graph("MMDetection", layer1_pass_through="identity"),
    # Its "stage" blocks are those of stride 2, and its average pooling is exclusive.
    "paddle": Graph(
        "PaddleClas", layer1_mode="hierarchical", layer1_pass_through="identity", pool_counts_padding=False
    ),
    # The stride is in front of the 3x3 convolutions: none of them has one, and nothing is pooled.
    "detectron2": Graph(
        "the authors' fork of Detectron2",
        layer1_pass_through="identity",
        stage_pass_through="identity",
        stride_in_1x1=True,
    ),
    "maskrcnn": Graph("the authors' fork of maskrcnn-benchmark", stride_in_1x1=True),
}
"""By name. The same weights in another graph give other logits, without any error."""


def choose_graph(
    name: str,
    *,
    layer1_mode: str | None = None,
    layer1_pass_through: str | None = None,
    stage_pass_through: str | None = None,
    pool_counts_padding: bool | None = None,
    stride_in_1x1: bool | None = None,
) -> Graph:
    """The graph of that name, with other options where they are given.

    A `stage_pass_through` that is given holds for layer1 too, unless `layer1_pass_through` is.

    Raises:
        InputError: there is no graph of that name; the nearest is named.
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

"""How a network is exported. Nothing here needs torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from res2net.engine.options import BadImages
from res2net.errors import InputError, check_choice
from res2net.options import check_literals, check_ranges

Format = Literal["pt2", "onnx", "openvino", "aoti"]
FORMATS = {"pt2": ".pt2", "onnx": ".onnx", "openvino": ".xml", "aoti": ".aoti.pt2"}
"""Each format with the ending of its files; OpenVINO writes the weights beside, in a file that ends in `.bin`."""
Int8Format = Literal["pt2", "onnx", "openvino"]
INT8_FORMATS: tuple[Int8Format, ...] = get_args(Int8Format)
"""The formats that can be quantized."""
RUNS_CODE = ("pt2", "aoti")
"""The formats of torch. Opening such a file can run any code that its author put into it, so it needs trust."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """How a network is exported.

    Raises:
        InputError: a value is unknown or out of range, or two do not go together.
    """

    to: Format
    """Format: pt2 runs in torch, onnx in ONNX Runtime, openvino in OpenVINO; aoti is compiled by torch for this
    machine."""
    out: Annotated[str | None, "FILE"] = None
    """The file to write; by default the model's name with the ending of the format, in the current folder."""
    batch_size: int = 1
    """Images per batch."""
    dynamic_batch: bool = False
    """Accept batches of any size."""
    size: int | tuple[int, int] | None = None
    """Side of the images, or height and width, pixels; by default the size of the weights."""
    features: bool = False
    """Export the feature pyramid instead of the task's outputs."""
    int8: bool = False
    """Quantize to 8-bit integers (pt2, onnx and openvino); needs --calibrate."""
    calibrate: Annotated[str | None, "FOLDER"] = None
    """A few hundred images on which the ranges of activations are measured."""
    images: Annotated[str | None, "FOLDER"] = None
    """Images on which the file is compared with the network; by default those of --calibrate, or synthetic ones."""
    bad_images: BadImages = "stop"
    """At an image that cannot be read, stop, or skip it."""
    score_threshold: float | None = None
    """Minimum score of the objects that an exported detector returns; by default as in the training."""
    nms_threshold: float | None = None
    """Intersection over union of two detections of a class above which an exported detector keeps only the
    higher-scoring one; by default as in the training."""
    detections: int | None = None
    """Maximum detections per image of an exported detector; by default as in the training."""
    overwrite: bool = False
    """Replace existing files."""

    def __post_init__(self) -> None:
        check_literals(self)
        check_ranges(self, batch_size=(1, math.inf), size=(1, math.inf))
        if self.int8 != (self.calibrate is not None):
            raise InputError("--int8 and --calibrate FOLDER belong together: give both, or none of them.")
        if self.int8:
            check_choice("Format with int8", self.to, INT8_FORMATS)

    @property
    def limits(self) -> dict[str, float]:
        """The options of a detector that differ from its training."""
        names = ("score_threshold", "nms_threshold", "detections")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @property
    def sides(self) -> tuple[int, int] | None:
        """Height and width."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

"""How a network is exported. Nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from res2net.errors import InputError, check_choice, check_range

__all__ = ["FORMATS", "INT8_FORMATS", "ExportSettings", "Int8Format"]

FORMATS = {"pt2": ".pt2", "onnx": ".onnx", "openvino": ".xml", "aoti": ".aoti.pt2"}
"""Each format with the ending of its files; OpenVINO writes the weights beside, in a file that ends in `.bin`."""
Int8Format = Literal["pt2", "onnx", "openvino"]
INT8_FORMATS: tuple[Int8Format, ...] = get_args(Int8Format)
"""The formats that can be quantized."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """How a network is exported.

    Raises:
        InputError: a value is unknown or out of range, or two do not go together.
    """

    to: str
    """pt2 (torch), onnx, openvino, or aoti (compiled by torch for this machine)."""
    out: str | None = None
    """The file to write; by default the model's name with the format's ending, in this folder."""
    batch_size: int = 1
    """Images at a time."""
    dynamic_batch: bool = False
    """Take any number of images at a time."""
    size: int | tuple[int, int] | None = None
    """Side of the images, pixels, or height and width; by default that of the weights."""
    features: bool = False
    """Export the pyramid of features instead of the task's outputs."""
    int8: bool = False
    """Quantize to 8-bit integers, for pt2, onnx and openvino; needs --calibrate."""
    calibrate: str | None = None
    """Folder of a few hundred images on which the ranges of values are measured."""
    images: str | None = None
    """Folder of images on which the file is compared with the network; by default those of --calibrate, or synthetic
    ones."""
    bad_images: str = "stop"
    """An image that cannot be read: "stop" there, or "skip" it."""
    overwrite: bool = False
    """Replace existing files."""

    def __post_init__(self) -> None:
        check_choice("Format", self.to, FORMATS)
        check_choice("Treatment of bad images", self.bad_images, ("stop", "skip"))
        check_range("batch size", self.batch_size, 1)
        for side in self.sides or ():
            check_range("size", side, 1)
        if self.int8 != (self.calibrate is not None):
            raise InputError("--int8 and --calibrate FOLDER belong together: give both, or none of them.")
        if self.int8:
            check_choice("Format with int8", self.to, INT8_FORMATS)

    @property
    def sides(self) -> tuple[int, int] | None:
        """Height and width."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

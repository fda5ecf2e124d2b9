"""Networks in whole numbers of 8 bits, by NNCF: ranges of values are measured on pictures, weights are not trained."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from torch import Tensor

from res2net.errors import InputError
from res2net.export.needs import needs_export, quiet

__all__ = ["INT8_FORMATS", "quantized"]

INT8_FORMATS = ("openvino", "onnx")


def quantized(model: Any, pictures: Iterable[Tensor], *, input_name: str | None = None) -> Any:
    """The same network of OpenVINO or ONNX with its convolutions and matrix products in int8.

    Args:
        model: as OpenVINO or ONNX has it.
        pictures: batches `(N, C, H, W)` of the network's own batch size, such as those that it will see.
        input_name: of an ONNX network.

    Raises:
        InputError: there are no pictures, or NNCF is not installed.
    """
    with needs_export("Int8"):
        import nncf
    arrays = [batch.numpy() for batch in pictures]
    if not arrays:
        raise InputError("Int8 needs pictures to measure ranges of values on: give a folder with some (--calibrate).")
    items = [{input_name: array} for array in arrays] if input_name else arrays
    with quiet(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        return nncf.quantize(model, nncf.Dataset(items), preset=nncf.QuantizationPreset.MIXED, subset_size=len(items))

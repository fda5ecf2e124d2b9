"""Our backbones as encoders of segmentation_models.pytorch (https://github.com/qubvel-org/segmentation_models.pytorch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from res2net.backbones.base import Stage
from res2net.backbones.registry import family_example, variant, variant_names
from res2net.errors import InputError, check_choice
from res2net.optional import needs
from res2net.weights import records
from res2net.weights.load import why_unusable
from res2net.zoo import create_model

with needs("This adapter", "segmentation_models_pytorch", extra="adapters"):
    import segmentation_models_pytorch as smp
    from segmentation_models_pytorch.encoders import encoders
    from segmentation_models_pytorch.encoders._base import EncoderMixin

PREFIX = "res2net/"
"""Prefix of our names among the encoders."""
ARCHITECTURES = ("unet", "unetplusplus", "manet", "linknet", "fpn", "pspnet", "pan", "upernet")
"""Architectures of the library whose decoders accept any pyramid."""
DILATED = ("unet", "pspnet", "pan", "upernet")
"""Architectures that also accept stages with the same stride."""
DECODER_CHANNELS = (256, 128, 64, 32, 16)
"""Decoder channels of U-Nets, of which the last are used, one for each stage."""
DECLARED = PREFIX + "declared"


def register() -> list[str]:
    """Add the backbones for images to the encoders, and return their names there.

    A name is `res2net/` and our name, for published weights followed by `.` and their tag, as in
    `smp.Unet("res2net/res2net50_26w_4s.in1k", encoder_weights=None)`. `encoder_weights` is always None, since the
    library takes its own weights from one hub only. `res2net.weights.find_record` has the preprocessing of images.

    Another call adds backbones that were registered since.
    """
    names: dict[str, tuple[str, str | None]] = {}
    for name in variant_names():
        model = family_example(variant(name).build)
        halves = all(stage.stride == 2**level for level, stage in enumerate(model.stages, start=1))
        if halves and model.dims == variant(name).options.get("dims", 2) == 2:
            tags = [record.tag for record in records(name) if not why_unusable(record)]
            names |= {PREFIX + ".".join(filter(None, (name, tag))): (name, tag) for tag in (None, *tags)}
    for full, (name, tag) in names.items():
        params = {"name": name, "weights": tag}
        encoders[full] = {"encoder": PyramidEncoder, "params": params, "pretrained_settings": {}}
    return list(names)


class PyramidEncoder(nn.Module, EncoderMixin):  # type: ignore[misc] # mypy does not see the class
    """A backbone that returns the image and a map of each stage for the decoders of segmentation_models.pytorch.

    Args:
        name: one of `res2net.list_models()`.
        weights: a tag or a file, as in `res2net.create_model`.
        depth: number of stages, the stem first; the others are removed.
        output_stride: 32, 16 or 8, as far as the model allows.

    Shape: `(N, in_channels, H, W)` to the image and `depth` maps `(N, channels, H / stride, W / stride)`.

    Raises:
        InputError: as in `res2net.create_model`, or the network has fewer stages, or stages that do not halve the size.
    """

    def __init__(self, name: str, weights: str | None = None, *, depth: int = 5, output_stride: int = 32) -> None:
        super().__init__()
        self.name, self.weights = name, weights
        self._depth, self._output_stride = depth, output_stride
        self.set_in_channels(3)

    def set_in_channels(self, in_channels: int, pretrained: bool = True) -> None:
        """Build the network for this number of image channels, to which published weights are adapted.

        The library calls this when it makes an encoder. `pretrained` has no effect: the name has the weights.
        """
        options: dict[str, Any] = {} if self._output_stride == 32 else {"output_stride": self._output_stride}
        options |= {"num_classes": 0, "in_channels": in_channels, "adapt_classifier": True, "adapt_input": True}
        backbone = create_model(self.name, self.weights, **options)
        expected = [min(2**level, self._output_stride) for level in range(1, self._depth + 1)]
        if [stage.stride for stage in backbone.stages[: self._depth]] != expected:
            found = ", ".join(str(stage.stride) for stage in backbone.stages)
            raise InputError(
                f"{self.name} has stages of strides {found} and decoders of depth {self._depth} read strides "
                f"{', '.join(map(str, expected))}: choose another network or encoder_depth."
            )
        self.backbone = backbone.keep_stages(self._depth)
        self._in_channels = in_channels
        self._out_channels = [in_channels, *(stage.channels for stage in backbone.stages)]

    def make_dilated(self, output_stride: int) -> None:
        """Do nothing, since the network already has its output stride; the library calls this for every encoder."""

    def forward(self, x: Tensor) -> list[Tensor]:
        """`(N, in_channels, H, W)` to the image itself and the maps, finest first."""
        return [x, *self.backbone.features(x)[: self._depth]]


def make_decoder(architecture: str, stages: Sequence[Stage], num_classes: int) -> tuple[nn.Module, nn.Module]:
    """Build the decoder of an architecture for the stages of a backbone, and the layers that make its logits.

    The decoder takes a list of maps, of which the first is the image, whose values it does not use. There are up to
    five stages, of strides 2, 4, 8 and so on, the last two of which may have the same. Raises `InputError` for other
    strides, or if the architecture does not accept them.
    """
    check_choice("Architecture", architecture, ARCHITECTURES)
    strides = [stage.stride for stage in stages]
    depth = len(strides)
    last = strides[-1] if architecture in DILATED else 2**depth
    fits = [min(2**level, last) for level in range(1, depth + 1)] == strides
    options: dict[str, Any] = {"encoder_depth": depth}
    if architecture in ("unet", "unetplusplus", "manet"):
        options["decoder_channels"] = DECODER_CHANNELS[-depth:]
    if architecture == "pspnet":
        options["upsampling"] = strides[-1]
    if strides[-1] < 2**depth:
        options["encoder_output_stride"] = strides[-1]
    encoders[DECLARED] = {
        "encoder": _Declared,
        "params": {"channels": [stage.channels for stage in stages]},
        "pretrained_settings": {},
    }
    try:
        if not fits or depth > len(DECODER_CHANNELS):
            raise ValueError("strides")
        model = smp.create_model(architecture, DECLARED, encoder_weights=None, classes=num_classes, **options)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The decoder {architecture} cannot read stages of strides {', '.join(map(str, strides))}: "
            "choose another network or output stride, or the decoder deeplabv3plus."
        ) from error
    finally:
        del encoders[DECLARED]
    return model.decoder, model.segmentation_head


class _Declared(nn.Module, EncoderMixin):  # type: ignore[misc] # mypy does not see the class
    """A stand-in that declares the channels of an encoder, for which the library makes decoders."""

    def __init__(self, channels: Sequence[int], depth: int = 5, output_stride: int = 32) -> None:
        super().__init__()
        self._depth, self._output_stride, self._in_channels = depth, output_stride, 3
        self._out_channels = [3, *channels[:depth]]

    def set_in_channels(self, in_channels: int, pretrained: bool = True) -> None:
        """Do nothing, since there is no convolution."""

    def make_dilated(self, output_stride: int) -> None:
        """Do nothing, since there is no convolution."""

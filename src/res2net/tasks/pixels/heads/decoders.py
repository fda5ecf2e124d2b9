"""The decoders by name; each file of this folder registers its own."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from res2net.backbones.base import Stage
from res2net.errors import check_choice
from res2net.tasks.pixels.heads.network import Decoder

__all__ = ["DecoderBuilder", "build_decoder", "decoder_names", "register_decoder"]

DecoderBuilder = Callable[[Sequence[Stage], int, int], Decoder]
"""Makes a decoder of the stages of a backbone, the values of a pixel, and the channels within."""

_DECODERS: dict[str, DecoderBuilder] = {}


def register_decoder(name: str) -> Callable[[DecoderBuilder], DecoderBuilder]:
    """Decorator for a function, or a class, that makes a decoder: `build_decoder(name, ...)` then calls it."""

    def register(build: DecoderBuilder) -> DecoderBuilder:
        if name in _DECODERS:
            raise ValueError(f"decoder {name!r} is registered twice")
        _DECODERS[name] = build
        return build

    return register


@cache
def _all_decoders() -> dict[str, DecoderBuilder]:
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"{__package__}.{module.name}")
    return _DECODERS


def decoder_names() -> list[str]:
    """The names of all decoders."""
    return sorted(_all_decoders())


def build_decoder(name: str, stages: Sequence[Stage], num_classes: int, channels: int = 256) -> Decoder:
    """A decoder on a pyramid.

    Args:
        name: one of `decoder_names()`.
        stages: of the backbone, finest first.
        num_classes: values of a pixel.
        channels: within the decoder.

    Raises:
        InputError: there is no such decoder, or it cannot read these stages.
    """
    check_choice("Decoder", name, _all_decoders())
    return _all_decoders()[name](stages, num_classes, channels)

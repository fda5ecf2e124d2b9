"""What is true of an image, kept as it is in the file beside what the network sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from res2net.images.transforms import Transform

__all__ = ["WithTruth"]


class WithTruth:
    """A transform of evaluation that leaves what is true as it is in the file, under `truth`, for exact numbers."""

    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    def __call__(self, image: Any, target: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The image as the network sees it, and what is noted of it, with all that is true."""
        index = {name: target[name] for name in ("index", "image_id") if name in target}
        prepared, noted = self.transform(image, index)
        return prepared, noted | {"truth": {name: value for name, value in target.items() if name not in index}}

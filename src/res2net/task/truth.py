"""Keep the untransformed annotations of a sample, so that scores are computed at the resolution of the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from res2net.images.transforms import Transform

__all__ = ["WithTruth"]


class WithTruth:
    """Wraps an evaluation transform and adds the untransformed annotations of the sample under `truth`."""

    def __init__(self, transform: Transform) -> None:
        self.transform = transform

    def __call__(self, image: Any, target: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The transformed image, and what the transform returned beside it, with the annotations as `truth`."""
        identifiers = {name: target[name] for name in ("index", "image_id") if name in target}
        prepared, noted = self.transform(image, identifiers)
        return prepared, noted | {"truth": {name: value for name, value in target.items() if name not in identifiers}}

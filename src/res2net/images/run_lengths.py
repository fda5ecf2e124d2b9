"""Map detections back to the coordinates of the original image, and encode masks as COCO run lengths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from faster_coco_eval.core import mask as coco_mask
from numpy.typing import NDArray
from torch import Tensor
from torchvision.models.detection.roi_heads import expand_boxes, expand_masks, paste_mask_in_image
from torchvision.models.detection.transform import resize_boxes, resize_keypoints


def to_original(
    detections: Mapping[str, Tensor], size_now: tuple[int, int], original_size: tuple[int, int]
) -> dict[str, Tensor]:
    """Map the `boxes` `(m, 4)` and `keypoints` `(m, k, 2)` of one image to pixels of the original image.

    Each axis has its own scale, since the sides are rounded when an image is resized. Boxes are clipped to the image.
    All other entries are unchanged, also masks within boxes, which `encoded_masks` takes. The sizes are height and
    width: as the detector saw the image, without padding, and those in its file.
    """
    mapped = dict(detections)
    if "boxes" in mapped:
        boxes = resize_boxes(mapped["boxes"], size_now, original_size)
        height, width = original_size
        mapped["boxes"] = boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))
    if "keypoints" in mapped:
        mapped["keypoints"] = resize_keypoints(mapped["keypoints"], size_now, original_size)
    return mapped


def encoded_masks(
    masks: Tensor, boxes: Tensor, original_size: tuple[int, int], threshold: float = 0.5
) -> Iterator[dict[str, Any]]:
    """Masks within boxes as COCO's run-length encodings of the whole image, `{"size": [H, W], "counts": str}`.

    The masks equal those of torchvision's `paste_masks_in_image` above `threshold`. They are computed one by one and
    only within their boxes, so that a hundred masks of a photo need little memory.

    Args:
        masks: probabilities `(m, s, s)`, each within its box.
        boxes: `(m, 4)` in pixels of the image, XYXY, within it.
        original_size: height and width of the image.
        threshold: probability above which a pixel belongs to the object.
    """
    height, width = original_size
    padded, scale = expand_masks(masks.detach().float().cpu()[:, None], padding=1)
    corners = expand_boxes(boxes.detach().float().cpu(), scale).long().tolist()
    for mask, (left, top, right, bottom) in zip(padded, corners, strict=True):
        x, y = max(left, 0), max(top, 0)
        rows, columns = min(bottom + 1, height) - y, min(right + 1, width) - x
        runs = [height * width]
        if rows > 0 and columns > 0:
            local_box = (left - x, top - y, right - x, bottom - y)
            part = (paste_mask_in_image(mask[0], local_box, rows, columns) > threshold).numpy()
            runs = _runs(part, y, x, original_size)
        counts = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)["counts"]
        yield {"size": [height, width], "counts": counts.decode("ascii") if isinstance(counts, bytes) else counts}


def _runs(part: NDArray[np.bool_], top: int, left: int, size: tuple[int, int]) -> list[int]:
    """The run lengths, column by column and outside first, of a mask in an image of that size that lies in `part`."""
    height, width = size
    if len(part) < height:
        part = np.pad(part, ((0, 1), (0, 0)))  # so that no run continues in the next column
    flat = np.pad(part.T.reshape(-1), 1)
    column, row = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), len(part))
    changes = (left + column) * height + top + row
    runs: list[int] = np.diff(changes, prepend=0).tolist()
    rest = height * width - sum(runs)
    return [*runs, rest] if rest else runs


def run_lengths(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Encode a mask `(H, W)` of a whole image as COCO run lengths, as JSON values."""
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    counts = encoded["counts"]
    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
    return {"size": [int(side) for side in encoded["size"]], "counts": text}


def decoded_masks(encoded: Sequence[Mapping[str, Any]]) -> Tensor:
    """Decode the COCO run lengths of one image to bool masks `(n, H, W)`."""
    return torch.from_numpy(coco_mask.decode([dict(one) for one in encoded])).permute(2, 0, 1).bool()

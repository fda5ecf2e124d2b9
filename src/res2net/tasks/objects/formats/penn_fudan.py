"""Penn-Fudan and data sets like it: each image has a mask in which the pixels of every object have its number.

The data set: https://www.cis.upenn.edu/~jshi/ped_html/, pedestrians in 170 images. A root has `PNGImages` (or
`Images`) and `PedMasks`, where the mask of `x.png` is `x_mask.png`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from res2net.images.decode import EXTENSIONS, BadImage, image_header
from res2net.images.faults import AnnotationReport
from res2net.images.splits import WHOLE
from res2net.tasks.objects.formats.collect import Collector, files_below
from res2net.tasks.objects.formats.images import Annotations
from res2net.tasks.objects.formats.masks import MaskFiles, read_ids

_IMAGES = ("PNGImages", "Images", "images")


def penn_fudan_splits(path: Path) -> list[str]:
    """`WHOLE` for a Penn-Fudan root, which is not split; else nothing."""
    is_root = (path / "PedMasks").is_dir() and any((path / name).is_dir() for name in _IMAGES)
    return [WHOLE] if is_root else []


def _without_inside(ids: NDArray[np.int64]) -> list[int]:
    """The numbers of a mask whose pixels all lie at an edge, if they are three or more and most of the numbers."""
    middle = ids[1:-1, 1:-1]
    neighbours = (ids[:-2, 1:-1], ids[2:, 1:-1], ids[1:-1, :-2], ids[1:-1, 2:])
    solid = np.logical_and.reduce([middle == one for one in neighbours])
    every = np.unique(ids[ids > 0])
    thin: list[int] = np.setdiff1d(every, middle[solid]).tolist()
    return thin if len(thin) >= 3 and 2 * len(thin) > len(every) else []


def read_penn_fudan(
    path: Path, labels: Sequence[str] | None, report: AnnotationReport, splits: Sequence[str] | None = None
) -> dict[str, Annotations]:
    """Read all images, as a single split; boxes are computed from the masks, which are all read."""
    del labels, splits  # even boxes require the masks, and there is one split
    folder = next(path / name for name in _IMAGES if (path / name).is_dir())
    masks = {Path(name).stem: path / "PedMasks" / name for name in sorted(files_below(path / "PedMasks"))}
    collector = Collector(str(path), report)
    files: list[str] = []
    numbers: list[int] = []
    for name in sorted(files_below(folder)):
        if not name.lower().endswith(EXTENSIONS):
            continue
        file = masks.get(f"{Path(name).stem}_mask") or masks.get(Path(name).stem)
        if file is None:
            report.add("missing mask file", folder / name, f"there is no {Path(name).stem}_mask in {path / 'PedMasks'}")
            continue
        try:
            size, orientation = image_header(folder / name)
            ids = read_ids(file, rgb=False)
        except BadImage as error:
            report.add("unreadable image", error.path, error.reason)
            continue
        if ids.shape not in (size, size[::-1] if orientation >= 5 else size):
            report.add("wrong size", file, f"it has {ids.shape} pixels (H, W) and its image {size}")
            continue
        if thin := _without_inside(ids):
            what = f"{len(thin)} numbers in it have no pixel inside, as smoothed edges and JPEG noise make them"
            report.add("bad mask", file, f"{what}: save masks in which each object has one number")
            continue
        height, width = ids.shape
        collector.start_image(str(folder / name), (height, width), file=file)
        files.append(str(file))
        for number in np.unique(ids[ids > 0]).tolist():
            mask = ids == number
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            box = [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]
            if collector.add(f"person {number}", 0, box, area=int(mask.sum())):
                numbers.append(number)
        collector.end_image()
    return {WHOLE: collector.finish(("person",), masks=MaskFiles(files, numbers, rgb=False))}

"""PASCAL VOC segmentation: palette PNGs, lists of the splits, and the augmented training list.

The format: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/. Published results train on 10,582 images: those
of VOC 2012 and of the Semantic Boundaries Dataset (Hariharan et al., 2011), listed in `trainaug.txt`, with their maps
in `SegmentationClassAug`.
"""

from __future__ import annotations

from pathlib import Path

from res2net.images.faults import AnnotationReport
from res2net.tasks.objects.formats.voc import VOC_CLASSES
from res2net.tasks.pixels.formats.classes import numbered
from res2net.tasks.pixels.formats.images import PixelFiles
from res2net.tasks.pixels.formats.pairs import files_by_stem, read_list

__all__ = ["VOC_PIXEL_CLASSES", "has_voc_segmentation", "read_voc_segmentation"]

VOC_PIXEL_CLASSES = ("background", *VOC_CLASSES)

_AUGMENTED = ("trainaug", "train_aug")
_MAPS = ("SegmentationClass", "SegmentationClassAug")


def has_voc_segmentation(path: Path) -> bool:
    """Whether a path is a PASCAL VOC root with class maps and lists of their images."""
    return bool(_years(path))


def _years(path: Path) -> list[Path]:
    inside = [path, path / "VOCdevkit"]
    inside += [folder for base in inside if base.is_dir() for folder in sorted(base.glob("VOC[0-9]*"))]
    return [
        folder
        for folder in inside
        if (folder / "JPEGImages").is_dir()
        and any((folder / name).is_dir() for name in _MAPS)
        and (_list(folder, "train") or _list(folder, _AUGMENTED[0]))
    ]


def _list(year: Path, split: str) -> Path | None:
    file = year / "ImageSets" / "Segmentation" / f"{split}.txt"
    return file if file.is_file() else None


def read_voc_segmentation(path: Path, report: AnnotationReport) -> list[PixelFiles]:
    """The split `trainaug` if it exists with `SegmentationClassAug`, else `train`; and the split `val`.

    Without a `val` list, there is a single split. If there are several years, the last is used, since it includes the
    images of the others.
    """
    year = _years(path)[-1]
    augmented = next((file for name in _AUGMENTED if (file := _list(year, name))), None)
    if not (year / "SegmentationClassAug").is_dir():
        augmented = None
    train, val = augmented or _list(year, "train"), _list(year, "val")
    images = files_by_stem(year / "JPEGImages")
    plain, more = (files_by_stem(year / name, (".png",)) if (year / name).is_dir() else {} for name in _MAPS)
    classes = numbered(dict(enumerate(VOC_PIXEL_CLASSES)))
    coding = classes.coding()
    splits = []
    for file, maps in ((train, more | plain if not augmented else plain | more), (val, more | plain)):
        if file is None:
            continue
        found = []
        for stem in read_list(file):
            if stem not in images:
                report.add("missing image", file, f"there is no image {stem!r} in {year / 'JPEGImages'}")
            elif stem not in maps:
                report.add("missing mask file", file, f"there is no {stem}.png in {year / _MAPS[0]}")
            else:
                found.append((images[stem], maps[stem]))
        image_paths, map_paths = [pair[0] for pair in found], [pair[1] for pair in found]
        splits.append(PixelFiles(str(file), "semantic", classes.names, image_paths, map_paths, coding))
    return splits

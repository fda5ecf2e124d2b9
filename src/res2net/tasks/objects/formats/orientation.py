"""Whether annotations are for images as EXIF turns them upright, or as their files store them."""

from __future__ import annotations

from collections.abc import Sequence

from res2net.images.decode import BadImage, image_header
from res2net.images.faults import AnnotationReport
from res2net.images.samples import evenly_spaced

LOOKED_AT = 500
"""Number of images whose headers are read at most."""


def are_for_stored(
    paths: Sequence[str], sizes: Sequence[Sequence[int]], name: str, report: AnnotationReport, *, sizes_are_stated: bool
) -> bool:
    """Whether the annotations of a data set are for images as they are stored, from the sizes that they state.

    Only images that EXIF turns by a quarter tell; what they say holds for those that are turned by a half or mirrored,
    too. If there are none of them, annotations are taken to be for upright images. What is assumed is noted.

    Args:
        paths: paths of the images, of which up to `LOOKED_AT` are looked at.
        sizes: height and width of each, as the annotations state them.
        name: the name of the data set, for notes.
        report: the report for notes.
        sizes_are_stated: false if the sizes are those of upright images since the annotations state none.
    """
    turned = upright = stored = 0
    for index in evenly_spaced(len(paths), LOOKED_AT):
        try:
            size, orientation = image_header(paths[index])
        except BadImage:  # it is reported when it is read
            continue
        turned += orientation > 1
        if orientation >= 5 and size[0] != size[1] and sizes_are_stated:
            upright += tuple(sizes[index]) == size
            stored += tuple(sizes[index]) == size[::-1]
    if not turned or (upright and not stored):
        return False
    images = f"{turned} of {min(len(paths), LOOKED_AT)} images of {name} are turned by their EXIF orientation"
    if stored and upright:
        more = "as stored" if stored > upright else "as upright"
        report.remark(
            f"{images}: {stored} are annotated as stored and {upright} as upright; all whose size does not tell "
            f"are taken {more}."
        )
    elif stored:
        report.remark(f"{images}, and annotated as they are stored: they are used as stored, not turned.")
    else:
        report.remark(
            f"{images}, and their annotations do not tell whether they were made on upright ones: this is assumed."
        )
    return stored > upright

"""Reading and writing volumes in NIfTI files, by nibabel."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from res2net.errors import InputError
from res2net.files import check_regular
from res2net.images.decode import BadImage
from res2net.images.folder import list_files
from res2net.optional import muted, needs, quiet
from res2net.weights import atomic_write

ENDINGS = (".nii.gz", ".nii")
MOST_VOXELS = 2**29
"""Voxels of a volume at most: 512 x 512 x 2048."""
FARTHEST = 2**28
"""The byte of a file at which its voxels begin at most; headers can have extensions."""
DENSEST = 1032
"""Bytes that one byte of a gzip file stands for at most."""
NUMBERS = "biuf"
"""Kinds of numpy types that are plain numbers."""
MAX_SHIFT = 0.5
"""Distance in voxels of the scan, along any axis, below which the headers of a scan and its labels agree: headers are
rounded."""
UPRIGHT = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
"""nibabel's orientation of a file whose axes are those of space."""


@contextlib.contextmanager
def needs_volumes() -> Iterator[None]:
    """Turn a failed import of a library for volumes into an `InputError`, and suppress what MONAI's imports log."""
    with quiet(), needs("The volumes task", "monai", "nibabel", "scipy", extra="volumes"):
        yield


quiet_nibabel = partial(muted, "nibabel.global")
"""Suppresses what nibabel logs about odd headers; it raises what matters."""


@dataclass(frozen=True)
class Volume:
    """A scan whose axes run from feet to head, from back to front and from left to right.

    These are NIfTI's usual axes (RAS+) in the order in which torch has them, slices first.
    """

    voxels: Tensor
    """`(D, H, W)`, float32; of CT in Hounsfield units."""
    spacing: tuple[float, float, float]
    """Distance of neighbouring voxels along each of these axes, mm."""
    affine: NDArray[np.float64]
    """`(4, 4)`, from indices of the file to mm in space."""
    orientation: NDArray[np.float64]
    """`(3, 2)`, nibabel's: for each axis of the file the axis of space and its direction."""
    path: str = ""
    """Of the file, where there is one."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, height and width, voxels."""
        slices, height, width = self.voxels.shape
        return slices, height, width

    def without_voxels(self) -> Volume:
        """Where it lies, for the file of a result, without what it holds."""
        return Volume(torch.empty(0), self.spacing, self.affine, self.orientation, self.path)

    @classmethod
    def from_array(cls, voxels: Any, spacing: Sequence[float] = (1.0, 1.0, 1.0)) -> Volume:
        """A volume in memory, with the origin in its first voxel.

        Args:
            voxels: an array or a tensor `(D, H, W)`, slices first, with the axes of this class.
            spacing: distance of slices, rows and columns, mm.

        Raises:
            InputError: the array has another shape, or holds something other than finite numbers; or a distance is
                not above 0.
        """
        array = voxels.detach().cpu().numpy() if isinstance(voxels, Tensor) else np.asarray(voxels)
        if array.ndim != 3 or not array.size or array.dtype.kind not in NUMBERS or not np.isfinite(array).all():
            raise InputError(
                f"An array of shape {array.shape} and type {array.dtype} is not a volume: give finite numbers "
                "(D, H, W), slices first."
            )
        z, y, x = map(float, spacing)
        if not 0 < min(z, y, x) <= max(z, y, x) < math.inf:
            raise InputError(f"A spacing of {z:g} x {y:g} x {x:g} mm does not fit: give three distances above 0.")
        affine = np.diag([x, y, z, 1.0])
        return cls(torch.from_numpy(array.astype(np.float32)), (z, y, x), affine, UPRIGHT)


def list_volumes(path: str | Path) -> list[Path]:
    """The file itself, or all NIfTI files below a folder, sorted; `InputError` if there are none."""
    return list_files(path, ENDINGS, "a volume", "volumes")


def volume_name(path: Path) -> str:
    """The name of a NIfTI file without its ending."""
    return re.sub(r"\.nii(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def read_volume(path: str | Path) -> Volume:
    """Read the scan in a NIfTI file; `BadImage` unless it has three dimensions and finite numbers."""
    array, spacing, affine, orientation = _read(path)
    voxels = torch.from_numpy(array.astype(np.float32))
    bad = int((~voxels.isfinite()).sum())
    if bad:
        raise bad_volume(path, f"{bad:,} of its {voxels.numel():,} voxels are no numbers (NaN or infinite)")
    return Volume(voxels, spacing, affine, orientation, str(path))


def read_label_map(
    path: str | Path, classes: int | Sequence[int] | None = None, affine: NDArray[np.float64] | None = None
) -> Tensor:
    """Read the class of each voxel in a NIfTI file, `(D, H, W)` uint8 with the axes of `Volume`.

    Args:
        path: the file.
        classes: the sorted labels of the classes, or how many there are from 0 on; by default 256.
        affine: the affine of the file's voxels; by default that of its header.

    Raises:
        BadImage: it has other labels, or `read_volume` could not read it.
    """
    labels = whole_labels(path, affine)
    known = np.arange(256 if classes is None else classes) if classes is None or isinstance(classes, int) else classes
    numbers = np.asarray(known)
    found = np.searchsorted(numbers, labels).clip(max=len(numbers) - 1)
    if not np.array_equal(numbers[found], labels):
        wrong = np.setdiff1d(labels, numbers)
        whole = len(numbers) == numbers[-1] + 1
        shown = f"0 to {numbers[-1]}" if whole else ", ".join(map(str, numbers))
        raise bad_volume(path, f"it has labels from {wrong.min()} to {wrong.max()}, and classes are {shown}")
    return torch.from_numpy(found.astype(np.uint8))


def whole_labels(path: str | Path, affine: NDArray[np.float64] | None = None) -> NDArray[np.int64]:
    """The labels `(D, H, W)` of a file with the axes of `Volume`; `BadImage` unless they are whole numbers."""
    array = _read(path, affine)[0]
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    rounded = np.rint(array)
    if not np.isfinite(array).all() or np.abs(array - rounded).max() > 1e-3:
        raise bad_volume(path, "its labels are no whole numbers")
    return rounded.astype(np.int64)


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a file lie, by its header."""

    shape: tuple[int, ...]
    """Numbers of voxels along the axes of the file."""
    affine: NDArray[np.float64]
    """`(4, 4)`, from indices of the file to mm in space."""
    bare: bool
    """Whether the header states no position: nothing at all, or what an array without a header is saved with."""

    def upright(self) -> tuple[tuple[int, ...], NDArray[np.float64]]:
        """The shape and the affine of the voxels in the axes of space, RAS+."""
        import nibabel
        from nibabel.orientations import inv_ornt_aff

        orientation = nibabel.io_orientation(self.affine)
        order = [int(axis) for axis in np.argsort(orientation[:, 0])]
        return tuple(self.shape[axis] for axis in order), self.affine @ inv_ornt_aff(orientation, self.shape)


def read_grid(path: str | Path) -> Grid:
    """Read where the voxels of a NIfTI file lie, without reading them; the errors are those of `read_volume`."""
    image, shape = _opened(path)
    affine = _affine(image)
    _orientation(path, affine)
    header = image.header
    codes = [int(header[name]) for name in ("sform_code", "qform_code") if name in header]
    unstated = bool(codes) and not any(codes) and np.allclose(header.get_zooms()[:3], 1)
    return Grid(shape, affine, unstated or np.array_equal(affine, np.eye(4)))


def affine_of_labels(scan: Grid, labels: Grid) -> NDArray[np.float64]:
    """The affine of the voxels of a label map: its own, or if its header is bare, that of its scan of the same shape.

    Raises:
        InputError: the voxels of the label map are others than those of the scan: there are more or fewer, or a corner
            of one grid is `MAX_SHIFT` voxels or more away from that of the other. The message completes a sentence.
    """
    if labels.bare and labels.shape == scan.shape:
        return scan.affine
    with needs_volumes():
        from nibabel.affines import voxel_sizes
    (shape, affine), (other_shape, other) = scan.upright(), labels.upright()
    if shape != other_shape:
        raise InputError(
            f"it has {_sizes(other_shape)} voxels (slices x height x width), and its scan has {_sizes(shape)}"
        )
    corners = np.array([[*corner, 1] for corner in product(*((0, side - 1) for side in shape))]).T
    shift = np.abs(np.linalg.solve(affine, other @ corners) - corners)[:3].max()
    if shift < MAX_SHIFT:
        return labels.affine
    spacing, other_spacing = (" x ".join(f"{size:.4g}" for size in voxel_sizes(one)[::-1]) for one in (affine, other))
    if spacing != other_spacing:
        what = f"a spacing of {other_spacing} mm, and its scan {spacing} mm"
    elif np.allclose(affine[:3, :3], other[:3, :3], atol=1e-3 * np.abs(affine[:3, :3]).max()):
        moved = np.linalg.norm(affine[:3, 3] - other[:3, 3])
        what = f"another origin than its scan, {moved:.4g} mm away"
    else:
        what = "axes that run other ways than those of its scan"
    raise InputError(
        f"its header states {what}, so that its voxels lie up to {shift:.3g} voxels away: resample it to the grid of "
        "the scan, or give both the affine that is true"
    )


def write_label_map(path: str | Path, label_map: Tensor, like: Volume) -> None:
    """Write a label map `(D, H, W)` uint8 to a `.nii` or `.nii.gz` file with the affine and axes of a volume's file."""
    with needs_volumes():
        import nibabel
    from nibabel.orientations import apply_orientation, ornt_transform

    array = apply_orientation(label_map.permute(2, 1, 0).numpy(), ornt_transform(UPRIGHT, like.orientation))
    image = nibabel.Nifti1Image(np.ascontiguousarray(array, dtype=np.uint8), like.affine)
    image.header.set_xyzt_units("mm")
    content = image.to_bytes()
    if str(path).lower().endswith(".gz"):
        import gzip

        content = gzip.compress(content, mtime=0)
    atomic_write(path, content)


def bad_volume(path: str | Path, reason: str) -> BadImage:
    """The exception for the volume at `path`."""
    return BadImage(f"Cannot read the volume {path}: {reason}.", str(path), reason)


def _sizes(shape: Sequence[int]) -> str:
    """A shape along x, y and z as text, slices first."""
    return " x ".join(map(str, reversed(shape)))


def _opened(path: str | Path) -> tuple[Any, tuple[int, ...]]:
    """Nibabel's image of a file, whose voxels are not read yet, and its shape along three axes."""
    image = _open(path)
    shape = tuple(int(size) for size in image.shape)
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        sizes = " x ".join(map(str, image.shape))
        raise bad_volume(path, f"it has {len(image.shape)} dimensions ({sizes}), and a volume has three")
    return image, shape


def _damaged(path: str | Path, error: Exception) -> BadImage:
    return bad_volume(path, f"it is damaged or not a NIfTI file ({_reason(error)})")


def _orientation(path: str | Path, affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nibabel's orientation of an affine; `BadImage` if it states no position of voxels."""
    import nibabel
    from nibabel.affines import voxel_sizes

    if not np.isfinite(affine).all() or voxel_sizes(affine).min() <= 0:
        raise bad_volume(path, "its header does not state the spacing of its voxels")
    orientation: NDArray[np.float64] = nibabel.io_orientation(affine)
    if np.isnan(orientation).any():
        raise bad_volume(path, "its header gives two of its axes the same direction")
    return orientation


def _read(
    path: str | Path, affine: NDArray[np.float64] | None = None
) -> tuple[Any, tuple[float, float, float], Any, Any]:
    """The numbers `(D, H, W)` of a file, their spacing, and the affine and the orientation of the file.

    Another `affine` than that of the header can be given.
    """
    image, shape = _opened(path)
    try:
        array = np.asanyarray(image.dataobj).reshape(shape)
    except Exception as error:  # damaged files make the reader raise nearly anything
        raise _damaged(path, error) from error
    if not array.size or array.dtype.kind not in NUMBERS:
        raise bad_volume(path, "it has no voxels that are plain numbers")
    import nibabel
    from nibabel.affines import voxel_sizes

    affine = _affine(image) if affine is None else affine
    orientation = _orientation(path, affine)
    turned = nibabel.apply_orientation(array, orientation)
    spacing, order = voxel_sizes(affine), np.argsort(orientation[:, 0])
    x, y, z = (float(spacing[axis]) for axis in order)
    return np.ascontiguousarray(turned.transpose(2, 1, 0)), (z, y, x), affine, orientation


def _open(path: str | Path) -> Any:
    """Open a file of one part without its voxels and its extensions, which can be of any size.

    Raises:
        BadImage: it is no such file, or larger than `MOST_VOXELS`.
    """
    with needs_volumes():
        from nibabel import Nifti1Image, Nifti2Image
        from nibabel.openers import ImageOpener
    try:
        size = check_regular(path)
        with ImageOpener(path) as file:
            start = file.read(Nifti2Image.header_class.sizeof_hdr)
        kind = Nifti2Image if start[4:8] == b"n+2\0" else Nifti1Image
        with quiet_nibabel():
            header = kind.header_class(start[: kind.header_class.sizeof_hdr])
        if header["magic"] not in (b"n+1", b"n+2"):
            raise bad_volume(path, "it is not a NIfTI file of one part (.nii or .nii.gz)")
        shape, offset = header.get_data_shape(), int(header["vox_offset"])
        if math.prod(map(int, shape)) > MOST_VOXELS:
            sizes = " x ".join(f"{size:,}" for size in shape)
            raise bad_volume(path, f"it has {sizes} voxels, more than {MOST_VOXELS:,}: resample or crop it")
        if offset > FARTHEST:
            raise bad_volume(path, f"its voxels begin at byte {offset:,}")
        needed = offset + math.prod(map(int, shape)) * header.get_data_dtype().itemsize
        if needed > size * (1 if str(path).lower().endswith(".nii") else DENSEST):
            raise bad_volume(path, f"it is incomplete: its voxels take {needed:,} bytes")
        return kind(kind.ImageArrayProxy(str(path), header.copy()), header.get_best_affine(), header)
    except BadImage:
        raise
    except FileNotFoundError as error:
        raise bad_volume(path, "there is no such file") from error
    except Exception as error:  # damaged files make the reader raise nearly anything
        raise bad_volume(path, f"it is damaged or not a NIfTI file ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return (str(error).splitlines() or [""])[0].rstrip(".") or type(error).__name__


def _affine(image: Any) -> NDArray[np.float64]:
    """The affine from indices to mm; files without a unit are in mm, as is usual."""
    units = "unknown"
    with contextlib.suppress(AttributeError, KeyError):  # other formats have none, and damaged headers unknown ones
        units = image.header.get_xyzt_units()[0]
    scale = {"meter": 1000.0, "micron": 0.001}.get(units, 1.0)
    return np.asarray(image.affine, dtype=np.float64) * np.array([[scale], [scale], [scale], [1.0]])

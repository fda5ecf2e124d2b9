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


def read_label_map(path: str | Path, classes: int | None = None) -> Tensor:
    """Read the class of each voxel in a NIfTI file, `(D, H, W)` uint8 with the axes of `Volume`.

    Labels that are not among the `classes`, by default 256, raise `BadImage`, as does what `read_volume` cannot read.
    """
    array = _read(path)[0]
    most = 256 if classes is None else classes
    rounded = np.rint(array)
    if not np.isfinite(array).all() or np.abs(array - rounded).max() > 1e-3:
        raise bad_volume(path, "its labels are no whole numbers")
    if rounded.min() < 0 or rounded.max() >= most:
        raise bad_volume(
            path, f"it has labels from {rounded.min():.0f} to {rounded.max():.0f}, and classes are 0 to {most - 1}"
        )
    return torch.from_numpy(rounded.astype(np.uint8))


def lies_elsewhere(path: str | Path, volume: Volume) -> bool:
    """Whether the axes of a file of the same shape run in other directions, so that its voxels lie elsewhere.

    Where the directions are the same, the rest of the headers is not compared: many label maps have no more than that.
    """
    with needs_volumes():
        import nibabel
    from nibabel.orientations import inv_ornt_aff

    affine = _affine(_open(path))
    orientation = nibabel.io_orientation(affine)
    if np.array_equal(orientation, volume.orientation):
        return False
    sides = volume.shape[::-1]
    corners = np.array([[*corner, 1] for corner in product(*((0, side - 1) for side in sides))]).T
    one, two = (
        matrix @ inv_ornt_aff(axes, [sides[int(axis)] for axis in axes[:, 0]]) @ corners
        for matrix, axes in ((affine, orientation), (volume.affine, volume.orientation))
    )
    return bool(np.abs(one - two).max() > max(volume.spacing))


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


def _read(path: str | Path) -> tuple[Any, tuple[float, float, float], Any, Any]:
    """The numbers `(D, H, W)` of a file, their spacing, and the affine and the orientation of the file."""
    with needs_volumes():
        import nibabel
        from nibabel.affines import voxel_sizes
    try:
        image = _open(path)
        shape = tuple(int(size) for size in image.shape)
        while len(shape) > 3 and shape[-1] == 1:
            shape = shape[:-1]
        if len(shape) != 3:
            sizes = " x ".join(map(str, image.shape))
            raise bad_volume(path, f"it has {len(image.shape)} dimensions ({sizes}), and a volume has three")
        array = np.asanyarray(image.dataobj).reshape(shape)
    except BadImage:
        raise
    except Exception as error:  # damaged files make the reader raise nearly anything
        raise bad_volume(path, f"it is damaged or not a NIfTI file ({_reason(error)})") from error
    if not array.size or array.dtype.kind not in NUMBERS:
        raise bad_volume(path, "it has no voxels that are plain numbers")
    affine = _affine(image)
    spacing = voxel_sizes(affine)
    if not np.isfinite(affine).all() or spacing.min() <= 0:
        raise bad_volume(path, "its header does not state the spacing of its voxels")
    orientation = nibabel.io_orientation(affine)
    if np.isnan(orientation).any():
        raise bad_volume(path, "its header gives two of its axes the same direction")
    turned = nibabel.apply_orientation(array, orientation)
    order = np.argsort(orientation[:, 0])
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

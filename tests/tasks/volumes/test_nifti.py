"""NIfTI files: how they are turned, what they keep, and what is wrong with bad ones."""

import contextlib
import gzip
import os
import struct
import tracemalloc
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from res2net.errors import InputError
from res2net.images import BadImage
from res2net.tasks.volumes.nifti import (
    Volume,
    affine_of_labels,
    list_volumes,
    read_grid,
    read_label_map,
    read_volume,
    volume_name,
    write_label_map,
)
from res2net.tasks.volumes.prepare import PrepareVolume


def saved(path, array, affine=None):
    nibabel.save(nibabel.Nifti1Image(array, np.diag([2.0, 3.0, 4.0, 1.0]) if affine is None else affine), path)
    return path


def ramp(*shape):
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape)


def test_slices_come_first_and_spacing_goes_with_the_axes(tmp_path):
    array = ramp(5, 4, 3)
    volume = read_volume(saved(tmp_path / "a.nii.gz", array))
    assert volume.shape == (3, 4, 5)
    assert volume.spacing == (4, 3, 2)
    assert torch.equal(volume.voxels, torch.from_numpy(array.transpose(2, 1, 0).astype(np.float32)))


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SLA", "PIR"])
def test_files_of_any_orientation_are_the_same_volume(tmp_path, codes):
    upright = nibabel.Nifti1Image(ramp(5, 4, 3), np.diag([2.0, 3.0, 4.0, 1.0]))
    turned = upright.as_reoriented(
        nibabel.orientations.ornt_transform(
            nibabel.io_orientation(upright.affine), nibabel.orientations.axcodes2ornt(codes)
        )
    )
    nibabel.save(turned, tmp_path / "turned.nii")
    nibabel.save(upright, tmp_path / "upright.nii")
    one, two = read_volume(tmp_path / "turned.nii"), read_volume(tmp_path / "upright.nii")
    assert torch.equal(one.voxels, two.voxels)
    assert one.spacing == pytest.approx(two.spacing)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SLA"])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_mask_lies_in_its_file_as_the_scan_does(tmp_path, codes, ending):
    rotated = nibabel.affines.from_matvec(nibabel.eulerangles.euler2mat(0.1, 0.05, 0.02) * [2, 3, 4], [5, -6, 7])
    upright = nibabel.Nifti1Image(ramp(5, 4, 3), rotated)
    scan = upright.as_reoriented(
        nibabel.orientations.ornt_transform(
            nibabel.io_orientation(upright.affine), nibabel.orientations.axcodes2ornt(codes)
        )
    )
    nibabel.save(scan, tmp_path / "scan.nii")
    volume = read_volume(tmp_path / "scan.nii")
    path = tmp_path / f"mask{ending}"
    write_label_map(path, (volume.voxels > 20).to(torch.uint8), volume)
    mask = nibabel.load(path)
    assert mask.get_data_dtype() == np.uint8
    assert np.allclose(mask.affine, scan.affine)
    assert np.array_equal(np.asarray(mask.dataobj), np.asarray(scan.dataobj) > 20)
    assert torch.equal(read_label_map(path), (volume.voxels > 20).to(torch.uint8))


def test_values_are_scaled_as_the_header_says(tmp_path):
    image = nibabel.Nifti1Image(ramp(3, 3, 3), np.eye(4))
    image.header.set_slope_inter(2.0, -1024.0)
    nibabel.save(image, tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").voxels.max() == 26 * 2 - 1024


def test_a_drawn_volume_writes_a_mask_with_its_spacing(tmp_path):
    volume = Volume.from_array(torch.zeros(3, 4, 5), (4.0, 3.0, 2.0))
    write_label_map(tmp_path / "a.nii.gz", torch.ones(3, 4, 5, dtype=torch.uint8), volume)
    again = read_volume(tmp_path / "a.nii.gz")
    assert (again.shape, again.spacing) == ((3, 4, 5), (4, 3, 2))


def test_a_last_axis_of_one_does_not_count(tmp_path):
    assert read_volume(saved(tmp_path / "a.nii", ramp(5, 4, 3, 1))).shape == (3, 4, 5)


def broken(path):
    saved(path, ramp(20, 20, 20))
    path.write_bytes(path.read_bytes()[:2000])


def nan(path):
    array = np.zeros((4, 4, 4), np.float32)
    array[1, 2, 3] = np.nan
    saved(path, array)


def rgb(path):
    saved(path, np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: saved(path, ramp(5, 4)), r"it has 2 dimensions \(5 x 4\), and a volume has three"),
        (lambda path: saved(path, ramp(5, 4, 3, 2)), r"it has 4 dimensions \(5 x 4 x 3 x 2\), and a volume has three"),
        (nan, r"1 of its 64 voxels are no numbers \(NaN or infinite\)"),
        (broken, "it is incomplete: its voxels take [0-9,]+ bytes"),
        (lambda path: path.write_bytes(b"not a volume"), "it is damaged or not a NIfTI file"),
        (rgb, "it has no voxels that are plain numbers"),
        (lambda path: None, "there is no such file"),
    ],
)
def test_bad_volumes(tmp_path, make, message):
    path = tmp_path / "bad.nii"
    make(path)
    with pytest.raises(BadImage, match=rf"^Cannot read the volume .*bad.nii: {message}.*\.$"):
        read_volume(path)


def compressed(path, shape=(4, 5, 6), dtype=np.uint8, *, extension=b"", megabytes=0, **fields):
    """A compressed file of any header, with zeros after it."""
    header = nibabel.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(dtype)
    header.set_sform(np.eye(4), 1)
    header["vox_offset"] = 352
    for name, value in fields.items():
        header[name] = value
    start = header.binaryblock + (bytes([bool(extension), 0, 0, 0]) + extension)
    with gzip.open(path, "wb", 1) as file:
        file.write(start)
        for _ in range(megabytes):
            file.write(bytes(10**6))


@contextlib.contextmanager
def at_most(size):
    """Fails if the block allocates more than that many bytes at once."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ({"shape": (1000, 1000, 1000)}, r"it has 1,000 x 1,000 x 1,000 voxels, more than 536,870,912: resample or"),
        ({"shape": (32767,) * 7}, r"it has 32,767 x .* x 32,767 voxels, more than"),
        ({"shape": (800, 800, 800), "dtype": np.float64}, r"it is incomplete: its voxels take 4,096,000,352 bytes"),
        ({"vox_offset": 2e9}, r"its voxels begin at byte 2,000,000,000"),
        ({"vox_offset": -352}, r"it is damaged or not a NIfTI file \(vox offset -352 too low"),
        ({"vox_offset": np.nan}, r"it is damaged or not a NIfTI file"),
        ({"dim": [3, -4, 5, 6, 1, 1, 1, 1]}, r"it is damaged or not a NIfTI file"),
    ],
)
def test_headers_that_would_fill_the_memory(tmp_path, file, message):
    compressed(tmp_path / "bomb.nii.gz", **file)
    with at_most(10**6), pytest.raises(BadImage, match=message):
        read_volume(tmp_path / "bomb.nii.gz")


@pytest.mark.parametrize(
    "file", [{}, {"extension": struct.pack("<ii", 0, 4)}, {"extension": struct.pack("<ii", 2**31 - 16, 4)}]
)
def test_no_more_is_decompressed_than_the_voxels(tmp_path, file):
    compressed(tmp_path / "bomb.nii.gz", megabytes=100, **file)
    with at_most(10**6):
        assert read_volume(tmp_path / "bomb.nii.gz").shape == (6, 5, 4)


def test_a_pipe_is_no_volume(tmp_path):
    os.mkfifo(tmp_path / "a.nii")
    with pytest.raises(BadImage, match=r"\(it is a named pipe, not a file\)"):
        read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((2, 2, 2), 0.5, np.float32), "its labels are no whole numbers"),
        (np.full((2, 2, 2), np.nan, np.float32), "its labels are no whole numbers"),
        (np.full((2, 2, 2), 3, np.int16), "it has labels from 3 to 3, and classes are 0 to 2"),
        (np.full((2, 2, 2), -1, np.int16), "it has labels from -1 to -1"),
    ],
)
def test_bad_labels(tmp_path, array, message):
    with pytest.raises(BadImage, match=message):
        read_label_map(saved(tmp_path / "labels.nii", array), 3)


def test_volumes_of_a_folder(tmp_path):
    (tmp_path / "below").mkdir()
    for name in ("b.nii.gz", "below/a.NII", ".hidden.nii", "c.txt"):
        (tmp_path / name).touch()
    assert list_volumes(tmp_path) == [tmp_path / "b.nii.gz", tmp_path / "below/a.NII"]
    assert list_volumes(tmp_path / "c.txt") == [tmp_path / "c.txt"]
    assert [volume_name(Path(name)) for name in ("x/a.b.nii.gz", "a.nii", "a")] == ["a.b", "a", "a"]


def test_nothing_to_list(tmp_path):
    with pytest.raises(InputError, match=r"has no volumes: known endings are .nii.gz, .nii"):
        list_volumes(tmp_path)
    with pytest.raises(InputError, match="There is no file or folder"):
        list_volumes(tmp_path / "nowhere")


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1000), ("micron", 0.001), ("mm", 1), ("unknown", 1)])
def test_the_header_says_the_unit_of_lengths(tmp_path, unit, factor):
    image = nibabel.Nifti1Image(ramp(5, 4, 3), np.diag([2.0, 3.0, 4.0, 1.0]))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    assert volume.spacing == pytest.approx((4 * factor, 3 * factor, 2 * factor))
    write_label_map(tmp_path / "mask.nii", torch.ones(3, 4, 5, dtype=torch.uint8), volume)
    mask = nibabel.load(tmp_path / "mask.nii")
    assert mask.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(mask.affine, np.diag([2.0 * factor, 3.0 * factor, 4.0 * factor, 1.0]), rtol=1e-6)


def test_labels_whose_axes_run_other_ways_lie_where_their_header_says(tmp_path):
    upright = nibabel.Nifti1Image(ramp(5, 4, 3), np.diag([2.0, 3.0, 4.0, 1.0]))
    saved(tmp_path / "scan.nii", ramp(5, 4, 3))
    flip = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(upright.affine), nibabel.orientations.axcodes2ornt("LAS")
    )
    as_turned = upright.as_reoriented(flip)
    nibabel.save(as_turned, tmp_path / "turned.nii")
    grid = read_grid(tmp_path / "scan.nii")
    assert np.array_equal(affine_of_labels(grid, read_grid(tmp_path / "turned.nii")), as_turned.affine)
    wrong = read_grid(saved(tmp_path / "wrong.nii", ramp(5, 4, 3), np.diag([-2.0, 3.0, 4.0, 1.0])))
    with pytest.raises(InputError, match="its header states another origin than its scan, 8 mm away, so that"):
        affine_of_labels(grid, wrong)


def test_an_odd_header_is_told_once(tmp_path, capfd):
    content = bytearray(saved(tmp_path / "a.nii", ramp(5, 4, 3)).read_bytes())
    content[70:72] = (9999).to_bytes(2, "little")  # the kind of number
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(BadImage, match=r"damaged or not a NIfTI file \(data code 9999"):
        read_volume(tmp_path / "a.nii")
    assert capfd.readouterr() == ("", "")


def test_a_volume_that_no_memory_holds(tmp_path):
    volume = read_volume(saved(tmp_path / "a.nii", ramp(5, 4, 3), np.diag([9000.0, 9000.0, 9000.0, 1.0])))
    with pytest.raises(BadImage, match=r"a\.nii: by its header its voxels lie 9000 x 9000 x") as told:
        PrepareVolume((1, 1, 1), (0, 100))(volume, {})
    assert told.value.path == str(tmp_path / "a.nii")


@pytest.mark.parametrize("kind", [np.int16, np.float64, torch.float32, torch.uint8])
def test_a_volume_from_an_array_or_a_tensor(kind):
    values = np.arange(24).reshape(2, 3, 4)
    array = torch.from_numpy(values).to(kind) if isinstance(kind, torch.dtype) else values.astype(kind)
    volume = Volume.from_array(array)
    assert volume.voxels.dtype == torch.float32
    assert np.array_equal(volume.voxels, values)
    assert volume.spacing == (1.0, 1.0, 1.0)
    volume = Volume.from_array(array, spacing=(3, 0.5, 0.8))
    assert volume.spacing == (3.0, 0.5, 0.8)
    assert np.array_equal(np.diag(volume.affine), [0.8, 0.5, 3.0, 1.0])


@pytest.mark.parametrize(
    ("array", "spacing", "message"),
    [
        (np.zeros((3, 4)), (1, 1, 1), r"An array of shape \(3, 4\) and type float64 is not a volume"),
        (np.zeros((0, 3, 4)), (1, 1, 1), "is not a volume"),
        (np.full((2, 2, 2), np.nan), (1, 1, 1), "is not a volume: give finite numbers"),
        (np.zeros((2, 2, 2), complex), (1, 1, 1), "type complex128 is not a volume"),
        (np.zeros((2, 2, 2)), (1, 0, 1), "A spacing of 1 x 0 x 1 mm does not fit"),
        (np.zeros((2, 2, 2)), (1, 1, np.inf), "A spacing of 1 x 1 x inf mm does not fit"),
    ],
)
def test_arrays_that_are_no_volumes(array, spacing, message):
    with pytest.raises(InputError, match=message):
        Volume.from_array(array, spacing)

"""Odd volumes in, label maps of their shape and place out, or one sentence."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from pixel_files import checkpoint

AFFINE = np.array([[2.0, 0, 0, 5], [0, 2.0, 0, -7], [0, 0, 3.0, 11], [0, 0, 0, 1]])
FLIPPED = AFFINE * [[-1], [-1], [1], [1]]
OTHER_AXES = AFFINE[[1, 2, 0, 3]]
ANISOTROPIC = np.diag([0.5, 0.7, 9.0, 1.0])
WRONG = {
    "flat.nii": "it has 2 dimensions (18 x 20), and a volume has three",
    "nan.nii": "1 of its 5,040 voxels are no numbers (NaN or infinite)",
    "text.nii.gz": "it is damaged or not a NIfTI file",
    "far.nii": "by its header its voxels lie 9000 x 9000 x 9000 mm apart",
    "nowhere.nii": "its header does not state the spacing of its voxels",
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A folder of volumes, those that can be read and those that cannot."""
    folder = tmp_path_factory.mktemp("odd")
    scan = np.random.default_rng(0).integers(-100, 100, (18, 20, 14)).astype(np.int16)

    def put(name, array, affine=AFFINE):
        nibabel.save(nibabel.Nifti1Image(array, affine), folder / name)

    put("a.nii", scan)
    put("float64.nii.gz", scan.astype(np.float64))
    put("flipped.nii.gz", scan[::-1, ::-1].copy(), np.column_stack([*AFFINE.T[:3] * [[-1], [-1], [1]], AFFINE[:, 3]]))
    put("bytes.nii", (scan + 100).astype(np.uint8))
    put("mirrored.nii", scan, FLIPPED)
    put("axes.nii", scan, OTHER_AXES)
    put("anisotropic.nii", scan, ANISOTROPIC)
    put("voxel.nii", scan[:1, :1, :1])
    put("line.nii", scan[:1, :1])
    put("flat.nii", scan[..., 0])
    nan = scan.astype(np.float32)
    nan[3, 4, 5] = np.nan
    put("nan.nii", nan)
    put("far.nii", scan, np.diag([9000.0, 9000, 9000, 1]))
    (folder / "text.nii.gz").write_text("no volume")
    content = bytearray((folder / "a.nii").read_bytes())
    content[280:328] = bytes(48)  # the affine
    (folder / "nowhere.nii").write_bytes(content)
    return folder


def test_label_maps_lie_where_the_scans_do(run, odd, tmp_path):
    words = ["--weights", checkpoint(tmp_path, "volumes"), "--accelerator", "cpu", "--bad-images", "skip", "--json"]
    answer = run("predict", "volumes", odd, *words, "--save", tmp_path / "saved", "--draw", tmp_path / "drawn")
    assert (answer.status, answer.err) == (0, "")
    errors = {entry["file"]: entry["error"] for entry in json.loads(answer.out) if "error" in entry}
    assert errors.keys() == {str(odd / name) for name in WRONG}
    for name, reason in WRONG.items():
        assert reason in errors[str(odd / name)]
    maps = {}
    for number, path in enumerate(sorted(odd.iterdir()), start=1):
        if path.name in WRONG:
            continue
        stem = path.name.partition(".")[0]
        assert (tmp_path / "drawn" / f"{number:05d}-{stem}.png").is_file()
        found, scan = nibabel.load(tmp_path / "saved" / f"{number:05d}-{stem}.nii.gz"), nibabel.load(path)
        assert found.shape == scan.shape
        np.testing.assert_allclose(found.affine, scan.affine, rtol=1e-6)
        maps[stem] = np.asarray(found.dataobj)
    assert len(np.unique(maps["a"])) > 1
    np.testing.assert_array_equal(maps["float64"], maps["a"])
    np.testing.assert_array_equal(maps["flipped"][::-1, ::-1], maps["a"])


def test_one_volume_that_is_wrong_is_one_sentence(refused, odd, tmp_path):
    words = ["--weights", checkpoint(tmp_path, "volumes"), "--accelerator", "cpu"]
    for name, reason in WRONG.items():
        assert reason in refused("predict", "volumes", odd / name, *words)

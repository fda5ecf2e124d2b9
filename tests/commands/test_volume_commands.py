"""The commands on volumes: training, evaluation, prediction, export, and errors."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
from PIL import Image
from volume_sets import AFFINE, write_set

TINY = [
    *("--model", "res2net3d20_26w_4s_tiny", "--size", 16, "--channels", 16, "--patches", 2, "--epochs", 1),
    *("--batch-size", 2, "--accelerator", "cpu"),
]


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("scans"))


@pytest.fixture(scope="module")
def weights(scans, run, tmp_path_factory):
    """The file of a short run."""
    folder = tmp_path_factory.mktemp("run") / "one"
    answer = run("train", "volumes", scans, *TINY, "--out", folder)
    assert answer.status == 0, answer.err
    assert "6 samples to train, 1 to validate (val: 20% by hash), 2 classes" in answer.out
    assert "hd95_cube" in answer.out
    assert "res2net predict volumes PATH/TO/VOLUME.nii.gz" in answer.out
    report = (folder / "report.html").read_text()
    assert "3 volumes to train, 1 to validate" in report
    assert "16 x 16 x 16 voxels" in report
    return folder / "best.safetensors"


def test_an_evaluation_finds_what_the_training_did(run, scans, weights):
    answer = run("eval", "volumes", scans, "--weights", weights, "--accelerator", "cpu")
    assert answer.status == 0, answer.err
    (line,) = (line for line in answer.out.splitlines() if "hd95_cube" in line)
    assert "mm" in line
    assert "4 samples of" in answer.out


def test_predictions_are_files_images_and_numbers(run, scans, weights, tmp_path):
    words = ["--weights", weights, "--accelerator", "cpu", "--json"]
    files = ["--save", tmp_path / "masks", "--draw", tmp_path / "drawn"]
    answer = run("predict", "volumes", scans / "imagesTr", *words, *files)
    assert answer.status == 0, answer.err
    found = json.loads(answer.out)
    assert [one["file"][-13:] for one in found] == [f"case_{index}.nii.gz" for index in range(4)]
    masks = sorted((tmp_path / "masks").iterdir())
    assert [path.name for path in masks] == [f"{index + 1:05d}-case_{index}.nii.gz" for index in range(4)]
    for path, one in zip(masks, found, strict=True):
        mask = nibabel.load(path)
        assert mask.shape == (20, 22, 12)
        assert np.allclose(mask.affine, AFFINE)
        (cube,) = one["classes"]
        assert cube["voxels"] == int((np.asarray(mask.dataobj) == 1).sum())
        assert cube["millilitres"] == pytest.approx(cube["voxels"] * 0.012)
    drawn = sorted((tmp_path / "drawn").iterdir())
    assert [path.name for path in drawn] == [f"{index + 1:05d}-case_{index}.png" for index in range(4)]
    with Image.open(drawn[0]) as image:
        assert image.width > 600


@pytest.mark.slow
def test_an_exported_network_finds_the_same(run, refused, scans, weights, tmp_path):
    pytest.importorskip("onnxruntime")
    file = tmp_path / "net.onnx"
    answer = run("export", "volumes", weights, "--to", "onnx", "--out", file)
    assert answer.status == 0, answer.err
    assert "same likeliest class 100.0 %" in answer.out
    assert json.loads((tmp_path / "net.onnx.json").read_text())["input_shape"] == [1, 1, 16, 16, 16]
    options = ["--accelerator", "cpu", "--json"]
    case = scans / "imagesTr" / "case_1.nii.gz"
    own = run("predict", "volumes", case, "--weights", weights, *options)
    exported = run("predict", "volumes", case, "--weights", file, "--runtime", "onnx", *options)
    assert exported.status == 0, exported.err
    (one,), (two,) = (json.loads(answer.out)[0]["classes"] for answer in (own, exported))
    assert two["voxels"] == pytest.approx(one["voxels"], abs=2)
    assert refused("export", "volumes", weights, "--to", "onnx", "--features", "--out", tmp_path / "f.onnx") == (
        "The features of volumes cannot be exported: leave out --features."
    )


def test_bad_volumes_stop_or_are_skipped(run, refused, scans, weights, tmp_path):
    flat, good = tmp_path / "a.nii", tmp_path / "b.nii"
    nibabel.save(nibabel.Nifti1Image(np.zeros((5, 4), np.int16), AFFINE), flat)
    good.write_bytes(nibabel.load(scans / "imagesTr" / "case_1.nii.gz").to_bytes())
    options = ["--weights", weights, "--accelerator", "cpu"]
    assert "it has 2 dimensions (5 x 4), and a volume has three" in refused("predict", "volumes", tmp_path, *options)
    answer = run("predict", "volumes", tmp_path, *options, "--json", "--bad-images", "skip")
    first, second = json.loads(answer.out)
    assert "2 dimensions" in first["error"]
    assert second["classes"][0]["class"] == "cube"


def test_mistakes(refused, scans, tmp_path):
    (tmp_path / "empty").mkdir()
    train = ["train", "volumes"]
    assert "has no volumes with labels: it needs the folders" in refused(*train, tmp_path / "empty", *TINY)
    assert "There is no file or folder" in refused(*train, tmp_path / "nowhere", *TINY)
    assert "is a 1-D network, and the task volumes needs a 2-D or 3-D one" in refused(
        *train, scans, *TINY, "--model", "ecapa_tdnn_512"
    )
    assert "input channels does not fit volumes" in refused(*train, scans, *TINY, "--slices", 3)
    assert "has labels of voxels alone" in refused("train", "classify", "volumes", *TINY[:2])
    assert "Unknown label 'label_map'" in refused(*train, "shapes", *TINY)
    with_nan = write_set(tmp_path / "nan")
    for index in range(4):
        path = with_nan / "imagesTr" / f"case_{index}.nii.gz"
        nibabel.save(nibabel.Nifti1Image(np.full((20, 22, 12), np.nan, np.float32), AFFINE), path)
    assert "voxels are no numbers (NaN or infinite)" in refused(*train, with_nan, *TINY)

"""`res2net train|eval|predict|export translate` on folders of pairs."""

import json

import numpy as np
import pytest
from PIL import Image

from res2net.commands import evaluate, export, predict, train
from res2net.errors import InputError
from res2net.images.decode import image_size, read_image
from res2net.tasks.translate.synthetic import ShapeMasks


@pytest.fixture
def pairs(tmp_path):
    folder = tmp_path / "pairs"
    drawn = ShapeMasks(8, size=40)
    for index in range(8):
        mask, target = drawn[index]
        for name, image in (("A", mask), ("B", target["image"])):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / name / f"{index}.png")
    return folder


@pytest.mark.slow
def test_from_pairs_to_images_and_a_file_for_another_program(pairs, tmp_path, capsys):
    words = ["--model", "res2_generator_tiny", "--size", "32", "--enlarge", "1.2", "--epochs", "1", "--workers", "0"]
    more = ["--batch-size", "4", "--optimizer", "adamw", "--lr", "1e-3", "--discriminator-channels", "8"]
    train.run(["translate", str(pairs), *words, *more, "--out", str(tmp_path / "run")])
    assert "PSNR" in capsys.readouterr().out
    weights = str(tmp_path / "run" / "best.safetensors")
    evaluate.run(["translate", str(pairs), "--weights", weights, "--workers", "0"])
    assert "dB" in capsys.readouterr().out
    made = tmp_path / "made"
    for mode, size in (("L", (33, 57)), ("RGBA", (40, 40)), ("CMYK", (1, 1)), ("I;16", (20, 9))):
        path = tmp_path / f"{mode.replace(';', '')}.tif"
        Image.new(mode, size).save(path)
        predict.run(["translate", str(path), "--weights", weights, "--save", str(made), "--json"])
        (entry,) = json.loads(capsys.readouterr().out)
        assert entry["translation"] == {"width": size[0], "height": size[1]}
        assert image_size(made / f"00001-{path.stem}-translated.png") == size[::-1]
    exported = tmp_path / "generator.onnx"
    export.run(["translate", weights, "--to", "onnx", "--size", "40", "--out", str(exported)])
    one, other = (tmp_path / name for name in ("eager", "onnx"))
    image = str(pairs / "A" / "1.png")
    predict.run(["translate", image, "--weights", weights, "--save", str(one)])
    predict.run(["translate", image, "--weights", str(exported), "--runtime", "onnx", "--save", str(other)])
    found = [np.asarray(read_image(folder / "00001-1-translated.png")).astype(int) for folder in (one, other)]
    assert np.abs(found[0] - found[1]).max() <= 1


def test_mistakes(pairs):
    (pairs / "B" / "3.png").rename(pairs / "B" / "x.png")
    with pytest.raises(InputError, match=r"has 2 files without a partner; the first is in .*A/3\.png"):
        train.run(["translate", str(pairs), "--model", "res2_generator_tiny"])
    with pytest.raises(InputError, match="--perceptual and --perceptual-weights belong together"):
        train.run(["translate", str(pairs), "--perceptual", "1"])

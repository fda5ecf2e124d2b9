"""`res2net info` of memory, of several models, and with a plot of receptive fields."""

import pytest
import torch
from PIL import Image

from res2net import create_model
from res2net.commands.fields import draw_fields, image_side
from res2net.measure import count_memory

TINY = ["resnet20_tiny", "res2net20_26w_4s_tiny"]


def row(out, beginning):
    """The cells behind the first that begins so."""
    (line,) = [line for line in out.splitlines() if line.strip().startswith(beginning)]
    return line.strip().removeprefix(beginning).split()


def test_memory_of_a_batch(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    answer = run("info", "res2net20_26w_4s_tiny", "--size", 48, "--batch-size", 3)
    assert (answer.status, answer.err) == (0, "")
    assert "Memory with 3 images of 48 x 48" in answer.out
    with torch.device("meta"):
        found = count_memory(create_model("res2net20_26w_4s_tiny"), (3, 48, 48), 3)
    told = [row(answer.out, what)[-1] for what in ("weights (", "inference,", "training,")]
    assert told == [f"{size / 2**20:.1f}" for size in (found.weights, found.inference, found.training)]
    assert "Memory with 1 image of 224 x 224" in run("info", "res2net20_26w_4s_tiny").out


def test_a_batch_too_small_to_train_with(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    answer = run("info", "resnet14", "--size", 32)
    assert row(answer.out, "training, additionally: kept for the backward pass") == ["\N{EN DASH}"]


def test_several_models_have_a_column_each(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    answer = run("info", *TINY)
    assert (answer.status, answer.err) == (0, "")
    alone = [run("info", name).out for name in TINY]
    assert row(answer.out, "parameters") == [cell for out in alone for cell in row(out, "parameters")[:2]]
    for name in TINY:
        assert f"Stages of {name}" in answer.out
        assert answer.out.count(f"{name}: ") == 1
    assert run("info", TINY[0], TINY[0]).out == alone[0]


def width_of(file):
    with Image.open(file) as image:
        return image.width


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_plot(run, tmp_path, ending):
    file = tmp_path / f"fields.{ending}"
    answer = run("info", *TINY, "--plot", file, "--samples", 2, "--size", 16)
    assert (answer.status, answer.err) == (0, "")
    assert f"{file}: effective fields with random weights, mean of 2 noise images." in answer.out
    if ending == "png":
        assert width_of(file) == 1400
    else:
        assert b"<svg" in file.read_bytes()[:2000]


def test_a_plot_with_given_images_and_weights(run, tmp_path, images, trained):
    file = tmp_path / "fields.png"
    answer = run(
        *("info", "res2net20_26w_4s_tiny", "--plot", file, "--size", 32, "--samples", 3),
        *("--images", images, "--weights", trained.best),
    )
    assert (answer.status, answer.err) == (0, "")
    assert f"effective fields with the given weights, mean of 3 images of {images}." in answer.out
    assert width_of(file) == 1400


def test_the_same_plot_twice_is_the_same_file(tmp_path):
    from rich.console import Console

    for name in ("first.png", "second.png"):
        draw_fields(
            str(tmp_path / name),
            TINY[:1],
            {"drop_path_rate": 0.5, "in_channels": 1},
            size=16,
            samples=1,
            images=None,
            weights=(),
            console=Console(quiet=True),
        )
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()


@pytest.mark.parametrize(
    ("name", "size", "side"),
    [("resnet50", 224, 257), ("resnet50", 257, 257), ("resnet20_tiny", 34, 65), ("hrnet_w18", 33, 64)],
)
def test_the_side_of_a_image_that_a_network_takes(name, size, side):
    with torch.device("meta"):
        model = create_model(name)
        assert image_side(model, size) == side
        assert model.eval().features(torch.empty(1, 3, side, side))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["resnet20_tiny", "resnet20_tny"], "Unknown model 'resnet20_tny': did you mean 'resnet20_tiny'?"),
        (["resnet50", "--batch-size", "0"], "batch size 0 is out of range: give 1 or more."),
        (["resnet50", "--size", "0"], "size 0 is out of range: give 1 or more."),
        (["resnet50", "--options", "name", "x"], "Model 'resnet50' has no option 'name': "),
        (["resnet50", "--options", "adapt_input", "True"], "Model 'resnet50' has no option 'adapt_input': "),
        (["resnet50", "--options", "layers", "3"], "Option layers 3 of model 'resnet50' does not fit: give a list."),
        (["inception_v3", "--size", "8"], "is too small for this network"),
        (["resnet20_tiny", "--plot", "fields.jpg"], "has the ending '.jpg': choose .png or .svg."),
        (["resnet20_tiny", "--plot", "fields"], "has the ending '': choose .png or .svg."),
        (["resnet20_tiny", "--plot", "nowhere/fields.png"], "There is no folder nowhere for fields.png: create it"),
        (["resnet20_tiny", "--plot", "a.png", "--samples", "0"], "samples 0 is out of range: give 1 to 10000."),
        (["resnet20_tiny", "--plot", "a.png", "--images", "nowhere"], "There is no file or folder nowhere"),
        (["resnet20_tiny", "--plot", "a.png", "--weights", "no.pth"], "no.pth"),
        ([*TINY, "--plot", "a.png", "--weights", "in1k"], "There are 1 --weights for 2 models: give one per model"),
        (["resnet20_tiny", "--images", "x"], "--images and --weights are used by the plot only: add --plot"),
        (["resnet20_tiny", "--plot", "a.png", "--options", "dims", "1"], "resnet20_tiny does not take images"),
        (
            ["resnet20_tiny", "ecapa_tdnn_512"],
            "resnet20_tiny takes an image and ecapa_tdnn_512 a signal, which cannot be compared: choose models",
        ),
    ],
)
def test_mistakes_are_told(refused, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    assert sentence in refused("info", *words)
    assert not list(tmp_path.iterdir())

"""The Python interface: training, evaluating and exporting give what the commands give."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import res2net
from res2net.cli import main
from res2net.commands.train import parse_run
from res2net.engine.config import default_config, override, read_yaml, to_yaml
from res2net.engine.recipes import RECIPES, starting_config
from res2net.engine.stop import StoppedError
from res2net.errors import InputError
from res2net.task import task_names

FILES = Path(__file__).parent / "legacy" / "files"
IMAGE = FILES / "images" / "0.png"
SMALL = {
    "model": "res2net20_26w_4s_tiny",
    "options": {"zero_init_last": False},
    "epochs": 1,
    "batch_size": 8,
    "size": 32,
    "workers": 0,
    "mixup": 0.2,
    "accelerator": "cpu",
}


def message(call):
    """The one sentence with which a call is refused."""
    with pytest.raises(InputError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of `res2net.train`, and of the command with the same options."""
    folder = tmp_path_factory.mktemp("runs")
    by_python = res2net.train("classify", "shapes:40,24", **SMALL, out=folder / "python", console=Console(quiet=True))
    words = (
        "--model res2net20_26w_4s_tiny --options zero_init_last False --epochs 1 --batch-size 8 --size 32 --workers 0"
    )
    words += f" --mixup 0.2 --accelerator cpu --out {folder / 'command'}"
    assert not main(["train", "shapes:40,24", *words.split()])
    return by_python, folder / "command"


def test_training_is_that_of_the_command(run):
    by_python, command = run
    ours, theirs = (read_yaml(folder / "config.yaml") for folder in (by_python.folder.path, command))
    assert ours | {"out": theirs["out"]} == theirs
    one, other = (load_file(folder / "best.safetensors") for folder in (by_python.folder.path, command))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert by_python.folder.report.is_file()
    assert len(by_python.rows) == 1


def test_an_evaluation_gives_the_numbers_of_the_run_and_of_the_command(run, capsys):
    by_python, _ = run
    trained = res2net.load(by_python.folder.path, accelerator="cpu")
    found = trained.evaluate("shapes:40,24")
    assert found.metrics == pytest.approx(by_python.evaluation.metrics, rel=1e-6)
    assert trained.evaluate(trained.open("shapes:40,24")).metrics == found.metrics
    capsys.readouterr()
    assert not main(["eval", "shapes:40,24", "--weights", str(by_python.folder.best), "--accelerator", "cpu"])
    printed = capsys.readouterr().out
    for name, value in found.metrics.items():
        assert re.search(rf"\b{name}\s+{value:.3f}\b", printed)


def test_evaluations_that_do_not_fit(run):
    trained = res2net.load(run[0].folder.path)
    assert "no file or folder 'shaps'" in message(lambda: trained.evaluate("shaps"))
    assert "has no option 'metrics'" in message(lambda: trained.evaluate("shapes:8,8", metrics="top1"))
    assert "batch size 0 is out of range" in message(lambda: trained.evaluate("shapes:8,8", batch_size=0))


def test_an_evaluation_with_options_of_a_task_alone():
    detect = res2net.load(FILES / "checkpoints" / "detect.safetensors")
    assert "box_AP50" in detect.evaluate(FILES / "objects", metric="coco").metrics
    assert "box_AP50" not in detect.evaluate(FILES / "objects", metric="voc07").metrics
    assert "did you mean 'metric'?" in message(lambda: detect.evaluate(FILES / "objects", metrc="coco"))


def test_an_export_writes_a_file_that_predicts_the_same(run, tmp_path):
    trained = res2net.load(run[0].folder.path, accelerator="cpu")
    exported = trained.export("pt2", tmp_path / "network.pt2")
    assert exported.path == tmp_path / "network.pt2"
    assert exported.agreement.relative < 1e-4
    (one,), (other,) = (loaded.predict(IMAGE) for loaded in (res2net.load(exported.path, trust=True), trained))
    assert one.classes == other.classes
    assert one.probabilities == pytest.approx(other.probabilities, rel=1e-4)
    assert "exists: choose another name" in message(lambda: trained.export("pt2", exported.path))
    assert "is an exported network already" in message(lambda: res2net.load(exported.path, trust=True).export("onnx"))
    assert "did you mean 'calibrate'?" in message(lambda: trained.export("pt2", callibrate="images"))
    assert "did you mean 'onnx'?" in message(lambda: trained.export("onx"))


def options_of(words):
    """The keywords that mean the same as words of the command."""
    return {word.removeprefix("--").replace("-", "_"): value for word, value in words.items()}


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("detect", {"--fpn-channels": 32, "--detections": 7, "--detector": "retinanet", "--backbone": "resnet18"}),
        ("detect", {"--options": {"zero_init_last": False}, "--betas": (0.8, 0.9), "--optimizer": "adam", "--seed": 3}),
        ("keypoints", {"--fpn-channels": 16, "--flip": 0.25}),
        ("classify", {"--model": "resnet18", "--val-fraction": 0.5, "--mixup": 0.1, "--precision": "bf16"}),
    ],
)
def test_options_mean_what_they_mean_on_the_command_line(task, words):
    """Also those of groups within groups, such as the sizes of a detector."""
    default = default_config(task, "data")
    typed = []
    for word, value in words.items():
        values = [part for pair in value.items() for part in pair] if isinstance(value, dict) else value
        typed += [word, *map(str, values if isinstance(values, list | tuple) else [values])]
    assert override(default, options_of(words)) == parse_run("train", typed, default).run != default


@pytest.mark.parametrize("task", task_names())
def test_every_option_of_the_command_is_a_keyword(task, capsys):
    with pytest.raises(SystemExit):
        main(["train", task, "--help-all"])
    words = re.findall(r"--([a-z][a-z-]+)", re.sub(r"\(.*?\)|`.*?`|--no-\S+", "", capsys.readouterr().out))
    keywords = (
        message(lambda: override(default_config(task), {"?": 1})).partition("it takes ")[2].strip(".").split(", ")
    )
    assert {"epochs", "seed"} <= {*words}
    assert {word.replace("-", "_") for word in words} - {*keywords} <= {
        "help",
        "help_all",
        "config",
        "recipe",
        "resume",
        "accept_changed_data",
    }


def test_groups_of_options_may_be_given_whole():
    default = default_config("detect", "data")
    assert override(default, {"head": {"fpn_channels": 32}}) == override(default, {"fpn_channels": 32})


def test_a_recipe_and_a_file_are_where_options_start(tmp_path):
    recipe = RECIPES["shapes_retinanet"].configure()
    given = {"epochs": 2, "warmup": 0.0, "batch_size": 0}
    # Refused, so that nothing is trained, but with the options of the recipe.
    assert "batch size 0" in message(lambda: res2net.train(recipe="shapes_retinanet", **given))
    found, folder = starting_config(None, recipe="shapes_retinanet")
    assert (found, folder) == (recipe, None)
    (tmp_path / "run.yaml").write_text(to_yaml(recipe))
    assert starting_config("detect", config=tmp_path / "run.yaml") == (recipe, None)
    assert "is for the task detect, not for segment" in message(
        lambda: res2net.train("segment", "shapes:8,4", recipe="shapes_retinanet")
    )
    assert "exclude each other" in message(lambda: res2net.train(recipe="shapes_retinanet", config="run.yaml"))
    assert "did you mean 'shapes_retinanet'?" in message(lambda: res2net.train(recipe="shapes_retinane"))
    for call in (lambda: res2net.train("classify"), lambda: res2net.train(recipe="mask_rcnn_1x")):
        assert message(call).startswith("SOURCE is missing")


def test_a_stopped_run_is_resumed(run, tmp_path, monkeypatch):
    whole, _ = run
    original, steps = torch.optim.SGD.step, []

    def interrupted(self, *arguments, **options):
        steps.append(self)
        if len(steps) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return original(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.SGD, "step", interrupted)
    with pytest.raises(StoppedError, match="stopped"):
        res2net.train("classify", "shapes:40,24", **SMALL, out=tmp_path / "stopped", console=Console(quiet=True))
    for options, text in (
        ({"lr": 1.0, "batch_size": 3}, "A resumed run keeps --batch-size, --lr: leave that out of --resume"),
        ({"recipe": "shapes_retinanet"}, "A resumed run keeps its options: leave out --recipe."),
        ({"source": "shapes:8,4"}, "(train: 32 removed (such as "),
    ):
        assert text in message(lambda options=options: res2net.train(resume=tmp_path / "stopped", **options))
    assert "is for the task classify, not for detect" in message(
        lambda: res2net.train("detect", resume=tmp_path / "stopped")
    )
    resumed = res2net.train("classify", "shapes:40,24", resume=tmp_path / "stopped", console=Console(quiet=True))
    one, other = (load_file(one.folder.best) for one in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("task", "options", "text"),
    [
        ("clasify", {}, "did you mean 'classify'?"),
        ("classify", {"epocs": 3}, "did you mean 'epochs'?"),
        ("classify", {"mixxup": 0.1}, "did you mean 'mixup'?"),
        ("detect", {"detectr": "retinanet"}, "did you mean 'detector'?"),
        ("classify", {"epochs": "ten"}, "epochs 'ten'"),
        ("classify", {"model": "resnte50"}, "did you mean 'resnet50'?"),
    ],
)
def test_training_options_that_do_not_fit(tmp_path, task, options, text):
    assert text in message(lambda: res2net.train(task, "shapes:8,4", out=tmp_path / "run", **options))
    assert not (tmp_path / "run").exists()

"""Weights that ship: small files that load, predict on the photograph that ships, and have a card that is true."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import torch

import res2net
from res2net.bench.cases import open_subject
from res2net.cli import main
from res2net.commands import cam
from res2net.commands.arguments import RunningArguments
from res2net.commands.compare import load_all
from res2net.commands.parser import parse
from res2net.commands.train import parse_train
from res2net.commands.trained import is_trained, trained_tables
from res2net.commands.weights import list_weights, print_card
from res2net.engine.config import ModelConfig, TrainConfig
from res2net.engine.data_tools import CONVERSIONS
from res2net.engine.options import options_type
from res2net.engine.train import with_model
from res2net.errors import InputError
from res2net.task import task_names
from res2net.weights import checkpoint_path, find_shipped, read_checkpoint, shipped, shipped_for
from res2net.weights.shipped import FOLDER, PHOTOGRAPH
from res2net.zoo import create_model, is_file, list_models, load_model

ROOT = Path(__file__).parents[2]
CARDS = shipped()
NAMES = [card.name for card in CARDS]
every_card = pytest.mark.parametrize("card", CARDS, ids=NAMES)
PEOPLE = ROOT / "benchmarks" / "people.py"


def test_all_of_it_is_small_and_nothing_else_lies_in_the_folder():
    files = {file.name for file in FOLDER.iterdir()}
    assert files == {f"{name}.{kind}" for name in NAMES for kind in ("safetensors", "yaml")} | {PHOTOGRAPH.name}
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 10_000_000


@every_card
def test_a_card_is_complete(card):
    assert card.task in task_names()
    assert card.model in list_models()
    assert card.licence.startswith("Apache-2.0")
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", card.date)
    assert card.score in card.metrics
    assert all(text and "TODO" not in text for text in (card.knows, card.limits, card.data, card.recipe))
    assert all(text.endswith(".") for text in (card.limits, card.data, card.recipe))
    assert not card.knows.endswith(".")


@every_card
def test_a_file_says_what_its_card_says(card):
    checkpoint = read_checkpoint(card.path)  # which verifies its SHA-256
    assert checkpoint.metadata["model"] == card.model
    assert checkpoint.metadata["task"] == card.task
    assert checkpoint.metadata["licence"] == card.licence.partition(" ")[0]
    assert "/" not in checkpoint.metadata["source"]  # no path of the machine that trained it
    kinds = {tensor.dtype for tensor in checkpoint.tensors.values() if tensor.ndim > 1}
    assert kinds == {torch.float16}


@every_card
def test_the_commands_of_a_card_parse(card):
    *words, metric_words = [shlex.split(command) for command in (*card.commands, card.score_command)]
    assert words
    for command in words:
        if command[0] == "python":
            assert (ROOT / command[1]).is_file()
        elif command[1] == "data":
            parse(CONVERSIONS[command[2]].Arguments, "data", command[3:], "")
        else:
            assert command[:2] == ["res2net", "train"]
            parsed, _, _ = parse_train("train", command[2:])
    # The last run is the one that the file is of.
    assert parsed.run.model.model in ("", None, card.model)
    assert metric_words[:2] == ["res2net", "eval"]
    assert metric_words[-2:] == ["--weights", card.name]


@every_card
def test_it_predicts_on_the_photograph(card):
    model = res2net.load(card.name)
    assert model.task.name == card.task
    assert model.path == card.path
    result = model.predict("example")[0]
    assert result.path == PHOTOGRAPH
    assert result.to_dict()
    assert all(parameter.dtype == torch.float32 for parameter in model.task.parameters())


@every_card
def test_a_backbone_starts_from_it(card):
    model = create_model(card.model, weights=card.name)
    stem = next(iter(model.state_dict()))
    tensors = read_checkpoint(card.name).tensors
    inside = min((name for name in tensors if name == stem or name.endswith(f".{stem}")), key=len)
    assert torch.equal(model.state_dict()[stem], tensors[inside].float())


def test_a_name_is_no_file_and_no_tag_of_another_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checkpoint_path("cifar100") == find_shipped("cifar100").path
    assert is_file("cifar100")
    assert [find_shipped(name) for name in ("in1k", "cifar100.safetensors", "", "../cifar100", "cifar10")] == [None] * 5
    with pytest.raises(InputError, match=r"holds a 'res2net20_26w_4s_small', not a 'resnet50'"):
        create_model("resnet50", weights="cifar100")
    backbone, checkpoint = load_model("cifar100")
    assert backbone.num_classes == len(checkpoint.metadata["class_names"]) == 100


def test_all_commands_take_the_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    card = find_shipped("cifar100")
    assert cam.load_model(card.name, "cpu").path == card.path
    both = load_all([card.name, str(card.path)], "classify", RunningArguments())
    assert [model.path for model in both] == [card.path] * 2
    assert not open_subject(card.name).fresh
    assert is_trained(card.name)
    assert any(card.path.name in table.title for table in trained_tables(card.name))
    start = TrainConfig("classify", "shapes", options_type("classify")(), ModelConfig(model="", weights=card.name))
    assert with_model(start).model.model == card.model


def test_a_folder_of_data_does_not_hide_it_and_a_run_of_that_name_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = Path("cifar100")
    own.mkdir()
    assert checkpoint_path("cifar100") == FOLDER / "cifar100.safetensors"
    own.joinpath("best.safetensors").write_bytes(FOLDER.joinpath("cifar100.safetensors").read_bytes())
    assert checkpoint_path("cifar100") == own
    assert res2net.load("cifar100").path == own / "best.safetensors"


def test_predict_without_weights_says_which_it_uses(capsys):
    assert not main(["predict", "example", "--json"])
    out, err = capsys.readouterr()
    assert '"file"' in out
    said = " ".join(err.split())
    card = shipped_for("classify")
    assert said.startswith(f"With the weights that ship, {card.name}, which know {card.knows}. {card.limits}")
    assert "--weights in1k" in said


def test_a_task_without_weights_and_a_model_without_them_are_a_sentence(capsys):
    assert main(["predict", "roads", "example"]) == 2
    assert "No weights ship for roads (there are some for classify" in capsys.readouterr().err
    assert main(["predict", "example", "--model", "resnet50"]) == 2
    assert "--model resnet50 needs --weights" in capsys.readouterr().err


def test_they_are_listed_with_score_and_licence(capsys):
    list_weights("res2net20*")
    out = capsys.readouterr().out
    for card in CARDS:
        assert card.name in out
        assert f"{card.metrics[card.score]:g}" in out
    assert "res2net50_26w_4s" not in out
    list_weights("")
    assert "Licence of in1k: CC BY-NC-SA 4.0: not for commercial use" in capsys.readouterr().out


def test_a_card_is_printed_and_a_wrong_name_gets_a_hint(capsys):
    print_card("cifar100")
    out = capsys.readouterr().out
    card = find_shipped("cifar100")
    for text in (card.score_command, *card.commands, card.date, card.licence):
        assert text in out
    with pytest.raises(InputError, match="did you mean 'cifar100'"):
        print_card("cifar10")


@every_card
def test_the_documentation_has_the_score_and_the_size(card):
    page = (ROOT / "docs" / "weights.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"(?m)^\| `{card.name}` \|.*$", page)
    size = card.path.stat().st_size / 1e6
    assert row.startswith(f"| `{card.name}` | `{card.task}` | ")
    assert row.endswith(f" | {card.score} {card.metrics[card.score]:g} | {size:.1f} MB |")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder in which the commands of the cards that prepare data have run, without those that train."""
    return tmp_path_factory.mktemp("prepared")


def people_set(out, penn, coco, *options):
    spec = importlib.util.spec_from_file_location("people", PEOPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main([str(penn), str(coco), str(out), *options])


@pytest.mark.slow
@every_card
def test_the_score_is_what_its_command_computes(card, real_data, prepared, monkeypatch):
    monkeypatch.chdir(prepared)
    for command in map(shlex.split, card.commands):
        if command[0] == "python" and not Path(command[4]).exists():
            people_set(Path(command[4]), real_data("penn_fudan"), real_data("coco_mini"), *command[5:])
        elif command[1] == "data" and not Path(value_after("--out", command)).exists():
            assert not main(command[1:])
    source = next(word for word in shlex.split(card.score_command)[2:] if word != card.task)
    found = res2net.load(card.name).evaluate(real_data("cifar100") if source.startswith("PATH") else source).metrics
    assert {name: found[name] for name in card.metrics} == pytest.approx(card.metrics, abs=0.1)


def value_after(option, words):
    return words[words.index(option) + 1]

"""`res2net models` and `res2net info`."""

import pytest
import torch

from res2net import create_model, list_models


def test_all_models_are_listed(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    answer = run("models")
    assert (answer.status, answer.err) == (0, "")
    listed = [line.split()[0] for line in answer.out.splitlines() if line.strip()]
    assert [name for name in listed if name in list_models()] == list_models()


def test_the_list_does_not_import_timm(fresh):
    """It takes seconds, and only networks of timm need it."""
    ask = "import sys; from res2net.cli import main; main(['models']); assert 'timm' not in sys.modules"
    assert "hrnet_w48" in fresh(ask)


def test_models_that_match_a_pattern(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out = run("models", "res2net50_26w*").out
    assert "res2net50_26w_4s   25.7 M       in1k" in out
    assert "res2net50_26w_8s" in out
    assert "resnet50" not in out
    assert "res2net101" not in out


def test_no_model_matches(refused):
    sentence = "No model matches 'res2net101_26w4s': did you mean 'res2net101_26w_4s'?"
    assert refused("models", "res2net101_26w4s") == sentence
    assert refused("models", "zzz*") == "No model matches 'zzz*': see `res2net models`."


def test_info_tells_cost_stages_and_weights(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    answer = run("info", "res2net50_26w_4s")
    assert (answer.status, answer.err) == (0, "")
    with torch.device("meta"):
        parameters = sum(p.numel() for p in create_model("res2net50_26w_4s").parameters())
    for part in (f"{parameters:,}", "224 x 224", "layer4", "2,048", "receptive field", "in1k", "licence"):
        assert part in answer.out


def test_info_of_a_model_with_other_options(run):
    small = run("info", "res2net20_26w_4s_tiny", "--size", 64, "--num-classes", 10, "--options", "scale", 2)
    usual = run("info", "res2net20_26w_4s_tiny", "--size", 64)
    assert "64 x 64" in small.out
    assert small.out != usual.out


@pytest.mark.parametrize("columns", [40, 60])
def test_a_narrow_terminal_is_not_exceeded(run, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    for words in (["info", "res2net50_26w_4s"], ["models", "res2net50*"]):
        answer = run(*words)
        assert answer.status == 0
        assert max(map(len, answer.out.splitlines())) <= columns


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["res2net50_26w4s"], "Unknown model 'res2net50_26w4s': did you mean 'res2net50_26w_4s'?"),
        (["resnet50", "--options", "scales", "8"], "Model 'resnet50' has no option 'scales': did you mean 'scale'?"),
        (["resnet50", "--options", "scale", "text"], "Option scale 'text' of model 'resnet50' does not fit: give a"),
        (["resnet50", "--output-stride", "7"], "Output stride 7 is not possible here: choose one of [32, 16, 8, 4]."),
        (["resnet50", "--size", "-3"], "size -3 is out of range: give 1 or more."),
        (["resnet50", "--in-channels", "0"], "0 input channels: give at least"),
        (["resnet50", "--num-clases", "4"], "`res2net info` has no option '--num-clases': did you mean '--num-class"),
        ([], "`res2net info` needs at least one model: see `res2net info --help`."),
    ],
)
def test_info_of_what_does_not_exist(refused, words, sentence):
    assert sentence in refused("info", *words)

"""Options and files of options that are wrong: one sentence that names the value and what to do."""

import pytest
import torch

from res2net.weights import save


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"epochs": -1}, "epochs -1 is out of range: give 1 to 1000000."),
        ({"batch_size": 0}, "batch size 0 is out of range: give 1 to 1000000."),
        ({"lr": "fast"}, "--lr 'fast' does not fit: give a number."),
        ({"lr": "nan"}, "lr nan is out of range: give 1e-12 to 1000000.0."),
        ({"lr": -0.1}, "lr -0.1 is out of range"),
        ({"batch_size": 1.5}, "--batch-size '1.5' does not fit: give a whole number."),
        ({"size": "big"}, "--size 'big' does not fit: give a whole number."),
        ({"betas": "0.9"}, "--betas '0.9' does not fit: give two numbers."),
        ({"size": 0}, "size 0 is out of range: give 8 to 8192."),
        ({"workers": -1}, "workers -1 is out of range: give 0 to 1024."),
        ({"warmup": 5}, "warmup 5.0 is out of range: give 0 to 1."),
        ({"erase": 7}, "erase 7.0 is out of range: give 0 to 1."),
        ({"optimizer": "sdg"}, "Unknown --optimizer 'sdg': did you mean 'sgd'? (allowed: sgd, adam, adamw, lamb)."),
        ({"schedule": "cosin"}, "Unknown --schedule 'cosin': did you mean 'cosine'?"),
        ({"bad_images": "sikp"}, "Unknown --bad-images 'sikp': did you mean 'skip'?"),
        ({"accelerator": "gpuu"}, "Unknown --accelerator 'gpuu': did you mean 'gpu'?"),
        ({"precision": "fp16"}, "Precision fp16 needs a GPU: choose --precision bf16 or fp32 on a CPU."),
        ({"in_channels": 2}, "Unknown --in-channels '2': choose one (allowed: 1, 3, 4)."),
        ({"modle": "x"}, "`res2net train` has no option '--modle': did you mean '--model'?"),
        (
            {"label_smooting": "x"},
            "`res2net train` has no option '--label-smooting': did you mean '--label-smoothing'?",
        ),
        ({"model": "res2net50_26w4s"}, "Unknown model 'res2net50_26w4s': did you mean 'res2net50_26w_4s'?"),
        ({"weights": "in1k"}, "Model 'res2net20_26w_4s_tiny' has no published weights"),
    ],
)
def test_an_option_that_does_not_fit(refused, images, tiny, tmp_path, options, sentence):
    assert sentence in refused("train", images, *tiny(out=tmp_path / "run", **options))
    assert not (tmp_path / "run" / "last.ckpt").exists()


def test_an_option_that_the_model_does_not_take(refused, images, tiny, tmp_path):
    sentence = refused("train", images, *tiny(out=tmp_path / "run"), "--options", "scales", 8)
    assert sentence == "Model 'res2net20_26w_4s_tiny' has no option 'scales': did you mean 'scale'?"
    sentence = refused("train", images, *tiny(out=tmp_path / "run"), "--options", "scale")
    assert sentence == "--options needs NAME VALUE pairs; 'scale' has no value."
    for option in ("num_classes", "in_channels"):
        sentence = refused("train", images, *tiny(out=tmp_path / "run"), "--options", option, 1)
        assert sentence == f"The options of the model cannot set {option}, which the data decide: leave it out."
    sentence = refused("train", images, *tiny(out=tmp_path / "run"), "--options", "name", "x")
    assert sentence.startswith("Model 'res2net20_26w_4s_tiny' has no option 'name': ")


def test_an_option_without_its_value(refused, images):
    for option in ("--epochs", "--config", "--resume"):
        assert refused("train", images, option) == f"{option} needs a value: see `res2net train --help`."


def test_a_sentence_keeps_the_spaces_of_a_value(refused, images, tiny, monkeypatch):
    """Names with spaces and lines of their own survive what tyro does to a text."""
    monkeypatch.setenv("COLUMNS", "40")
    name = "a  name   with spaces ───────── and a box │ " + "x" * 50
    assert refused("train", images, *tiny(optimizer=name)).startswith(f"Unknown --optimizer {name!r}: ")


def test_one_word_too_many(refused, images, tiny):
    assert refused("train", images, "more", *tiny()) == "Unexpected argument 'more': see `res2net train --help`."


def test_an_option_with_a_value_too_many(refused, images, tiny):
    sentence = refused("train", images, *tiny(), "--val-fraction", 0.2, 0.3)
    assert sentence == "--val-fraction takes one number, and '0.3' is one more: see `res2net train --help`."


def test_no_source(refused, tiny):
    assert (
        refused("train", *tiny())
        == "SOURCE is missing: give a path, or the name of an embedded data set such as shapes."
    )


@pytest.mark.parametrize("columns", ["40", "500"])
def test_the_sentence_does_not_depend_on_the_terminal(refused, images, tiny, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    assert refused("train", images, *tiny(optimizer="sdg")) == (
        "Unknown --optimizer 'sdg': did you mean 'sgd'? (allowed: sgd, adam, adamw, lamb)."
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("optim:\n  epohcs: 3\n", "optim has no option 'epohcs': did you mean 'epochs'?"),
        ("sed: 3\n", "has no option 'sed': did you mean 'seed'?"),
        ("task:\n  mixpu: 1\n", "task has no option 'mixpu': did you mean 'mixup'?"),
        ("model:\n  options:\n    scales: 4\n", "Model 'res2net20_26w_4s_tiny' has no option 'scales'"),
        ("1: 2\n", "has no option 1"),
        ("seed: text\n", "seed 'text' in the configuration"),
        ("optim: 3\n", "optim is 3: give options with their values."),
        ("optim:\n  epochs: -1\n", "epochs -1 is out of range"),
        ("source: null\n", "source None in the configuration"),
        ("seed: 3\noptim: [1,\n", "is not YAML (line 3:"),
        ("- a\n- b\n", "holds no options: write lines such as `seed: 1`."),
        ("", "holds no options: write lines such as `seed: 1`."),
    ],
)
def test_a_file_of_options_that_does_not_fit(refused, images, tiny, tmp_path, text, sentence):
    file = tmp_path / "options.yaml"
    file.write_text(text)
    assert sentence in refused("train", images, *tiny(config=file, out=tmp_path / "run"))


def test_a_file_of_options_for_another_task(refused, images, tmp_path):
    (tmp_path / "options.yaml").write_text("task_name: detect\n")
    sentence = refused("train", "classify", images, "--config", tmp_path / "options.yaml")
    assert sentence.endswith("is for the task detect, not for classify: name the task detect instead.")


def test_a_file_of_options_that_cannot_be_read(refused, images, tmp_path):
    for path in (tmp_path / "none.yaml", tmp_path):
        assert f"Cannot read the configuration {path}" in refused("train", images, "--config", path)
    (tmp_path / "binary.yaml").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    assert "binary.yaml is not YAML" in refused("train", images, "--config", tmp_path / "binary.yaml")


@pytest.mark.parametrize("verb", ["train", "eval", "predict"])
def test_a_misspelt_task_names_the_nearest(refused, verb):
    assert refused(verb, "detekt", "shapes").startswith("There is no task 'detekt': did you mean 'detect'? (tasks: ")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_numbers_that_are_choices_are_taken(refused, tmp_path, channels):
    """What is refused is the folder alone."""
    sentence = refused("train", tmp_path / "none", "--in-channels", channels, "--model", "res2net20_26w_4s_tiny")
    assert sentence.startswith("There is no file or folder")


@pytest.mark.parametrize(
    ("words", "end"),
    [
        (
            ["predict", "--score", 0.3],
            "'--score', and --score-threshold is one of detect, instance, keypoints",
        ),
        (["predict", "--score_threshold", 1], "name the task, as in `res2net predict detect ...`."),
        (["train", "--decoder", "x"], "'--decoder', and --decoder is one of click, depth, saliency, segment: "),
        (["train", "segment", "--mixup", 1], "`res2net train segment` has no option '--mixup', and --mixup is one of "),
        (["eval", "--boxes", "x"], "name the task, as in `res2net eval keypoints ...`."),
        (["eval", "--nothing-of-the-kind", 1], "`res2net eval` has no option '--nothing-of-the-kind': "),
        (["predict", "--nothing-of-the-kind", 1], "has no option '--nothing-of-the-kind': "),
    ],
)
def test_an_option_of_another_task_is_a_hint_at_it(refused, words, end):
    assert end in refused(*words, *(["--model", "x", "y"] if words[0] == "train" else ["--weights", "x", "y"]))


def test_the_task_of_the_weights_is_hinted_at_first(refused, tmp_path):
    save(tmp_path / "best.safetensors", {"x": torch.zeros(1)}, {"task": "keypoints"})
    for weights in (tmp_path, tmp_path / "best.safetensors"):
        sentence = refused("predict", "a.png", "--weights", weights, "--score", 0.3)
        assert "is one of keypoints, detect, instance, panoptic: name the task, as in `res2net predict keyp" in sentence

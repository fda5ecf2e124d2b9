"""Configurations: what is written is read back, and what does not fit is told in one sentence."""

import dataclasses
import math

import pytest

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig, read_yaml, to_yaml
from res2net.errors import InputError
from res2net.options import from_dict
from res2net.tasks.classify.task import ClassifyOptions

KIND = TrainConfig[ClassifyOptions]
LEAST = {"task_name": "classify", "source": "shapes", "task": {}}


def config(**options):
    return from_dict(KIND, LEAST | options)


def message(**options):
    """The one sentence that a configuration is refused with."""
    with pytest.raises(InputError) as caught:
        config(**options)
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 250
    return text


def test_what_is_not_given_is_the_default():
    assert config() == TrainConfig("classify", "shapes", ClassifyOptions())
    assert config(optim={"lr": 0.5}).optim == OptimConfig(lr=0.5)


UNUSUAL = [
    TrainConfig("classify", "shapes", ClassifyOptions()),
    TrainConfig(
        "classify",
        "C:\\data: [ümläute] #1",
        ClassifyOptions(
            *(0.1, 0.2, 1.0, 2, 7, 0.3, 0.25, 0.0, 0.4, "balanced", True, 2, True),
            *("runs/teacher", "kl", 4.0, 0.5, "more images"),
        ),
        ModelConfig("resnet50", "in1k", True, True, {"scale": 8, "drop_path_rate": 1e-5, "stem": "deep", "x": False}),
        DataConfig(256, 176, 0.125, "fit", "hold", "skip", "scaled", 0, "skip", 7, 1),
        OptimConfig(
            *(300, "lamb", 1e-8, 0.02, False, 0.0, True, "step", 4.5, 7, (5, 299), 0.25, 1.5, 3),
            *(1e12, 0.9999, (0.5, 0.75)),
        ),
        seed=2**32 - 1,
        precision="bf16",
        channels_last=False,
        compile=True,
        accelerator="gpu",
        out="null",
        validate_every=5,
        patience=3,
        save_minutes=0.5,
        logger="csv",
    ),
    TrainConfig(
        "classify",
        "1e3",
        ClassifyOptions(flip=1.0),
        ModelConfig(weights="yes"),
        optim=OptimConfig(hold=0.5, lr_end=0.25),  # not of the schedule that has milestones
        out="2026-01-01",
        validate_every=2,
        patience=1,
        save_minutes=7,
        logger="wandb",
    ),
]


@pytest.mark.parametrize("wanted", UNUSUAL, ids=["defaults", "everything", "text that looks like something else"])
def test_yaml_round_trip(tmp_path, wanted):
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(wanted), encoding="utf-8")
    assert from_dict(KIND, read_yaml(path)) == wanted


def test_the_last_two_of_them_have_nothing_at_its_default():
    """So that the round trip misses no option, new ones included."""

    def same(one, other):
        for entry in dataclasses.fields(one):
            a, b = getattr(one, entry.name), getattr(other, entry.name)
            if dataclasses.is_dataclass(a):
                yield from same(a, b)
            elif a == b:
                yield entry.name

    defaults, *others = UNUSUAL
    assert set.intersection(*(set(same(other, defaults)) for other in others)) == {"task_name"}


def test_numbers_as_people_write_them(tmp_path):
    path = tmp_path / "config.yaml"
    # YAML 1.1 takes 1e-3 for text and 1 for a whole number.
    path.write_text("optim: {lr: 1e-3, weight_decay: 0, warmup: 1}\ndata: {size: 96}\n")
    found = config(**read_yaml(path))
    assert (found.optim.lr, found.optim.weight_decay, found.optim.warmup) == (0.001, 0.0, 1.0)
    assert isinstance(found.optim.warmup, float)
    assert found.data.size == 96


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"precison": "fp32"}, "The configuration has no option 'precison': did you mean 'precision'?"),
        ({"optim": {"epocs": 3}}, "optim has no option 'epocs': did you mean 'epochs'?"),
        ({"task": {"label_smooting": 0.1}}, "task has no option 'label_smooting': did you mean 'label_smoothing'?"),
        ({"data": {"batchsize": 3}}, "data has no option 'batchsize': did you mean 'batch_size'?"),
        (
            {"precision": "bf61"},
            "precision 'bf61' in the configuration does not fit: did you mean 'bf16'? (allowed:",
        ),
        ({"optim": {"optimizer": "adams"}}, "optimizer 'adams' in optim does not fit: did you mean 'adam'?"),
        ({"optim": {"schedule": "cosin"}}, "schedule 'cosin' in optim does not fit: did you mean 'cosine'?"),
        ({"accelerator": "gpus"}, "accelerator 'gpus' in the configuration does not fit: did you mean 'gpu'?"),
        ({"data": {"bad_images": "skipp"}}, "bad_images 'skipp' in data does not fit: did you mean 'skip'?"),
        ({"data": {"decode": "scale"}}, "decode 'scale' in data does not fit: did you mean 'scaled'?"),
    ],
)
def test_an_unknown_name_tells_the_nearest(options, text):
    assert message(**options).startswith(text)


def test_names_that_are_no_text():
    with pytest.raises(InputError, match=r"^The configuration has no option 7: it takes task_name, source"):
        from_dict(KIND, LEAST | {7: 1})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"seed": "one"}, "seed 'one' in the configuration does not fit: give a whole number."),
        ({"seed": True}, "seed True in the configuration does not fit: give a whole number."),
        ({"seed": None}, "seed None in the configuration does not fit: give a whole number."),
        ({"compile": "yes please"}, "compile 'yes please' in the configuration does not fit: give True or False."),
        ({"out": 3}, "out 3 in the configuration does not fit: give a string or None."),
        ({"optim": {"epochs": 1.5}}, "epochs 1.5 in optim does not fit: give a whole number."),
        ({"optim": {"lr": "high"}}, "lr 'high' in optim does not fit: give a number."),
        ({"optim": {"lr": None}}, "lr None in optim does not fit: give a number."),
        ({"optim": {"nesterov": 1}}, "nesterov 1 in optim does not fit: give True or False."),
        ({"data": {"size": [9, 9, 9]}}, "size [9, 9, 9] in data does not fit: give a whole number or a list or None."),
        (
            {"model": {"options": {"scale": [1]}}},
            "options {'scale': [1]} in model does not fit: give a mapping to a number, True or False or a string.",
        ),
        (
            {"model": {"options": "scale 8"}},
            "options 'scale 8' in model does not fit: give a mapping to a number, True or False or a string.",
        ),
        ({"task": {"flip": "often"}}, "flip 'often' in task does not fit: give a number or None."),
        ({"optim": ["lr", 1]}, "optim is ['lr', 1]: give options with their values."),
        ({"model": None}, "model is None: give options with their values."),
        ({"source": 3}, "source 3 in the configuration does not fit: give a string."),
    ],
)
def test_a_value_of_another_type(options, text):
    assert message(**options) == text


@pytest.mark.parametrize("milestones", [[3, 3], [5, 2], [0, 2], [2, 10], [-1]])
def test_milestones_rise_within_the_run(milestones):
    shown = ", ".join(map(str, milestones))
    assert message(optim={"schedule": "step", "epochs": 10, "milestones": milestones}) == (
        f"Milestones {shown} do not fit a run of 10 epochs: give rising numbers from 1 to 9."
    )


def test_milestones_of_another_schedule():
    assert message(optim={"milestones": [3]}) == (
        "Milestones 3 apply to the schedule step, and this is cosine: leave out one."
    )


@pytest.mark.parametrize(
    ("optim", "text"),
    [
        (
            {"betas": [0.5, 0.9]},
            "--betas 0.5 0.9 applies to adam, adamw and lamb, and the optimizer is sgd: add --betas None.",
        ),
        (
            {"hold": 1.0, "schedule": "step"},
            "--hold applies to the schedules cosine and poly, and this is step: leave out one.",
        ),
        (
            {"lr_end": 0.1, "schedule": "one-cycle"},
            "--lr-end applies to the schedules cosine and poly, and this is one-cycle: leave out one.",
        ),
    ],
)
def test_what_another_optimizer_or_schedule_has(optim, text):
    assert message(optim=optim) == text


def test_what_must_be_given():
    with pytest.raises(InputError, match=r"^The configuration lacks source, task: add it\.$"):
        from_dict(KIND, {"task_name": "classify"})


@pytest.mark.parametrize(
    ("group", "option", "value"),
    [
        *(("optim", "epochs", value) for value in (0, -1)),
        *(("optim", "lr", value) for value in (0, -0.1, math.nan, math.inf, "nan", 10**400)),
        *(("optim", "weight_decay", value) for value in (-1e-4, math.inf)),
        *(("optim", "momentum", value) for value in (-0.1, 1.1)),
        *(("optim", "warmup", value) for value in (-1, 31)),  # longer than the run
        *(("optim", "step_epochs", 0), ("optim", "step_factor", 2), ("optim", "accumulate", 0)),
        *(("optim", "clip", -1), ("optim", "ema", 1.5), ("optim", "hold", 31), ("optim", "lr_end", 1.1)),
        *(("optim", "betas", value) for value in ([0.5, 1.0], [-0.1, 0.9])),
        *(("data", "batch_size", 0), ("data", "size", 0), ("data", "size", 7), ("data", "size", 10**6)),
        *(("data", "val_fraction", value) for value in (0, 1, math.nan)),
        ("data", "workers", -1),
        *((None, "seed", value) for value in (-1, 2**32)),
        ("task", "label_smoothing", 1),
    ],
)
def test_a_value_out_of_range(group, option, value):
    with pytest.raises(InputError) as caught:
        config(**({group: {option: value}} if group else {option: value}))
    text = str(caught.value)
    assert text.startswith(f"{option.replace('_', ' ')} ")
    assert " is out of range: give " in text


@pytest.mark.parametrize(
    ("group", "option", "value"),
    [
        *(("optim", "warmup", value) for value in (0, 30)),
        *(("optim", "momentum", value) for value in (0, 1)),
        *(("data", "workers", value) for value in (None, 0, 8)),
        *(("data", "size", value) for value in (None, 8, 8192)),
        *(("optim", "epochs", 30), ("optim", "accumulate", 1), ("data", "batch_size", 1)),
    ],
)
def test_the_ends_of_a_range_are_within(group, option, value):
    assert getattr(getattr(config(**{group: {option: value}}), group), option) == value


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"seed: 1\noptim: [1\n", r"is not YAML \(line 3: expected ',' or '\]'.*\): fix it\.$"),
        (b"a: b: c\n", r"is not YAML \(line 1: mapping values are not allowed here\): fix it\.$"),
        (b"&a [*a]\n", r"is not YAML \(it contains itself\): fix it\.$"),
        (b"a: " + b"[" * 9000, r"is not YAML \(it is nested too deeply\): fix it\.$"),
        (b"a: \x00\n", r"is not YAML \(.*\): fix it\.$"),
        (b"out: 2020-13-01\n", r"is not YAML \(month must be in 1\.\.12\): fix it\.$"),
        (b"a: !!python/object/apply:os.getcwd []\n", r"is not YAML \(line 1: could not determine .*\): fix it\.$"),
        (b"", r"holds no options: write lines such as `seed: 1`\.$"),
        (b"- 1\n- 2\n", r"holds no options: write lines such as `seed: 1`\.$"),
    ],
)
def test_a_file_that_holds_no_configuration(tmp_path, content, reason):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"^The configuration .*config\.yaml " + reason) as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"^Cannot read the configuration .*none\.yaml \(No such file or directory\)"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(InputError, match=r"^Cannot read the configuration .* \(Is a directory\)"):
        read_yaml(tmp_path)

"""Networks that learn in turns: each by its own optimizer, resumed exactly."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from res2net.engine.config import DataConfig, ModelConfig, OptimConfig, TrainConfig
from res2net.engine.folder import RunFolder
from res2net.engine.state import read_state
from res2net.engine.stop import StoppedError
from res2net.engine.train import train
from res2net.errors import InputError
from res2net.tasks.translate.task import TranslateOptions


@pytest.fixture
def run_of(tmp_path):
    """A function that makes the configuration of a small run in which two networks learn."""

    def configure(out, task=None, **optim):
        return TrainConfig(
            "translate",
            "shapes-masks:12,4",
            TranslateOptions(discriminator_channels=8, flip=0.5, enlarge=1.25, **task or {}),
            ModelConfig("res2_generator_tiny"),
            DataConfig(batch_size=4, workers=0, size=16),
            OptimConfig(**{"epochs": 2, "optimizer": "adamw", "lr": 1e-3, "warmup": 1.0, "clip": 1.0, **optim}),
            accelerator="cpu",
            out=str(tmp_path / out),
        )

    return configure


@pytest.mark.parametrize(
    ("batch", "optim"),
    [
        (2, {"ema": 0.9}),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in ((3, {}), (4, {"schedule": "one-cycle"}))),
    ],
)
def test_a_run_that_was_stopped_goes_on_exactly(run_of, console, ctrl_c, batch, optim):
    whole = train(run_of("whole", **optim), console=console)
    config = run_of("stopped", **optim)
    with pytest.raises(StoppedError):
        train(config, console=console, callbacks=[ctrl_c(batch)])
    resumed = train(config, resume=RunFolder.existing(config.out), console=console)
    numbers = [name for name in whole.rows[0] if name not in ("seconds", "images_per_s")]
    assert [[row[name] for name in numbers] for row in resumed.rows] == [
        [row[name] for name in numbers] for row in whole.rows
    ]
    for name in ("last", "best"):
        one, other = (load_file(getattr(run.folder, name)) for run in (whole, resumed))
        assert all(torch.equal(one[key], other[key]) for key in one)
    # The same holds for the discriminator, which is not in these files.
    one, other = (read_state(run.folder.state) for run in (whole, resumed))
    names = [name for name in one["state_dict"] if name.startswith("task.discriminator.")]
    assert names
    assert all(torch.equal(one["state_dict"][name], other["state_dict"][name]) for name in names)
    assert len(one["optimizer_states"]) == len(one["lr_schedulers"]) == 2


def test_each_optimizer_has_the_parameters_of_its_learner_and_clips_them(run_of, console, monkeypatch):
    norms = []
    original = torch.nn.utils.clip_grad_norm_

    def clip(parameters, most):
        parameters = list(parameters)
        norms.append((len(parameters), most))
        return original(parameters, most)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip)
    trained = train(run_of("run", epochs=1, warmup=0.0), console=console)
    generator = len(list(trained.task.model.parameters()))
    assert [count for count, _ in norms[::2]] == [generator] * 3
    assert len({count for count, _ in norms[1::2]}) == 1
    assert {most for _, most in norms} == {1.0}


def test_batches_are_not_added_up(run_of, console):
    with pytest.raises(InputError, match="The task translate trains networks in turns, each with every batch"):
        train(run_of("run", accumulate=2), console=console)


def test_single_images_are_learnt_from_where_that_is_chosen(run_of, console):
    """As in pix2pix: 12 images are 12 updates of each network."""
    config = run_of("run", epochs=1, warmup=0.0)
    trained = train(replace(config, data=replace(config.data, batch_size=1)), console=console)
    assert read_state(trained.folder.state)["global_step"] == 2 * 12


def test_without_a_discriminator_lightning_steps(run_of, console):
    trained = train(run_of("run", {"adversarial": 0.0}, epochs=1, warmup=0.0), console=console)
    assert len(read_state(trained.folder.state)["optimizer_states"]) == 1

"""Optimizers and schedules, against plain formulas and the classes that they stand for."""

import math

import lightning as L
import pytest
import timm.optim
import torch
from safetensors.torch import load_file
from torch import nn

from res2net.engine.config import OptimConfig
from res2net.engine.optim import make_optimizer, make_schedule
from res2net.engine.train import make_task, train
from res2net.images import open_source


def rates(config, steps):
    """The learning rate of each update of a run."""
    optimizer = make_optimizer(nn.Linear(3, 2), config)
    schedule = make_schedule(optimizer, config, steps)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def cosine(share):
    """From 1 to 0 as share goes from 0 to 1 (Loshchilov and Hutter, 2017, eq. 5)."""
    return (1 + math.cos(math.pi * share)) / 2


def warming(step, steps):
    """From a hundredth to 1."""
    return 0.01 + 0.99 * step / steps


def test_constant():
    assert rates(OptimConfig(epochs=5, lr=0.3, schedule="constant"), 20) == [0.3] * 20


def test_cosine():
    found = rates(OptimConfig(epochs=5, lr=0.3, schedule="cosine"), 20)
    assert found == pytest.approx([0.3 * cosine(step / 20) for step in range(20)])


def test_steps():
    config = OptimConfig(epochs=5, lr=0.3, schedule="step", step_epochs=2, step_factor=0.5)
    assert rates(config, 20) == pytest.approx([0.3 * 0.5 ** (step // 8) for step in range(20)])


def test_poly():
    """(1 - step / steps) to a power, 0.9 where nothing is said (Liu et al., ParseNet, 2015)."""
    for options, power in (({}, 0.9), ({"poly_power": 2.0}, 2.0)):
        found = rates(OptimConfig(epochs=5, lr=0.3, schedule="poly", **options), 20)
        assert found == pytest.approx([0.3 * (1 - step / 20) ** power for step in range(20)])


@pytest.mark.parametrize(("epochs", "held"), [(1, 4), (2.5, 10)])
@pytest.mark.parametrize("warmup", [0, 4])
def test_the_full_rate_may_be_held(epochs, held, warmup):
    """With a power of 1 the end is a straight line, as in the published code of pix2pix."""
    usual = {"epochs": 5, "lr": 0.3, "warmup": warmup / 4, "hold": epochs}
    rest = 20 - warmup - held
    before = [warming(step, warmup) for step in range(warmup)] + [1.0] * held
    for options, share in (
        ({"schedule": "poly", "poly_power": 1.0}, lambda step: 1 - step / rest),
        ({"schedule": "cosine"}, lambda step: cosine(step / rest)),
    ):
        expected = before + [share(step) for step in range(rest)]
        assert rates(OptimConfig(**usual, **options), 20) == pytest.approx([0.3 * one for one in expected])


def test_what_is_left_at_the_end():
    """(rate - end) * (1 - share)^0.9 + end, as in the published code of BTS; and the annealing of Loshchilov."""
    usual = {"epochs": 5, "lr": 0.3, "lr_end": 0.1}
    for schedule, share in (("poly", lambda one: (1 - one) ** 0.9), ("cosine", cosine)):
        found = rates(OptimConfig(**usual, schedule=schedule), 20)
        assert found == pytest.approx([(0.3 - 0.03) * share(step / 20) + 0.03 for step in range(20)])


@pytest.mark.parametrize("warmup", [0, 0.5, 2])
def test_milestones_are_counted_from_the_start(warmup):
    """As in Detectron2: the warm-up moves none of them."""
    config = OptimConfig(epochs=5, lr=0.3, schedule="step", milestones=(2, 4), step_factor=0.5, warmup=warmup)
    updates = round(4 * warmup)
    rising = [warming(step, updates) for step in range(updates)]
    stepped = [0.5 ** ((step >= 8) + (step >= 16)) for step in range(updates, 20)]
    assert rates(config, 20) == pytest.approx([0.3 * share for share in rising + stepped])


@pytest.mark.parametrize(("epochs", "updates"), [(1, 4), (2.5, 10), (0.25, 1)])
@pytest.mark.parametrize(
    ("schedule", "rest"),
    [
        ("constant", lambda step, _steps: 1.0),
        ("cosine", lambda step, steps: cosine(step / steps)),
        ("step", lambda step, _steps: 0.1 ** (step // 8)),
        ("poly", lambda step, steps: (1 - step / steps) ** 0.9),
    ],
)
def test_a_warm_up_goes_before_the_schedule(schedule, rest, epochs, updates):
    """It rises to the full rate, which the first update after it has."""
    config = OptimConfig(epochs=5, lr=0.3, schedule=schedule, step_epochs=2, warmup=epochs)
    after = 20 - updates
    expected = [warming(step, updates) for step in range(updates)] + [rest(step, after) for step in range(after)]
    assert rates(config, 20) == pytest.approx([0.3 * share for share in expected])


def test_a_warm_up_can_take_the_whole_run():
    config = OptimConfig(epochs=5, lr=0.3, warmup=5)
    assert rates(config, 20) == pytest.approx([0.3 * warming(step, 20) for step in range(20)])


def test_one_cycle():
    """A cosine up from 1/25 and one down to nearly 0 (Smith and Topin, 2018); the warm-up is its way up."""
    found = rates(OptimConfig(epochs=5, lr=0.3, schedule="one-cycle", warmup=2), 20)
    up = [1 / 25 + (1 - 1 / 25) * (1 - cosine(step / 7)) for step in range(8)]
    down = [cosine(step / 12) for step in range(1, 13)]
    assert found == pytest.approx([0.3 * share for share in up + down], abs=1e-5)


@pytest.mark.parametrize("schedule", ["cosine", "step", "poly", "one-cycle", "constant"])
@pytest.mark.parametrize("warmup", [0, 0.5, 1])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_very_short_runs(schedule, warmup, steps):
    found = rates(OptimConfig(epochs=1, lr=0.3, schedule=schedule, warmup=warmup), steps)
    assert all(0 < rate <= 0.3 + 1e-9 for rate in found[:2])
    assert len(found) == steps


def momenta(**options):
    """The momentum, or the first beta, of each update of a run with the schedule one-cycle."""
    config = OptimConfig(epochs=5, schedule="one-cycle", warmup=2, **options)
    optimizer = make_optimizer(nn.Linear(3, 2), config)
    schedule = make_schedule(optimizer, config, 20)
    (group,) = optimizer.param_groups
    found = []
    for _ in range(20):
        found.append(group["momentum"] if "momentum" in group else group["betas"][0])
        optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize("momentum", [0.0, 0.6, 0.9, 0.99])
def test_one_cycle_keeps_the_momentum_that_was_chosen(momentum):
    assert momenta(momentum=momentum) == [momentum] * 20


def test_one_cycle_moves_the_first_beta_of_adamw_against_the_rate():
    found = momenta(optimizer="adamw")
    assert (found[0], found[7], found[19]) == pytest.approx((0.95, 0.85, 0.95))
    assert momenta(optimizer="adam") == found
    assert momenta(optimizer="lamb") == [0.9] * 20
    assert momenta(optimizer="adamw", betas=(0.5, 0.999)) == [0.5] * 20


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LayerNorm(16), nn.Linear(16, 2))


def updated(model, optimizer, steps=4):
    """Parameters after some updates with gradients that are the same for every optimizer."""
    torch.manual_seed(1)
    for _ in range(steps):
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


OPTIMIZERS = {
    "sgd": ({}, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.05)),
    "sgd without momentum": (
        {"momentum": 0.0, "nesterov": True},
        lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.05),
    ),
    "sgd nesterov": (
        {"momentum": 0.8, "nesterov": True},
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.05),
    ),
    "adamw": ({}, lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.05)),
    "adam": ({}, lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.05)),
    "adam by other betas": (
        {"betas": (0.5, 0.99)},
        lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.5, 0.99), weight_decay=0.05),
    ),
    "adamw by other betas": (
        {"betas": (0.5, 0.99)},
        lambda p: torch.optim.AdamW(p, lr=0.1, betas=(0.5, 0.99), weight_decay=0.05),
    ),
    "lamb by other betas": (
        {"betas": (0.5, 0.99)},
        lambda p: timm.optim.Lamb(p, lr=0.1, betas=(0.5, 0.99), weight_decay=0.05),
    ),
    "lamb": ({}, lambda p: timm.optim.Lamb(p, lr=0.1, weight_decay=0.05)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_take_the_steps_of_those_they_are_named_after(name):
    options, build = OPTIMIZERS[name]
    config = OptimConfig(optimizer=name.split()[0], lr=0.1, weight_decay=0.05, **options)
    ours, theirs = network(), network()
    found = updated(ours, make_optimizer(ours, config))
    for parameter, expected in zip(found, updated(theirs, build(theirs.parameters())), strict=True):
        assert torch.equal(parameter, expected)
    assert not torch.equal(found[0], network()[0].weight)


def test_sgd_against_its_formula():
    """v = 0.9 v + gradient + decay * weight; weight -= rate * v."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    optimizer = make_optimizer(model, OptimConfig(lr=0.1, weight_decay=0.5))
    weight, velocity = 2.0, 0.0
    for gradient in (1.0, -3.0, 0.5):
        model.weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
        velocity = 0.9 * velocity + gradient + 0.5 * weight
        weight -= 0.1 * velocity
        assert model.weight.item() == pytest.approx(weight)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "lamb"])
@pytest.mark.parametrize("decay_all", [True, False])
def test_biases_and_normalisations_are_decayed_if_so_chosen(optimizer, decay_all):
    """With gradients of zero nothing but decay moves a weight."""
    model = network()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 1.0)
        parameter.grad = torch.zeros_like(parameter)
    make_optimizer(model, OptimConfig(optimizer=optimizer, lr=0.1, weight_decay=0.5, decay_all=decay_all)).step()
    for name, parameter in model.named_parameters():
        decayed = bool((parameter < 1).all())
        assert decayed is (decay_all or name in ("0.weight", "4.weight")), name


@pytest.mark.parametrize("decay_all", [True, False])
def test_frozen_parameters_are_left_out(decay_all):
    model = network()
    model[0].requires_grad_(False)
    optimizer = make_optimizer(model, OptimConfig(decay_all=decay_all))
    found = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert found == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}


def distance(small_run, console, name, **optim):
    """How far the one update of an epoch of all images moves the weights."""
    usual = {"epochs": 1, "lr": 0.5, "momentum": 0.0, "weight_decay": 0.0}
    config = small_run(name, data={"batch_size": 80}, optim=usual | optim)
    L.seed_everything(config.seed, verbose=False)
    before = dict(make_task(config, open_source("shapes")).model.named_parameters())
    after = load_file(train(config, console=console).folder.last)
    return math.sqrt(sum(float((after[key] - before[key].detach()).square().sum()) for key in before))


def test_the_gradient_is_clipped_by_its_norm(small_run, console):
    """Without momentum and decay an update is the rate times the gradient."""
    plain = distance(small_run, console, "plain") / 0.5
    assert distance(small_run, console, "clipped", clip=plain / 10) == pytest.approx(0.5 * plain / 10, rel=1e-3)
    assert distance(small_run, console, "loose", clip=plain * 10) == pytest.approx(0.5 * plain, rel=1e-3)


def test_gradients_of_several_batches_make_one_update(small_run, console):
    """5 batches an epoch: the learning rates of the rows tell how many updates the schedule was made for."""
    trained = train(small_run(optim={"epochs": 2, "lr": 0.1, "accumulate": 2}), console=console)
    state = torch.load(trained.folder.state, weights_only=True)
    assert state["global_step"] == 6  # two pairs and the one that is left, twice
    assert [row["lr"] for row in trained.rows] == pytest.approx([0.1 * cosine(2 / 6), 0.1 * cosine(5 / 6)])

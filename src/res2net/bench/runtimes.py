"""Preparation of cases: the network is rewritten, compiled or exported, and returned as a function to call."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from res2net.bench.cases import RUNTIMES, Case, Setting, Subject, random_images
from res2net.errors import InputError
from res2net.export import FORMATS, Artefact, export_network, load_runtime
from res2net.export.exporter import whole_batches
from res2net.export.runtimes import Precision
from res2net.images import Shapes, eval_transform
from res2net.optional import quiet
from res2net.surgery import optimize
from res2net.weights import Preprocessing

Run = Callable[[], object]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
CALIBRATION = 32
"""Number of images on which the ranges of activations for int8 are measured."""
SPECIALISED = {"recompile_limit": 2**16, "accumulated_recompile_limit": 2**16, "fail_on_recompile_limit_hit": True}
"""Settings of torch's compiler. Networks of one class share its cache; at the default limit, the ninth would not be
compiled."""


def make_run(case: Case, subject: Subject, setting: Setting, file: Path | None = None) -> Run:
    """Prepare a case, call it once, and return the function to measure; `file` is from `export_case`.

    Raises `InputError` if the network does not run in this runtime and precision.
    """
    try:
        with quiet(), compiler():
            if file is not None:
                precision, images = runtime_precision(case), random_images(case.batch, subject.channels, case.size)
                network = load_runtime(file, case.runtime, precision=precision, threads=setting.threads, trust=True)
                run: Run = partial(network, images)
            elif case.training:
                run = training_step(case, subject, setting)
            else:
                run = inference(case, subject, setting)
            run()
    except InputError:
        raise
    except Exception as error:  # each compiler and runtime has its own exceptions
        raise InputError(unfit(case, error)) from error
    return run


def unfit(case: Case, error: Exception) -> str:
    """The message for a network that does not run."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".:")
    return f"{case.model} does not run with {case.runtime} in {case.precision} ({reason}): leave out one of them."


def compiler() -> AbstractContextManager[None]:
    """Settings of torch's compiler: networks are specialised, and weights without gradients are constants."""
    stack = ExitStack()
    stack.enter_context(torch._dynamo.config.patch(SPECIALISED))
    stack.enter_context(torch._inductor.config.patch(freezing=True))
    return stack  # type: ignore[return-value] # nobody uses the value of the context


def inference(case: Case, subject: Subject, setting: Setting) -> Run:
    """Prepare a forward pass in torch."""
    images = on_device(random_images(case.batch, subject.channels, case.size), setting).to(DTYPES[case.precision])
    network = torch_network(case, subject, setting)

    def run() -> object:
        with torch.inference_mode():
            return network(images)

    return run


def torch_network(case: Case, subject: Subject, setting: Setting) -> Callable[[Tensor], Any]:
    """Prepare the network for one of torch's runtimes."""
    example = random_images(case.batch, subject.channels, case.size)
    if case.runtime == "optimized":
        return optimize(subject.model, "eager", example_input=example).to(setting.device, DTYPES[case.precision])
    if case.runtime == "compiled" and subject.ours:
        network = optimize(subject.model, "export", example_input=example)
    else:
        network = copy.deepcopy(subject.model)
    network = on_device(network.to(DTYPES[case.precision]), setting).requires_grad_(False)
    return torch.compile(network, dynamic=False) if case.runtime == "compiled" else network


def training_step(case: Case, subject: Subject, setting: Setting) -> Run:
    """Prepare a training step: forward, loss, backward, SGD with momentum."""
    model = on_device(copy.deepcopy(subject.model), setting)
    images = on_device(random_images(case.batch, subject.channels, case.size), setting)
    with torch.no_grad():
        logits = model(images[:1])
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise InputError(f"{case.model} has no logits to train with: leave out --train.")
    labels = torch.arange(case.batch, device=images.device) % logits.shape[1]
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)
    model.train()
    network = torch.compile(model, dynamic=False) if case.runtime == "compiled" else model
    half = torch.autocast(setting.device, torch.bfloat16) if case.precision == "bf16" else nullcontext()

    def step() -> object:
        with half:
            loss = nn.functional.cross_entropy(network(images).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        return optimizer.step()

    return step


def on_device(value: Any, setting: Setting) -> Any:
    """Move a network or images to the device and memory format of the settings."""
    memory_format = torch.channels_last if setting.channels_last else torch.contiguous_format
    return value.to(setting.device).to(memory_format=memory_format)


def export_case(case: Case, subject: Subject, folder: Path) -> Path | None:
    """Export the network of a case; returns None if its runtime runs no file. Cases share files where they can.

    Our networks are optimised before export; networks of timm are exported unchanged.
    """
    name = RUNTIMES[case.runtime].format
    if name is None:
        return None
    int8 = case.precision == "int8"
    path = folder / f"{case.model.replace('/', '_')}-{case.batch}{'-int8' if int8 else ''}{FORMATS[name]}"
    if path.exists():
        return path
    images = random_images(case.batch, subject.channels, case.size)
    try:
        with quiet():
            calibration = calibration_batches(case, subject) if int8 else None
            export_network(subject.model, images, path, name, calibration=calibration, optimized=subject.ours)
    except InputError:
        raise
    except Exception as error:
        raise InputError(unfit(case, error)) from error
    Artefact(
        format=name,
        task="classify",
        model=case.model,
        options={},
        input_shape=tuple(images.shape),
        dynamic_batch=False,
        outputs=("logits",),
        class_names=(),
        preprocessing=Preprocessing(size=case.size),
        int8=int8,
    ).write(path)
    return path


def calibration_batches(case: Case, subject: Subject) -> list[Tensor]:
    """Synthetic images in batches of the case; random ones for a network that does not take three channels."""
    if subject.channels == 3:
        shapes = Shapes(CALIBRATION, seed=0)
        images = (shapes[index][0] for index in range(CALIBRATION))
        return list(whole_batches(images, eval_transform(Preprocessing(size=case.size)), case.batch))
    count = -(-CALIBRATION // case.batch) * case.batch
    return list(random_images(count, subject.channels, case.size).split(case.batch))


def runtime_precision(case: Case) -> Precision:
    """The precision of what is not in int8."""
    return "bf16" if case.precision == "bf16" else "fp32"

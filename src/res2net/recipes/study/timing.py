"""The time of an inference of each arm of a study, measured in turn."""

from __future__ import annotations

import torch

from res2net.bench.timing import interleaved
from res2net.engine.restore import restore_task
from res2net.recipes.study.result import Study
from res2net.surgery import optimize
from res2net.task.base import backbone_of

BATCH = 32
ROUNDS = 15


def timed(study: Study, batch: int = BATCH, rounds: int = ROUNDS) -> dict[str, float]:
    """Measure the backbone of each arm with its classifier, after `res2net.optimize`, in fp32 and channels-last.

    The arms take turns, on all processors that torch uses; the machine has to be quiet.

    Returns:
        The median milliseconds per input by arm, for batches of `batch` inputs.
    """
    cases = {}
    for name, runs in study.runs.items():
        task, _ = restore_task(runs[0].folder.weights)
        backbone, size = backbone_of(task), task.preprocessing.size
        network = optimize(backbone.eval())
        images = torch.randn(batch, backbone.in_channels, *(size,) * backbone.dims)
        if backbone.dims == 2:
            network, images = (
                network.to(memory_format=torch.channels_last),
                images.to(memory_format=torch.channels_last),
            )

        def call(network: torch.nn.Module = network, images: torch.Tensor = images) -> None:
            with torch.inference_mode():
                network(images)

        cases[name] = call
    samples, _ = interleaved(cases, rounds)
    return {name: 1e3 * sample.spread.median / batch for name, sample in samples.items()}

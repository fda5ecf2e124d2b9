"""The page `docs/reproduction.md`, made from the ledger: `python -m res2net.recipes.ledger.markdown FILE`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from res2net.recipes.ledger.experiment import LEDGER, RATE, UPDATES, small_command, small_of
from res2net.recipes.ledger.tables import (
    commands,
    cost_note,
    ledger_table,
    published_table,
    recorded_note,
    recorded_table,
)

HEAD = f"""# Reproduction

<!-- Written by `python -m res2net.recipes.ledger.markdown docs/reproduction.md`: change the ledger, not this page. -->

Every table and figure of the paper (Gao et al., TPAMI 2021, the journal version) and of the authors' page, with the
published numbers, the command that repeats it at full scale, and small runs that need minutes:

<!-- not run -->
```sh
res2net reproduce --list                        # this page's first table; --json for programs
res2net reproduce table3                        # published numbers, commands, costs, faults, and what was run
res2net reproduce table3 --scale small          # a ResNet and Res2Nets of the same cost, three seeds
res2net reproduce table4 --scale full PATH/TO/cifar-100-python --models cifar_res2next29_6c24w_4s
res2net eval PATH/TO/IMAGENET --model res2net50_26w_4s --weights in1k   # checks a published number without training
```

Small runs write the runs, `report.html`, `study.json` and `record.json` into a folder, and go on where they stopped.
Options of `res2net train` apply to both scales, `--seeds N` and `--jobs N` as in `res2net sweep`.

`PATH/TO/resnet50.pth` and the like stand for ImageNet weights of a baseline: torchvision's files (timm's for HRNet), or
those of your own run of Table 1. `runs/NAME` is the folder of the training before.

**None of the full-scale runs was made here.** The recipes are as published as far as the settings are, and the rows say
what is assumed. GPU hours are estimates: multiply-accumulates of a training sample (counted by
`python -m res2net.recipes.ledger.cost`, with the heads), x {UPDATES} for the backward pass, x 2 operations, x samples x
epochs, at an assumed {RATE / 1e12:.0f} TFLOP/s, a fifth of an A100's peak in bf16. In timm's tables Res2Nets train at
0.70 of the speed of a ResNet of the same cost (RTX 3090), so that theirs take longer than estimated; frozen stages take
less.

Small runs do not confirm or refute a published number. They show that the networks of a task learn, and whether a
Res2Net is ahead of a ResNet of the same cost in a setting that anybody can repeat. Where one seed was run, a difference
of a point or two means nothing.
"""


def page() -> str:
    """The whole page."""
    sections = [HEAD, "## All rows\n", ledger_table().to_markdown() + "\n", ""]
    for name in LEDGER:
        sections += _section(name)
    return "\n".join(sections).rstrip() + "\n"


def _section(name: str) -> Iterator[str]:
    experiment = LEDGER[name]
    yield f"## {name}\n"
    yield f"{experiment.title} ({experiment.origin}).\n"
    if experiment.claim:
        yield f"Published: {experiment.claim}\n"
    if experiment.missing:
        yield f"Missing: {experiment.missing}\n"
    if experiment.entries:
        yield published_table(name).to_markdown() + "\n"
    if experiment.full is not None:
        yield f"{cost_note(name)}\n"
    if experiment.notes:
        yield "\n".join(f"- {note}" for note in experiment.notes) + "\n"
    blocks = "\n".join(f"# {what}\n" + "\n".join(words) for what, words in commands(experiment))
    if blocks:
        yield f"<!-- not checked -->\n```sh\n{blocks}\n```\n"
    owner, small = small_of(name)
    if small is None:
        return
    if owner != name:
        yield f"Small runs: those of [{owner}](#{owner}).\n"
        return
    yield f"Small runs, `{small_command(name)}` (`{small.recipe}`): {small.says}\n"
    if (table := recorded_table(name)) is not None:
        yield table.to_markdown() + "\n"
    yield f"{recorded_note(name)}\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")

"""The comparison of the paper at the size of a laptop: six tasks on `shapes`, Res2Net against ResNet at equal cost."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from res2net.console import Console
from res2net.engine.changes import scaled_to
from res2net.engine.config import TrainConfig
from res2net.engine.recipes import RECIPES
from res2net.errors import check_choice
from res2net.recipes.study import Study, holm, mean_interval, run_study
from res2net.recipes.study.report import add_study
from res2net.report import Column, Report, Table
from res2net.report.style import INK, clean, finish, new_figure
from res2net.weights.files import atomic_write

TASKS = {
    "classification": "shapes_classify",
    "detection": "shapes_detect",
    "instances": "shapes_instance",
    "semantic": "shapes_segment",
    "saliency": "shapes_saliency",
    "keypoints": "shapes_keypoints",
}
"""The recipe of each part."""
MODELS = {"ResNet": "resnet20_tiny", "Res2Net": "res2net20_26w_4s_tiny"}
"""Equal in parameters and MACs within 2 %."""


@dataclass(frozen=True)
class MiniPaper:
    """The studies of all parts, in the order of `TASKS`."""

    studies: Mapping[str, Study]

    def table(self) -> Table:
        """Both scores of each part, and their difference seed by seed, with p values corrected for the parts (Holm)."""
        pairs = {name: study.differences()["Res2Net"] for name, study in self.studies.items()}
        corrected = holm([pair.p for pair in pairs.values()])
        rows: list[tuple[str | float | None, ...]] = []
        for (name, study), p in zip(self.studies.items(), corrected, strict=True):
            pair = pairs[name]
            limits = "" if math.isnan(pair.low) else f" [{pair.low:+.2f}, {pair.high:+.2f}]"
            scores = (mean_interval(values) for values in study.scores().values())
            means = (f"{one.mean:.2f}" + ("" if math.isnan(one.std) else f" ± {one.std:.2f}") for one in scores)
            rows.append((name, study.metric, *means, f"{pair.mean:+.2f}{limits}", p))
        columns = (
            *(Column(heading) for heading in ("task", "score, %", *MODELS, "difference")),
            Column("p", digits=3),
        )
        return Table("Mean ± standard deviation over the seeds; [ ]: 95% confidence", columns, rows)

    def verdict(self) -> str:
        """One sentence that counts the tasks in which the seeds show a difference; it has no favourite."""
        pairs = [study.differences()["Res2Net"] for study in self.studies.values()]
        shown = [p < 0.05 for p in holm([pair.p for pair in pairs])]
        better, worse = (
            sum(real and (pair.mean > 0) == up for pair, real in zip(pairs, shown, strict=True)) for up in (True, False)
        )
        even = len(pairs) - better - worse
        return (
            f"Res2Net is better in {better} of {len(pairs)} tasks and worse in {worse}; in {even} the seeds show no "
            "difference."
        )

    def figure(self) -> Figure:
        """The difference of each task, Res2Net minus ResNet, with its confidence interval and a dot for each seed."""
        figure = new_figure(0.9 + 0.45 * len(self.studies))
        axes = figure.subplots()
        clean(axes, "Res2Net minus ResNet, points", "")
        axes.axvline(0, color=INK, linewidth=1)
        for row, study in enumerate(self.studies.values()):
            pair = study.differences()["Res2Net"]
            resnet, res2net = study.scores().values()
            dots = [ours - theirs for ours, theirs in zip(res2net, resnet, strict=True)]
            axes.plot(dots, [row] * len(dots), "o", color="#0072B2", alpha=0.35, markersize=5, mew=0)
            error = None if math.isnan(pair.high) else pair.high - pair.mean
            axes.errorbar(pair.mean, row, xerr=error, fmt="s", color="#0072B2", markersize=5, capsize=3)
        axes.set_yticks(range(len(self.studies)), list(self.studies))
        axes.set_ylim(len(self.studies) - 0.5, -0.5)
        return finish(figure)


def configs(part: str, *, epochs: float = 1.0, images: tuple[int, int] | None = None) -> dict[str, TrainConfig[Any]]:
    """The configurations of both networks for one part: its recipe, but for the network.

    Args:
        part: a key of `TASKS`.
        epochs: factor of the number of epochs of the recipe.
        images: numbers of images to train and to validate on; by default those of `shapes`.

    Raises:
        InputError: there is no such part.
    """
    check_choice("task of the mini-paper", part, TASKS)
    base = RECIPES[TASKS[part]].configure()
    base, _ = scaled_to({"epochs": max(1, round(epochs * base.optim.epochs))}, base)
    if images is not None:
        base = replace(base, source=f"shapes:{images[0]},{images[1]}")
    return {name: replace(base, model=replace(base.model, model=model)) for name, model in MODELS.items()}


def mini_paper(
    folder: str | Path,
    *,
    parts: Sequence[str] = tuple(TASKS),
    seeds: Sequence[int] = (0, 1, 2),
    epochs: float = 1.0,
    images: tuple[int, int] | None = None,
    jobs: int = 1,
    console: Console | None = None,
) -> MiniPaper:
    """Train both networks on every part with every seed; what is finished in the folder is read.

    Raises:
        InputError: as `configs` and `run_study`.
        StoppedError: as `run_study`.
    """
    console = console or Console()
    arms = {part: configs(part, epochs=epochs, images=images) for part in parts}
    studies = {}
    for part, both in arms.items():
        console.print(f"\n[bold]{part}[/bold]", highlight=False)
        studies[part] = run_study(both, seeds, Path(folder) / part, jobs=jobs, console=console)
    return MiniPaper(studies)


def write(paper: MiniPaper, folder: str | Path, command: str) -> tuple[Path, Path]:
    """Write the report as a page and as Markdown, with its figure beside it; returns the paths of both."""
    from res2net.report.style import save_figure

    folder = Path(folder)
    seeds = len(next(iter(paper.studies.values())).seeds)
    title, subtitle = "Res2Net and ResNet on six tasks", f"shapes, {seeds} seeds, {time.strftime('%Y-%m-%d')}"
    report = Report(title, subtitle)
    report.add_paragraph(f"{paper.verdict()} Scores are those of the last epoch. Command: {command}")
    report.add_table(paper.table())
    report.add_figure(
        paper.figure(), "The difference of each task: mean, confidence interval, and a dot for each seed."
    )
    for part, study in paper.studies.items():
        report.add_section(part.capitalize())
        add_study(report, study)
        for path in sorted({run.folder.report for runs in study.runs.values() for run in runs[:1]}):
            report.add_paragraph(f"Predictions of the first seed: {path}")
    page, text = folder / "report.html", folder / "report.md"
    report.write(page)
    save_figure(paper.figure(), folder / "differences.png")
    lines = [f"# {title}", subtitle, paper.verdict(), f"Command: `{command}`"]
    lines += [f"**{paper.table().title}**", paper.table().to_markdown()]
    lines.append("![The difference of each task, with confidence intervals](differences.png)")
    for part, study in paper.studies.items():
        lines += [
            f"## {part.capitalize()}",
            *study.verdicts(),
            f"**{study.score_table().title}**",
            study.score_table().to_markdown(),
        ]
        lines.append(study.cost_table().to_markdown())
    atomic_write(text, ("\n\n".join(lines) + "\n").encode())
    return page, text

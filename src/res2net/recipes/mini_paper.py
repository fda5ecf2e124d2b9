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
from res2net.engine.recipes import RECIPES, SMALL_PAIR
from res2net.errors import check_choice
from res2net.recipes.study import Paired, Study, holm, mean_interval, run_study
from res2net.recipes.study.report import add_study, draw_rows
from res2net.report import Column, Report, Table
from res2net.report.style import COLOURS, INK, clean, finish, new_figure, save_figure
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


@dataclass(frozen=True)
class MiniPaper:
    """The studies of all parts, in the order of `TASKS`."""

    studies: Mapping[str, Study]

    @property
    def pairs(self) -> dict[str, Paired]:
        """The difference of each part, Res2Net minus ResNet, with p values corrected for the number of parts (Holm)."""
        pairs = {name: study.differences()["Res2Net"] for name, study in self.studies.items()}
        corrected = holm([pair.p for pair in pairs.values()])
        return {name: pair._replace(p=p) for (name, pair), p in zip(pairs.items(), corrected, strict=True)}

    def table(self) -> Table:
        """Both scores of each part, and their difference seed by seed."""
        rows: list[tuple[str | float | None, ...]] = []
        for name, pair in self.pairs.items():
            study = self.studies[name]
            scores = (mean_interval(values) for values in study.scores().values())
            means = (f"{one.mean:.2f}" + ("" if math.isnan(one.std) else f" ± {one.std:.2f}") for one in scores)
            rows.append((name, study.metric, *means, pair.text, pair.p))
        columns = (
            *(Column(heading) for heading in ("task", "score, %", *SMALL_PAIR, "difference")),
            Column("p", digits=3),
        )
        return Table("Mean ± standard deviation over the seeds; [ ]: 95% confidence", columns, rows)

    def verdict(self) -> str:
        """One sentence that counts the tasks in which the seeds show a difference; it has no favourite."""
        shown = [pair.mean > 0 for name, pair in self.pairs.items() if self.studies[name].is_shown(pair)]
        better, worse = sum(shown), len(shown) - sum(shown)
        return (
            f"Res2Net is better in {better} of {len(self.studies)} tasks and worse in {worse}; in "
            f"{len(self.studies) - len(shown)} the seeds show no difference."
        )

    def figure(self) -> Figure:
        """The difference of each task, Res2Net minus ResNet, with its confidence interval and a dot for each seed."""
        differences = {}
        for name, study in self.studies.items():
            resnet, res2net = study.scores().values()
            differences[name] = [ours - theirs for ours, theirs in zip(res2net, resnet, strict=True)]
        figure = new_figure(0.9 + 0.45 * len(differences))
        axes = figure.subplots()
        clean(axes, "Res2Net minus ResNet, points", "")
        axes.axvline(0, color=INK, linewidth=1)
        draw_rows(axes, differences, COLOURS[:1] * len(differences))
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
    return {name: replace(base, model=replace(base.model, model=model)) for name, model in SMALL_PAIR.items()}


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
    folder, count = Path(folder), len(paper.studies)
    seeds = len(next(iter(paper.studies.values())).seeds)
    title = f"Res2Net and ResNet on {count} {'task' if count == 1 else 'tasks'}"
    subtitle = f"shapes, {seeds} seeds, {time.strftime('%Y-%m-%d')}"
    verdict, table, figure = paper.verdict(), paper.table(), paper.figure()
    report = Report(title, subtitle)
    report.add_paragraph(f"{verdict} Scores are those of the last epoch. Command: {command}")
    report.add_table(table)
    report.add_figure(figure, "The difference of each task: mean, confidence interval, and a dot for each seed.")
    lines = [f"# {title}", subtitle, verdict, f"Command: `{command}`", f"**{table.title}**", table.to_markdown()]
    lines.append("![The difference of each task, with confidence intervals](differences.png)")
    for part, study in paper.studies.items():
        report.add_section(part.capitalize())
        add_study(report, study)
        for path in sorted({run.folder.report for runs in study.runs.values() for run in runs[:1]}):
            report.add_paragraph(f"Predictions of the first seed: {path}")
        scores = study.score_table()
        lines += [f"## {part.capitalize()}", *study.verdicts(), f"**{scores.title}**", scores.to_markdown()]
        lines.append(study.cost_table().to_markdown())
    page, text = folder / "report.html", folder / "report.md"
    report.write(page)
    save_figure(figure, folder / "differences.png")
    atomic_write(text, ("\n\n".join(lines) + "\n").encode())
    return page, text

"""`res2net cam score`: how well the activation maps of models fit the masks of objects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from res2net.commands.arguments import check_output
from res2net.commands.cam import MapArguments, load_models
from res2net.commands.parser import parse
from res2net.console import Console
from res2net.engine.options import BadAnnotations
from res2net.errors import check_range
from res2net.explain.options import THRESHOLD, Target, View

ABOUT = """Score activation maps against the masks of objects, one class an image, the largest that the networks know:
whether the maximum lies in the object (pointing game), the share of the map in it (energy), the IoU of the map from a
threshold on, and the share of the object that is covered. Means come with 95 % confidence intervals over images."""
ENDINGS = (".png", ".svg", ".html", ".json", ".csv")
LISTED = 3


@dataclass(frozen=True, kw_only=True)
class Arguments(MapArguments):
    """Models, and images with masks."""

    source: tyro.conf.Positional[str]
    """Images with masks: shapes, objects (COCO, Penn-Fudan, ...), or images with label maps."""
    split: str | None = None
    """Split to score on, such as test; by default the one to validate on, or all."""
    target: Target = "true"
    """The class of the maps: that of the object, or what each model predicts, whatever the object is."""
    view: View = "whole"
    """What the networks see: whole is the whole image at the scale of predict; crop is its central square."""
    threshold: float = THRESHOLD
    """Share of the maximum of a map from which on a pixel belongs to the object."""
    class_map: Annotated[str | None, "FILE"] = None
    """JSON with the names that classes of the data have in the networks, such as `{"person": ["man", "woman"]}`."""
    count: int | None = None
    """Number of images, spread evenly; by default all."""
    bad_annotations: BadAnnotations = "stop"
    """At faulty annotations, stop, or leave them out."""
    out: Annotated[tuple[str, ...], "FILE ..."] = ()
    """Files to write: a figure by object size (.png, .svg), a page with figure and tables (.html), means and intervals
    (.json), the scores of each image (.csv)."""
    overwrite: bool = False
    """Replace existing files."""


def run(arguments: Sequence[str]) -> None:
    """Score the maps, print the tables and write the files."""
    chosen = parse(Arguments, "cam score", arguments, ABOUT)
    check_range("threshold", chosen.threshold, 0.01, 1)
    check_range("count", 1 if chosen.count is None else chosen.count, 1)
    for file in chosen.out:
        check_output(Path(file), ENDINGS, overwrite=chosen.overwrite)

    from res2net.explain import MaskedImages, open_masked, score_maps
    from res2net.explain.masked import read_class_map
    from res2net.explain.score import on_common_images
    from res2net.explain.score_report import difference_table, score_table, size_figure, size_table, to_csv, to_dict
    from res2net.images.samples import evenly_spaced
    from res2net.images.splits import DataSettings, subset_of
    from res2net.report.progress import progress_bar

    class_map = read_class_map(chosen.class_map) if chosen.class_map else None
    models = load_models(chosen)
    settings = DataSettings(
        evaluate=True, split=chosen.split, bad_images=chosen.bad_images, bad_annotations=chosen.bad_annotations
    )
    source = open_masked(chosen.source, settings)
    if chosen.count is not None:
        source = replace(source, val=subset_of(source.val, evenly_spaced(len(source.val), chosen.count)))
    console = Console()
    for note in source.notes:
        console.out(note, highlight=False)
    images = MaskedImages(source.val, source.class_names)
    scores = {}
    with progress_bar(Console(stderr=True)) as bar:
        for title, model in models.items():
            task = bar.add_task(title, total=len(images), note="")
            scores[title] = score_maps(
                model,
                images,
                method=chosen.method,
                layer=chosen.layer,
                target=chosen.target,
                view=chosen.view,
                threshold=chosen.threshold,
                class_map=class_map,
                bad_images=chosen.bad_images,
                accelerator=chosen.accelerator,
                progress=partial(bar.advance, task),
            )
    skipped = list(dict.fromkeys(one for found in scores.values() for one in found.skipped))
    scores = on_common_images(scores)
    about = f" of {source.name}" + (f" ({source.val_about})" if source.val_about else "")
    target = "the true class" if chosen.target == "true" else "the predicted class"
    about += f", {chosen.method} of {target}; means [95 % confidence intervals over images]"
    tables = [score_table(scores, about), size_table(scores)]
    if len(scores) > 1:
        tables.append(difference_table(scores))
    for table in tables:
        console.print(table.to_rich())
    if skipped:
        more = f" and {len(skipped) - LISTED} more" if len(skipped) > LISTED else ""
        console.out(f"Left out: {'; '.join(skipped[:LISTED])}{more}", highlight=False)
    facts = {
        "source": source.name,
        "split": source.val_about,
        "method": chosen.method,
        "target": chosen.target,
        "view": chosen.view,
        "layer": chosen.layer,
        "left_out": len(skipped),
    }
    for path in map(Path, chosen.out):
        from res2net.report import Report, save_figure
        from res2net.weights import atomic_write

        ending = path.suffix.lower()
        if ending == ".json":
            atomic_write(path, (json.dumps(to_dict(scores, facts), indent=2) + "\n").encode())
        elif ending == ".csv":
            atomic_write(path, to_csv(scores).encode(errors="surrogateescape"))
        elif ending == ".html":
            report = Report(f"Activation maps and objects: {', '.join(scores)}", f"{chosen.method} on {source.name}")
            report.add_table(tables[0])
            report.add_figure(size_figure(scores), "Scores by the size of the object.")
            for table in tables[1:]:
                report.add_table(table)
            report.write(path)
        else:
            save_figure(size_figure(scores), path)
        console.out(f"Written: {path}", highlight=False)

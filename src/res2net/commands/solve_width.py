"""`res2net solve-width`: the base width at which a model costs as much as another one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from res2net.commands.parser import parse
from res2net.console import Console
from res2net.errors import InputError
from res2net.options import check_ranges

if TYPE_CHECKING:
    from res2net.measure import Counts

ABOUT = """Find the base width at which a model with another scale costs as much as a given model, as the paper chose
26w 4s, 14w 8s and 48w 2s for ResNet-50."""

NEIGHBOURS = 2
"""Rows of the table above and below the solution."""
FIRST_WIDTH, MAX_WIDTH = 16, 4096
"""Bounds of the search: base widths up to the first, which doubles as long as needed, at most to the last."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Options of `res2net solve-width`."""

    like: Annotated[str, "MODEL"]
    """Name of the model whose cost is matched, such as resnet50."""
    scale: int
    """Number of splits of the new model."""
    of: Literal["macs", "parameters"] = "macs"
    """Cost that is matched."""
    model: Annotated[str, "MODEL"] = "res2net50_26w_4s"
    """Name of the model that gets the new scale and base width."""
    size: int | None = None
    """Side of the image in pixels; by default 32 for networks of stride 4, else 224."""
    num_classes: int | None = None
    """Classes of both models; by default their own."""
    options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """More options of the new model: `--options cardinality 8`."""


def run(arguments: Sequence[str]) -> None:
    """Print the base width, and a table of costs around it."""
    chosen = parse(Arguments, "solve-width", arguments, ABOUT)
    check_ranges(chosen, scale=(1, 1024), size=(1, math.inf))

    import torch

    from res2net.backbones.base import Backbone, default_image_size
    from res2net.backbones.registry import variant
    from res2net.commands.costs import SIGNALS, common_dims
    from res2net.measure import count, nearest_width
    from res2net.report import Column, Table
    from res2net.zoo import check_model_options, create_model

    for option in ("scale", "base_width"):
        if option not in variant(chosen.model).option_names:
            raise InputError(
                f"Model {chosen.model!r} has no option {option!r}: choose a family that has a scale and a base width, "
                "such as res2net50_26w_4s."
            )
        if option in chosen.options:
            instead = "give --scale" if option == "scale" else "it is what this command solves for"
            raise InputError(f"--options cannot set {option}: {instead}.")
    check_model_options(chosen.model, chosen.options)
    asked: dict[str, Any] = {} if chosen.num_classes is None else {"num_classes": chosen.num_classes}

    def built(name: str, **options: Any) -> Backbone:
        with torch.device("meta"):
            return create_model(name, **(options | asked))

    budget_model = built(chosen.like)
    common_dims({chosen.like: budget_model, chosen.model: built(chosen.model, **chosen.options)})
    size = chosen.size or default_image_size(budget_model)
    budget = count(budget_model, (budget_model.in_channels, *(size,) * budget_model.dims))

    @cache
    def cost(width: int) -> Counts:
        model = built(chosen.model, **chosen.options, scale=chosen.scale, base_width=width)
        return count(model, (model.in_channels, *(size,) * model.dims))

    def price(width: int) -> int:
        if chosen.of == "macs":
            return cost(width).macs
        model = built(chosen.model, **chosen.options, scale=chosen.scale, base_width=width)
        return sum(parameter.numel() for parameter in model.parameters())

    least = least_width(price)
    wanted, most = getattr(budget, chosen.of), FIRST_WIDTH
    while most < MAX_WIDTH and price(least - 1 + most) < wanted:
        most *= 2
    found = least - 1 + nearest_width(lambda step: price(least - 1 + step), wanted, most)
    difference = Column("difference", "%")
    columns = (Column("base width"), Column("parameters"), difference, Column("MACs"), difference)
    near = range(max(least, found - NEIGHBOURS), found + NEIGHBOURS + 1)
    rows = [row(chosen.like, budget, budget)]
    rows += [row(f"{width}, the nearest" if width == found else str(width), cost(width), budget) for width in near]
    console = Console()
    taken = f"one {SIGNALS[budget_model.dims]} of {' x '.join([str(size)] * budget_model.dims)}"
    console.print(Table(f"{chosen.model} with scale {chosen.scale}, {taken}", columns, rows).to_rich())
    options = chosen.options | {"scale": chosen.scale, "base_width": found}
    words = " ".join(f"{name} {value}" for name, value in options.items())
    measured = "MACs" if chosen.of == "macs" else chosen.of
    console.out(
        f"Nearest in {measured}: base width {found}.\n  res2net info {chosen.model} --options {words}",
        highlight=False,
    )


def least_width(price: Callable[[int], int]) -> int:
    """The smallest base width at which every split has a channel; other errors are raised."""
    width = 1
    while True:
        try:
            price(width)
        except InputError as error:
            if width >= 64 or "leaves no channel" not in str(error):
                raise
            width += 1
        else:
            return width


def row(name: str, counts: Counts, budget: Counts) -> tuple[str | float, ...]:
    """A row of the table: the cost of a model, and its difference from the budget in percent."""
    from res2net.measure import format_count

    cells: list[str | float] = [name]
    for found, wanted in ((counts.parameters, budget.parameters), (counts.macs, budget.macs)):
        cells += [format_count(found), 100 * (found / wanted - 1)]
    return tuple(cells)

"""Networks without the stages that nobody reads."""

from __future__ import annotations

from torch import nn

from res2net.backbones.base import Backbone

__all__ = ["keep_stages"]


def keep_stages(backbone: Backbone, count: int) -> None:
    """Take out, in place, the modules behind the first `count` stages; `features` repeats the last that is kept.

    A network whose stages do not just follow each other keeps them all.
    """
    if type(backbone).features is not Backbone.features:
        return
    unused = {module for modules in backbone.stage_modules()[count:] for module in modules}
    for name in [name for name, module in backbone.named_modules() if module in unused]:
        backbone.set_submodule(name, nn.Identity())

"""Our backbones in the registry of timm (https://github.com/huggingface/pytorch-image-models).

Names there are `res2net_` and our name, since timm has its own networks under some of our names, and reads colons and
slashes as locations on a disk or a hub, and dots as the beginning of a weight tag.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from res2net.backbones.base import Backbone
from res2net.backbones.registry import build, family_example, variant, variant_names
from res2net.backbones.stages import check_stages
from res2net.errors import InputError, check_choice
from res2net.optional import needs
from res2net.weights import Checkpoint, WeightRecord, fetch, read_checkpoint, records
from res2net.weights.load import why_unusable
from res2net.zoo import create_model, find_checkpoint

with needs("This adapter", "timm", extra="adapters"):
    from timm import models as timm_models
    from timm.models._pretrained import PretrainedCfg

PREFIX = "res2net_"
"""Prefix of our names in the registry of timm."""

default_cfgs: dict[str, Any] = {}
"""Weights and their preprocessing by name in timm, which looks for them here."""


def register() -> list[str]:
    """Add the backbones to the registry of timm, and return their names there.

    These are the backbones for images with a classifier on the global average, without those that come from timm.

    `timm.create_model` then takes these names, with the tags of our records as in
    `res2net_res2net50_26w_4s.mmpretrain_in1k`, and our options: `num_classes`, `in_chans`, `output_stride`,
    `drop_path_rate`, `drop_rate` (our `dropout`), `global_pool` ("avg" or ""), `features_only` with `out_indices`,
    and others under our name. With `pretrained=True` the published weights are downloaded as by
    `res2net.create_model`, or read from the file in `pretrained_cfg_overlay={"file": ...}`, in any format of ours.

    Another call adds backbones that were registered since.
    """
    names = [name for name in variant_names() if _is_supported(name)]
    for name in names:
        if not timm_models.is_model(PREFIX + name):
            _register(PREFIX + name, name)
    return [PREFIX + name for name in names]


class TimmModel(Backbone):
    """The interface of timm's networks on one of our backbones; `as_timm` mixes it into the class of a backbone.

    The names of parameters stay the same, so checkpoints of timm's training and of ours are interchangeable.
    """

    @property
    def in_chans(self) -> int:
        """Number of channels of the image."""
        return self.in_channels

    @property
    def num_features(self) -> int:
        """Number of channels of the last stage."""
        return self.stages[-1].channels

    head_hidden_size = num_features
    """Number of input channels of the classifier."""

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """The channels, the stride, and the name of the module of each stage."""
        names = {module: name for name, module in self.named_modules()}
        return [
            {"num_chs": stage.channels, "reduction": stage.stride, "module": names[modules[-1]]}
            for stage, modules in zip(self.stages, self.stage_modules(), strict=True)
        ]

    def forward_features(self, x: Tensor) -> Tensor:
        """The last features: `(N, in_chans, H, W)` to `(N, num_features, H / output_stride, W / output_stride)`."""
        return self.features(x)[-1]

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The last features to logits `(N, num_classes)`; without a classifier or with `pre_logits` to `(N, C)`.

        Where `global_pool` is "", the features stay `(N, C, H, W)`.
        """
        x = self.global_pool(x)
        if isinstance(self.global_pool, nn.Identity):
            return x
        x = self.dropout(x)
        classifier = self.get_classifier()
        if pre_logits or isinstance(classifier, nn.Linear):
            x = x.flatten(1)
        return x if pre_logits else classifier(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, in_chans, H, W)` to logits `(N, num_classes)`, or to pooled features `(N, C)` without a classifier."""
        return self.forward_head(self.forward_features(x))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """The features of some stages, and before them the last features unless `intermediates_only`.

        Args:
            x: `(N, in_chans, H, W)`.
            indices: indices of stages, negative from the end; a number for that many last stages; None for all.
            norm: no effect, since there is no last normalisation.
            stop_early: return the last of these stages as the last features.
            output_fmt: only "NCHW".
            intermediates_only: leave out the last features.
        """
        check_choice("Output format", output_fmt, ["NCHW"])
        chosen = self._chosen(indices)
        pyramid = self.features(x)
        found = [pyramid[index] for index in chosen]
        return found if intermediates_only else (pyramid[max(chosen) if stop_early else -1], found)

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Remove modules that the stages `indices` do not need, and return these indices, counted from 0.

        Args:
            indices: as in `forward_intermediates`.
            prune_norm: no effect, since there is no last normalisation.
            prune_head: remove the classifier, too.
        """
        chosen = self._chosen(indices)
        self.keep_stages(max(chosen) + 1)
        if prune_head:
            self.reset_classifier(0)
        return chosen

    def get_classifier(self) -> nn.Module:
        """The layer that makes the logits."""
        return self.get_submodule(self.classifier_name)

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier, by none for 0 classes, and optionally the pooling ("avg" or "")."""
        if global_pool is not None:
            check_choice("Global pooling", global_pool, ["avg", ""])
            self.global_pool = nn.AdaptiveAvgPool2d(1) if global_pool else nn.Identity()
        if num_classes and isinstance(self.global_pool, nn.Identity):
            raise InputError("A classifier needs pooled features: give num_classes=0 or global_pool='avg'.")
        like = next(self.parameters())
        linear = partial(nn.Linear, self.num_features, num_classes, device=like.device, dtype=like.dtype)
        self.set_submodule(self.classifier_name, linear() if num_classes else nn.Identity())
        self.num_classes = num_classes
        self.variant_options = {**self.variant_options, "num_classes": num_classes}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Raise `InputError` that names our own option for training with less memory."""
        if enable:
            raise InputError("Gradient checkpointing is chosen when a model is made: pass recompute=True.")

    def _chosen(self, indices: int | Sequence[int] | None) -> list[int]:
        levels = range(len(self.stages))
        if indices is None or isinstance(indices, int):
            indices = levels if indices is None else range(-indices, 0)
        check_stages(indices, len(levels), from_end=True)
        return [levels[index] for index in indices]

    def __reduce__(self) -> tuple[Any, ...]:
        # The class is made on demand, so pickle cannot find it by name.
        return _empty, (type(self).__bases__[1],), self.__dict__


def as_timm(model: Backbone) -> TimmModel:
    """Add the methods that timm needs to a model, in place."""
    family: Any = type(model)
    model.__class__ = _mixed(family)
    assert isinstance(model, TimmModel)
    return model


@cache
def _mixed(family: type[Backbone]) -> type[TimmModel]:
    return type(f"Timm{family.__name__}", (TimmModel, family), {"__module__": __name__})


def _empty(family: Any) -> TimmModel:
    return object.__new__(_mixed(family))


@cache
def _is_supported(name: str) -> bool:
    """Whether a backbone is for images and has the head that `TimmModel` needs."""
    dims = variant(name).options.get("dims")
    model = family_example(variant(name).build)
    return (dims or model.dims) == 2 and hasattr(model, "global_pool") and hasattr(model, "dropout")


def _register(timm_name: str, name: str) -> None:
    cfgs = {f"{timm_name}.{r.tag}": _cfg(name, r) for r in records(name) if not why_unusable(r)}
    default_cfgs.update(timm_models.generate_default_cfgs(cfgs or {timm_name: _cfg(name)}))

    def create(pretrained: bool = False, **options: Any) -> nn.Module:
        return _create(timm_name, name, pretrained, **options)

    create.__name__ = create.__qualname__ = timm_name
    create.__doc__ = f"{variant(name).about}: `res2net.create_model({name!r})` for timm."
    # timm adds the name to `__all__` of this module, so it must be an attribute.
    setattr(sys.modules[__name__], timm_name, create)
    timm_models.register_model(create)


def _cfg(name: str, record: WeightRecord | None = None) -> Any:
    default = {n: p.default for n, p in inspect.signature(variant(name).build).parameters.items()}
    options = {**default, **variant(name).options}
    if record is None:
        return PretrainedCfg(
            num_classes=options["num_classes"],
            input_size=(options["in_channels"], 224, 224),
            interpolation="bilinear",
        )
    preprocessing = record.preprocessing
    return PretrainedCfg(
        url=record.address,
        num_classes=record.num_classes or options["num_classes"],
        input_size=(len(preprocessing.mean), preprocessing.size, preprocessing.size),
        interpolation=preprocessing.interpolation,
        crop_pct=preprocessing.crop,
        mean=preprocessing.mean,
        std=preprocessing.std,
        license=record.licence,
        origin_url=record.address,
    )


def _create(
    timm_name: str,
    name: str,
    pretrained: bool,
    *,
    pretrained_cfg: Any = None,
    pretrained_cfg_overlay: dict[str, Any] | None = None,
    cache_dir: str | None = None,
    feature_cls: str = "getter",
    **options: Any,
) -> nn.Module:
    check_choice("Feature class", feature_cls, ["getter"])
    with torch.device("meta"):
        template = build(name)
    overlay: dict[str, Any] = {"first_conv": template.input_layer_name, "classifier": template.classifier_name}
    overlay |= pretrained_cfg_overlay or {}
    cfg = timm_models.resolve_pretrained_cfg(timm_name, pretrained_cfg, overlay)
    checkpoint = None
    # timm loads its own checkpoints.
    if pretrained and not (cfg.source or cfg.state_dict):
        pretrained = False
        if cfg.file:
            checkpoint = read_checkpoint(cfg.file)
        else:
            checkpoint = find_checkpoint(name, cfg.tag or "in1k", download=partial(fetch, cache=cache_dir))
    return timm_models.build_model_with_cfg(
        partial(_build, name, checkpoint),
        timm_name,
        pretrained,
        pretrained_cfg=pretrained_cfg,
        pretrained_cfg_overlay=overlay,
        feature_cfg={"feature_cls": feature_cls, "out_indices": range(len(template.stages))},
        cache_dir=cache_dir,
        **options,
    )


def _build(
    name: str,
    checkpoint: Checkpoint | None,
    *,
    num_classes: int,
    in_chans: int,
    global_pool: str = "avg",
    drop_rate: float = 0.0,
    **options: Any,
) -> TimmModel:
    options |= {"num_classes": num_classes, "in_channels": in_chans}
    if drop_rate:
        options["dropout"] = drop_rate
    model = as_timm(create_model(name, checkpoint, adapt_classifier=True, adapt_input=True, **options))
    vars(model)["_traits"] = {"first_conv": model.input_layer_name}
    # Options that came with the weights, such as their graph, are also needed by a copy that timm saves and loads.
    vars(model)["_model_args"] = {n: value for n, value in model.variant_options.items() if n not in options}
    if global_pool != "avg":
        model.reset_classifier(num_classes, global_pool)
    return model

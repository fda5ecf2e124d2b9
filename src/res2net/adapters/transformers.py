"""Our backbones as models of Hugging Face's transformers (https://github.com/huggingface/transformers).

They are saved as safetensors with a configuration, the preprocessing of images and a model card, in a folder or on the
hub, and they serve as backbones of its detectors and segmenters.
"""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from res2net.backbones.base import Backbone
from res2net.backbones.registry import build, variant
from res2net.errors import InputError
from res2net.optional import needs
from res2net.weights import Preprocessing, WeightRecord, atomic_write

with needs("This adapter", "transformers", extra="adapters"):
    import huggingface_hub
    from transformers import (
        AutoBackbone,
        AutoConfig,
        AutoModelForImageClassification,
        PreTrainedConfig,
        PreTrainedModel,
    )
    from transformers import initialization as init
    from transformers.backbone_utils import BackboneConfigMixin, BackboneMixin
    from transformers.modeling_outputs import BackboneOutput, ImageClassifierOutputWithNoAttention

RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}
"""Pillow's numbers of the interpolation filters."""
LICENCES = {"Apache-2.0": "apache-2.0", "CC BY-NC-SA 4.0": "cc-by-nc-sa-4.0", "MIT": "mit"}
"""Identifiers of licences on the hub, by the prefix of our names for them."""

USE = """```python
from transformers import AutoModelForImageClassification

from res2net.adapters.transformers import register

register()
model = AutoModelForImageClassification.from_pretrained("this repository or folder")
```
"""


def register() -> None:
    """Register the classes with `AutoConfig`, `AutoBackbone` and `AutoModelForImageClassification`.

    Further calls have no effect.
    """
    AutoConfig.register(Res2NetConfig.model_type, Res2NetConfig, exist_ok=True)
    AutoBackbone.register(Res2NetConfig, Res2NetBackbone, exist_ok=True)
    AutoModelForImageClassification.register(Res2NetConfig, Res2NetForImageClassification, exist_ok=True)


class Res2NetConfig(BackboneConfigMixin, PreTrainedConfig):  # type: ignore[misc] # mypy does not see it
    """The configuration of a network, and the facts for its model card.

    Stages have the names "stem", "stage1", "stage2", ...; a backbone returns those of `out_features` or `out_indices`,
    by default the last. `num_labels` is the network's own number of classes unless given.

    Raises:
        InputError: the network or an option is unknown (the message names the nearest), or an option cannot be saved.
    """

    model_type = "res2net"

    network: str = "res2net50_26w_4s"
    """One of `res2net.list_models()`."""
    network_options: dict[str, Any] | None = None
    """Options of the network."""
    num_channels: int = 3
    """Number of channels of the image."""
    preprocessing: dict[str, Any] | None = None
    """Preprocessing of images, as `Preprocessing.to_dict()`."""
    licence: str | None = None
    """Licence of the weights."""
    source: str | None = None
    """Who published the weights."""
    metrics: dict[str, float] | None = None
    """Metrics by name and by who measured them."""

    def __post_init__(self, **kwargs: Any) -> None:
        self.network_options = dict(self.network_options or {})
        try:
            json.dumps(self.network_options)
        except TypeError as error:
            raise InputError(f"Options {self.network_options} cannot be saved ({error}): give names.") from error
        with torch.device("meta"):
            network = build(self.network, in_channels=self.num_channels, **self.network_options)
        for derived in ("stage_names", "hidden_sizes"):
            kwargs.pop(derived, None)
        self.hidden_sizes = [stage.channels for stage in network.stages]
        self.stage_names = ["stem", *(f"stage{level}" for level in range(1, len(network.stages)))]
        out_features, out_indices = kwargs.pop("out_features", None), kwargs.pop("out_indices", None)
        self.set_output_features_output_indices(out_features=out_features, out_indices=out_indices)
        if self.id2label is None:
            kwargs.setdefault("num_labels", network.num_classes)
        super().__post_init__(**kwargs)


class _Res2NetModel(PreTrainedModel):  # type: ignore[misc] # mypy does not see it
    """The base of both models: the network and its initial weights."""

    config_class = Res2NetConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def _make_network(self, num_classes: int) -> Backbone:
        config = self.config
        options = {**config.network_options, "in_channels": config.num_channels, "num_classes": num_classes}
        network = build(config.network, **options)
        self._keys_to_ignore_on_load_unexpected = [rf"^network\.{re.escape(network.classifier_name)}\."]
        for module in network.modules():
            # On the meta device weights come from a file, and those that the file lacks from `_init_weights`.
            module._is_hf_initialized = not any(tensor.is_meta for tensor in module.parameters())  # type: ignore[assignment]
        return network

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class Res2NetBackbone(BackboneMixin, _Res2NetModel):  # type: ignore[misc] # mypy does not see it
    """A pyramid of features for the detectors and segmenters of transformers.

    Shape: `(N, num_channels, H, W)` to maps `(N, channels, ceil(H / stride), ceil(W / stride))`.
    """

    has_attentions = False

    def __init__(self, config: Res2NetConfig) -> None:
        super().__init__(config)
        self.network = self._make_network(0)
        self.num_features = [stage.channels for stage in self.network.stages]
        self.post_init()

    def forward(
        self, pixel_values: Tensor, output_hidden_states: bool | None = None, return_dict: bool | None = None
    ) -> Any:
        """Compute the maps of `config.out_features`, and with `output_hidden_states` those of all stages."""
        pyramid = dict(zip(self.stage_names, self.network.features(pixel_values), strict=True))
        wanted = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        output = BackboneOutput(
            feature_maps=tuple(pyramid[name] for name in self.out_features),
            hidden_states=tuple(pyramid.values()) if wanted else None,
        )
        plain = not (self.config.return_dict if return_dict is None else return_dict)
        return output.to_tuple() if plain else output


class Res2NetForImageClassification(_Res2NetModel):
    """A network with its classifier.

    Shape: `(N, num_channels, H, W)` to logits `(N, num_labels)`.
    """

    def __init__(self, config: Res2NetConfig) -> None:
        super().__init__(config)
        self.network = self._make_network(config.num_labels)
        self.post_init()

    @classmethod
    def from_network(
        cls,
        network: Backbone,
        *,
        record: WeightRecord | None = None,
        class_names: Sequence[str] | None = None,
        preprocessing: Preprocessing | None = None,
        licence: str | None = None,
        source: str | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> Self:
        """Make a model with the weights of one of our networks.

        Args:
            network: a network with a classifier.
            record: the record of published weights; the arguments below override its values.
            class_names: names of the classes, in order.
            preprocessing: preprocessing of images.
            licence: licence of the weights.
            source: who published the weights.
            metrics: metrics by name and by who measured them.

        Raises:
            InputError: the network has no classifier, or the number of names is not that of its classes.
        """
        if not network.num_classes:
            raise InputError(
                "The network has no classifier: build it with num_classes above 0, or use Res2NetBackbone."
            )
        if class_names is not None and len(class_names) != network.num_classes:
            raise InputError(f"{len(class_names)} names do not fit {network.num_classes} classes: give one for each.")
        if record is not None:
            preprocessing = preprocessing or record.preprocessing
            licence, source = licence or record.licence, source or record.source
            metrics = metrics or record.metrics
        names = class_names or [f"LABEL_{number}" for number in range(network.num_classes)]
        own = ("num_classes", "in_channels")
        config = Res2NetConfig(
            network=network.variant_name,
            network_options={name: value for name, value in network.variant_options.items() if name not in own},
            num_channels=network.in_channels,
            id2label=dict(enumerate(names)),
            label2id={name: number for number, name in enumerate(names)},
            preprocessing=preprocessing.to_dict() if preprocessing else None,
            licence=licence,
            source=source,
            metrics=dict(metrics) if metrics else None,
        )
        model = cls(config)
        model.network.load_state_dict(network.state_dict())
        return model.train(network.training)

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None, return_dict: bool | None = None) -> Any:
        """Compute the logits, and with `labels` also the loss of transformers."""
        logits = self.network(pixel_values)
        loss = None if labels is None else self.loss_function(labels, logits, self.config)
        output = ImageClassifierOutputWithNoAttention(loss=loss, logits=logits)
        plain = not (self.config.return_dict if return_dict is None else return_dict)
        return output.to_tuple() if plain else output

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> None:
        """Write `config.json`, `model.safetensors`, the preprocessing of images and the model card into a folder.

        Args:
            save_directory: the folder, which is created if needed.
            options: options of `PreTrainedModel.save_pretrained`.
        """
        super().save_pretrained(save_directory, **options)
        config, folder = self.config, Path(save_directory)
        preprocessing = Preprocessing.from_dict(config.preprocessing) if config.preprocessing else None
        if preprocessing is not None:
            settings = json.dumps(_image_processor(preprocessing), indent=2)
            atomic_write(folder / "preprocessor_config.json", settings.encode())
        card = model_card(
            config.network,
            classes=config.num_labels,
            licence=config.licence,
            source=config.source,
            metrics=config.metrics,
            preprocessing=preprocessing,
        )
        atomic_write(folder / "README.md", card.encode())

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Upload a network",
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
    ) -> str:
        """Save to a repository of the hub with our model card, and return its address.

        Args:
            repo_id: `owner/name` of the repository, which is created if needed.
            commit_message: message of the commit.
            private: whether a new repository is private.
            token: token of the account; by default the stored one.
            revision: branch to write to.
            create_pr: whether to open a pull request instead.
        """
        api = huggingface_hub.HfApi(token=token)
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return api.upload_folder(
                repo_id=repo_id,
                folder_path=folder,
                commit_message=commit_message,
                revision=revision,
                create_pr=create_pr,
            )


def model_card(
    name: str,
    *,
    classes: int,
    licence: str | None = None,
    source: str | None = None,
    metrics: Mapping[str, float] | None = None,
    preprocessing: Preprocessing | None = None,
) -> str:
    """Write the text of a `README.md`: metadata for the hub, then licence, metrics, preprocessing and usage."""
    front = ["---", "library_name: transformers", "pipeline_tag: image-classification"]
    if licence is not None:
        identifier = next((known for prefix, known in LICENCES.items() if licence.startswith(prefix)), "other")
        front.append(f"license: {identifier}")
    parts = [
        "\n".join([*front, "tags:", "- res2net", "- image-classification", "---"]),
        f"# {name}",
        f"{variant(name).about}. {classes:,} classes." + (f" Weights of {source}." if source else ""),
        f"## Licence of the weights\n\n{licence or 'Not stated: ask their publisher.'}",
    ]
    if metrics:
        rows = {what: f"{value:g}" for what, value in sorted(metrics.items())}
        parts.append(f"## Metrics\n\nAs reported by their publisher or training.\n\n{_table('metric', rows)}")
    if preprocessing is not None:
        parts.append(f"## Images\n\n{_table('preprocessing', {k: str(v) for k, v in preprocessing.to_dict().items()})}")
    return "\n\n".join([*parts, f"## Use\n\n{USE}"])


def _table(head: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {head} | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    return "\n".join(lines)


def _image_processor(preprocessing: Preprocessing) -> dict[str, Any]:
    """The settings of an image processor of transformers with the same preprocessing."""
    size = preprocessing.size
    return {
        "image_processor_type": "BitImageProcessor",
        "do_convert_rgb": len(preprocessing.mean) == 3,
        "do_resize": True,
        "size": {"shortest_edge": math.floor(size / preprocessing.crop)},
        "resample": RESAMPLE[preprocessing.interpolation],
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocessing.mean),
        "image_std": list(preprocessing.std),
    }

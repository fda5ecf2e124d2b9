"""Model cards for the Hugging Face hub (https://huggingface.co/docs/hub/model-cards)."""

from __future__ import annotations

from collections.abc import Mapping

from res2net.backbones.registry import variant
from res2net.weights import Preprocessing

__all__ = ["model_card"]

LICENCES = {"Apache-2.0": "apache-2.0", "CC BY-NC-SA 4.0": "cc-by-nc-sa-4.0", "MIT": "mit"}
"""Identifiers of licences on the hub, by the prefix of our names for them."""

USE = """```python
from transformers import AutoModelForImageClassification

from res2net.adapters.transformers import register

register()
model = AutoModelForImageClassification.from_pretrained("this repository or folder")
```
"""


def model_card(
    name: str,
    *,
    classes: int,
    licence: str | None = None,
    source: str | None = None,
    metrics: Mapping[str, float] | None = None,
    preprocessing: Preprocessing | None = None,
) -> str:
    """Write the text of a `README.md`: metadata for the hub, then licence, metrics, preprocessing and usage.

    Args:
        name: name of the model.
        classes: number of classes.
        licence: licence of the weights; the card says so when there is none.
        source: who published the weights.
        metrics: metrics by name and by who measured them.
        preprocessing: preprocessing of images.
    """
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

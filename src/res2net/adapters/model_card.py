"""The model card of a network on the Hugging Face hub (https://huggingface.co/docs/hub/model-cards)."""

from __future__ import annotations

from collections.abc import Mapping

from res2net.backbones.registry import variant
from res2net.weights import Preprocessing

__all__ = ["model_card"]

LICENCES = {"Apache-2.0": "apache-2.0", "CC BY-NC-SA 4.0": "cc-by-nc-sa-4.0", "MIT": "mit"}
"""What the hub calls licences, by what they begin with."""

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
    """The text of a `README.md`: what the hub reads at the top, then licence, metrics, images and use.

    Args:
        name: of the model.
        classes: of its classifier.
        licence: of the weights; it is said when there is none.
        source: who made the weights.
        metrics: percent or other numbers, by name and by who measured them.
        preprocessing: how images are prepared.
    """
    front = ["---", "library_name: transformers", "pipeline_tag: image-classification"]
    if licence is not None:
        known = next((ours for begin, ours in LICENCES.items() if licence.startswith(begin)), "other")
        front.append(f"license: {known}")
    parts = [
        "\n".join([*front, "tags:", "- res2net", "- image-classification", "---"]),
        f"# {name}",
        f"{variant(name).about}. {classes:,} classes." + (f" Weights of {source}." if source else ""),
        f"## Licence of the weights\n\n{licence or 'Not stated: ask who made them.'}",
    ]
    if metrics:
        rows = {what: f"{value:g}" for what, value in sorted(metrics.items())}
        parts.append(f"## Metrics\n\nAs their publisher or training told them.\n\n{_table('metric', rows)}")
    if preprocessing is not None:
        parts.append(f"## Images\n\n{_table('preparation', {k: str(v) for k, v in preprocessing.to_dict().items()})}")
    return "\n\n".join([*parts, f"## Use\n\n{USE}"])


def _table(head: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {head} | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    return "\n".join(lines)

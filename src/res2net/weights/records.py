"""Records of published checkpoints: address, licence, format, preprocessing, and the metrics their publishers claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from res2net.backbones.registry import model_name
from res2net.errors import InputError, check_choice, check_options

SMALLEST_STD = 1e-6
"""The smallest standard deviation of a channel."""
LARGEST_SIZE = 1 << 13
"""The largest side of the input of a network, in pixels."""
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of images for a network; the default is that of nearly every ImageNet checkpoint.

    The shorter side is resized to `size / crop` pixels, the central square of `size` pixels is cropped, values are
    scaled to 0..1, and each channel is normalised by `mean` and `std`.

    Raises:
        InputError: a value is out of range.
    """

    size: int = 224
    """Side of the square input of the network, in pixels."""
    crop: float = 0.875
    """`size` as a fraction of the resized shorter side, from 0.01 to 1."""
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    """Mean of each channel, of values in 0..1."""
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """Standard deviation of each channel, of values in 0..1."""

    def __post_init__(self) -> None:
        check_choice("interpolation", self.interpolation, Interpolation)
        if not isinstance(self.size, int) or not 1 <= self.size <= LARGEST_SIZE:
            raise InputError(f"Size {self.size!r} does not fit: give a number of pixels from 1 to {LARGEST_SIZE:,}.")
        if not _is_number(self.crop) or not 0.01 <= self.crop <= 1:
            raise InputError(f"Crop {self.crop!r} does not fit: give a fraction from 0.01 to 1.")
        if self.size / self.crop > 2 * LARGEST_SIZE:
            raise InputError(
                f"Crop {self.crop!r} does not fit size {self.size}: the shorter side would be resized to "
                f"{self.size / self.crop:,.0f} pixels, and {2 * LARGEST_SIZE:,} are the most."
            )
        for what, values in (("Mean", self.mean), ("Std", self.std)):
            if not isinstance(values, tuple) or not values or not all(map(_is_number, values)):
                raise InputError(f"{what} {values!r} does not fit: give a number for each channel.")
        if len(self.mean) != len(self.std) or min(self.std) < SMALLEST_STD:
            raise InputError(
                f"Std {self.std} does not fit mean {self.mean}: give as many numbers, all of at least {SMALLEST_STD:g}."
            )

    def to_dict(self) -> dict[str, Any]:
        """All values as a dictionary for JSON."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Invert `to_dict`; raise `InputError` if a value is missing, unknown or out of range."""
        names = [entry.name for entry in fields(cls)]
        check_options("Preprocessing", values, names)
        if missing := [name for name in names if name not in values]:
            raise InputError(f"Preprocessing lacks {', '.join(missing)}: give all of {', '.join(names)}.")
        plain: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in values.items()}
        return cls(**plain)


@dataclass(frozen=True)
class WeightRecord:
    """One published checkpoint file."""

    model: str
    """Name of the architecture."""
    tag: str
    """Name of the checkpoint among those of the model: `in1k` is the one of the authors of Res2Net."""
    address: str
    """URL of the file."""
    sha256: str | None
    """The hexadecimal digits of the file's SHA-256 that its publisher states: the first 8, which are 32 of 256 bits.

    They show that a download is complete, but somebody who wants to can make another file with the same 8 digits.
    None where the publisher states none (PaddleClas): then the names and shapes of the tensors show that it is of this
    model, but nothing that it is the very file that was published. `fetch` writes the whole SHA-256 beside a file when
    it is first downloaded, and verifies it from then on.
    """
    licence: str
    """Licence of the weights, as the publisher states it."""
    source: str
    """The publisher of the file."""
    metrics: Mapping[str, float]
    """ImageNet validation metrics in percent, by name and by who measured them: `top-1 accuracy, timm`."""
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    """Preprocessing of the images in evaluation."""
    num_classes: int | None = 1000
    """Classes of the classifier; None where the publisher does not say."""
    format: str = "official"
    """Format of the tensor names: a name of `res2net.weights.FORMATS`."""
    graph: str = "official"
    """Graph of `res2net.backbones.graphs` in which it was trained; the layers of other graphs have the same shapes."""
    hub_id: str | None = None
    """Name of the same weights on the Hugging Face hub."""

    @property
    def name(self) -> str:
        """`model.tag`."""
        return f"{self.model}.{self.tag}"

    @property
    def top1(self) -> float | None:
        """The first of its top-1 accuracies in percent; None if it has none."""
        return next((value for what, value in self.metrics.items() if what.startswith("top-1 accuracy")), None)

    @property
    def file_name(self) -> str:
        """The last part of the address."""
        return self.address.rsplit("/", 1)[-1]

    def to_metadata(self) -> dict[str, Any]:
        """The metadata of checkpoints made from this file: preprocessing, graph, source and licence."""
        return {
            "preprocessing": self.preprocessing.to_dict(),
            "graph": self.graph,
            "source": f"{self.source}: {self.address}",
            "licence": self.licence,
        }


def records(model: str | None = None) -> list[WeightRecord]:
    """List the published checkpoints of all models, or of one, which may have none."""
    return [record for record in _RECORDS if model in (None, record.model)]


def find_record(model: str, tag: str = "in1k") -> WeightRecord:
    """Find the published checkpoint of a model by its tag; raise `InputError` if there is none."""
    model = model_name(model)
    tags = {record.tag: record for record in records(model)}
    if not tags:
        names = list(dict.fromkeys(record.model for record in _RECORDS))
        raise InputError(
            f"Model {model!r} has no published weights: train it, or choose another model (these have some: "
            f"{', '.join(names)})."
        )
    check_choice(f"weight tag of {model}", tag, tags)
    return tags[tag]


def _is_number(value: object) -> bool:
    """Whether this is a number, neither NaN nor so large that pixels lose their digits."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e6


def _official(model: str, file: str, errors: tuple[float, float], accuracies: tuple[float, float]) -> WeightRecord:
    return WeightRecord(
        model,
        "in1k",
        f"https://shanghuagao.oss-cn-beijing.aliyuncs.com/res2net/{file}.pth",
        sha256=file.rsplit("-", 1)[-1],
        licence="CC BY-NC-SA 4.0: not for commercial use",
        source="the authors of Res2Net",
        metrics={
            "top-1 error, paper": errors[0],
            "top-5 error, paper": errors[1],
            "top-1 accuracy, timm": accuracies[0],
            "top-5 accuracy, timm": accuracies[1],
        },
        hub_id=f"timm/{model}.in1k",
    )


def _mmpretrain(model: str, file: str, top1: float, top5: float) -> WeightRecord:
    return WeightRecord(
        model,
        "mmpretrain_in1k",
        f"https://download.openmmlab.com/mmclassification/v0/res2net/{file}.pth",
        sha256=file.rsplit("-", 1)[-1],
        licence="CC BY-NC-SA 4.0, of the weights it was converted from: not for commercial use",
        source="OpenMMLab, converted from the authors' file",
        metrics={"top-1 accuracy, MMPretrain": top1, "top-5 accuracy, MMPretrain": top5},
        format="mmpretrain",
    )


def _paddle(model: str, tag: str, file: str, top1: float, top5: float | None = None) -> WeightRecord:
    return WeightRecord(
        model,
        tag,
        f"https://paddle-imagenet-models-name.bj.bcebos.com/dygraph/{file}_pretrained.pdparams",
        sha256=None,
        licence="Apache-2.0, of PaddleClas",
        source="PaddleClas",
        metrics={"top-1 accuracy, PaddleClas": top1}
        | ({"top-5 accuracy, PaddleClas": top5} if top5 is not None else {}),
        format="paddle",
        graph="paddle",
    )


_RECORDS = (
    _official("res2net50_48w_2s", "res2net50_48w_2s-afed724a", (22.68, 6.47), (77.528, 93.562)),
    _official("res2net50_26w_4s", "res2net50_26w_4s-06e79181", (22.01, 6.15), (77.994, 93.860)),
    _official("res2net50_14w_8s", "res2net50_14w_8s-6527dddc", (21.86, 6.14), (78.142, 93.852)),
    _official("res2net50_26w_6s", "res2net50_26w_6s-19041792", (21.42, 5.87), (78.586, 94.120)),
    _official("res2net50_26w_8s", "res2net50_26w_8s-2c7c9f12", (20.80, 5.63), (78.950, 94.280)),
    _official("res2net101_26w_4s", "res2net101_26w_4s-02a759a1", (20.81, 5.57), (79.192, 94.466)),
    _official("res2next50", "res2next50_4s-6ef7e7bf", (21.76, 6.09), (78.238, 93.904)),
    _official("dla60_res2net", "res2net_dla60_4s-d88db7f9", (21.53, 5.80), (78.480, 94.204)),
    _official("dla60_res2next", "res2next_dla60_4s-d327927b", (21.55, 5.86), (78.488, 94.144)),
    _official("res2net50d", "res2net50_v1b_26w_4s-3cf99910", (19.73, 4.96), (80.280, 95.028)),
    _official("res2net101d", "res2net101_v1b_26w_4s-0812c246", (18.77, 4.64), (81.236, 95.346)),
    _mmpretrain("res2net50_14w_8s", "res2net50-w14-s8_3rdparty_8xb32_in1k_20210927-bc967bf1", 78.14, 93.85),
    _mmpretrain("res2net50_26w_8s", "res2net50-w26-s8_3rdparty_8xb32_in1k_20210927-f547a94b", 79.20, 94.36),
    _mmpretrain("res2net101_26w_4s", "res2net101-w26-s4_3rdparty_8xb32_in1k_20210927-870b6c36", 79.19, 94.44),
    WeightRecord(
        "res2net101d",
        "mmdet_in1k",
        "https://download.openmmlab.com/pretrain/third_party/res2net101_v1d_26w_4s_mmdetv2-f0a600f9.pth",
        sha256="f0a600f9",
        licence="none stated for the file; the repository that uses it, MMDetection, is Apache-2.0",
        source="OpenMMLab, for MMDetection",
        metrics={},
        num_classes=None,
        format="mmdet",
        graph="mmdet",
    ),
    _paddle("res2net50_26w_4s", "paddle_in1k", "Res2Net50_26w_4s", 79.33, 94.57),
    _paddle("res2net50_14w_8s", "paddle_in1k", "Res2Net50_14w_8s", 79.46, 94.70),
    _paddle("res2net50d", "paddle_in1k", "Res2Net50_vd_26w_4s", 79.75, 94.91),
    _paddle("res2net101d", "paddle_in1k", "Res2Net101_vd_26w_4s", 80.64, 95.22),
    _paddle("res2net200d", "paddle_in1k", "Res2Net200_vd_26w_4s", 81.21, 95.71),
    _paddle("res2net50d", "paddle_ssld", "Res2Net50_vd_26w_4s_ssld", 83.1),
    _paddle("res2net101d", "paddle_ssld", "Res2Net101_vd_26w_4s_ssld", 83.9),
    _paddle("res2net200d", "paddle_ssld", "Res2Net200_vd_26w_4s_ssld", 85.13, 97.42),
)

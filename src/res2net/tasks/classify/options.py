"""What a user can choose for the task classify."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from res2net.engine import options as verb_options
from res2net.errors import InputError
from res2net.options import check_literals, check_ranges

if TYPE_CHECKING:
    from res2net.images.transforms import TrainAugment
    from res2net.task.base import Task
    from res2net.task.result import Prediction


@dataclass(frozen=True)
class ClassifyOptions:
    """How classification is trained; where nothing is given, what is usual for the data."""

    data_help: ClassVar[str] = (
        "a folder with one folder of images per class (or train/ and val/ with these), a CSV file with any number of "
        "labels for each image, a CIFAR folder, "
        'ImageNet as downloaded, or the synthetic data set "shapes"'
    )
    size_help: ClassVar[str] = "One number, the side of the square that the network sees, pixels."
    everyday: ClassVar[tuple[str, ...]] = ("mixup", "cutmix", "rand_augment", "label_smoothing", "freeze", "teacher")

    label_smoothing: float = 0.0
    """Share of each label that is spread over all classes."""
    mixup: float = 0.0
    """Alpha of mixup; 0 is off."""
    cutmix: float = 0.0
    """Alpha of CutMix; 0 is off."""
    rand_augment: int = 0
    """Operations of RandAugment; 0 is off."""
    magnitude: int = 9
    """Strength of those operations, 0 to 30."""
    color_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation."""
    erase: float = 0.0
    """Probability of erasing a rectangle."""
    flip: float | None = None
    """Probability of a horizontal flip."""
    crop_area: float | None = None
    """Smallest share of the image's area that the random resized crop takes."""

    class_weights: Annotated[str | None, "balanced|FILE"] = None
    """Weights of the classes in the loss of training: balanced gives rare classes more, in inverse proportion to their
    images; a file has a line `NAME,WEIGHT` for each class."""
    balance: bool = False
    """Repeat the images of rare classes in an epoch until each class has as many as the largest."""
    freeze: int = 0
    """Stages of the backbone that are not trained, the stem first."""
    freeze_norms: bool = False
    """Keep the batch normalisations of the backbone fixed, as is usual with published weights and small batches."""

    teacher: Annotated[str | None, "TEACHER"] = None
    """Learn the soft labels of this trained classifier (distillation): the folder of a run, a checkpoint, published
    weights as `res2net101d:in1k`, or a model of another library with its weights or those of a file, as `timm:NAME`,
    `torchvision:NAME` or `timm:NAME:FILE`."""
    distill: Literal["js", "kl", "jeffreys"] = "js"
    """Loss of the soft labels: the Jensen-Shannon divergence of SSLD, the Kullback-Leibler divergence of Hinton et al.,
    or the mean of the latter in both directions, which is what PaddleClas's code of SSLD computes."""
    temperature: float = 1.0
    """Temperature of the soft labels: a higher one shows more of what the teacher thinks of unlikely classes."""
    distill_weight: float = 1.0
    """Share of the soft labels in the loss; the rest is the cross entropy of the labels. At 1 no label is used."""
    unlabelled: Annotated[str | None, "FOLDER"] = None
    """Train on the images in this folder too, at any depth, for which only the soft labels of the teacher count."""

    def __post_init__(self) -> None:
        check_literals(self)
        check_ranges(self, temperature=(0.01, 1000), distill_weight=(0.001, 1))
        if self.teacher is None:
            usual = {entry.name: entry.default for entry in fields(self)}
            for name in ("distill", "temperature", "distill_weight", "unlabelled"):
                if getattr(self, name) != usual[name]:
                    option = name.replace("_", "-")
                    raise InputError(
                        f"--{option} {getattr(self, name)} needs a teacher: add --teacher, or leave it out."
                    )
        check_ranges(self, label_smoothing=(0, 0.999), mixup=(0, 1000), cutmix=(0, 1000))
        check_ranges(self, rand_augment=(0, 100), magnitude=(0, 30), color_jitter=(0, 1))
        check_ranges(self, erase=(0, 1), flip=(0, 1), crop_area=(0.001, 1), freeze=(0, 100))

    def augment(self, usual: TrainAugment) -> TrainAugment:
        """The random changes: `usual`, but for what is chosen here."""
        chosen: dict[str, Any] = {
            name: getattr(self, name) for name in ("rand_augment", "magnitude", "color_jitter", "erase")
        }
        if self.flip is not None:
            chosen["flip"] = self.flip
        if self.crop_area is not None:
            chosen |= {"scale": (self.crop_area, 1.0), "pad": None}
        return replace(usual, **chosen)


@dataclass(frozen=True, kw_only=True)
class Views:
    """What the network sees of an image, in prediction and in evaluation."""

    size: int | None = None
    """Side of the square that the network sees, pixels; the image is resized so that the same share of it is seen as
    in the training. By default that of the weights."""
    tta: Literal["none", "flip", "ten-crop"] = "none"
    """Test-time augmentation: mean probabilities of the image and its mirror image, or of the corners and the centre
    and their mirror images."""

    def __post_init__(self) -> None:
        check_literals(self)
        check_ranges(self, size=(8, 8192))

    def choose(self, task: Any) -> None:
        """Let a task see these views; raises `InputError` if its network takes one size only."""
        task.use_views(self.tta, self.size)


@dataclass(frozen=True, kw_only=True)
class PredictOptions(Views, verb_options.PredictOptions):
    """Options of `res2net predict`."""

    def predict(self, task: Task, inputs: Sequence[Any], **settings: Any) -> Iterator[Prediction]:
        """Run a task over inputs with these views."""
        task = copy.copy(task)  # the next prediction may have others
        self.choose(task)
        return super().predict(task, inputs, **settings)


@dataclass(frozen=True, kw_only=True)
class EvalOptions(Views, verb_options.EvalOptions):
    """Options of `res2net eval`."""

    def prepare(self, task: Task) -> None:
        """Set the views."""
        self.choose(task)

"""Distillation: a frozen teacher labels the training images softly, those without labels too, and a network learns it.

Hinton et al., "Distilling the Knowledge in a Neural Network" (2015); Cui et al., "Beyond Self-Supervision: A Simple Yet
Effective Network Distillation Alternative to Improve Backbones" (2021), known as SSLD.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import ConcatDataset
from torchvision.transforms.v2.functional import grayscale_to_rgb, rgb_to_grayscale

from res2net.engine.restore import restore_task
from res2net.errors import InputError, listed, nearest
from res2net.images.folder import ImageFiles, list_images
from res2net.images.samples import Origin, Sample, Samples
from res2net.images.sources import DataSource
from res2net.optional import quiet
from res2net.tasks.classify.labels import NO_LABEL, assumed_class_names, labels_of
from res2net.tasks.classify.options import ClassifyOptions
from res2net.weights import Preprocessing, checkpoint_path, read_checkpoint
from res2net.weights.load import check_finite
from res2net.zoo import is_file

LIBRARIES = ("timm", "torchvision")
"""Libraries whose models can teach, as `LIBRARY:NAME` or `LIBRARY:NAME:FILE`."""


class Teacher:
    """A trained classifier that labels images softly: frozen, in evaluation mode, on the device of the images.

    It is not a module, so that it is neither optimised nor saved with the network that learns from it.

    Args:
        name: what the user calls it.
        model: gives logits `(N, classes)`.
        preprocessing: how it sees images.
        class_names: what its logits stand for.
        names_are_known: whether whoever trained it named its classes; else those names are usual ones.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        preprocessing: Preprocessing,
        class_names: Sequence[str],
        *,
        names_are_known: bool = True,
    ) -> None:
        self.name, self.preprocessing, self.class_names = name, preprocessing, list(class_names)
        self.names_are_known = names_are_known
        self.model = model.eval().requires_grad_(False)
        self.digest = _digest(self.model, preprocessing)
        """The SHA-256 of its weights and its preprocessing."""
        self._columns: list[int] | None = None
        self._device: torch.device | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """The teacher itself, since nothing in it changes: the average of a student's weights needs no second one."""
        return self

    def __call__(self, images: Tensor, preprocessing: Preprocessing) -> Tensor:
        """Logits `(N, classes)` of the classes of the data, without a gradient, for what the student sees.

        Args:
            images: `(N, C, H, W)`, augmented and normalised for the student.
            preprocessing: that of the student.
        """
        if images.device != self._device:
            self.model.to(images.device)
            if images.is_contiguous(memory_format=torch.channels_last):
                self.model.to(memory_format=torch.channels_last)
            self._device = images.device
        with torch.no_grad():
            logits: Tensor = self.model(seen_by_teacher(images, preprocessing, self.preprocessing))
            return logits if self._columns is None else logits[:, self._columns]

    def use_classes(self, names: Sequence[str], where: str) -> str:
        """Give logits for these classes from now on; returns a note on what is assumed, or an empty string.

        Classes are compared by name. Where those of the teacher are only usual names, as of published weights, classes
        of the same number are taken to be in the same order, unless their names contradict it.

        Raises:
            InputError: the teacher does not know all of them.
        """
        own, names = self.class_names, list(names)
        if own == names:
            return ""
        if set(names) <= set(own) and len(set(own)) == len(own) and len(set(names)) == len(names):
            self._columns = [own.index(name) for name in names]
            more = len(own) - len(names)
            return f"The teacher knows {more} classes more than {where}, which are left out." if more else ""
        in_order = all(name not in own or name == usual for name, usual in zip(names, own, strict=False))
        if self.names_are_known or len(own) != len(names) or not in_order:
            raise InputError(
                f"The teacher {self.name} knows {len(own)} classes ({listed(own)}), and {where} has {len(names)} "
                f"({listed(names)}): choose one that was trained on the classes of the data."
            )
        return (
            f"The classes of the teacher are assumed to be those of the data in the same order: {names[0]} is "
            f"{own[0]!r}, {names[-1]} is {own[-1]!r}."
        )

    def check_channels(self, preprocessing: Preprocessing) -> None:
        """Raise `InputError` if the images of a student have channels from which it cannot have its own."""
        given, wanted = len(preprocessing.mean), len(self.preprocessing.mean)
        if given != wanted and {given, wanted} != {1, 3}:
            raise InputError(
                f"The teacher {self.name} sees {wanted} channels and the network {given}: choose another teacher, or "
                f"--in-channels {wanted}."
            )


def seen_by_teacher(images: Tensor, given: Preprocessing, wanted: Preprocessing) -> Tensor:
    """Images `(N, C, H, W)` that are normalised in a given way, in the wanted channels, normalisation and size."""
    if (given.mean, given.std) != (wanted.mean, wanted.std):
        images = images * _of_channels(given.std, images) + _of_channels(given.mean, images)
        if (len(given.mean), len(wanted.mean)) == (1, 3):
            images = grayscale_to_rgb(images)
        elif (len(given.mean), len(wanted.mean)) == (3, 1):
            images = rgb_to_grayscale(images)
        images = (images - _of_channels(wanted.mean, images)) / _of_channels(wanted.std, images)
    if images.shape[-2:] != (wanted.size, wanted.size):
        images = F.interpolate(images, (wanted.size, wanted.size), mode="bilinear", antialias=True)
    return images


def _of_channels(values: Sequence[float], images: Tensor) -> Tensor:
    return images.new_tensor(values).view(-1, 1, 1)


def _digest(model: nn.Module, preprocessing: Preprocessing) -> str:
    found = hashlib.sha256(repr((preprocessing.size, preprocessing.mean, preprocessing.std)).encode())
    for name, tensor in model.state_dict().items():
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()


def soft_label_loss(logits: Tensor, soft: Tensor, kind: str, temperature: float = 1.0) -> Tensor:
    """The mean divergence of a student's probabilities from a teacher's, at a temperature, times its square.

    With P the teacher's and Q the student's, "kl" is KL(P || Q) (Hinton et al., 2015); "js" is the Jensen-Shannon
    divergence (KL(P || M) + KL(Q || M)) / 2 with M = (P + Q) / 2 (Cui et al., 2021); and "jeffreys" is
    (KL(P || Q) + KL(Q || P)) / 2, which the code of SSLD in PaddleClas computes under the name of the former. The
    square of the temperature keeps the gradient at the size that it has without one.

    Args:
        logits: of the student, `(N, classes)`.
        soft: logits of the teacher, `(N, classes)`.
        kind: "js", "kl" or "jeffreys".
        temperature: divides all logits.
    """
    student, teacher = ((one.float() / temperature).log_softmax(1) for one in (logits, soft))
    kl = partial(F.kl_div, reduction="batchmean", log_target=True)  # its target is what diverges: kl(Q, P) = KL(P || Q)
    if kind == "kl":
        return temperature**2 * kl(student, teacher)
    if kind == "jeffreys":
        return temperature**2 * (kl(student, teacher) + kl(teacher, student)) / 2
    mean = torch.logaddexp(student, teacher) - math.log(2)
    return temperature**2 * (kl(mean, teacher) + kl(mean, student)) / 2


def soft_losses(
    logits: Tensor, soft: Tensor, labels: Tensor, options: ClassifyOptions, class_weights: Tensor | None = None
) -> dict[str, Tensor]:
    """The terms of the loss: the soft labels of all images, and the cross entropy of those with labels.

    Args:
        logits: of the student, `(N, classes)`.
        soft: logits of the teacher, `(N, classes)`.
        labels: `(N,)` with `NO_LABEL` for images without; or probabilities of mixed images `(N, classes)`, with one
            more column for the share of images without a label.
        options: the kind of loss, the temperature and the share of the soft labels.
        class_weights: weights of the classes in the cross entropy, `(classes,)`.
    """
    share = options.distill_weight
    losses = {"soft_labels": share * soft_label_loss(logits, soft, options.distill, options.temperature)}
    if share == 1:
        return losses
    if labels.ndim == 1:
        labelled = labels != NO_LABEL
    else:
        classes = logits.shape[1]
        labelled, labels = labels[:, classes:].sum(1) == 0, labels[:, :classes]
    if labelled.any():
        logits, labels = logits[labelled], labels[labelled]
        losses["cross_entropy"] = (1 - share) * F.cross_entropy(
            logits, labels, class_weights, label_smoothing=options.label_smoothing
        )
    return losses


class _UnlabelledFiles(ImageFiles):
    """Image files without labels."""

    def origin(self, index: int) -> Origin:
        """The file of a sample, for its fingerprint."""
        return (self.paths[index],), b""


class WithUnlabelled(ConcatDataset[Sample]):
    """The samples of a data set, and after them images without a label, whose label is `NO_LABEL`."""

    reads_files = True

    def __init__(self, labelled: Samples, paths: Sequence[str]) -> None:
        files = _UnlabelledFiles(paths, [NO_LABEL] * len(paths), [])
        super().__init__([labelled, files])  # type: ignore[list-item]  # data sets by their methods
        self._labelled, self._files = labelled, files

    @property
    def targets(self) -> list[int]:
        """The label of each sample."""
        return [*labels_of(self._labelled), *self._files.targets]

    @property
    def alpha(self) -> bool:
        """Whether images are read as RGBA."""
        return self._files.alpha

    @alpha.setter
    def alpha(self, value: bool) -> None:
        parts: tuple[Any, ...] = (self._labelled, self._files)
        for part in parts:
            part.alpha = value

    def __getitem__(self, index: int) -> Sample:
        image, target = super().__getitem__(index)
        return image, {"label": target["label"]}

    def undecoded(self, index: int) -> Sample:
        """The sample, with JPEG files as an undecoded `Jpeg`."""
        part = bisect_right(self.cumulative_sizes, index)
        samples: Any = self.datasets[part]
        read = getattr(samples, "undecoded", samples.__getitem__)
        image, target = read(index - ([0, *self.cumulative_sizes][part]))
        return image, {"label": target["label"]}


def with_teacher(source: DataSource, options: ClassifyOptions) -> DataSource:
    """A data source with the teacher that the options name, and with the images without labels.

    Raises:
        InputError: the teacher cannot be opened or knows other classes, or there are no images without labels.
    """
    assert options.teacher is not None
    teacher = open_teacher(options.teacher)
    parameters = sum(one.numel() for one in teacher.model.parameters()) / 1e6
    about = f"The teacher {teacher.name} ({parameters:,.1f} M parameters, {teacher.preprocessing.size} pixels) labels"
    notes = [f"{about} the training images softly.", teacher.use_classes(source.class_names, source.name)]
    train = source.train
    if options.unlabelled is not None:
        used = {_real(path) for samples in (source.train, source.val) for path in getattr(samples, "paths", ())}
        found = list_images(options.unlabelled)
        files = [str(path) for path in found if _real(path) not in used]
        if not files:
            raise InputError(
                f"All images of {options.unlabelled} are those of {source.name}: give others as --unlabelled."
            )
        left = f"; {len(found) - len(files):,} of the data are left out" if len(files) < len(found) else ""
        notes.append(f"{len(files):,} images of {options.unlabelled} have no labels but those of the teacher{left}.")
        train = WithUnlabelled(train, files)
    return replace(source, train=train, teacher=teacher, notes=[*source.notes, *filter(None, notes)])


def _real(path: str | Path) -> str:
    return str(Path(path).resolve())


def open_teacher(name: str) -> Teacher:
    """Open a trained classifier as a teacher.

    Args:
        name: the folder of a run, a checkpoint, the name of weights that ship, `MODEL:WEIGHTS` with a tag or a file, or
            `timm:NAME` and `torchvision:NAME` with the weights of these libraries, or `timm:NAME:FILE` with those of a
            file.

    Raises:
        InputError: there is no such model or file, or it is no classifier of images.
    """
    with torch.random.fork_rng(devices=[]):  # the student begins with the same weights as without a teacher
        library, _, rest = name.partition(":")
        if library in LIBRARIES:
            wanted, _, file = rest.partition(":")
            return _of_library(name, library, wanted, file)
        return _own(name)


def _own(name: str) -> Teacher:
    model, _, weights = name.partition(":")
    named = bool(weights) and not checkpoint_path(name).exists()
    if not named and not is_file(name):
        raise InputError(
            f"There is no teacher {name!r}: give the folder of a run, a checkpoint, MODEL:TAG (`res2net models` lists "
            "both), timm:NAME or torchvision:NAME."
        )
    try:
        task, _ = restore_task(weights, model, "classify") if named else restore_task(name, name="classify")
    except InputError as error:
        raise InputError(f"The teacher {name} cannot be opened. {error}") from error
    if getattr(task, "multi_label", False):
        raise InputError(f"The teacher {name} finds any number of labels: choose one with one label for each image.")
    known = not task.facts.get("class_names_assumed")
    return Teacher(name, task.model, task.preprocessing, task.class_names, names_are_known=known)


def _of_library(name: str, library: str, wanted: str, file: str) -> Teacher:
    """A model of timm or torchvision with its own weights, or with those of a file and as many classes as these."""
    make: Any
    pretrained: dict[str, Any]
    if library == "timm":
        import timm

        names, make, pretrained = timm.list_models(), partial(timm.create_model, wanted), {"pretrained": True}
        is_known = timm.is_model(wanted)
    else:
        from torchvision import models

        names, make, pretrained = models.list_models(models), partial(models.get_model, wanted), {"weights": "DEFAULT"}
        is_known = wanted in names
    if not is_known:
        raise InputError(f"{library} has no model {wanted!r}: {nearest(wanted, names) or 'see its list.'}")
    with quiet():
        if file:
            model = _with_weights(make, wanted, file)
        else:
            try:
                model = make(**pretrained)
            except Exception as error:  # whatever fails in a download, the answer is the same
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
                raise InputError(
                    f"The weights of {name} cannot be had ({reason}): give those of a file, as {name}:FILE."
                ) from error
    preprocessing = _preprocessing_of(library, wanted, model)
    names = assumed_class_names(len(_last(model)))
    return Teacher(name, model, preprocessing, names, names_are_known=False)


def _last(model: nn.Module) -> Tensor:
    """The last tensor of a classifier, which has a row for each class."""
    return list(model.state_dict().values())[-1]


def _with_weights(make: Any, wanted: str, file: str) -> nn.Module:
    tensors = read_checkpoint(file).tensors
    model: nn.Module = make()
    found = tensors.get(list(model.state_dict())[-1])
    if found is not None and found.ndim and len(found) != len(_last(model)):
        model = make(num_classes=len(found))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[:2][-1].strip()
        raise InputError(f"{file} does not hold the weights of {wanted} ({reason}): give another file.") from error
    check_finite(file, model.state_dict().items())
    return model


def _preprocessing_of(library: str, wanted: str, model: nn.Module) -> Preprocessing:
    if library == "timm":
        from timm.data import resolve_model_data_config

        config = resolve_model_data_config(model)
        return Preprocessing(config["input_size"][-1], mean=tuple(config["mean"]), std=tuple(config["std"]))
    from torchvision import models

    published = next(iter(models.get_model_weights(wanted)), None)
    if published is None:
        return Preprocessing()
    seen = getattr(models.get_model_weights(wanted), "DEFAULT", published).transforms()
    return Preprocessing(seen.crop_size[0], mean=tuple(seen.mean), std=tuple(seen.std))

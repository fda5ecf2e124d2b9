"""CIFAR-10 and CIFAR-100 in the official Python version, held in memory."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.utils.data import Dataset
from torchvision import datasets, tv_tensors

from res2net.errors import InputError, check_choice
from res2net.files import subfolders
from res2net.images.samples import Sample
from res2net.weights.records import Preprocessing

CIFAR_FOLDERS = {"cifar-10-batches-py": 10, "cifar-100-python": 100}
"""The folders in the official archives, with their number of classes."""


class Cifar(Dataset[Sample]):
    """CIFAR (Krizhevsky, 2009), 60,000 images of 32x32 pixels: `(Image uint8 (3, 32, 32), {"label": int})`.

    `images` holds all images, `(N, 3, 32, 32)` uint8. CIFAR-100 uses the fine labels.

    Args:
        root: the folder that holds `cifar-10-batches-py` or `cifar-100-python`.
        classes: 10 or 100.
        train: the 50,000 images for training, or the 10,000 for testing.

    Raises:
        InputError: a file is missing, or is not the official one.
    """

    def __init__(self, root: str | Path, *, classes: int, train: bool) -> None:
        check_choice("Number of CIFAR classes", classes, CIFAR_FOLDERS.values())
        official = datasets.CIFAR10 if classes == 10 else datasets.CIFAR100
        try:
            data = official(root, train=train, download=False)
        except RuntimeError as error:
            raise InputError(
                f"The folder {Path(root, official.base_folder)} is not complete, or a file in it is damaged "
                f"(its checksum is not the official one): unpack {official.filename} anew."
            ) from error
        self.images = torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous()
        self.targets: list[int] = data.targets
        self.class_names: list[str] = data.classes

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Sample:
        return tv_tensors.Image(self.images[index]), {"label": self.targets[index]}


def cifar_preprocessing(classes: int) -> Preprocessing:
    """Whole images, normalised with the mean and standard deviation of the training images."""
    if classes == 10:
        return Preprocessing(size=32, crop=1.0, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
    return Preprocessing(size=32, crop=1.0, mean=(0.5071, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2762))


def find_cifar(path: Path) -> tuple[Path, int] | None:
    """The root of a CIFAR data set and its number of classes; None if there is none at the existing `path`.

    `path` may be the root or the folder of the data set in it.
    """
    name = path.absolute().name
    if name in CIFAR_FOLDERS and path.is_dir():
        return path.absolute().parent, CIFAR_FOLDERS[name]
    found = [classes for folder, classes in CIFAR_FOLDERS.items() if (path / folder).is_dir()]
    if len(found) > 1:
        raise InputError(f"The folder {path} has both CIFAR-10 and CIFAR-100: give {' or '.join(CIFAR_FOLDERS)} in it.")
    if found:
        return path, found[0]
    # Archives are only of interest if there are no subfolders, which may hold images.
    files = [path] if path.is_file() else [] if subfolders(path) else sorted(path.iterdir())
    for archive in files:
        if archive.name.startswith(("cifar-10-python.tar", "cifar-100-python.tar")):
            raise InputError(f"{archive} is an archive: unpack it with `tar -xf {archive} -C {archive.parent}`.")
    return None

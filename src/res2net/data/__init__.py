"""Pictures and their targets: read, transformed, collated, from folders, CIFAR and sources with a name."""

from res2net.data.cifar import Cifar
from res2net.data.decode import BadImage, Jpeg, decode_image, open_image, read_image
from res2net.data.folder import ImageFiles, ImageFolder, list_images
from res2net.data.layouts import open_folder
from res2net.data.samples import Sample, Skipped, Transformed, collate
from res2net.data.sources import DataSource, open_source, register_source, source_names
from res2net.data.transforms import TrainAugment, batch_mix, denormalise, eval_transform, train_transform

__all__ = [
    "BadImage",
    "Cifar",
    "DataSource",
    "ImageFiles",
    "ImageFolder",
    "Jpeg",
    "Sample",
    "Skipped",
    "TrainAugment",
    "Transformed",
    "batch_mix",
    "collate",
    "decode_image",
    "denormalise",
    "eval_transform",
    "list_images",
    "open_folder",
    "open_image",
    "open_source",
    "read_image",
    "register_source",
    "source_names",
    "train_transform",
]

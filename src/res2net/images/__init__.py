"""Images and their targets: read, transformed, collated, from folders, CIFAR and sources with a name."""

from res2net.images.cifar import Cifar
from res2net.images.decode import BadImage, Jpeg, decode_image, open_image, read_image
from res2net.images.folder import ImageFiles, ImageFolder, list_images
from res2net.images.joint_transforms import ObjectAugment, object_eval_transform, object_train_transform
from res2net.images.layouts import open_folder
from res2net.images.run_lengths import encoded_masks, to_original
from res2net.images.samples import Sample, Skipped, Transformed, collate
from res2net.images.shapes.dataset import Shapes
from res2net.images.sources import SOURCES, DataSource, open_source
from res2net.images.splits import DataSettings
from res2net.images.transforms import TrainAugment, batch_mix, denormalise, eval_transform, train_transform

__all__ = [
    "SOURCES",
    "BadImage",
    "Cifar",
    "DataSettings",
    "DataSource",
    "ImageFiles",
    "ImageFolder",
    "Jpeg",
    "ObjectAugment",
    "Sample",
    "Shapes",
    "Skipped",
    "TrainAugment",
    "Transformed",
    "batch_mix",
    "collate",
    "decode_image",
    "denormalise",
    "encoded_masks",
    "eval_transform",
    "list_images",
    "object_eval_transform",
    "object_train_transform",
    "open_folder",
    "open_image",
    "open_source",
    "read_image",
    "to_original",
    "train_transform",
]

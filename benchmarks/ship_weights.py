"""Turn the weights of a run into a file that ships with the package.

    python benchmarks/ship_weights.py runs/NAME cifar100 --data CIFAR-100

writes `src/res2net/weights/shipped_files/cifar100.safetensors`. Kernels and matrices are stored in fp16, which halves
the file; biases and normalisations, few numbers with a wide range, stay in fp32. Loading copies both into a network of
fp32. The card beside it, `cifar100.yaml`, is written by hand; its scores are what `res2net eval` prints for this file.
"""

from __future__ import annotations

import argparse

import torch

from res2net.weights import Checkpoint, read_checkpoint, save
from res2net.weights.shipped import FOLDER

LICENCE = "Apache-2.0"


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("run", help="the folder of the run, or a checkpoint")
    parser.add_argument("name", help="the name of the weights, such as cifar100")
    parser.add_argument("--boxes-alone", action="store_true", help="make a Faster R-CNN out of a Mask R-CNN")
    parser.add_argument("--data", required=True, help="the name of the data, in place of their path")
    chosen = parser.parse_args()
    checkpoint = read_checkpoint(chosen.run)
    if chosen.boxes_alone:
        checkpoint = boxes_alone(checkpoint)
    tensors = {
        name: tensor.half() if tensor.ndim > 1 and tensor.is_floating_point() else tensor
        for name, tensor in checkpoint.tensors.items()
    }
    for name, tensor in tensors.items():
        assert not tensor.is_floating_point() or tensor.isfinite().all(), f"{name} does not fit into fp16"
    metadata = {name: value for name, value in checkpoint.metadata.items() if name != "run"}
    path = FOLDER / f"{chosen.name}.safetensors"
    save(path, tensors, metadata | {"source": chosen.data, "licence": LICENCE, "precision": "fp32"})
    errors = [
        float((tensor.float() - checkpoint.tensors[name]).norm() / checkpoint.tensors[name].norm().clamp_min(1e-12))
        for name, tensor in tensors.items()
        if tensor.dtype == torch.float16
    ]
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, relative rounding error at most {max(errors):.1e}")


def boxes_alone(checkpoint: Checkpoint) -> Checkpoint:
    """The Faster R-CNN inside a Mask R-CNN, which finds the same boxes: all but the head of masks."""
    tensors = {name: tensor for name, tensor in checkpoint.tensors.items() if not name.startswith("roi_heads.mask_")}
    options = dict(checkpoint.metadata["task_options"])
    del options["copy_paste"]
    metrics = {name: value for name, value in checkpoint.metadata["metrics"].items() if not name.startswith("mask_")}
    changes = {"task": "detect", "task_options": options | {"detector": "faster_rcnn"}, "metrics": metrics}
    return Checkpoint(tensors, checkpoint.metadata | changes)


if __name__ == "__main__":
    main()

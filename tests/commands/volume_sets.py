"""Small sets of volumes with labels."""

import json

import nibabel
import numpy as np

AFFINE = np.array([[-2.0, 0, 0, 40], [0, 2.0, 0, -30], [0, 0, 3.0, 10], [0, 0, 0, 1]])


def write_set(root, count=4):
    """Noise with a bright cube that is labelled, in the layout of the Decathlon."""
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    listed = []
    for index in range(count):
        rng = np.random.default_rng(index)
        scan = rng.normal(0, 20, (20, 22, 12)).astype(np.int16)
        labels = np.zeros(scan.shape, np.uint8)
        labels[4 + index : 12, 6:14, 3:9] = 1
        scan[labels > 0] += 300
        entry = {"image": f"./imagesTr/case_{index}.nii.gz", "label": f"./labelsTr/case_{index}.nii.gz"}
        nibabel.save(nibabel.Nifti1Image(scan, AFFINE), root / entry["image"])
        nibabel.save(nibabel.Nifti1Image(labels, AFFINE), root / entry["label"])
        listed.append(entry)
    said = {"labels": {"0": "background", "1": "cube"}, "training": listed}
    (root / "dataset.json").write_text(json.dumps(said))
    return root

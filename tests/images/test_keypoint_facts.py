"""What is known of keypoints."""

import numpy as np
import pytest
from pycocotools.cocoeval import Params

from res2net.errors import InputError
from res2net.images.keypoints import COCO_PERSON, Keypoints, mirrored_order


def test_sigmas_are_those_of_pycocotools():
    # They divide 0.26 by 10, which is not 0.026 to the last bit.
    np.testing.assert_allclose(COCO_PERSON.sigmas, Params("keypoints").kpt_oks_sigmas, rtol=1e-15)


def test_flips_change_left_and_right():
    swapped = [name.replace("left", "?").replace("right", "left").replace("?", "right") for name in COCO_PERSON.names]
    assert [COCO_PERSON.names[index] for index in mirrored_order(len(COCO_PERSON), COCO_PERSON.flips)] == swapped


def test_points_with_other_names():
    points = Keypoints.named(("left_ear", "snout", "right_ear", "left_paw"), ((0, 1), (1, 2)))
    assert points.flips == ((0, 2),)
    assert mirrored_order(len(points), points.flips) == [2, 1, 0, 3]
    assert len(points.sigmas) == len(points) == 4
    assert Keypoints.named(COCO_PERSON.names) is COCO_PERSON


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="points outside of the 2: give 0 to 1"):
        Keypoints(("a", "b"), skeleton=((0, 2),))
    with pytest.raises(InputError, match="1 sigmas for 2 keypoints"):
        Keypoints(("a", "b"), sigmas=(0.1,))

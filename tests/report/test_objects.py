"""Objects and segments drawn on images."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from res2net.errors import InputError
from res2net.images.shapes.dataset import CLASS_NAMES, Shapes
from res2net.report import draw_objects, draw_segments
from res2net.report.palette import COUNT, class_colour, ink_on, shade
from res2net.report.tags import Tag, draw_tags, line_width, text_height

NAMES = ("cat", "dog", "a very long name of a class that no small image has room for")
GREY = Image.new("RGB", (640, 480), (128, 128, 128))


def pixels(image):
    return np.asarray(image).astype(int)


def has(image, colour, box):
    left, top, right, bottom = box
    return bool((pixels(image)[top:bottom, left:right] == colour).all(2).any())


class TestColours:
    def test_they_differ_and_do_not_depend_on_how_many_there_are(self):
        colours = [class_colour(index) for index in range(COUNT)]
        assert len(set(colours)) == COUNT
        assert class_colour(COUNT + 3) == colours[3]

    @pytest.mark.parametrize("matrix", ["all cones", "no red", "no green"])
    def test_the_first_are_told_apart_by_everyone(self, matrix):
        """By other matrices than the palette is chosen with: Viénot, Brettel and Mollon (1999)."""
        reduce = {
            "all cones": np.eye(3),
            "no red": np.array([[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]]),
            "no green": np.array([[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]]),
        }[matrix]
        light = (np.array([class_colour(index) for index in range(7)]) / 255) ** 2.2 @ reduce.T
        shown = np.clip(light, 0, 1) ** (1 / 2.2) * 255
        apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(shown, 2)]
        assert min(apart) > 25

    def test_letters_have_contrast(self):
        for index in range(COUNT):
            colour = class_colour(index)
            inks = [(np.array([one]) / 255) ** 2.2 @ (0.2126, 0.7152, 0.0722) for one in (colour, ink_on(colour))]
            low, high = sorted(float(ink[0]) for ink in inks)
            assert (high + 0.05) / (low + 0.05) > 4

    def test_shades_are_of_the_same_hue(self):
        red, green, blue = shade((200, 100, 0), 1)
        assert red > green > blue
        assert len({shade((200, 100, 0), step) for step in range(5)}) == 5


class TestBoxes:
    def test_lines_are_on_the_inner_side_and_the_rest_stays(self):
        drawn = draw_objects(GREY, [[100, 150, 300, 400]], [1], names=NAMES)
        colour, width = class_colour(1), line_width(drawn.size)
        values = pixels(drawn)
        for y, x in ((200, 100), (200, 299), (150, 290), (399, 200), (200, 100 + width - 1)):
            assert tuple(values[y, x]) == colour
        for y, x in ((200, 95), (200, 305), (405, 200), (275, 200), (200, 100 + 2 * width)):
            assert tuple(values[y, x]) == (128, 128, 128)

    @pytest.mark.parametrize(
        "box", [[0, 0, 640, 480], [-20, -30, 700, 500], [639, 479, 640, 480], [0, 0, 1, 1], [300, 200, 300, 200]]
    )
    def test_at_the_border_and_without_a_size_they_are_seen(self, box):
        drawn = draw_objects(GREY, [box], [0], names=[""])
        mine = (pixels(drawn) == class_colour(0)).all(2)
        left, top = (min(max(value, 0), most - 1) for value, most in zip(box[:2], drawn.size, strict=True))
        assert mine[max(0, top - 9) : top + 9, max(0, left - 9) : left + 9].any()
        if box[2] >= 640:
            assert mine[:, -line_width(drawn.size)].any()

    def test_small_things_lie_over_large_ones(self):
        boxes = [[300, 300, 310, 400], [305, 100, 500, 450]]
        for order in ([0, 1], [1, 0]):
            drawn = draw_objects(GREY, [boxes[index] for index in order], order, names=NAMES)
            assert tuple(pixels(drawn)[350, 308]) == class_colour(0)

    @pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "I;16"])
    @pytest.mark.parametrize("size", [(32, 32), (1, 1), (700, 9)])
    def test_images_of_any_mode_and_size(self, mode, size):
        drawn = draw_objects(Image.new(mode, size), [[0, 0, size[0], size[1]]], [0], names=NAMES, scores=[0.5])
        assert drawn.mode == "RGB"
        assert has(drawn, class_colour(0), (0, 0, *drawn.size))

    def test_small_images_grow_by_a_whole_number_and_large_ones_do_not(self):
        image, _ = Shapes(1, size=32)[0]
        drawn = draw_objects(image, [], [], names=NAMES)
        assert (pixels(drawn) == image.permute(1, 2, 0).numpy().repeat(20, 0).repeat(20, 1)).all()
        assert draw_objects(GREY, [], [], names=NAMES).size == GREY.size

    def test_the_image_itself_is_not_drawn_on(self):
        before = pixels(GREY)
        mask = torch.ones(1, 480, 640, dtype=torch.bool)
        draw_objects(GREY, [[5, 5, 90, 90]], [0], names=NAMES, masks=mask, keypoints=torch.full((1, 2, 3), 50.0))
        assert (pixels(GREY) == before).all()


class TestTags:
    def test_names_stand_on_their_colour_above_the_box(self):
        drawn = draw_objects(GREY, [[100, 150, 300, 400]], [1], names=NAMES, scores=torch.tensor([0.873]))
        above = pixels(drawn)[130:149, 101:160]
        assert (above == class_colour(1)).all(2).mean() > 0.4
        assert (above == ink_on(class_colour(1))).all(2).any()

    @pytest.mark.parametrize("size", [(32, 32), (640, 480), (400, 30), (30, 400)])
    def test_all_are_within_the_image_and_no_two_in_the_same_place(self, size):
        rng = np.random.default_rng(0)
        corners = rng.uniform(0, 1, (100, 2, 2)) * size
        boxes = np.concatenate([corners.min(1), corners.max(1)], 1)
        boxes[:30] = boxes[0]
        tags = [Tag(NAMES[index % 3], class_colour(index % 3), tuple(box)) for index, box in enumerate(boxes)]
        for count in (1, 8, 100):
            places = draw_tags(Image.new("RGB", size), tags[:count])
            assert len(places) == count
            assert all(0 <= a < c <= size[0] and 0 <= b < d <= size[1] for a, b, c, d in places)
            if size == (640, 480):
                assert len(set(places)) == count

    def test_few_do_not_touch(self):
        boxes = [(100, 100, 200, 200)] * 6
        places = draw_tags(GREY.copy(), [Tag("cat", class_colour(0), box) for box in boxes])
        for (a, b, c, d), (e, f, g, h) in itertools.combinations(places, 2):
            assert c <= e or g <= a or d <= f or h <= b

    def test_they_leave_small_things_visible(self):
        for box in ((0, 0, 20, 14), (620, 470, 639, 479), (300, 200, 310, 210)):
            ((left, top, right, bottom),) = draw_tags(GREY.copy(), [Tag("elephant", class_colour(0), box)])
            assert right <= box[0] or left > box[2] or bottom <= box[1] or top > box[3]

    def test_letters_grow_with_the_image(self):
        assert [text_height(size) for size in ((320, 320), (640, 480), (4000, 3000))] == [11, 15, 91]
        ((_, top, _, bottom),) = draw_tags(Image.new("RGB", (4000, 3000)), [Tag("cat", (9, 9, 9), (50, 900, 900, 990))])
        assert bottom - top > 91

    def test_any_text_is_drawn(self):
        names = ["", "$x^2$", "猫", "a\nb", "\x00", "\N{PILE OF POO}"]
        draw_objects(GREY, [[9 * i, 99, 99, 199] for i in range(6)], range(6), names=names)


class TestMasks:
    def test_they_lie_on_their_pixels_and_let_the_image_through(self):
        image, target = Shapes(3, things=(2, 5), size=128, labels=("boxes", "labels", "masks"))[1]
        count = len(target["masks"])
        assert count > 1
        off = torch.zeros(count, 4)  # boxes in the corner
        drawn = pixels(draw_objects(image, off, range(count), names=[""] * count, masks=target["masks"]))
        plain = pixels(draw_objects(image, off, range(count), names=[""] * count))
        changed = (drawn != plain).any(2)
        mask = target["masks"].any(0).numpy().repeat(5, 0).repeat(5, 1)
        assert not changed[~mask].any()
        assert changed[mask].mean() > 0.95
        # Within, two pixels of the image that differ still do.
        inner = target["masks"][-1].numpy().repeat(5, 0).repeat(5, 1)
        assert len(np.unique(drawn[inner], axis=0)) > 5

    def test_an_outline_is_of_the_full_colour(self):
        mask = torch.zeros(1, 480, 640, dtype=torch.bool)
        mask[0, 100:300, 200:400] = True
        drawn = pixels(draw_objects(GREY, [[0, 0, 1, 1]], [1], names=[""] * 2, masks=mask))
        colour = class_colour(1)
        for y, x in ((100, 300), (299, 300), (200, 200), (200, 399)):
            assert tuple(drawn[y, x]) == colour
        expected = [round(0.55 * 128 + 0.45 * value) for value in colour]
        assert drawn[200, 300].tolist() == expected
        assert tuple(drawn[99, 300]) == (128, 128, 128)

    def test_empty_ones_are_nothing(self):
        mask = torch.zeros(1, 480, 640, dtype=torch.bool)
        with_mask = draw_objects(GREY, [[9, 9, 99, 99]], [0], names=NAMES, masks=mask)
        assert (pixels(with_mask) == pixels(draw_objects(GREY, [[9, 9, 99, 99]], [0], names=NAMES))).all()


class TestSkeletons:
    def drawn(self, visibility):
        points = torch.tensor([[[200.0, 240, 2], [300, 240, visibility], [400, 300, 0]]])
        return pixels(draw_objects(GREY, [[0, 0, 1, 1]], [0], names=[""], keypoints=points, skeleton=[(0, 1), (1, 2)]))

    def test_joints_are_full_or_hollow_and_lines_join_them(self):
        visible, hidden = self.drawn(2), self.drawn(1)
        for values in (visible, hidden):
            assert tuple(values[240, 200]) == class_colour(0)
            assert tuple(values[240, 250]) == class_colour(0)
        assert tuple(visible[240, 300]) == class_colour(0)
        assert tuple(hidden[240, 300]) == (128, 128, 128)

    def test_what_is_not_labelled_is_not_drawn(self):
        values = self.drawn(2)
        assert (values[260:320, 320:420] == 128).all()
        assert (self.drawn(0)[236:245, 220:310] == 128).all()

    def test_points_without_visibility_are_visible(self):
        points = torch.tensor([[[200.0, 240], [300, 240]]])
        values = pixels(draw_objects(GREY, [[0, 0, 1, 1]], [0], names=[""], keypoints=points))
        assert tuple(values[240, 300]) == class_colour(0)
        assert tuple(values[240, 250]) == (128, 128, 128)


class TestSegments:
    def halves(self):
        mask = torch.zeros(480, 640, dtype=torch.bool)
        mask[:, :320] = True
        return mask

    def test_each_has_its_colour_a_name_and_a_line_to_the_next(self):
        half = self.halves()
        drawn = pixels(draw_segments(GREY, [(half, 0), (~half, 1)], NAMES))
        for x, label in ((20, 0), (600, 1)):
            expected = 0.45 * 128 + 0.55 * np.array(class_colour(label))
            np.testing.assert_allclose(drawn[20, x], expected, atol=1)
        assert tuple(drawn[20, 319]) == (255, 255, 255)
        for x, label in ((160, 0), (480, 1)):
            assert has(Image.fromarray(drawn.astype(np.uint8)), class_colour(label), (x - 40, 225, x + 40, 255))

    def test_things_of_one_class_differ(self):
        half = self.halves()
        drawn = pixels(draw_segments(GREY, [(half, 0), (~half, 0)], NAMES))
        assert abs(drawn[20, 20] - drawn[20, 600]).sum() > 20

    def test_what_belongs_to_none_stays(self):
        half = self.halves()
        assert (pixels(draw_segments(GREY, [(half, 0)], NAMES))[:, 330:] == 128).all()
        assert (pixels(draw_segments(GREY, [], NAMES)) == 128).all()
        with_background = draw_segments(GREY, [(half, 0), (~half, 1)], ["cat", "background"])
        assert (pixels(with_background)[:, 330:] == 128).all()

    def test_a_later_one_counts_and_what_is_hidden_has_no_name(self):
        half = self.halves()
        below = draw_segments(GREY, [(half, 1), (half, 0)], NAMES)
        assert has(below, class_colour(0), (0, 0, 320, 480))
        assert not has(below, class_colour(1), (0, 0, 640, 480))

    def test_single_pixels_and_small_images(self):
        mask = torch.zeros(30, 40, dtype=torch.bool)
        mask[29, 39] = True
        drawn = draw_segments(Image.new("L", (40, 30)), [(mask, 0), (~mask, 1)], NAMES)
        assert drawn.size == (640, 480)
        large = torch.zeros(480, 640, dtype=torch.bool)
        large[1, 1] = True
        draw_segments(GREY, [(large, 0)], NAMES)


def test_mistakes_are_told():
    box = [[1, 1, 5, 5]]
    cases = [
        ({"boxes": [[1, 2, 3]], "labels": [0]}, r"Boxes \(1, 3\) cannot be drawn"),
        ({"boxes": [[5, 5, 1, 1]], "labels": [0]}, "x2 is at least x1"),
        ({"boxes": [[0, 0, float("nan"), 1]], "labels": [0]}, "A box cannot be drawn"),
        ({"boxes": box, "labels": [3]}, "Class 3 has no name: there are 3, so give 0 to 2"),
        ({"boxes": box, "labels": [-1]}, "Class -1 has no name"),
        ({"boxes": box, "labels": []}, "1 boxes, 0 labels and no scores do not fit"),
        ({"boxes": box, "labels": [0], "scores": [0.1, 0.2]}, "1 boxes, 1 labels and 2 scores do not fit"),
        ({"boxes": box, "labels": [0], "masks": torch.ones(1, 4, 4)}, r"Masks \(1, 4, 4\) do not fit 1 objects"),
        ({"boxes": box, "labels": [0], "keypoints": torch.ones(2, 4, 3)}, r"Keypoints \(2, 4, 3\) do not fit 1"),
        ({"boxes": box, "labels": [0], "keypoints": torch.ones(1, 4, 3), "skeleton": [(1, 4)]}, r"\(1, 4\) is no line"),
    ]
    for arguments, message in cases:
        with pytest.raises(InputError, match=message):
            draw_objects(GREY, names=NAMES, **arguments)
    with pytest.raises(InputError, match=r"A mask \(4, 4\) does not fit an image of 480 x 640 pixels"):
        draw_segments(GREY, [(torch.ones(4, 4), 0)], NAMES)
    with pytest.raises(InputError, match="Class 7 has no name"):
        draw_segments(GREY, [(torch.ones(480, 640), 7)], NAMES)


def test_a_crowd_on_a_small_image_is_drawn_at_once():
    target = Shapes(1, things=5, size=64, labels=("boxes", "labels", "masks", "keypoints", "visibility"))[0][1]
    image = Shapes(1, things=5, size=64)[0][0]
    many = 20
    points = torch.cat([target["keypoints"], target["visibility"][..., None].float()], 2).repeat(many, 1, 1)
    drawn = draw_objects(
        image,
        target["boxes"].repeat(many, 1),
        target["labels"].repeat(many),
        names=CLASS_NAMES,
        masks=target["masks"].repeat(many, 1, 1),
        keypoints=points,
        scores=torch.linspace(0, 1, len(points)),
        skeleton=[(0, 1), (1, 2)],
    )
    assert drawn.size == (640, 640)

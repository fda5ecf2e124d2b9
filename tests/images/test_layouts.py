"""The layouts of folders that hold training and validation images."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from res2net.errors import InputError
from res2net.images import DataSettings, open_folder

KAGGLE = "ILSVRC/Data/CLS-LOC"


def add(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path, "JPEG")


def listed(images):
    """File names with the names of their classes."""
    return [
        (Path(path).name, images.class_names[label]) for path, label in zip(images.paths, images.targets, strict=True)
    ]


def add_train(folder, *classes):
    add(folder, *[f"{name}/{name}_{i}.JPEG" for name in classes for i in range(2)])


@pytest.mark.parametrize("val_name", ["val", "valid", "validation", "test", "Val"])
@pytest.mark.parametrize("train_name", ["train", "Training"])
def test_train_and_val_folders(tmp_path, train_name, val_name):
    add(tmp_path / train_name, "cat/1.jpg", "dog/1.jpg")
    add(tmp_path / val_name, "cat/2.jpg", "dog/2.jpg")
    train, val, _ = open_folder(tmp_path)
    assert listed(train) == [("1.jpg", "cat"), ("1.jpg", "dog")]
    assert listed(val) == [("2.jpg", "cat"), ("2.jpg", "dog")]


def test_val_goes_before_test(tmp_path):
    for part in ("train", "val", "test"):
        add(tmp_path / part, f"cat/{part}.jpg", f"dog/{part}.jpg")
    assert listed(open_folder(tmp_path)[1])[0] == ("val.jpg", "cat")


@pytest.mark.parametrize("inside", ["", "train"])
def test_class_folders_only_are_split(tmp_path, inside):
    add_train(tmp_path / inside, "cat", "dog")
    train, val, _ = open_folder(tmp_path, DataSettings(val_fraction=0.5))
    assert train.targets == val.targets == [0, 1]
    assert train.class_names == val.class_names == ["cat", "dog"]
    assert val.paths == open_folder(tmp_path, DataSettings(val_fraction=0.5))[1].paths


@pytest.mark.parametrize(
    ("val_classes", "others"), [(("cat", "dog", "elk"), "elk"), (("cat", "dgo"), "dgo"), (("fox", "gnu"), "fox, gnu")]
)
def test_classes_that_only_val_has_are_told(tmp_path, val_classes, others):
    add_train(tmp_path / "train", "cat", "dog")
    add_train(tmp_path / "val", *val_classes)
    with pytest.raises(InputError, match=rf"has the class folders {others}, which .* \(their classes are cat, dog\)"):
        open_folder(tmp_path)


def test_val_may_lack_classes(tmp_path):
    add_train(tmp_path / "train", "ant", "cat", "dog")
    add_train(tmp_path / "val", "dog", "ant")
    (tmp_path / "val" / "cat").mkdir()  # an empty folder is the same as none
    val = open_folder(tmp_path).val
    assert val.class_names == ["ant", "cat", "dog"]
    assert val.targets == [0, 0, 2, 2]


def test_a_class_without_training_images_is_told(tmp_path):
    add_train(tmp_path / "train", "cat", "dog")
    add_train(tmp_path / "val", "cat", "dog", "elk")
    (tmp_path / "train" / "elk").mkdir()
    with pytest.raises(InputError, match=r"class folder .*train/elk has no images: add some"):
        open_folder(tmp_path)


def test_everything_is_evaluated_unless_there_are_splits(tmp_path):
    add_train(tmp_path / "train", "cat", "dog")
    add_train(tmp_path / "test", "dog")
    add_train(tmp_path / "holdout", "cat")

    def evaluated(folder, **settings):
        train, val, about = open_folder(folder, DataSettings(evaluate=True, **settings))
        assert len(train) == 0
        return [
            (name, Path(path).parents[1].name) for path, (_, name) in zip(val.paths, listed(val), strict=True)
        ], about

    assert evaluated(tmp_path / "train")[0] == [("cat", "train")] * 2 + [("dog", "train")] * 2
    assert evaluated(tmp_path / "test") == ([("dog", "test")] * 2, "all")
    assert evaluated(tmp_path) == ([("cat", "holdout")] * 2, "holdout")
    assert evaluated(tmp_path, split="test") == ([("dog", "test")] * 2, "test")
    assert len(evaluated(tmp_path, split="train")[0]) == 4
    held_out = open_folder(tmp_path / "train").val
    assert held_out.paths == open_folder(tmp_path / "train", DataSettings(evaluate=True, split="val")).val.paths


def test_classes_in_natural_order(tmp_path):
    add_train(tmp_path, "10", "9", "1")
    assert open_folder(tmp_path).train.class_names == ["1", "10", "9"]
    natural = open_folder(tmp_path, DataSettings(class_order="natural")).val
    assert natural.class_names == ["1", "9", "10"]
    assert [(name, Path(path).parent.name) for path, (_, name) in zip(natural.paths, listed(natural), strict=True)] == [
        (name, name) for name in ("1", "9", "10")
    ]


def test_a_folder_too_high_is_told(tmp_path):
    add_train(tmp_path / "pets" / "train", "cat", "dog")
    add_train(tmp_path / "pets" / "val", "cat", "dog")
    with pytest.raises(InputError, match=r"one class folder only, 'pets': did you mean .*pets?"):
        open_folder(tmp_path)


def test_one_class_is_not_enough(tmp_path):
    add_train(tmp_path, "cat")
    with pytest.raises(InputError, match="one class folder only, 'cat': add a folder for each other class"):
        open_folder(tmp_path)


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(InputError, match="There is no folder"):
        open_folder(tmp_path / "none")


@pytest.fixture
def imagenet(tmp_path):
    """ImageNet as its Kaggle archive unpacks, with three classes, two of which share a name."""
    add_train(tmp_path / KAGGLE / "train", "n01440764", "n02012849", "n03126707")
    add(tmp_path / KAGGLE / "val", *[f"ILSVRC2012_val_0000000{i}.JPEG" for i in (1, 2, 3)])
    add(tmp_path / KAGGLE / "test", "ILSVRC2012_test_00000001.JPEG")
    (tmp_path / "LOC_val_solution.csv").write_text(
        "ImageId,PredictionString\n"
        "ILSVRC2012_val_00000003,n01440764 85 1 499 272 n01440764 1 1 20 20 \n"
        "ILSVRC2012_val_00000001,n03126707 1 2 3 4\n"
        "ILSVRC2012_val_00000002,n02012849 1 2 3 4\n"
    )
    (tmp_path / "LOC_synset_mapping.txt").write_text(
        "n01440764 tench, Tinca tinca\nn02012849 crane\nn03126707 crane\nn04557648 water bottle\n"
    )
    return tmp_path


@pytest.mark.parametrize("below", ["", KAGGLE])
def test_imagenet_as_downloaded(imagenet, below):
    train, val, _ = open_folder(imagenet / below)
    assert train.class_names == val.class_names == ["tench", "crane (n02012849)", "crane (n03126707)"]
    assert train.targets == [0, 0, 1, 1, 2, 2]
    assert listed(val) == [
        ("ILSVRC2012_val_00000001.JPEG", "crane (n03126707)"),
        ("ILSVRC2012_val_00000002.JPEG", "crane (n02012849)"),
        ("ILSVRC2012_val_00000003.JPEG", "tench"),
    ]


def test_imagenet_with_val_sorted_into_class_folders(imagenet):
    val = imagenet / KAGGLE / "val"
    for number, name in enumerate(("n01440764", "n02012849", "n03126707"), 1):
        (val / name).mkdir()
        (val / f"ILSVRC2012_val_0000000{number}.JPEG").rename(val / name / f"{number}.JPEG")
    assert open_folder(imagenet)[1].targets == [0, 1, 2]


def test_a_image_that_the_list_leaves_out_is_told(imagenet):
    add(imagenet / KAGGLE / "val", "other.JPEG")
    with pytest.raises(InputError, match=r"LOC_val_solution.csv has no class for 1 images .* such as other.JPEG"):
        open_folder(imagenet)


def test_a_list_with_another_class_is_told(imagenet):
    truth = imagenet / "LOC_val_solution.csv"
    truth.write_text(truth.read_text().replace("n02012849", "n09999999"))
    with pytest.raises(InputError, match=r"has the classes n09999999, which the training images do not have"):
        open_folder(imagenet)


def test_a_flat_val_without_a_list_is_told(imagenet):
    (imagenet / "LOC_val_solution.csv").unlink()
    with pytest.raises(
        InputError, match=r"val has no class folders and no list of its classes: .* LOC_val_solution.csv"
    ):
        open_folder(imagenet)


def test_tiny_imagenet_as_downloaded(tmp_path):
    for name in ("n01443537", "n01629819"):
        add(tmp_path / "train" / name / "images", f"{name}_0.JPEG")
    add(tmp_path / "val" / "images", "val_0.JPEG", "val_1.JPEG")
    add(tmp_path / "test" / "images", "test_0.JPEG")
    annotations = "val_0.JPEG\tn01629819\t0\t32\t44\t62\nval_1.JPEG\tn01443537\t52\t55\t57\t59\n\n"
    (tmp_path / "val" / "val_annotations.txt").write_text(annotations)
    (tmp_path / "words.txt").write_text("n00001740\tentity\n\nn01443537\tgoldfish, Carassius auratus\n")
    train, val, _ = open_folder(tmp_path)
    assert train.class_names == ["goldfish", "n01629819"]
    assert listed(train) == [("n01443537_0.JPEG", "goldfish"), ("n01629819_0.JPEG", "n01629819")]
    assert listed(val) == [("val_0.JPEG", "n01629819"), ("val_1.JPEG", "goldfish")]


def test_imagenette(real_data):
    train, val, _ = open_folder(real_data("imagenette_mini"))
    assert (len(train), len(val), len(train.class_names)) == (1500, 500, 10)
    image, target = val[499]
    assert (image.size, target) == ((224, 224), {"label": 9})


@pytest.mark.parametrize("flat", [True, False])
def test_an_empty_or_flat_train_folder_is_not_a_class(tmp_path, flat):
    add_train(tmp_path / "val", "cat", "dog")
    (tmp_path / "train").mkdir()
    if flat:
        add(tmp_path / "train", "1.jpg")
    with pytest.raises(InputError, match=r"train has (images but )?no class folders"):
        open_folder(tmp_path)
    assert len(open_folder(tmp_path / "val", DataSettings(evaluate=True)).val) == 4


def test_classes_may_have_the_names_of_splits(tmp_path):
    add_train(tmp_path, "bus", "test", "train")  # a train as a vehicle
    assert open_folder(tmp_path).train.class_names == ["bus", "test", "train"]
    add_train(tmp_path / "only", "test", "train")
    assert open_folder(tmp_path / "only").train.class_names == ["test", "train"]

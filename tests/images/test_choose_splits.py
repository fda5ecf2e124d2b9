"""Which splits of a data set are used, whatever their names."""

from __future__ import annotations

import pytest

from res2net.errors import InputError
from res2net.images.faults import AnnotationReport
from res2net.images.splits import DataSettings, choose_splits, folders_of_splits, role_of


class Files:
    """Samples with paths."""

    def __init__(self, *paths):
        self.paths = list(paths)

    def __len__(self):
        return len(self.paths)

    def subset(self, indices):
        return Files(*[self.paths[index] for index in indices])


def chosen(*names, **settings):
    choice = choose_splits(names, DataSettings(**settings), "data")
    return choice.train, choice.val, choice.part


@pytest.mark.parametrize(
    ("names", "train", "val"),
    [
        (("train", "val"), "train", "val"),
        (("train", "eval"), "train", "eval"),
        (("trainval", "test"), "trainval", "test"),
        (("train2014", "minival2014"), "train2014", "minival2014"),
        (("train", "holdout"), "train", "holdout"),
        (("Training", "Validation", "Testing"), "Training", "Validation"),
        (("test", "train"), "train", "test"),
        (("dev", "train", "test"), "train", "dev"),
        (("train", "train2014", "trainval", "val", "val2014"), "train", "val"),
        (("my_train_set", "my-valid-set"), "my_train_set", "my-valid-set"),
    ],
)
def test_names_state_the_purpose(names, train, val):
    assert chosen(*names) == (train, val, "")
    assert chosen(*names, evaluate=True) == (None, val, "")


@pytest.mark.parametrize(
    ("names", "option"),
    [
        (("train2014", "train2017", "val"), "--train-split"),
        (("train", "val2014", "val2017"), "--val-split"),
        (("train", "fold1"), "--val-split"),
        (("a", "b"), "--train-split and --val-split"),
        (("fold1", "fold2", "fold3"), "--train-split and --val-split"),
        (("val", "test"), "--train-split"),
    ],
)
def test_names_that_leave_it_open_are_refused(names, option):
    with pytest.raises(InputError, match=rf"splits of data \(.*{names[-1]}.*choose (it|them) with {option}\."):
        chosen(*names)


def test_stated_splits_are_used():
    names = ("train", "val", "fold1", "Fold2")
    assert chosen(*names, train_split="fold1", val_split="fold2") == ("fold1", "Fold2", "")
    assert chosen(*names, evaluate=True, split="train") == (None, "train", "")
    assert chosen("train2017", "minival2017", evaluate=True, split="val") == (None, "minival2017", "")
    for settings in ({"val_split": "test"}, {"train_split": "fold"}, {"evaluate": True, "split": "test"}):
        with pytest.raises(
            InputError, match=r"no single split '\w+' in data, whose splits are train, val, fold1, Fold2"
        ):
            chosen(*names, **settings)


@pytest.mark.parametrize("name", ["", "train", "everything"])
def test_data_without_splits_are_divided_for_a_training_alone(name):
    assert chosen(name) == (name, name, "val")
    assert chosen(name, evaluate=True) == (None, name, "")
    assert chosen(name, evaluate=True, split="val") == (None, name, "val")
    assert chosen("", evaluate=True, split="train") == (None, "", "train")


def test_what_data_without_splits_do_not_have_is_refused():
    for settings in ({"evaluate": True, "split": "test"}, {"val_split": "val"}, {"train_split": "train"}):
        with pytest.raises(InputError, match=r"data has no splits, and so no split .*: leave out --"):
            chosen("", **settings)
    assert chosen("test", evaluate=True, split="test") == (None, "test", "")


def test_samples_are_arranged_as_chosen():
    def halve(files):
        return [0, 2], [1]

    every = {"": Files("a", "b", "c")}
    settings = DataSettings(val_fraction=0.3, seed=5)
    train, val, about = choose_splits(every, settings, "data").arrange(every, halve)
    assert (train.paths, val.paths) == (["a", "c"], ["b"])
    assert about == "val: 30% by hash"
    train, val, about = choose_splits(every, DataSettings(evaluate=True), "data").arrange(every, halve)
    assert (train.paths, val.paths, about) == ([], ["a", "b", "c"], "all")
    for part, paths in (("train", ["a", "c"]), ("val", ["b"])):
        arranged = choose_splits(every, DataSettings(evaluate=True, split=part), "data").arrange(every, halve)
        assert (arranged.train.paths, arranged.val.paths) == ([], paths)
        assert arranged.about == {"train": "train: 80% by hash", "val": "val: 20% by hash"}[part]


def test_empty_and_overlapping_splits_are_refused():
    def arrange(train, val, **settings):
        splits = {"train": Files(*train), "val": Files(*val)}
        return choose_splits(splits, DataSettings(**settings), "data").arrange(splits, lambda files: ([], []))

    with pytest.raises(InputError, match="no images that can be used in the split val of data"):
        arrange("ab", "")
    with pytest.raises(InputError, match="no images that can be used in the split train of data"):
        arrange("", "ab")
    assert arrange("", "ab", evaluate=True).val.paths == ["a", "b"]
    with pytest.raises(InputError, match="2 images are in both the split train and the split val of data, such as b"):
        arrange("abc", "bcd")


def test_a_split_that_is_named_for_both_is_divided():
    splits = {"train": Files(*"abcde"), "val": Files(*"xyz")}
    choice = choose_splits(splits, DataSettings(val_split="train", val_fraction=0.4), "data")
    train, val, about = choice.arrange(splits, lambda files: ([0, 2, 4], [1, 3]))
    assert (train.paths, val.paths) == (["a", "c", "e"], ["b", "d"])
    assert about == "val: 40% of train by hash"
    assert choice.names == ("train",), "the validation split is not even read"


@pytest.mark.parametrize("layout", ["{split}/{part}", "{part}/{split}"])
def test_folders_of_splits_without_samples_are_stated_or_mentioned(tmp_path, layout):
    def make(split, part):
        folder = tmp_path / layout.format(split=split, part=part)
        folder.mkdir(parents=True)
        (folder / "a.png").touch()

    def found():
        report = AnnotationReport(tmp_path)
        splits = folders_of_splits(tmp_path, ("images", "masks"), lambda parts: len(parts) == 2, report)
        return {name: sorted(parts) for name, parts in splits.items()}, report.remarks

    for part in ("images", "masks"):
        make("train", part)
        make("extra_val", part)
    make("train_logs", "images")
    both = {"train": ["images", "masks"], "extra_val": ["images", "masks"]}
    assert found() == (both, [])
    make("val", "images")
    assert found() == (both | {"val": []}, [])
    make("test", "images")
    splits, remarks = found()
    assert splits == both | {"val": []}
    assert len(remarks) == 1
    assert "test have no labels, so that it is no split" in remarks[0]


@pytest.mark.parametrize(
    ("name", "role"), [("DUTS-TE", "test"), ("DUTS-TR", "train"), ("test-dev2017", "test"), ("contest", ""), ("", "")]
)
def test_words_state_roles(name, role):
    assert role_of(name) == role

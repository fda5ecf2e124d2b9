"""Records of published checkpoints: complete, plausible, and found by name."""

import dataclasses
import re

import pytest
import torch

from res2net.backbones.registry import build, variant_names
from res2net.errors import InputError
from res2net.weights import FORMATS, Preprocessing, check_usable, find_record, records

ALL = records()
OFFICIAL = [record for record in ALL if record.tag == "in1k"]


def test_the_eleven_files_of_the_authors_are_there():
    assert {record.file_name.removesuffix(".pth") for record in OFFICIAL} == {
        "res2net50_48w_2s-afed724a",
        "res2net50_26w_4s-06e79181",
        "res2net50_14w_8s-6527dddc",
        "res2net50_26w_6s-19041792",
        "res2net50_26w_8s-2c7c9f12",
        "res2net101_26w_4s-02a759a1",
        "res2next50_4s-6ef7e7bf",
        "res2net_dla60_4s-d88db7f9",
        "res2next_dla60_4s-d327927b",
        "res2net50_v1b_26w_4s-3cf99910",
        "res2net101_v1b_26w_4s-0812c246",
    }


@pytest.mark.parametrize("publisher", ["mmpretrain", "mmdet", "paddle"])
def test_other_publishers_name_their_format(publisher):
    count = {"mmpretrain": 3, "mmdet": 1, "paddle": 8}[publisher]
    assert [record.format for record in ALL if record.tag.startswith(publisher)] == [publisher] * count


def test_names_and_addresses_are_unique():
    assert len({record.name for record in ALL}) == len({record.address for record in ALL}) == len(ALL)


@pytest.mark.parametrize("record", ALL, ids=lambda record: record.name)
def test_the_hash_is_the_one_in_the_file_name(record):
    in_name = re.search(r"-([0-9a-f]{8})\.pth$", record.file_name)
    assert record.sha256 == (in_name[1] if in_name else None)
    assert record.address.startswith("https://")


@pytest.mark.parametrize("record", OFFICIAL, ids=lambda record: record.name)
def test_what_timm_measured_is_what_the_paper_says_within_a_point(record):
    for top in ("top-1", "top-5"):
        both = record.metrics[f"{top} error, paper"] + record.metrics[f"{top} accuracy, timm"]
        assert both == pytest.approx(100, abs=0.5)
    assert record.metrics["top-5 error, paper"] < record.metrics["top-1 error, paper"] / 3


@pytest.mark.parametrize("record", [r for r in ALL if r.hub_id], ids=lambda record: record.name)
def test_timm_has_the_same_model_hub_id_and_preprocessing(record):
    timm = pytest.importorskip("timm")
    theirs = timm.get_pretrained_cfg(f"{record.model}.in1k")
    assert theirs.hf_hub_id == record.hub_id
    ours = record.preprocessing
    assert (theirs.input_size, theirs.crop_pct) == ((3, ours.size, ours.size), ours.crop)
    assert (theirs.interpolation, theirs.mean, theirs.std) == (ours.interpolation, ours.mean, ours.std)
    assert theirs.num_classes == record.num_classes


@pytest.mark.parametrize("record", ALL, ids=lambda record: record.name)
def test_a_record_is_usable_or_says_in_a_sentence_why_not(record):
    if record.model in variant_names():
        check_usable(record)
        assert FORMATS[record.format].graph == record.graph
        with torch.device("meta"):
            model = build(record.model, **({} if record.graph == "official" else {"graph": record.graph}))
        assert record.num_classes in (model.num_classes, None)
        return
    with pytest.raises(InputError, match=re.escape(record.address)) as raised:
        check_usable(record)
    assert " yet: choose other weights." in str(raised.value)


def test_the_main_models_are_usable():
    for model in ("res2net50_26w_4s", "res2net50_14w_8s", "res2net101_26w_4s", "res2next50", "res2net50d"):
        check_usable(find_record(model))


def test_the_nets_of_paddle_and_of_mmdetection_are_usable():
    for model, tag in (
        *((f"res2net50_{width}", "paddle_in1k") for width in ("26w_4s", "14w_8s")),
        *((f"res2net{depth}d", tag) for depth in (50, 101, 200) for tag in ("paddle_in1k", "paddle_ssld")),
        ("res2net101d", "mmdet_in1k"),
    ):
        check_usable(find_record(model, tag))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"graph": "keras"}, "need the keras graph, which cannot be built"),
        ({"graph": "paddle", "model": "cifar_resnext29_8c64w"}, "need the paddle graph, which cannot be built"),
        ({"format": "keras"}, "their format, keras, cannot be read"),
        ({"model": "res2net9000"}, "the model cannot be built"),
    ],
)
def test_weights_that_cannot_be_used_say_why(change, message):
    record = dataclasses.replace(find_record("res2net50d"), **change)
    with pytest.raises(InputError, match=f"exist at https.*{message} yet: choose other weights"):
        check_usable(record)


def test_a_record_is_found_by_model_and_tag():
    assert find_record("res2net50d").sha256 == "3cf99910"
    assert find_record("res2net50d", "paddle_ssld").metrics["top-1 accuracy, PaddleClas"] == 83.1
    assert [record.tag for record in records("res2net50d")] == ["in1k", "paddle_in1k", "paddle_ssld"]
    assert records("resnet50") == []


def test_an_unknown_tag_names_the_tags_of_the_model():
    with pytest.raises(InputError, match=r"res2net200d 'in1k'.*allowed: paddle_in1k, paddle_ssld"):
        find_record("res2net200d")


def test_a_model_without_weights_names_those_that_have_some():
    with pytest.raises(InputError, match=r"did you mean 'res2net50_26w_4s'\?"):
        find_record("res2net50_26w4s")
    with pytest.raises(InputError, match=r"no published weights: train it.*res2net101d"):
        find_record("cifar_resnext29_8c64w")


def test_the_licence_of_the_authors_says_non_commercial_in_words():
    assert all("not for commercial use" in record.licence for record in OFFICIAL)


def test_preprocessing_survives_json():
    given = Preprocessing(size=288, crop=1.0, interpolation="bicubic", mean=(0.5,), std=(0.25,))
    assert Preprocessing.from_dict(given.to_dict()) == given
    assert Preprocessing().to_dict() == {
        "size": 224,
        "crop": 0.875,
        "interpolation": "bilinear",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crops": 1.0}, "did you mean 'crop'"),
        ({"size": 0}, "Size 0"),
        ({"size": "224"}, "Size '224'"),
        ({"crop": 1.5}, "Crop 1.5"),
        ({"crop": None}, "Crop None"),
        ({"interpolation": "bilinaer"}, "did you mean 'bilinear'"),
        ({"mean": []}, "Mean"),
        ({"mean": ["a", "b", "c"]}, "Mean"),
        ({"std": [1.0]}, "Std"),
        ({"std": [0.2, 0.2, 0.0]}, "Std"),
        ({"std": [0.2, 0.2, 1e-300]}, "Std"),
        ({"mean": [0.2, 0.2, float("nan")]}, "Mean"),
        ({"std": [0.2, 0.2, float("inf")]}, "Std"),
        ({"mean": [0, 0, 10**400]}, "Mean"),
    ],
)
def test_wrong_preprocessing_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        Preprocessing.from_dict(Preprocessing().to_dict() | change)


def test_incomplete_preprocessing_is_refused():
    with pytest.raises(InputError, match="lacks size, crop, interpolation, std"):
        Preprocessing.from_dict({"mean": [0.5]})

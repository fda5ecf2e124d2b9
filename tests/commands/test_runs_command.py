"""`res2net runs` and `res2net report`."""

import json
import shutil
from pathlib import Path

import torch

from res2net.engine.folder import RunFolder
from res2net.weights import save


def test_runs_are_listed_with_their_state(run, refused, trained, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    whole = tmp_path / "runs" / "group" / "whole"
    shutil.copytree(trained.folder, whole)
    stopped = tmp_path / "runs" / "stopped"
    shutil.copytree(trained.folder, stopped)
    (stopped / "metrics.csv").write_text("".join((stopped / "metrics.csv").read_text().splitlines(True)[:2]))
    (stopped / "report.html").unlink()
    begun = tmp_path / "runs" / "begun"
    begun.mkdir()
    shutil.copy(trained.folder / "config.yaml", begun)
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "config.yaml").write_text("epochs: [")
    held = RunFolder(begun)
    held.acquire()
    found = json.loads(run("runs", tmp_path / "runs", "--json").out)
    held.release()
    states = {one["path"].rpartition("/")[2]: (one["epochs"], one["planned"], one["state"]) for one in found}
    assert states == {"whole": (2, 2, "finished"), "stopped": (1, 2, "stopped"), "begun": (0, 2, "running")}
    assert {one["score"] for one in found} == {"top1"}
    assert found[0]["best"] is None
    answer = run("runs", tmp_path / "runs")
    assert answer.status == 0
    for word in ("group/whole", "2/2", "not begun", "res2net20_26w_4s_tiny", "broken/config.yaml is not YAML"):
        assert word in answer.out.replace("\n", " ")
    assert "There is no folder" in refused("runs", tmp_path / "none")
    assert "has no runs" in refused("runs", stopped / "tensorboard")
    answer = run("report", stopped)
    assert answer.status == 0, answer.err
    assert "Hardest images" in (stopped / "report.html").read_text()
    assert "has no weights yet" in refused("report", begun)
    assert "is not the folder of a run" in refused("report", tmp_path)


def test_runs_of_every_task_name_the_score_that_chose_their_best_epoch(run, tmp_path):
    legacy = Path(__file__).parents[1] / "legacy" / "files" / "runs"
    shutil.copytree(legacy, tmp_path / "runs")
    table = "epoch,lr,val_box_AP50_area,val_box_AP\n1,0.1,30,7\n2,0.1,nan,8\n3,0.1,20,9\n"
    shutil.copytree(legacy / "detect", tmp_path / "runs" / "voc")
    for task in ("detect", "voc"):
        (tmp_path / "runs" / task / "metrics.csv").write_text(table)
    best = tmp_path / "runs" / "voc" / "best.safetensors"
    save(best, {"x": torch.zeros(1)}, {"score": "box_AP50_area"})
    found = json.loads(run("runs", tmp_path / "runs", "--json").out)
    scores = {one["path"].rpartition("/")[2]: (one["score"], one["best"], one["best_epoch"]) for one in found}
    assert scores == {
        "classify": ("top1", None, None),
        "detect": ("box_AP", 9, 3),
        "segment": ("mIoU", None, None),
        "translate": ("SSIM", None, None),
        "voc": ("box_AP50_area", 30, 1),
    }

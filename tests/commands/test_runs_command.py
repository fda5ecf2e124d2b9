"""`res2net runs` and `res2net report`."""

import json
import shutil

from res2net.engine.folder import RunFolder


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

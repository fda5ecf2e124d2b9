"""The task that CONTRIBUTING describes works as written: one folder, nothing else edited."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import res2net

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: src/(\S+) -->\n```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
COMMANDS, SCRIPT = re.findall(r"<!-- size -->\n```\w+\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A function that runs Python in a folder with a copy of the package to which the files of the text were added."""
    root = tmp_path_factory.mktemp("contributed")
    skipped = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(res2net.__file__).parent, root / "package" / "res2net", ignore=skipped)
    for name, content in FILES.items():
        path = root / "package" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    work = root / "work"
    work.mkdir()
    Image.effect_noise((50, 40), 60).convert("RGB").save(work / "IMAGE.png")
    environment = {**os.environ, "PYTHONPATH": str(root / "package"), "OMP_NUM_THREADS": "1"}

    def run(*words):
        command = [sys.executable, *words]
        return subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)

    return run


def test_the_text_holds_the_files_of_a_task():
    assert set(FILES) == {"res2net/tasks/size/options.py", "res2net/tasks/size/task.py"}


@pytest.mark.slow
def test_the_task_trains_evaluates_exports_and_predicts(program):
    answers = {}
    for line in COMMANDS.splitlines():
        words = shlex.split(line)
        assert words[0] == "res2net"
        answers[words[1]] = program("-m", "res2net.cli", *words[1:])
        assert answers[words[1]].returncode == 0, answers[words[1]].stderr
    assert list(answers) == ["train", "eval", "export", "predict"]
    assert "within" in answers["eval"].stdout
    (predicted,) = json.loads(answers["predict"].stdout)
    assert predicted["file"] == "IMAGE.png"
    exported = predicted["size"]
    answer = program("-c", f"{SCRIPT}\nprint(result.to_dict()['size'])")
    assert answer.returncode == 0, answer.stderr
    assert float(answer.stdout) == pytest.approx(exported, abs=1e-5)


def test_help_lists_its_options(program):
    answer = program("-m", "res2net.cli", "train", "size", "--help-all")
    assert "--tolerance" in answer.stdout, answer.stderr


def test_an_unknown_option_is_one_sentence(program):
    answer = program("-m", "res2net.cli", "train", "size", "shapes", "--tolerence", "0.1")
    assert answer.returncode == 2
    assert "--tolerance" in answer.stderr
    assert answer.stderr.count("\n") == 1

"""What can be predicted: lists, the standard input, web addresses and videos, beside files and patterns."""

import csv
import io
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from res2net.engine.inputs import file_stem, input_name, list_inputs, read_input
from res2net.engine.predict import ResultWriter
from res2net.errors import InputError
from res2net.images.decode import BadImage, decode_image, image_size
from res2net.task.inputs import IMAGES
from res2net.task.result import Prediction
from res2net.tasks.classify.result import ClassScores
from res2net.tasks.objects.result import Objects

TASK = SimpleNamespace(inputs=IMAGES)


def png(colour="red", size=(8, 6), kind="PNG"):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def photos(tmp_path):
    for name in ("a.png", "b [1].png", "c d.png"):
        (tmp_path / name).write_bytes(png())
    return tmp_path


def message(call):
    with pytest.raises(InputError) as error:
        call()
    return str(error.value)


def names(what):
    return [input_name(one, 0).rpartition("/")[2] for one in list_inputs(TASK, what)]


def test_lists_of_paths(photos, monkeypatch):
    (photos / "list.txt").write_bytes("\ufeffa.png\r\n\r\nb [1].png\r\n".encode())
    assert names(photos / "list.txt") == ["a.png", "b [1].png"]
    (photos / "deep").mkdir()
    (photos / "deep" / "LIST.TXT").write_text(f"{photos / 'a.png'}\nc d.png\n{photos}/?.png")
    monkeypatch.chdir(photos)
    assert names("deep/LIST.TXT") == ["a.png", "c d.png", "a.png"]
    assert names("c*.png") == ["c d.png"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a.png\nnone.png\n", "Line 2 of "),
        ("none.png", "There is no file or folder none.png"),
        ("\n \n", "lists nothing"),
        ("list.txt", "names another list"),
        ("ftp://x.org/a.png", "give an address of http or https"),
    ],
)
def test_lists_with_mistakes(photos, text, sentence):
    (photos / "list.txt").write_text(text)
    assert sentence in message(lambda: list_inputs(TASK, photos / "list.txt"))


def test_the_standard_input(photos, monkeypatch):
    def given(data):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
        return list_inputs(TASK, "-")

    (image,) = given(png(size=(9, 4)))
    assert image.size == (9, 4)
    assert [path.name for path in given(f"{photos}/a.png\n{photos}/c d.png\n".encode())] == ["a.png", "c d.png"]
    assert "the standard input" in message(lambda: given(b""))
    assert "the standard input" in message(lambda: given(png()[:40]))


@pytest.fixture(scope="module")
def server():
    answers = {
        "/a.png": ("image/png", png("blue")),
        "/octets": ("application/octet-stream", png("blue")),
        "/page.png": ("text/html; charset=utf-8", b"<html>"),
        "/broken.png": ("image/png", png()[:50]),
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.partition("?")[0]
            if path in ("/moved", "/out"):
                self.send_response(302)
                self.send_header("Location", "/a.png" if path == "/moved" else "file:///etc/passwd")
                self.end_headers()
                return
            kind, content = answers.get(path, ("", b""))
            self.send_response(200 if kind else 404)
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            del arguments

    with HTTPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/a.png", "/a.png?size=3", "/octets", "/moved"])
def test_images_on_the_web(server, path):
    (item,) = list_inputs(TASK, server + path)
    assert str(item) == server + path
    assert list_inputs(TASK, [item]) == [item]  # what was listed may be listed again
    assert read_input(IMAGES.read, item).getpixel((0, 0)) == (0, 0, 255)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/page.png", "the server sent text/html in place of an image"),
        ("/none.png", "the download failed (the server answered 404 Not Found)"),
        ("/broken.png", "truncated"),
        ("/out", "the download failed"),
    ],
)
def test_what_is_no_image_on_the_web(server, path, reason):
    (item,) = list_inputs(TASK, server + path)
    with pytest.raises(BadImage) as error:
        read_input(IMAGES.read, item)
    assert reason in error.value.reason
    assert error.value.path == server + path


def test_a_server_that_does_not_answer():
    (item,) = list_inputs(TASK, "http://127.0.0.1:9/a.png")
    with pytest.raises(BadImage, match="the download failed"):
        read_input(IMAGES.read, item)


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("images/a.b.jpg", "a.b"),
        ("scan.nii.gz", "scan"),
        ("clips/cat.mp4#7", "cat-000007"),
        ("odd#7.png", "odd#7"),
        ("https://x.org/a/b%20c.png?size=1/2", "b_c"),
        ("https://x.org/", "download"),
    ],
)
def test_names_of_files(name, stem):
    assert file_stem(name) == stem


def test_videos(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "clip.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for value in range(0, 210, 30):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), value, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    frames = list_inputs(TASK, path)
    assert len(frames) == 7
    seen = [np.asarray(read_input(IMAGES.read, frames[index])).mean() for index in (0, 1, 6, 2)]
    assert seen == pytest.approx([0, 30, 180, 60], abs=3)


def test_a_video_without_the_library_or_images(tmp_path, monkeypatch):
    (tmp_path / "clip.MP4").write_bytes(b"no video")
    sentence = message(lambda: list_inputs(TASK, tmp_path / "clip.MP4"))
    assert "as a video" in sentence or "Reading videos needs the package av, which is not installed" in sentence
    monkeypatch.setitem(sys.modules, "av", None)
    assert "pip install 'res2net[video]'" in message(lambda: list_inputs(TASK, "webcam:1"))


def test_avif_and_heic():
    assert decode_image(png(kind="AVIF"), "a.avif").size == (8, 6)
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)
    with pytest.raises(BadImage) as error:
        decode_image(heic, "a.heic")
    assert error.value.reason  # with the plug-in, another one
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        assert error.value.reason == "it is HEIF, which needs the package pillow-heif: run pip install pillow-heif"


def objects(image, boxes=((2.0, 1, 6, 5), (0, 0, 8, 6)), scores=(0.9, 0.3)):
    found = Objects(torch.tensor(boxes), torch.tensor([1, 0]), ["cat", "big dog"], torch.tensor(scores))
    return found.attach_input(lambda: image)


def test_results_in_formats_of_other_programs(tmp_path):
    image = Image.new("RGB", (8, 6))
    writer = ResultWriter(tmp_path, ("yolo", "crops", "csv"))
    for number, name in enumerate(("x/a.png", "y/a.png", "b.png"), start=1):
        found = objects(image) if name != "b.png" else None
        writer.add(number, Prediction(name, found, "" if found else "it is empty"))
    writer.finish()
    assert (tmp_path / "a.txt").read_text() == "1 0.500000 0.500000 0.500000 0.666667 0.900000\n"
    assert (tmp_path / "classes.txt").read_text() == "cat\nbig dog\n"
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["00002-a-001-big_dog.png", "a-001-big_dog.png"]
    assert image_size(tmp_path / "a-001-big_dog.png") == (4, 4)
    rows = list(csv.reader((tmp_path / "results.csv").read_text().splitlines()))
    corners = [f"{corner} (px)" for corner in ("x1", "y1", "x2", "y2")]
    assert rows[0] == ["image", "error", "object", "score (%)", *corners]
    assert rows[1][:3] == ["x/a.png", "", "big dog"]
    assert [float(value) for value in rows[1][3:]] == pytest.approx([90, 2, 1, 6, 5])
    assert rows[3] == ["b.png", "it is empty", *[""] * 6]


def test_formats_that_a_result_does_not_have(tmp_path):
    result = ClassScores(["a"], [1.0])
    with pytest.raises(InputError, match="cannot be written as yolo: use --save-as csv, or --json"):
        ResultWriter(tmp_path, ("yolo",)).add(1, Prediction("a.png", result))
    with pytest.raises(InputError, match="--save does not apply to this task: use --save-as csv"):
        ResultWriter(tmp_path).add(1, Prediction("a.png", result))

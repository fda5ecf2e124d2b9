"""The inputs of predictions: files, folders, patterns, lists, the standard input, web addresses, videos and cameras."""

from __future__ import annotations

import glob
import re
import shutil
import sys
import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from res2net.errors import InputError
from res2net.files import matching, read_text
from res2net.images.decode import BadImage, decode_image
from res2net.optional import needs
from res2net.task.base import Task
from res2net.task.inputs import Inputs
from res2net.weights.shipped import PHOTOGRAPH

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
"""Endings of video files, in lower case."""
STDIN = "-"
EXAMPLE = "example"
"""The word for the photograph that ships, unless a file is called so."""
WEBCAM = re.compile(r"webcam(?::(\d+))?")
LARGEST_DOWNLOAD = 2**28
"""Bytes of a file from the web at most."""
TIMEOUT = 30.0
"""Seconds without an answer after which a download ends."""
NOT_IMAGES = ("text/", "application/json", "application/xml", "application/xhtml")
"""Beginnings of the types of web pages and messages, which servers send in place of images."""
KEPT_FRAMES = 64
"""Frames of a video that are kept after they were read, so that they can be drawn on."""


def list_inputs(task: Task, what: Any) -> list[Any]:
    """List the files and in-memory images that `what` refers to (see `Model.predict`), at least one.

    Raises:
        InputError: one does not exist.
    """
    if isinstance(what, list | tuple | Iterator):
        found = [one for each in what for one in list_inputs(task, each)]
        if not found:
            raise InputError(
                f"There is nothing to predict: give {task.inputs.name}, or a folder of {task.inputs.name}."
            )
        return found
    if isinstance(what, Download | Frame):
        return [what]
    if not isinstance(what, str | Path):
        return [task.inputs.from_memory(what)]
    text = str(what)
    if Path(what).exists():
        pass
    elif text == EXAMPLE:
        return [str(PHOTOGRAPH)]
    elif text == STDIN:
        return _standard_input(task)
    elif match := WEBCAM.fullmatch(text):
        return [task.inputs.from_memory(_photo(int(match[1] or 0)))]
    elif scheme := re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text):
        if scheme[1].lower() not in ("http", "https"):
            raise InputError(f"Cannot read {text}: give an address of http or https, or a path.")
        return [Download(text)]
    elif glob.has_magic(text):
        if not (matches := matching(text)):
            raise InputError(f"No file matches {text!r}: check the pattern.")
        return list_inputs(task, matches)
    if Path(what).is_file() and Path(what).suffix.lower() == ".txt":
        return _listed(task, read_text(what), Path(what))
    if Path(what).is_file() and Path(what).suffix.lower() in VIDEOS:
        video = Video(str(what), task.inputs)
        return [Frame(video, index) for index in range(video.frame_count)]
    return list(task.inputs.list_files(what))


def read_input(read: Callable[[str | Path], Any], item: Any) -> Any:
    """Return an input as an image: read it if it is a path, an address or a frame, else return it unchanged.

    Raises:
        BadImage: it cannot be read.
    """
    if isinstance(item, Download):
        return item.read(read)
    if isinstance(item, Frame):
        return item.read()
    return read(item) if isinstance(item, str | Path) else item


def input_name(item: Any, index: int) -> str:
    """The name of an input in tables: its path or address, or its number."""
    return str(item) if isinstance(item, str | Path | Download | Frame) else f"input {index}"


def file_stem(name: str) -> str:
    """The name of an input as the beginning of file names: without folders, ending and what addresses have beside."""
    if re.match(r"https?://", name):
        name = unquote(urlsplit(name).path)
        return re.sub(r"[^\w.-]+", "_", PurePosixPath(name.removesuffix(".gz")).stem) or "download"
    file, _, frame = name.partition("#") if re.search(r"\.\w+#\d+$", name) else (name, "", "")
    stem = Path(file.removesuffix(".gz")).stem  # the ending may be double, as .nii.gz
    return f"{stem}-{int(frame):06d}" if frame else stem


class _WebRedirects(HTTPRedirectHandler):
    """Follows redirects to other addresses of http and https, and to nothing else."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise OSError("it redirects to an address that is not of http or https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@dataclass(frozen=True)
class Download:
    """A file on the web, which is downloaded once, when it is first read."""

    address: str

    def __str__(self) -> str:
        return self.address

    def read(self, read: Callable[[str | Path], Any]) -> Any:
        """Read the file; `BadImage` if it cannot be downloaded or read."""
        try:
            return read(self._path)
        except BadImage as error:
            raise BadImage.at(self.address, error.reason) from error
        except (OSError, HTTPException, ValueError) as error:
            reason = str(getattr(error, "reason", "") or error) or type(error).__name__
            if isinstance(error, HTTPError):
                error.close()
                reason = f"the server answered {error.code} {reason}"
            raise BadImage.at(self.address, f"the download failed ({reason.splitlines()[0][:200]})") from error

    @cached_property
    def _path(self) -> Path:
        request = Request(self.address, headers={"User-Agent": "res2net"})  # noqa: S310 - `list_inputs` checks the scheme
        with build_opener(_WebRedirects).open(request, timeout=TIMEOUT) as response:
            kind = response.headers.get_content_type() if response.headers.get("Content-Type") else ""
            if kind.startswith(NOT_IMAGES):
                raise BadImage.at(self.address, f"the server sent {kind} in place of an image")
            content = response.read(LARGEST_DOWNLOAD + 1)
        if len(content) > LARGEST_DOWNLOAD:
            raise BadImage.at(self.address, f"it has more than {LARGEST_DOWNLOAD:,} bytes")
        ending = "".join(PurePosixPath(urlsplit(self.address).path).suffixes[-2:])
        folder = tempfile.mkdtemp(prefix="res2net-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        path = Path(folder, "file" + re.sub(r"[^\w.]", "", ending))
        path.write_bytes(content)
        return path


class Video:
    """The frames of a video file, which are read in order.

    Raises:
        InputError: the package av is missing, or the file is no video.
    """

    def __init__(self, path: str, inputs: Inputs) -> None:
        self.path, self._inputs = path, inputs
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._frames: Iterator[Any] = iter(())
        self._next = 0
        with _opened(path) as container:
            self.frame_count = sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)
        if not self.frame_count:
            raise InputError(f"The video {path} has no frames: check the file.")

    def frame(self, index: int) -> Any:
        """The frame of an index as an image; `BadImage` if the file ends before it or is broken."""
        if index not in self._kept:
            if index < self._next or not self._next:
                self._frames, self._next = self._decoded(), 0
            for image in self._frames:
                self._kept[self._next] = image
                self._next += 1
                if len(self._kept) > KEPT_FRAMES:
                    self._kept.popitem(last=False)
                if index < self._next:
                    break
            else:
                raise BadImage.at(f"{self.path}#{index}", "the video ends before it")
        return self._kept[index]

    def _decoded(self) -> Iterator[Any]:
        with _opened(self.path) as container:
            for frame in container.decode(video=0):
                yield self._inputs.from_memory(frame.to_image())


@dataclass(frozen=True)
class Frame:
    """A frame of a video."""

    video: Video
    index: int

    def __str__(self) -> str:
        return f"{self.video.path}#{self.index}"

    def read(self) -> Any:
        """The frame as an image; the errors are those of `Video.frame`."""
        return self.video.frame(self.index)


def _opened(path: str, **options: Any) -> Any:
    with needs("Reading videos", "av", extra="video"):
        import av
    try:
        container = av.open(path, **options)
    except (OSError, ValueError) as error:  # errors of av are of these types, too
        raise InputError(f"Cannot read {path} as a video ({error}): check the file.") from error
    if not container.streams.video:
        container.close()
        raise InputError(f"{path} has no video stream: give a file with images.")
    return container


def _photo(number: int) -> Any:
    """A photo from a camera of this machine."""
    formats = {"linux": (f"/dev/video{number}", "v4l2"), "darwin": (str(number), "avfoundation")}
    device, kind = formats.get(sys.platform, (f"video={number}", "dshow"))
    with _opened(device, format=kind) as container:
        return next(container.decode(video=0)).to_image()


def _standard_input(task: Task) -> list[Any]:
    """An image in the standard input, or the lines of a list."""
    data = sys.stdin.buffer.read()
    try:
        return [task.inputs.from_memory(decode_image(data, "the standard input", alpha=task.inputs.alpha))]
    except BadImage:
        if not data.strip() or b"\0" in data:
            raise
    return _listed(task, data.decode(errors="surrogateescape"), None)


def _listed(task: Task, text: str, file: Path | None) -> list[Any]:
    """The inputs in the lines of a list; paths are relative to the folder of its file, else to the current one."""
    name, folder = (str(file), file.parent) if file else ("the standard input", Path())
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.strip()
        if not entry:
            continue
        if entry.lower().endswith(".txt") or entry == STDIN:
            raise InputError(f"Line {number} of {name} names another list ({entry}): name images.")
        near = str(folder / entry)
        try:
            found += list_inputs(task, near if Path(near).exists() else entry)
        except InputError as error:
            raise InputError(f"Line {number} of {name}: {error}") from error
    if not found:
        raise InputError(f"{name[0].upper()}{name[1:]} lists nothing: write one path or address a line.")
    return found

"""Downloads against a server on this machine that behaves well, badly, and not at all."""

import errno
import hashlib
import io
import os
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from res2net.errors import InputError
from res2net.weights import WeightRecord, cache_folder, fetch


def checkpoint(value: float) -> bytes:
    """A file of 1 MB with weights."""
    file = io.BytesIO()
    torch.save({"w": torch.arange(256_000.0) + value}, file)
    return file.getvalue()


CONTENT, OTHER = checkpoint(0.0), checkpoint(1.0)
SHA256 = hashlib.sha256(CONTENT).hexdigest()[:8]


@dataclass
class Site:
    """What the server does next, and which `Range` headers it was sent (None: the whole file)."""

    content: bytes = CONTENT
    cuts: list[int] = field(default_factory=list)
    """For each coming answer, after how many bytes the connection ends; then whole answers."""
    knows_ranges: bool = True
    statuses: list[int] = field(default_factory=list)
    """For each coming answer, an error; then 200 or 206."""
    etag: str = '"first"'
    shift: int = 0
    """How far from the asked byte the next piece begins."""
    ranges: list[str | None] = field(default_factory=list)
    redirect: str = ""
    """Where it sends everybody, if anywhere."""
    length: str | None = None
    """What it states as length; nothing if empty."""
    address: str = ""


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = self.headers.get("Range")
            site.ranges.append(asked)
            if site.redirect:
                self.send_response(302)
                self.send_header("Location", site.redirect)
                return self.end_headers()
            if site.statuses:
                return self.send_error(site.statuses.pop(0))
            start = 0
            if asked and site.knows_ranges and self.headers.get("If-Range", site.etag) == site.etag:
                start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) + site.shift
                site.shift = 0
            if start and start >= len(site.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(site.content)}")
                return self.end_headers()
            body = site.content[start:]
            self.send_response(206 if start else 200)
            length = str(len(body)) if site.length is None else site.length
            if length:
                self.send_header("Content-Length", length)
            self.send_header("ETag", site.etag)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(site.content) - 1}/{len(site.content)}")
            self.end_headers()
            return self.wfile.write(body[: site.cuts.pop(0)] if site.cuts else body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.address = f"http://127.0.0.1:{server.server_port}/some/file.pth"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def waits(monkeypatch) -> list[float]:
    """How long a download waited between attempts, without waiting."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


def record(address: str, sha256: str | None = SHA256) -> WeightRecord:
    return WeightRecord("tiny", "in1k", address, sha256, "CC BY-NC-SA 4.0: not for commercial use", "nobody", {})


def names(folder: Path) -> list[str]:
    """The visible files of a folder."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_a_file_is_downloaded_once_and_its_licence_shown_once(site, tmp_path, capsys):
    path = fetch(record(site.address), cache=tmp_path / "new" / "cache")
    assert path == tmp_path / "new" / "cache" / "file.pth"
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["file.pth", "file.pth.sha256"]
    shown = capsys.readouterr().err
    assert shown.count("CC BY-NC-SA 4.0: not for commercial use") == 1
    assert "tiny.in1k" in shown

    assert fetch(record(site.address), cache=path.parent) == path
    assert site.ranges == [None]
    assert capsys.readouterr().err == ""


def test_a_cut_download_resumes_where_it_stopped(site, tmp_path, waits):
    site.cuts = [300_000, 200_000]
    path = fetch(record(site.address), cache=tmp_path)
    assert site.ranges == [None, "bytes=300000-", "bytes=500000-"]
    assert path.read_bytes() == CONTENT
    assert names(tmp_path) == ["file.pth", "file.pth.sha256"]
    assert waits == [1, 2]


def test_a_download_that_keeps_breaking_is_resumed_by_the_next_run(site, tmp_path):
    site.cuts = [100_000] * 4
    with pytest.raises(InputError, match=r"0\.4 MB in .*file\.pth\.part"):
        fetch(record(site.address), cache=tmp_path)
    assert (tmp_path / "file.pth.part").read_bytes() == CONTENT[:400_000]
    assert not (tmp_path / "file.pth").exists()

    assert fetch(record(site.address), cache=tmp_path).read_bytes() == CONTENT
    assert site.ranges[-1] == "bytes=400000-"


def test_a_server_without_ranges_sends_everything_again(site, tmp_path):
    site.cuts, site.knows_ranges = [300_000], False
    assert fetch(record(site.address), cache=tmp_path).read_bytes() == CONTENT
    assert site.ranges == [None, "bytes=300000-"]


def test_another_piece_than_the_missing_one_is_not_appended(site, tmp_path):
    site.cuts, site.shift = [300_000], 7
    assert fetch(record(site.address, None), cache=tmp_path).read_bytes() == CONTENT
    assert site.ranges == [None, "bytes=300000-", None]


def test_a_file_that_changed_after_the_cut_is_started_again(site, tmp_path):
    """Without a hash nobody else would notice that the halves do not belong together."""
    site.cuts = [100_000] * 4
    with pytest.raises(InputError, match="run again to resume"):
        fetch(record(site.address, None), cache=tmp_path)
    site.content, site.etag = OTHER, '"second"'
    assert fetch(record(site.address, None), cache=tmp_path).read_bytes() == OTHER


def test_a_part_that_is_complete_is_only_checked(site, tmp_path):
    (tmp_path / "file.pth.part").write_bytes(CONTENT)
    assert fetch(record(site.address), cache=tmp_path).read_bytes() == CONTENT
    assert site.ranges == [f"bytes={len(CONTENT)}-"]


def test_a_part_longer_than_the_file_is_thrown_away(site, tmp_path):
    (tmp_path / "file.pth.part").write_bytes(CONTENT + b"more")
    assert fetch(record(site.address), cache=tmp_path).read_bytes() == CONTENT
    assert site.ranges == [f"bytes={len(CONTENT) + 4}-", None]


def test_a_busy_server_is_asked_again(site, tmp_path, waits):
    site.statuses = [503, 429]
    assert fetch(record(site.address), cache=tmp_path).read_bytes() == CONTENT
    assert waits == [1, 2]


def test_a_wrong_file_is_deleted_and_both_hashes_named(site, tmp_path):
    site.content = b"a page that says please log in"
    got = hashlib.sha256(site.content).hexdigest()[:8]
    with pytest.raises(InputError, match=f"sha256 {got} instead of {SHA256}"):
        fetch(record(site.address), cache=tmp_path)
    assert names(tmp_path) == []


def test_a_cached_file_is_checked_and_a_wrong_one_left_to_its_owner(tmp_path):
    (tmp_path / "file.pth").write_bytes(b"put here by hand")
    with pytest.raises(InputError, match=rf"instead of {SHA256}\): delete it and run again"):
        fetch(record("http://127.0.0.1:9/file.pth"), cache=tmp_path)
    assert (tmp_path / "file.pth").read_bytes() == b"put here by hand"


def test_a_right_file_put_there_by_hand_needs_no_network(tmp_path):
    (tmp_path / "file.pth").write_bytes(CONTENT)
    assert fetch(record("http://127.0.0.1:9/file.pth"), cache=tmp_path) == tmp_path / "file.pth"


def test_a_missing_file_is_no_reason_to_ask_again(site, tmp_path, waits):
    site.statuses = [404]
    with pytest.raises(InputError, match=rf"answered 404 .*copy it to {re.escape(str(tmp_path / 'file.pth'))}\."):
        fetch(record(site.address), cache=tmp_path)
    assert waits == []
    assert site.ranges == [None]


def test_without_a_network_it_says_which_file_to_put_where(tmp_path, monkeypatch, waits):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/file.pth"
    message = f"Cannot reach 127.0.0.1.*download {address} .*copy it to {re.escape(str(tmp_path / 'file.pth'))}."
    with pytest.raises(InputError, match=message):
        fetch(record(address), cache=tmp_path)
    assert waits == []


def test_a_full_disk_is_told_from_a_broken_network(site, tmp_path, waits):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, a device that is always full")
    (tmp_path / "file.pth.part").symlink_to("/dev/full")
    with pytest.raises(InputError, match=r"No space left .*file\.pth.*RES2NET_CACHE"):
        fetch(record(site.address), cache=tmp_path)
    assert waits == []


def test_a_folder_without_permission_is_told(site, tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(InputError, match=r"No permission to write .*file\.pth.*RES2NET_CACHE"):
        fetch(record(site.address), cache=tmp_path)
    assert site.ranges == []


def test_a_cache_that_is_a_file_is_told(site, tmp_path):
    (tmp_path / "cache").touch()
    with pytest.raises(InputError, match=r"Cannot write .*RES2NET_CACHE"):
        fetch(record(site.address), cache=tmp_path / "cache")


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/hosts",
        "ftp://127.0.0.1/file.pth",
        "http://example.org/file.pth",
        "http://127.0.0.1.example.org/file.pth",
        "http://localhost.example.org/file.pth",
        "//example.org/file.pth",
        "data:,file.pth",
    ],
)
def test_only_https_is_spoken(address, tmp_path):
    with pytest.raises(InputError, match="is not an address of https"):
        fetch(record(address), cache=tmp_path)


@pytest.mark.parametrize("address", ["http://example.org/file.pth", "ftp://127.0.0.1/file.pth", "file:///etc/hosts"])
def test_a_redirect_to_an_address_that_is_not_encrypted_is_not_followed(site, tmp_path, address):
    site.redirect = address
    with pytest.raises(InputError, match=r"is not an address of https|answered 30\d"):
        fetch(record(site.address), cache=tmp_path)
    assert names(tmp_path) == []
    assert len(site.ranges) == 1


@pytest.mark.parametrize("address", ["http://[", "https://[::1"])
def test_a_redirect_to_nowhere_is_one_sentence(site, tmp_path, address):
    site.redirect = address
    with pytest.raises(InputError, match=r"redirects to an address that is none|Cannot reach"):
        fetch(record(site.address), cache=tmp_path)


@pytest.mark.parametrize("length", ["abc", "-5", "1.5e6", "", "\u00b2"])
def test_a_length_that_is_no_number(site, tmp_path, length):
    site.length = length
    if not length:
        assert fetch(record(site.address), cache=tmp_path).read_bytes() == CONTENT
        return
    with pytest.raises(InputError, match="states a length of"):
        fetch(record(site.address), cache=tmp_path)


def test_a_file_that_is_too_large_is_not_begun(site, tmp_path):
    site.length = str(10**30)
    with pytest.raises(InputError, match="more than 1,073,741,824 bytes"):
        fetch(record(site.address), cache=tmp_path)
    assert names(tmp_path) == []


def test_a_file_that_grows_without_a_length_is_stopped(site, tmp_path, monkeypatch):
    monkeypatch.setattr("res2net.weights.download.LARGEST", 500_000)
    site.length = ""
    with pytest.raises(InputError, match="more than 500,000 bytes"):
        fetch(record(site.address), cache=tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "content", [b"<!DOCTYPE html><p>please log in</p>", b"", b"\x80\x02}.", CONTENT[:-1000], bytes(1000)]
)
def test_an_answer_that_is_no_checkpoint_does_not_stay(site, tmp_path, content):
    site.content = content
    with pytest.raises(InputError, match=r"is not the published one \(it holds no weights\) and was deleted"):
        fetch(record(site.address, None), cache=tmp_path)
    assert names(tmp_path) == []
    site.content = CONTENT
    assert fetch(record(site.address, None), cache=tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("position", [0, 3, 4, 5, 7, 40, 63])
def test_every_digit_of_a_stated_hash_is_compared(site, tmp_path, position):
    whole = hashlib.sha256(CONTENT).hexdigest()
    stated = whole[: 64 if position > 7 else 8]
    assert fetch(record(site.address, stated.upper()), cache=tmp_path / "right").read_bytes() == CONTENT
    wrong = stated[:position] + ("0" if stated[position] != "0" else "1") + stated[position + 1 :]
    with pytest.raises(InputError, match=f"sha256 {stated} instead of {wrong}"):
        fetch(record(site.address, wrong), cache=tmp_path / "wrong")
    assert names(tmp_path / "wrong") == []


def test_the_whole_hash_is_kept_from_the_first_use_on(site, tmp_path):
    """With 8 digits or none, a file could be exchanged for another one that has them, too."""
    path = fetch(record(site.address, None), cache=tmp_path)
    kept = tmp_path / "file.pth.sha256"
    assert kept.read_text() == f"{hashlib.sha256(CONTENT).hexdigest()}  file.pth\n"
    path.write_bytes(OTHER)
    with pytest.raises(InputError, match=r"has changed since it was first used \(file\.pth\.sha256 states another"):
        fetch(record(site.address, None), cache=tmp_path)
    path.unlink()
    assert fetch(record(site.address, None), cache=tmp_path).read_bytes() == CONTENT
    kept.write_text("damaged")
    with pytest.raises(InputError, match="has changed"):
        fetch(record(site.address, None), cache=tmp_path)


@pytest.mark.parametrize("position", [0, 4, 8, 40, 63])
def test_every_digit_of_the_kept_hash_is_compared(site, tmp_path, position):
    fetch(record(site.address, None), cache=tmp_path)
    kept = tmp_path / "file.pth.sha256"
    digits = list(kept.read_text())
    digits[position] = "0" if digits[position] != "0" else "1"
    kept.write_text("".join(digits))
    with pytest.raises(InputError, match="has changed since it was first used"):
        fetch(record(site.address, None), cache=tmp_path)


def test_several_at_once_download_once(site, tmp_path):
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(fetch(record(site.address), cache=tmp_path))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [tmp_path / "file.pth"] * 3
    assert site.ranges == [None]
    assert found[0].read_bytes() == CONTENT


def test_the_cache_folder_follows_the_environment(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("RES2NET_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path("/home/somebody/.cache/res2net")
    monkeypatch.setenv("XDG_CACHE_HOME", "/data/cache")
    assert cache_folder() == Path("/data/cache/res2net")
    monkeypatch.setenv("RES2NET_CACHE", "~/weights")
    assert cache_folder() == Path("/home/somebody/weights")


def test_fetch_uses_the_cache_folder(site, tmp_path, monkeypatch):
    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path))
    assert fetch(record(site.address)) == tmp_path / "file.pth"

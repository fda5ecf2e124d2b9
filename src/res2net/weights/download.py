"""Download published checkpoints: once, encrypted, resumed after an interruption, and verified."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import re
import time
from collections.abc import Callable
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from filelock import FileLock

from res2net.errors import InputError
from res2net.weights.files import read_checkpoint, write_problem
from res2net.weights.records import WeightRecord, records

TIMEOUT = 30.0  # seconds without a byte
WAITS = (1.0, 2.0, 4.0)  # seconds before each retry
CHUNK = 1 << 18  # bytes
LARGEST = 1 << 30  # bytes; the largest published file, of 76 million weights, has 305 MB


class _InterruptedError(Exception):
    """The connection broke; the part that arrived is kept."""


class _UnreachableError(_InterruptedError):
    """The server could not be reached at all."""


def cache_folder() -> Path:
    """The folder of downloads: `$RES2NET_CACHE`, or `res2net` in `$XDG_CACHE_HOME`, or `~/.cache/res2net`."""
    if chosen := os.environ.get("RES2NET_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "res2net"


def fetch(record: WeightRecord, *, cache: str | Path | None = None) -> Path:
    """Return the file of a published checkpoint, verified, and download it if it is not in the cache yet.

    The connection is encrypted (https), also after redirects. Publishers state 8 digits of the SHA-256 of a file, or
    none; these are verified, and that the file holds a state dict. The whole SHA-256 is written beside the file when it
    is first seen (`NAME.sha256`, which `sha256sum --check` reads) and verified at each later use, so that the file
    never changes unnoticed.

    The licence is printed before a download. An interrupted download resumes where it stopped, in the same call and in
    later ones. Several processes may ask for the same file: one downloads, the others wait.

    Args:
        record: the record of the checkpoint.
        cache: the folder of downloads, by default `cache_folder()`.

    Raises:
        InputError: the server cannot be reached, the connection broke, the file is not the published one, or the disk
            cannot be written.
    """
    _check_encrypted(record.address, record.address)
    folder = Path(cache).expanduser() if cache is not None else cache_folder()
    path = folder / record.file_name
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / f".{path.name}.lock"):
                if not path.exists():
                    _download(record, path)
                    return path
        found = file_hash(path)
        if wrong := _wrong_hash(record, found):
            raise InputError(f"{path} is not the published file ({wrong}): delete it and run again.")
        if wrong := _pin(path, found):
            raise InputError(f"{path} has changed since it was first used ({wrong}): delete both and run again.")
    except OSError as error:
        raise write_problem(path, error, "set RES2NET_CACHE to another folder") from error
    return path


def recognise(path: str | Path) -> WeightRecord | None:
    """Find the record of a published file that was downloaded by hand, by its name and, where known, its hash.

    Returns None for other files, and for files that cannot be read.
    """
    path = Path(path)
    found = next((record for record in records() if record.file_name == path.name), None)
    try:
        return found if found is not None and not _wrong_hash(found, file_hash(path)) else None
    except OSError:
        return None


def _download(record: WeightRecord, path: Path) -> None:
    """Download to `<name>.part` beside `path`, check, and rename."""
    # Imported late: models can be created where rich is not installed.
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from res2net.console import Console

    console = Console(stderr=True)
    notice = f"Downloading {record.name}, published by {record.source}. Licence: {record.licence}."
    console.print(notice, markup=False, highlight=False, soft_wrap=True)
    part = path.with_name(f"{path.name}.part")
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task(record.file_name, total=None)
        _transfer_with_retries(record, path, part, partial(progress.update, task))
    found = file_hash(part)
    wrong = _wrong_hash(record, found)
    try:
        if not wrong:
            read_checkpoint(part)
    except InputError:
        wrong = "it holds no weights"
    if wrong:
        _delete_part(part)
        raise InputError(
            f"The file at {record.address} is not the published one ({wrong}) and was deleted: run again, or download "
            "it from a mirror you trust."
        )
    _hash_file(path).unlink(missing_ok=True)
    _pin(path, found)
    part.replace(path)
    _delete_part(part)


def _transfer_with_retries(record: WeightRecord, path: Path, part: Path, show: Callable[..., None]) -> None:
    for wait in (0.0, *WAITS):
        if wait:
            time.sleep(wait)
        try:
            return _transfer(record.address, part, show)
        except _InterruptedError as error:
            if isinstance(error, _UnreachableError) and not wait:
                raise InputError(
                    f"Cannot reach {urlsplit(record.address).netloc} ({error}): download {record.address} on a machine "
                    f"with a connection and copy it to {path}."
                ) from error
            reason = str(error)
    kept = part.stat().st_size / 1e6 if part.exists() else 0.0
    raise InputError(
        f"The download of {record.address} broke {len(WAITS) + 1} times ({reason}): run again to resume from the "
        f"{kept:.1f} MB in {part}."
    )


def _transfer(address: str, part: Path, show: Callable[..., None]) -> None:
    """Request the bytes that `part` lacks and append them; raise `_InterruptedError` when the response ends early."""
    have = part.stat().st_size if part.exists() else 0
    response = _open(address, part, have)
    if response is None:
        return
    with response:
        resumed = response.status == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            _delete_part(part)
            raise _InterruptedError("the server sent another range than the requested one")
        if not resumed:
            have = 0
            _version_file(part).write_text(_version(response))
        length = response.headers.get("Content-Length")
        if length and not (length.isascii() and length.isdigit()):
            raise InputError(f"The server of {address} states a length of {length[:40]!r}: try again later.")
        total = have + int(length[:20]) if length else None
        _check_size(address, part, total or 0)
        show(completed=have, total=total)
        with part.open("ab" if resumed else "wb") as file:
            while chunk := _read(response):
                have += len(chunk)
                _check_size(address, part, have)
                file.write(chunk)
                show(completed=have)
    if total is not None and have < total:
        raise _InterruptedError(f"the connection ended after {have} of {total} bytes")


def _check_size(address: str, part: Path, size: int) -> None:
    """Raise `InputError` and delete what has arrived if a file is larger than any published one."""
    if size > LARGEST:
        _delete_part(part)
        raise InputError(f"The file at {address} has more than {LARGEST:,} bytes, which no published one has.")


def _check_encrypted(address: str, record_address: str) -> None:
    """Raise `InputError` unless an address is of https; a record of this machine may have others of this machine."""
    if urlsplit(address).scheme != "https" and not (_is_here(address) and _is_here(record_address)):
        raise InputError(f"{address[:200]} is not an address of https: download the file by hand and give its path.")


def _is_here(address: str) -> bool:
    """Whether an address of http is of this machine."""
    parts = urlsplit(address)
    try:
        return parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


class _Redirects(HTTPRedirectHandler):
    """Follows redirects to encrypted addresses only."""

    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        _check_encrypted(newurl, req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _open(address: str, part: Path, have: int) -> HTTPResponse | None:
    """Request the bytes from offset `have` on; return None when there are none left."""
    headers = {"User-Agent": "res2net"}
    if have:
        headers["Range"] = f"bytes={have}-"
        version = _version_file(part).read_text() if _version_file(part).exists() else ""
        if version:
            headers["If-Range"] = version  # a file that changed in the meantime is sent whole
    try:
        response: HTTPResponse = build_opener(_Redirects).open(Request(address, headers=headers), timeout=TIMEOUT)  # noqa: S310 - `fetch` checked the scheme
        return response
    except InputError:
        raise
    except HTTPError as error:
        with error:
            if error.code == 416:
                if error.headers.get("Content-Range") == f"bytes */{have}":
                    return None
                _delete_part(part)
                raise _InterruptedError("the part is longer than the file") from error
            if error.code == 429 or error.code >= 500:
                raise _InterruptedError(f"the server answered {error.code} {error.reason}") from error
            raise InputError(
                f"The server answered {error.code} {error.reason} for {address}: find {address.rsplit('/', 1)[-1]} "
                f"elsewhere and copy it to {part.with_suffix('')}."
            ) from error
    except URLError as error:
        raise _UnreachableError(str(error.reason)) from error
    except (OSError, HTTPException) as error:
        raise _InterruptedError(str(error)) from error
    except ValueError as error:
        raise InputError(f"The server of {address} redirects to an address that is none: try again later.") from error


def _read(response: HTTPResponse) -> bytes:
    # A wrapper of its own, so that network errors are not confused with disk errors.
    try:
        return response.read(CHUNK)
    except (OSError, HTTPException) as error:
        raise _InterruptedError(str(error)) from error


def _version(response: HTTPResponse) -> str:
    """The identity of the content at an address: a strong entity tag, or the last modification date (RFC 9110)."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")


def _version_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.version")


def _delete_part(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)


def file_hash(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _wrong_hash(record: WeightRecord, found: str) -> str:
    """Describe how the SHA-256 of a file differs from the record's; empty if it matches or the record has none."""
    if record.sha256 is None or found.startswith(record.sha256.lower()):
        return ""
    return f"sha256 {found[: len(record.sha256)]} instead of {record.sha256}"


def _hash_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _pin(path: Path, found: str) -> str:
    """Write the SHA-256 of a file beside it, or describe how it differs from the one that is there."""
    pinned = _hash_file(path)
    if not pinned.exists():
        # A cache may be one that cannot be written.
        with contextlib.suppress(OSError):
            pinned.write_text(f"{found}  {path.name}\n", encoding="utf-8")
        return ""
    stated = re.match(r"[0-9a-f]{64}\b", pinned.read_text(encoding="utf-8", errors="replace"))
    return "" if stated and stated[0] == found else f"{pinned.name} states another SHA-256"

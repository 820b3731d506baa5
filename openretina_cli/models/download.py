"""Brings a published checkpoint onto this machine, whole or not at all, and notices if it ever changes."""

from __future__ import annotations

import hashlib
import os
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pooch
import requests

from openretina_cli.errors import DownloadError, SettingError

CACHE_VARIABLE = "OPENRETINA_CACHE_DIRECTORY"
CHUNK_BYTES = 2**16
# Answers after which the same request may well succeed.
PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
# How what is sent in place of a file begins: a web page, or the note that git-annex or git-lfs keeps for a file.
NOT_A_FILE = (b"<", b"/annex/objects/", b"version https://git-lfs")


@dataclass(frozen=True)
class RemoteCheckpoint:
    """A checkpoint's published place.

    Attributes:
        name: what it is called on the command line.
        url: the folder that its files lie in, http or https.
        files: their names.

    Raises:
        SettingError: a name could lead out of the cache folder, or the URL is no web address.
    """

    name: str
    url: str
    files: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in (self.name, *self.files):
            if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
                raise SettingError(f"{name!r} is no file name", expected="letters, digits, dots, - and _")
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).hostname:
            raise SettingError(f"{self.url!r} is no web address", expected="http(s)://host/folder/")

    @classmethod
    def ensemble(cls, name: str, url: str, seeds: Iterable[int]) -> RemoteCheckpoint:
        """An ensemble in the published layout: three files for each member, which is known by its seed."""
        layout = ("config_{:05d}.yaml", "data_info_{:05d}.pkl", "state_dict_{:05d}.pth.tar")
        return cls(name, url, tuple(file.format(seed) for seed in seeds for file in layout))

    def url_of(self, file: str) -> str:
        """Address of one of the files."""
        return f"{self.url.rstrip('/')}/{file}"


class Report(Protocol):
    """Hears how a download goes on: file, bytes so far, bytes in all if known, index of the file, number of files."""

    def __call__(self, file: str, done: int, total: int | None, index: int, count: int, /) -> None: ...  # noqa: D102


def cache_directory() -> Path:
    """The folder of all downloads: `$OPENRETINA_CACHE_DIRECTORY`, else the platform's cache folder."""
    return Path(os.environ.get(CACHE_VARIABLE) or pooch.os_cache("openretina")).expanduser()


def checkpoint_directory(remote: RemoteCheckpoint, cache: Path | None = None) -> Path:
    """The folder of one checkpoint; it depends on the URL too, so that a mirror is never taken for the original."""
    origin = hashlib.sha256(remote.url.rstrip("/").encode()).hexdigest()[:8]
    return (cache or cache_directory()) / f"{remote.name}-{origin}"


def is_complete(remote: RemoteCheckpoint, cache: Path | None = None) -> bool:
    """Whether all files are on this machine, so that `fetch` needs no network."""
    folder = checkpoint_directory(remote, cache)
    return all((folder / file).is_file() for file in remote.files)


def fetch(
    remote: RemoteCheckpoint,
    cache: Path | None = None,
    *,
    report: Report | None = None,
    attempts: int = 3,
    timeout: tuple[float, float] = (10.0, 30.0),
    sleep: Callable[[float], object] = time.sleep,
) -> Path:
    """Downloads the files that are missing, verifies all of them, and returns their folder.

    Beside each file lies its SHA-256, written before the file appears, in the format of `sha256sum --check`. Every
    later copy must match it, whoever brought it, also when no request is made: reading a few MiB takes less time
    than importing torch, and finds a folder that was copied in part or edited. Several processes may fetch at once;
    files and records are moved into place whole, so the worst case is that a file is downloaded twice.

    Args:
        remote: what to fetch.
        cache: folder of all downloads; None means `cache_directory()`.
        report: called as bytes arrive.
        attempts: how often each file is tried, at least once, with pauses of 1, 2, 4, ... seconds.
        timeout: seconds to wait for a connection, and for any next piece of a file.
        sleep: waits between two attempts.

    Raises:
        DownloadError: a file cannot be had, or differs from the first one downloaded.
    """
    folder = checkpoint_directory(remote, cache)
    try:
        for index, file in enumerate(remote.files):
            if not (folder / file).is_file():
                notify = partial(_notify, report, file, index, len(remote.files))
                _download(remote, file, folder, notify, attempts, timeout, sleep)
        for file in remote.files:
            _compare_with_record(folder, file, pooch.file_hash(str(folder / file), alg="sha256"))
    except OSError as error:
        repair = f"set {CACHE_VARIABLE} to a folder with space that can be written"
        raise DownloadError(f"cannot use {folder}: {error.strerror or error}", repair=repair) from error
    return folder


class _AttemptError(Exception):
    """One attempt at a download failed; `passing` tells whether another may succeed."""

    def __init__(self, problem: str, *, passing: bool) -> None:
        super().__init__(problem)
        self.passing = passing


def _notify(report: Report | None, file: str, index: int, count: int, done: int, total: int | None) -> None:
    if report is not None:
        report(file, done, total, index, count)


def _download(
    remote: RemoteCheckpoint,
    file: str,
    folder: Path,
    notify: Callable[[int, int | None], None],
    attempts: int,
    timeout: tuple[float, float],
    sleep: Callable[[float], object],
) -> None:
    """Tries until the file lies in the folder; pooch keeps it aside until it is whole."""

    def save(url: str, target: str, _: object) -> None:
        digest = _stream(url, Path(target), notify, timeout)
        # pooch's temporary files are private; a shared cache needs files as readable as their folder
        os.chmod(target, folder.stat().st_mode & 0o666)
        _compare_with_record(folder, file, digest)

    url = remote.url_of(file)
    problem = ""
    for attempt in range(max(attempts, 1)):
        if attempt:
            sleep(2.0 ** (attempt - 1))
        try:
            with _silent_pooch():
                pooch.retrieve(url, known_hash=None, fname=file, path=folder, downloader=save)
            return
        except _AttemptError as error:
            problem = str(error)
            if not error.passing:
                break
    raise DownloadError(
        f"cannot download {url}: {problem}",
        repair=f"`openretina models fetch {remote.name}` on a machine with a network, then copy its folder to {folder} "
        f"or set {CACHE_VARIABLE} to a cache that holds it",
    )


@contextmanager
def _silent_pooch() -> Iterator[None]:
    """Keeps pooch from writing to the console; each use has its own filter, so that threads do not disturb it."""

    def refuse(_: object) -> bool:
        return False

    logger = pooch.get_logger()
    logger.addFilter(refuse)
    try:
        yield
    finally:
        logger.removeFilter(refuse)


def _stream(url: str, target: Path, notify: Callable[[int, int | None], None], timeout: tuple[float, float]) -> str:
    """Writes the whole answer to `target` and returns its SHA-256.

    Raises:
        _AttemptError: the answer did not come, not whole, or is not the file.
    """
    digest, done = hashlib.sha256(), 0
    headers = {"Accept-Encoding": "identity"}  # the file's own bytes, so that Content-Length counts them
    try:
        with requests.get(url, stream=True, timeout=timeout, headers=headers) as response, target.open("wb") as file:
            total = _checked_length(response)
            notify(0, total)
            for chunk in response.iter_content(CHUNK_BYTES):
                if not done and chunk.lstrip().startswith(NOT_A_FILE):
                    raise _AttemptError("the server sent a web page or note instead of the file", passing=False)
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                notify(done, total)
            # urllib3 < 2 does not compare; differs from `done` if a server compresses in spite of the header
            received = response.raw.tell()
    except requests.RequestException as error:
        raise _explained(error, url) from error
    if done == 0 or (total is not None and received != total):
        raise _AttemptError(f"the file was cut off after {received} of {total or 'unknown'} bytes", passing=True)
    return digest.hexdigest()


def _checked_length(response: requests.Response) -> int | None:
    """Length of a good answer's body in bytes; None if it comes in chunks, which say themselves where they end.

    Raises:
        _AttemptError: the answer is an error or a web page, or could be cut off without anyone noticing.
    """
    status = response.status_code
    if status != HTTPStatus.OK:
        problem = f"the server answered {status} {response.reason or ''}".rstrip()
        raise _AttemptError(problem, passing=status in PASSING_STATUSES)
    if "html" in response.headers.get("Content-Type", "").lower():
        raise _AttemptError("the server sent a web page instead of the file", passing=False)
    if "chunked" in response.headers.get("Transfer-Encoding", "").lower():
        return None
    length = response.headers.get("Content-Length", "")
    if not length.isdecimal():
        raise _AttemptError("the server does not say how long the file is", passing=False)
    return int(length)


def _explained(error: requests.RequestException, url: str) -> _AttemptError:
    """What went wrong on the way, without the inner workings that the exception's own text recites."""
    host = urlsplit(url).hostname
    if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
        return _AttemptError(f"{host} stopped answering", passing=True)
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return _AttemptError(f"{host} broke off the connection", passing=True)
    if isinstance(error, requests.ConnectionError):
        return _AttemptError(f"no connection to {host} ({type(error).__name__})", passing=True)
    return _AttemptError(f"{type(error).__name__}: {error}", passing=False)


def _compare_with_record(folder: Path, file: str, digest: str) -> None:
    """Compares a file's digest with the recorded one, or records it if there is none.

    Raises:
        DownloadError: they differ.
    """
    record = folder / f"{file}.sha256"
    if not record.exists():
        aside = folder / f".{record.name}.{uuid.uuid4().hex}"
        aside.write_text(f"{digest}  {file}\n", encoding="ascii")
        aside.replace(record)
        return
    known = record.read_text(encoding="ascii", errors="replace")[: len(digest)]
    if known != digest:
        raise DownloadError(
            f"{folder / file} has SHA-256 {digest}",
            expected=f"{ascii(known)[1:-1]}, as when it was first downloaded",
            repair=f"if that is no accident, delete {folder} and fetch again",
        )

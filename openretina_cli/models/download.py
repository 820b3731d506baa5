"""Brings a published checkpoint onto this machine, whole or not at all, and notices if it ever changes."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pooch
import requests

from openretina_cli.errors import DownloadError, ModelError, SettingError
from openretina_cli.models.foreign_file import shown
from openretina_cli.models.member_files import LAYOUT
from openretina_cli.models.safe_files import check_published, largest_size
from openretina_cli.store.aside import aside, move_files, write_whole
from openretina_cli.store.digest import digest_of_file
from openretina_cli.web_address import check_web_address

CACHE_VARIABLE = "OPENRETINA_CACHE_DIRECTORY"
DEADLINE_VARIABLE = "OPENRETINA_DOWNLOAD_SECONDS"
# Longest time for all files of a checkpoint, whatever the server sends. Five members of 5 MiB, as published, take
# 55 minutes at 64 kbit/s, the slowest line that is called ISDN.
DEADLINE = 3600.0
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
        url: the folder that its files lie in, http or https; passwords belong into ~/.netrc.
        files: their names.
        argument: what `openretina models fetch` takes for it; "" means the name.

    Raises:
        SettingError: a name could lead out of the cache folder, or the URL is no web address, or holds a secret.
    """

    name: str
    url: str
    files: tuple[str, ...]
    argument: str = ""

    def __post_init__(self) -> None:
        for name in (self.name, *self.files):
            if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.=-]*", name):  # Lightning writes epoch=00_val=0.77.ckpt
                raise SettingError(f"{name!r} is no file name", expected="letters, digits, dots, =, - and _")
        check_web_address(self.url, "model.url")

    @classmethod
    def ensemble(cls, name: str, url: str, seeds: Iterable[int]) -> RemoteCheckpoint:
        """An ensemble in the published layout: three files for each member, which is known by its seed."""
        return cls(name, url, tuple(file.format(f"{seed:05d}") for seed in seeds for file in LAYOUT))

    @classmethod
    def single(cls, url: str, name: str = "") -> RemoteCheckpoint:
        """A checkpoint of one file.

        Args:
            url: the address of the file.
            name: the name of the model; "" names it after the file.

        Raises:
            SettingError: the address is no address of a file, or holds a secret.
        """
        check_web_address(url, "model.path")
        folder, _, file = url.rpartition("/")
        return cls(name or Path(file).stem, folder, (file,), argument=name or url)

    def url_of(self, file: str) -> str:
        """Address of one of the files."""
        return f"{self.url.rstrip('/')}/{file}"


class Report(Protocol):
    """Takes progress: file, bytes so far, bytes in all if known, index of the file, number of files."""

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


def download_seconds() -> float:
    """Longest time for a download: `$OPENRETINA_DOWNLOAD_SECONDS`, else `DEADLINE`.

    Raises:
        SettingError: the variable is no positive number.
    """
    stated = os.environ.get(DEADLINE_VARIABLE) or str(DEADLINE)
    try:
        seconds = float(stated)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < threading.TIMEOUT_MAX:
        raise SettingError(f"{DEADLINE_VARIABLE} is no positive number of seconds", repair=f"{DEADLINE_VARIABLE}=3600")
    return seconds


def fetch(
    remote: RemoteCheckpoint,
    cache: Path | None = None,
    *,
    report: Report | None = None,
    attempts: int = 3,
    timeout: tuple[float, float] = (10.0, 30.0),
    deadline: float | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> Path:
    """Downloads the files that are missing, verifies all of them, and returns their folder.

    Beside each file lies its SHA-256, written before the file appears, in the format of `sha256sum --check`. Every
    later copy must match it, also when no request is made: reading a few MiB takes less time than importing torch,
    and finds a folder that was copied in part or edited. Several processes may fetch at once;
    files and records are moved into place whole, so the worst case is that a file is downloaded twice.

    Args:
        remote: what to fetch.
        cache: folder of all downloads; None means `cache_directory()`.
        report: called as bytes arrive, from a thread of its own.
        attempts: how often each file is tried, at least once, with pauses of 1, 2, 4, ... seconds.
        timeout: seconds to wait for a connection, and for any next piece of a file.
        deadline: seconds for all files together, attempts included; None means `download_seconds()`.
        sleep: waits between two attempts.

    Raises:
        DownloadError: a file cannot be downloaded, is not of the kind that its name promises, or differs from the first
            one downloaded.
    """
    folder = checkpoint_directory(remote, cache)
    until = time.monotonic() + (download_seconds() if deadline is None else deadline)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for index, file in enumerate(remote.files):
            if not (folder / file).is_file():
                notify = partial(_notify, report, file, index, len(remote.files))
                transfer = _Transfer(remote.url_of(file), timeout, until, largest_size(file), notify)
                _download(transfer, remote, folder / file, attempts, sleep)
        for file in remote.files:
            _compare_with_record(folder, file, digest_of_file(folder / file))
            _check_cached(folder, file)
    except OSError as error:
        repair = f"set {CACHE_VARIABLE} to a folder with space that can be written"
        raise DownloadError(f"cannot use {folder}: {error.strerror or error}", repair=repair) from error
    return folder


def _notify(report: Report | None, file: str, index: int, count: int, done: int, total: int | None) -> None:
    if report is not None:
        report(file, done, total, index, count)


def _check_cached(folder: Path, file: str) -> None:
    """Checks the kind of a file in the cache, which an earlier version may have filled unchecked.

    Raises:
        DownloadError: the file is of another kind.
    """
    try:
        check_published(file, folder / file)
    except ModelError as error:
        raise DownloadError(error.problem, repair=f"delete {folder} and fetch again") from error


def _compare_with_record(folder: Path, file: str, digest: str) -> None:
    """Compares a file's digest with the recorded one, or records it if there is none.

    Raises:
        DownloadError: they differ.
    """
    record = folder / f"{file}.sha256"
    if not record.exists():
        write_whole(folder, {record.name: f"{digest}  {file}\n".encode("ascii")})
        return
    known = record.read_text(encoding="ascii", errors="replace")[: len(digest)]
    if known != digest:
        raise DownloadError(
            f"{folder / file} has SHA-256 {digest}",
            expected=f"{ascii(known)[1:-1]}, as when it was first downloaded",
            repair=f"if that is no accident, delete {folder} and fetch again",
        )


def _download(
    transfer: _Transfer, remote: RemoteCheckpoint, path: Path, attempts: int, sleep: Callable[[float], object]
) -> None:
    """Tries until the file lies at its path.

    Raises:
        DownloadError: no attempt succeeded.
    """
    problem = ""
    for attempt in range(max(attempts, 1)):
        if attempt:
            sleep(2.0 ** (attempt - 1))
        try:
            _try_once(transfer, path.parent, path.name)
            return
        except _AttemptError as error:
            problem = str(error)
            if not error.passing:
                break
    raise DownloadError(
        f"cannot download {transfer.url}: {problem}",
        repair=f"`openretina models fetch {remote.argument or remote.name}` elsewhere, then copy its folder to"
        f" {path.parent} or set {CACHE_VARIABLE} to its cache",
    )


def _try_once(transfer: _Transfer, folder: Path, file: str) -> None:
    """Downloads a file into the folder; it stays aside until it is whole, of the right kind, and recorded.

    Raises:
        _AttemptError: the file did not arrive, or something else did.
    """
    with aside(folder, file) as place:
        digest = transfer.run(place / file)
        try:
            check_published(file, place / file)
        except ModelError as error:
            problem = error.problem.replace(str(place / file), file)
            raise _AttemptError(f"the server sent something else in place of the file: {problem}") from error
        # a cache that people share needs files as readable as their folder
        os.chmod(place / file, folder.stat().st_mode & 0o666)
        _compare_with_record(folder, file, digest)
        move_files(place, folder, [file])


class _AttemptError(Exception):
    """One attempt at a download failed; `passing` tells whether another may succeed."""

    def __init__(self, problem: str, *, passing: bool = False) -> None:
        super().__init__(problem)
        self.passing = passing


@dataclass(frozen=True)
class _Transfer:
    """How one file is transferred, within which limits.

    Attributes:
        url: its address.
        timeout: seconds to wait for a connection, and for any next piece of the file.
        until: time of `time.monotonic` by which the file must have arrived.
        size: bytes that the file may have.
        notify: called with the bytes so far, and in all if known.
    """

    url: str
    timeout: tuple[float, float]
    until: float
    size: int
    notify: Callable[[int, int | None], None]

    @property
    def host(self) -> str | None:
        return urlsplit(self.url).hostname

    def run(self, target: Path) -> str:
        """Writes the whole answer to `target` and returns its SHA-256.

        A thread of its own waits for the server, because a server that sends one byte at a time keeps any one read
        from returning. The thread is left to itself when time is up; it ends when the server does.

        Raises:
            _AttemptError: the answer did not come, not whole, not in time, is too large, or is not the file.
        """
        answer: concurrent.futures.Future[str] = concurrent.futures.Future()
        given_up = threading.Event()

        def notify(done: int, total: int | None) -> None:
            if given_up.is_set():
                raise _AttemptError("the download was given up")
            self.notify(done, total)

        def work() -> None:
            try:
                answer.set_result(self._stream(target, notify))
            except BaseException as error:  # raised again by the thread that waits
                answer.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        try:
            return answer.result(max(self.until - time.monotonic(), 0.001))
        except concurrent.futures.TimeoutError:
            raise _AttemptError(f"{self.host} takes longer than {DEADLINE_VARIABLE} allows") from None
        finally:
            given_up.set()

    def _stream(self, target: Path, notify: Callable[[int, int | None], None]) -> str:
        digest, done = hashlib.sha256(), 0
        headers = {"Accept-Encoding": "identity"}  # the file's own bytes, so that Content-Length counts them
        try:
            with requests.get(self.url, stream=True, timeout=self.timeout, headers=headers) as response:
                total = self._checked_length(response)
                with target.open("wb") as file:
                    notify(0, total)
                    for chunk in response.iter_content(CHUNK_BYTES):
                        if not done and chunk.lstrip().startswith(NOT_A_FILE):
                            raise _AttemptError("the server sent a web page or note instead of the file")
                        done += len(chunk)
                        if done > self.size:
                            raise _AttemptError(f"the file has more than {self.size} bytes")
                        file.write(chunk)
                        digest.update(chunk)
                        notify(done, total)
                # urllib3 < 2 does not compare; differs from `done` if a server compresses in spite of the header
                received = response.raw.tell()
        except requests.RequestException as error:
            raise self._explained(error) from error
        if done == 0 or (total is not None and received != total):
            raise _AttemptError(f"the file was cut off after {received} of {total or 'unknown'} bytes", passing=True)
        return digest.hexdigest()

    def _checked_length(self, response: requests.Response) -> int | None:
        """Length of a good answer's body in bytes; None if it comes in chunks, which say themselves where they end.

        Raises:
            _AttemptError: the answer is an error or a web page, is too large, or could be cut off without anyone
                noticing.
        """
        status = response.status_code
        if status != HTTPStatus.OK:
            problem = f"the server answered {status} {shown(response.reason or '', 60)}".rstrip()
            raise _AttemptError(problem, passing=status in PASSING_STATUSES)
        if "html" in response.headers.get("Content-Type", "").lower():
            raise _AttemptError("the server sent a web page instead of the file")
        if "chunked" in response.headers.get("Transfer-Encoding", "").lower():
            return None
        length = response.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,18}", length):
            raise _AttemptError("the server does not say how long the file is")
        if int(length) > self.size:
            raise _AttemptError(f"the file has {length} bytes, more than {self.size}")
        return int(length)

    def _explained(self, error: requests.RequestException) -> _AttemptError:
        """What went wrong on the way; the exception's own text is left out, as it recites proxies and redirects."""
        if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
            return _AttemptError(f"{self.host} stopped answering", passing=True)
        if isinstance(error, requests.exceptions.ChunkedEncodingError):
            return _AttemptError(f"{self.host} broke off the connection", passing=True)
        if isinstance(error, requests.ConnectionError):
            return _AttemptError(f"no connection to {self.host} ({type(error).__name__})", passing=True)
        return _AttemptError(f"{self.host} cannot be used ({type(error).__name__})")

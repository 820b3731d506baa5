"""The one write-aside: files and folders are written into a hidden folder beside their place and moved there whole.

The hidden folder belongs to one process, which holds a lock beside the folder for as long as the process lives; the
operating system releases the lock however the process ends. The next process that writes into the same place removes
the folders whose locks are free, so that a killed process leaves nothing behind for ever.

Files move by `os.replace`, which replaces a link and never writes through one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from openretina_cli.errors import SettingError

MARK = ".partial-"
LOCK = ".lock"
LONGEST_NAME = 80
"""Bytes of a name that are kept; file systems allow 255 for the whole."""


@contextmanager
def aside(home: Path, name: str) -> Iterator[Path]:
    """Make a hidden folder of this process in a folder, and remove it at the end.

    The hidden folder may be moved away as a whole. Leftovers of processes that have ended are removed first.

    Args:
        home: the folder, which must exist; on the disk that the files are to lie on.
        name: says what is written.

    Yields:
        An empty folder.

    Raises:
        OSError: the operating system refuses.
    """
    clear_leftovers(home)
    lock, place = _new_place(home, name)
    try:
        place.mkdir()
        yield place
    finally:
        _remove(place, lock)


def write_whole(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, each of which appears whole or not at all.

    Args:
        folder: the folder, which must exist.
        files: content by name.

    Raises:
        OSError: the operating system refuses.
    """
    with aside(folder, next(iter(files), "")) as place:
        for name, content in files.items():
            (place / name).write_bytes(content)
        move_files(place, folder, files)


def move_files(place: Path, folder: Path, names: Iterable[str]) -> None:
    """Move files into a folder on the same disk, one after another; each replaces the file of its name.

    Args:
        place: the folder that holds the files.
        folder: the folder, which must exist.
        names: the files, in the order in which they appear.

    Raises:
        OSError: the operating system refuses.
    """
    for name in names:
        os.replace(place / name, folder / name)


def move_folder(place: Path, folder: Path, last: str) -> None:
    """Move a folder into place: at once where nothing is there yet, else file by file.

    Args:
        place: the folder to move, on the same disk.
        folder: where it goes; the folder, a link to it or a disk mounted there may exist.
        last: the file that vouches for the others and is moved last.

    Raises:
        OSError: the operating system refuses.
    """
    if not folder.is_dir():
        try:
            os.rename(place, folder)
            return
        except OSError:  # made by another process meanwhile
            if not folder.is_dir():
                raise
    for name in sorted(os.listdir(place), key=lambda name: name == last):
        target = folder / name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        elif (place / name).is_dir():
            target.unlink(missing_ok=True)
        os.replace(place / name, target)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder against other processes and threads that want to change what it holds under the same lock.

    The lock is on the folder itself, so that it leaves no file behind. Where the system cannot lock a folder (Windows,
    some network disks), the block runs without the lock.
    """
    descriptor = None
    with suppress(ImportError, OSError):
        import fcntl  # POSIX only

        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def is_being_written(home: Path, name: str) -> bool:
    """Whether a living process writes something of a name into a folder."""
    return any(not _is_free(lock) for lock in _locks(home) if lock.name.startswith(_prefix(name)))


def clear_leftovers(home: Path) -> None:
    """Remove the hidden folders of processes that have ended; those of living processes stay.

    Raises:
        OSError: the folder cannot be read.
    """
    for path in _locks(home):
        lock = FileLock(str(path))
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError, NotImplementedError):  # the owner lives, or the file is someone else's
            continue
        _remove(path.with_name(path.name.removesuffix(LOCK)), lock)


def refuse_links(folder: Path, home: Path) -> None:
    """Check that a folder inside another is not reached by a link and is no mounted disk.

    Files of a sweep are moved within one disk, and a link in a sweep's folder leads to files of others.

    Raises:
        SettingError: a part of the path is a link or a mount point.
    """
    for path in (folder, *folder.parents):
        if path == home or home not in path.parents:
            return
        if path.is_symlink() or os.path.ismount(path):
            kind = "a link" if path.is_symlink() else "a mounted disk"
            raise SettingError(f"{path} is {kind}", expected="a folder, or none yet", repair="another out=")


def _prefix(name: str) -> str:
    raw = os.fsencode(name)
    return f".{name if len(raw) <= LONGEST_NAME else hashlib.sha256(raw).hexdigest()[:32]}{MARK}"


def _lock_of(place: Path) -> Path:
    return place.with_name(place.name + LOCK)


def _locks(home: Path) -> list[Path]:
    with os.scandir(home) as entries:
        return [
            Path(entry.path)
            for entry in entries
            if entry.name.startswith(".") and MARK in entry.name and entry.name.endswith(LOCK)
            if entry.is_file(follow_symlinks=False)
        ]


def _new_place(home: Path, name: str) -> tuple[FileLock, Path]:
    """Lock a new name; another process may take the lock's file for a leftover before the lock is held."""
    while True:
        place = home / f"{_prefix(name)}{uuid.uuid4().hex[:8]}"
        lock = FileLock(str(_lock_of(place)))
        _lock_of(place).touch(exist_ok=False)  # raises where the folder takes no files; the lock would wait for ever
        try:
            lock.acquire()
        except NotImplementedError:  # a file system without locks: the folder is never taken for a leftover
            Path(lock.lock_file).unlink(missing_ok=True)
            return lock, place
        if Path(lock.lock_file).exists():
            return lock, place
        lock.release()


def _is_free(path: Path) -> bool:
    lock = FileLock(str(path))
    try:
        lock.acquire(timeout=0)
    except (Timeout, NotImplementedError):
        return False
    lock.release()
    return True


def _remove(place: Path, lock: FileLock) -> None:
    """Remove a hidden folder and then its lock; the lock stays for the next process where the folder cannot go."""
    shutil.rmtree(place, ignore_errors=True)
    if not os.path.lexists(place):
        with suppress(OSError):
            Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()

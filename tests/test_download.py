"""A checkpoint arrives whole or not at all, from a real server that does all that servers do wrong."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import pickle
import re
import socket
import subprocess
import sys
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pooch
import pytest

from openretina_cli.errors import DownloadError, SettingError
from openretina_cli.main import main
from openretina_cli.models.download import (
    CACHE_VARIABLE,
    CHUNK_BYTES,
    DEADLINE_VARIABLE,
    RemoteCheckpoint,
    cache_directory,
    checkpoint_directory,
    download_seconds,
    fetch,
    is_complete,
)
from openretina_cli.verbs.models import known_models

SEEDS = (0, 1000)


def weights(seed: int) -> bytes:
    """A zip archive as torch writes it, larger than one piece of a download, so that an answer can break in it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/data/0", bytes([seed % 256]) * 3 * CHUNK_BYTES)
    return stream.getvalue()


CONTENTS = {
    name.format(seed): content
    for seed in SEEDS
    for name, content in {
        "config_{:05d}.yaml": b"model_config:\n  layers: 2\n# " + b"x" * CHUNK_BYTES + b"\nseed: %d\n" % seed,
        "data_info_{:05d}.pkl": pickle.dumps({"session": {"output_dimension": seed}}),
        "state_dict_{:05d}.pth.tar": weights(seed),
    }.items()
}
FIRST = "config_00000.yaml"
WEIGHTS = "state_dict_00000.pth.tar"

Behaviour = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Answers as the server's behaviours for the file say: one per request, the last one for ever."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.close_connection = True
        with self.server.counting:
            behaviours = self.server.behaviours.get(name, [whole])
            behave = behaviours[min(self.server.requests[name], len(behaviours) - 1)]
            self.server.requests[name] += 1
        with suppress(ConnectionError):  # a client may hang up, and some tests make it
            behave(self, self.server.contents[name])

    def head(self, length: int | None, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def whole(handler: Handler, content: bytes) -> None:
    handler.head(len(content), Content_Type="application/octet-stream")
    handler.wfile.write(content)


def truncating(handler: Handler, content: bytes) -> None:
    handler.head(len(content))
    handler.wfile.write(content[: len(content) // 2])


def stalling(handler: Handler, content: bytes) -> None:
    truncating(handler, content)
    handler.wfile.flush()
    handler.server.released.wait(30)


def silent(handler: Handler, content: bytes) -> None:
    handler.server.released.wait(30)


def unmeasured(handler: Handler, content: bytes) -> None:
    handler.head(None, Connection="close")
    handler.wfile.write(content)


def empty(handler: Handler, content: bytes) -> None:
    handler.head(0)


def compressed(handler: Handler, content: bytes) -> None:
    packed = gzip.compress(content)
    handler.head(len(packed), Content_Encoding="gzip")
    handler.wfile.write(packed)


def compressed_where_welcome(handler: Handler, content: bytes) -> None:
    welcome = "gzip" in handler.headers.get("Accept-Encoding", "")
    (compressed if welcome else whole)(handler, content)


def chunked(handler: Handler, content: bytes) -> None:
    chunked_truncating(handler, content)
    handler.wfile.write(b"0\r\n\r\n")


def chunked_truncating(handler: Handler, content: bytes) -> None:
    handler.head(None, Transfer_Encoding="chunked")
    handler.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")


def status(code: int) -> Behaviour:
    def behave(handler: Handler, content: bytes) -> None:
        page = b"<html>an error</html>"
        handler.head(len(page), code, Content_Type="text/html")
        handler.wfile.write(page)

    return behave


def page(text: bytes, kind: str) -> Behaviour:
    def behave(handler: Handler, content: bytes) -> None:
        handler.head(len(text), Content_Type=kind)
        handler.wfile.write(text)

    return behave


def meeting(others: threading.Barrier) -> Behaviour:
    """Answers nobody before all have asked, so that the downloads really overlap."""

    def behave(handler: Handler, content: bytes) -> None:
        others.wait(30)
        whole(handler, content)

    return behave


class Server(ThreadingHTTPServer):
    """Serves the contents at any path on this machine, and counts the requests for each file."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.contents = dict(CONTENTS)
        self.behaviours: dict[str, list[Behaviour]] = {}
        self.requests: Counter[str] = Counter()
        self.counting = threading.Lock()
        self.released = threading.Event()

    @property
    def remote(self) -> RemoteCheckpoint:
        return RemoteCheckpoint.ensemble("test_ensemble", f"http://127.0.0.1:{self.server_port}/a/folder/", SEEDS)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


class Fetcher:
    """`fetch` into the test's folder, with waits that are recorded and not waited."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.waits: list[float] = []

    def __call__(self, remote: RemoteCheckpoint, **keywords: Any) -> Path:
        return fetch(remote, self.cache, **{"sleep": self.waits.append, **keywords})


@pytest.fixture
def fetcher(tmp_path: Path) -> Fetcher:
    return Fetcher(tmp_path / "a cache" / "for tests")


def assert_whole(folder: Path, contents: dict[str, bytes] = CONTENTS) -> None:
    """All files, their records, and nothing else."""
    assert {path.name for path in folder.iterdir()} == {*contents, *(f"{name}.sha256" for name in contents)}
    for name, content in contents.items():
        assert (folder / name).read_bytes() == content
        assert (folder / f"{name}.sha256").read_text() == f"{hashlib.sha256(content).hexdigest()}  {name}\n"


def assert_nothing_torn(folder: Path, missing: str) -> None:
    """The failed file has left nothing; what is there is whole."""
    names = {path.name for path in folder.iterdir()}
    assert missing not in names
    assert names <= {*CONTENTS, *(f"{name}.sha256" for name in CONTENTS)}
    for name in names & set(CONTENTS):
        assert (folder / name).read_bytes() == CONTENTS[name]


def assert_helpful(error: pytest.ExceptionInfo[DownloadError], *words: str) -> None:
    text = str(error.value)
    assert text.isprintable()
    assert error.value.exit_code == 1
    for word in words:
        assert word in text


# --- where


def test_ensemble_has_the_published_layout() -> None:
    remote = RemoteCheckpoint.ensemble("hoefling_2024", "https://host/folder/", (0, 1000, 2000, 3000, 4000))
    assert len(remote.files) == 15
    assert remote.files[:3] == ("config_00000.yaml", "data_info_00000.pkl", "state_dict_00000.pth.tar")
    assert remote.files[-1] == "state_dict_04000.pth.tar"
    assert remote.url_of(remote.files[0]) == "https://host/folder/config_00000.yaml"


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "/etc/passwd", "C:\\x", ".hidden", "a\n", "a b", "~"])
def test_names_that_could_leave_the_cache_are_refused(name: str) -> None:
    with pytest.raises(SettingError):
        RemoteCheckpoint("test", "https://host/", (name,))
    with pytest.raises(SettingError):
        RemoteCheckpoint(name, "https://host/", ("file",))


@pytest.mark.parametrize("url", ["", "host/folder", "ftp://host/", "file:///etc/", "https://", "http:///folder"])
def test_urls_that_are_no_web_address_are_refused(url: str) -> None:
    with pytest.raises(SettingError):
        RemoteCheckpoint("test", url, ("file",))


def test_cache_directory_is_the_users_or_the_platforms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert cache_directory() == tmp_path
    monkeypatch.setenv(CACHE_VARIABLE, "~/models")
    assert cache_directory() == Path.home() / "models"
    for unset in (lambda: monkeypatch.setenv(CACHE_VARIABLE, ""), lambda: monkeypatch.delenv(CACHE_VARIABLE)):
        unset()
        assert cache_directory() == Path(pooch.os_cache("openretina"))


def test_two_places_never_share_a_folder(tmp_path: Path) -> None:
    original = RemoteCheckpoint("name", "https://host/folder/", ("file",))
    mirror = RemoteCheckpoint("name", "https://mirror/folder/", ("file",))
    assert checkpoint_directory(original, tmp_path).parent == tmp_path
    assert checkpoint_directory(original, tmp_path) != checkpoint_directory(mirror, tmp_path)
    without_slash = RemoteCheckpoint("name", "https://host/folder", ("file",))
    assert checkpoint_directory(original, tmp_path) == checkpoint_directory(without_slash, tmp_path)


# --- what works


def test_all_files_arrive_and_are_recorded(server: Server, fetcher: Fetcher, capfd: pytest.CaptureFixture[str]) -> None:
    assert not is_complete(server.remote, fetcher.cache)
    folder = fetcher(server.remote)
    assert folder == checkpoint_directory(server.remote, fetcher.cache)
    assert is_complete(server.remote, fetcher.cache)
    assert_whole(folder)
    assert capfd.readouterr() == ("", "")
    assert pooch.get_logger().filters == []


def test_cache_comes_from_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert_whole(fetch(server.remote))
    assert is_complete(server.remote)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_files_are_as_readable_as_their_folder(server: Server, fetcher: Fetcher) -> None:
    folder = checkpoint_directory(server.remote, fetcher.cache)
    for mode in (0o755, 0o700):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)
        fetcher(server.remote)
        assert {(folder / name).stat().st_mode & 0o777 for name in CONTENTS} == {mode & 0o666}
        for path in folder.iterdir():
            path.unlink()


def test_a_complete_folder_needs_no_server(server: Server, fetcher: Fetcher) -> None:
    fetcher(server.remote)
    server.requests.clear()
    assert_whole(fetcher(server.remote))
    assert not server.requests


def test_only_missing_files_are_requested(server: Server, fetcher: Fetcher) -> None:
    folder = fetcher(server.remote)
    (folder / WEIGHTS).unlink()
    server.requests.clear()
    assert_whole(fetcher(server.remote))
    assert server.requests == {WEIGHTS: 1}


def test_files_copied_without_their_records_are_recorded(server: Server, fetcher: Fetcher) -> None:
    folder = checkpoint_directory(server.remote, fetcher.cache)
    folder.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    assert_whole(fetcher(server.remote))
    assert not server.requests


def test_progress_is_reported_from_nothing_to_all(server: Server, fetcher: Fetcher) -> None:
    server.behaviours = {FIRST: [compressed_where_welcome], WEIGHTS: [chunked]}
    heard: dict[str, list[tuple[int, int | None, int, int]]] = {}
    fetcher(server.remote, report=lambda file, *numbers: heard.setdefault(file, []).append(numbers))
    assert list(heard) == list(server.remote.files)
    for index, (name, steps) in enumerate(heard.items()):
        size = len(CONTENTS[name])
        done = [step[0] for step in steps]
        assert done == sorted(done)
        assert (done[0], done[-1]) == (0, size)
        assert len(done) > size // CHUNK_BYTES
        assert {step[1:] for step in steps} == {(None if name == WEIGHTS else size, index, len(CONTENTS))}


@pytest.mark.parametrize("behaviour", [chunked, compressed])
def test_other_honest_ways_to_send_a_file_work(server: Server, fetcher: Fetcher, behaviour: Behaviour) -> None:
    server.behaviours = {name: [behaviour] for name in CONTENTS}
    assert_whole(fetcher(server.remote))


@pytest.mark.parametrize("failing", [status(500), status(503), status(429), truncating, chunked_truncating, empty])
def test_a_passing_failure_is_tried_again(server: Server, fetcher: Fetcher, failing: Behaviour) -> None:
    server.behaviours[WEIGHTS] = [failing, failing, whole]
    assert_whole(fetcher(server.remote))
    assert server.requests[WEIGHTS] == 3
    assert fetcher.waits == [1, 2]


@pytest.mark.parametrize("failing", [silent, stalling])
def test_a_server_that_stalls_is_tried_again(server: Server, fetcher: Fetcher, failing: Behaviour) -> None:
    server.behaviours[WEIGHTS] = [failing, whole]
    # On a busy machine an honest answer may take longer than 0.2 s too, so there are attempts to spare.
    assert_whole(fetcher(server.remote, timeout=(5, 0.2), attempts=10))
    assert server.requests[WEIGHTS] >= 2
    assert fetcher.waits


# --- what does not


@pytest.mark.parametrize(
    ("behaviour", "words", "requests"),
    [
        (status(500), "500 Internal Server Error", 3),
        (truncating, "", 3),
        (chunked_truncating, "broke off", 3),
        (empty, "cut off after 0", 3),
        (status(404), "404 Not Found", 1),
        (status(403), "403 Forbidden", 1),
        (unmeasured, "does not say how long", 1),
        (page(b"hello", "text/html; charset=utf-8"), "a web page", 1),
        (page(b"\n<!DOCTYPE html><title>Log in</title>", "text/plain"), "a web page or note", 1),
        (page(b"/annex/objects/MD5-s10--d41d8cd9", "text/plain"), "a web page or note", 1),
    ],
)
def test_a_lasting_failure_is_one_line_and_tears_nothing(
    server: Server, fetcher: Fetcher, behaviour: Behaviour, words: str, requests: int
) -> None:
    server.behaviours[WEIGHTS] = [behaviour]
    with pytest.raises(DownloadError) as error:
        fetcher(server.remote)
    url = server.remote.url_of(WEIGHTS)
    assert_helpful(error, url, words, "openretina models fetch test_ensemble", CACHE_VARIABLE, str(fetcher.cache))
    assert server.requests[WEIGHTS] == requests
    assert_nothing_torn(checkpoint_directory(server.remote, fetcher.cache), WEIGHTS)
    assert not is_complete(server.remote, fetcher.cache)
    server.behaviours.clear()
    assert_whole(fetcher(server.remote))


@pytest.mark.parametrize("behaviour", [silent, stalling])
def test_a_server_that_always_stalls_is_given_up(server: Server, fetcher: Fetcher, behaviour: Behaviour) -> None:
    server.behaviours = {name: [behaviour] for name in CONTENTS}
    with pytest.raises(DownloadError) as error:
        fetcher(server.remote, timeout=(5, 0.2))
    assert_helpful(error, server.remote.url_of(FIRST), "127.0.0.1 stopped answering")
    # three attempts, as the client counts them; the server may hear of the last too late
    assert fetcher.waits == [1, 2]
    assert set(server.requests) <= {FIRST}
    assert list(checkpoint_directory(server.remote, fetcher.cache).iterdir()) == []


def test_no_server_at_all(fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    remote = RemoteCheckpoint("test_ensemble", f"http://127.0.0.1:{port}/", ("file",))
    with pytest.raises(DownloadError) as error:
        fetcher(remote, attempts=2)
    assert_helpful(error, "no connection to 127.0.0.1", "openretina models fetch test_ensemble")
    assert fetcher.waits == [1]


def test_a_proxy_is_respected(server: Server, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    remote = RemoteCheckpoint.ensemble("test_ensemble", "http://host.invalid/folder", SEEDS)
    assert_whole(fetcher(remote))


def test_a_file_that_has_changed_at_its_source_is_refused(server: Server, fetcher: Fetcher) -> None:
    folder = fetcher(server.remote)
    (folder / WEIGHTS).unlink()
    server.contents[WEIGHTS] = weights(7)
    with pytest.raises(DownloadError) as error:
        fetcher(server.remote)
    digests = [hashlib.sha256(content).hexdigest() for content in (CONTENTS[WEIGHTS], server.contents[WEIGHTS])]
    assert_helpful(error, WEIGHTS, *digests, f"delete {folder}")
    assert_nothing_torn(folder, WEIGHTS)
    for path in folder.iterdir():
        path.unlink()
    assert_whole(fetcher(server.remote), server.contents)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 other weights"])
def test_a_file_that_has_changed_on_this_machine_is_refused(server: Server, fetcher: Fetcher, damage: bytes) -> None:
    folder = fetcher(server.remote)
    server.requests.clear()
    (folder / WEIGHTS).write_bytes(damage)
    with pytest.raises(DownloadError) as error:
        fetcher(server.remote)
    assert_helpful(error, str(folder / WEIGHTS), hashlib.sha256(damage).hexdigest(), f"delete {folder}")
    assert not server.requests


def test_a_damaged_record_is_refused(server: Server, fetcher: Fetcher) -> None:
    folder = fetcher(server.remote)
    (folder / f"{WEIGHTS}.sha256").write_bytes(b"\xff\x1b[2J\n")
    with pytest.raises(DownloadError) as error:
        fetcher(server.remote)
    assert_helpful(error, f"delete {folder}")


# --- wrong, endless and secret


WRONG_ANSWERS = {
    "json": b'{"error": "please log in"}',
    "text": b"Too many requests",
    "other pickle": pickle.dumps(["a", "list"]),
    "zip of others": CONTENTS[WEIGHTS].replace(b"data.pkl", b"note.txt"),
    "cut and measured anew": CONTENTS[WEIGHTS][: 2 * CHUNK_BYTES],
    "one byte changed": CONTENTS[WEIGHTS].replace(b"\0\0\0\0\0\0\0\0\0", b"\0\0\0\0\1\0\0\0\0", 1),
}


@pytest.mark.parametrize("answer", list(WRONG_ANSWERS))
@pytest.mark.parametrize("name", [name for name in CONTENTS if "00000" in name])
def test_a_wrong_answer_with_status_200_never_enters_the_cache(
    server: Server, fetcher: Fetcher, name: str, answer: str
) -> None:
    server.behaviours[name] = [page(WRONG_ANSWERS[answer], "application/octet-stream"), whole]
    with pytest.raises(DownloadError) as error:
        fetcher(server.remote)
    assert_helpful(error, server.remote.url_of(name), "something else in place of the file", name)
    assert len(str(error.value)) < 500 + len(str(fetcher.cache))
    assert not (checkpoint_directory(server.remote, fetcher.cache) / f"{name}.sha256").exists()
    assert_whole(fetcher(server.remote))


@pytest.mark.parametrize("name", [name for name in CONTENTS if "00000" in name])
def test_a_cache_poisoned_by_an_earlier_version_is_told_to_be_deleted(
    server: Server, fetcher: Fetcher, name: str
) -> None:
    folder = fetcher(server.remote)
    poison = WRONG_ANSWERS["json"]
    (folder / name).write_bytes(poison)
    (folder / f"{name}.sha256").write_text(f"{hashlib.sha256(poison).hexdigest()}  {name}\n")
    with pytest.raises(DownloadError) as error:
        fetcher(server.remote)
    assert_helpful(error, str(folder / name), f"delete {folder}")


def endless(handler: Handler, content: bytes) -> None:
    """Chunks without end, of what begins like the file."""
    handler.head(None, Transfer_Encoding="chunked")
    while not handler.server.released.is_set():
        handler.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")


def boasting(handler: Handler, content: bytes) -> None:
    handler.head(2**40)


@pytest.mark.parametrize("behaviour", [endless, boasting])
def test_an_answer_larger_than_any_such_file_is_refused(server: Server, fetcher: Fetcher, behaviour: Behaviour) -> None:
    server.behaviours[FIRST] = [behaviour]
    with pytest.raises(DownloadError) as error:
        fetcher(server.remote)
    assert_helpful(error, server.remote.url_of(FIRST), "more than 262144")
    assert server.requests == {FIRST: 1}
    assert list(checkpoint_directory(server.remote, fetcher.cache).iterdir()) == []


def dripping(handler: Handler, content: bytes) -> None:
    """One byte at a time, each well before the client's patience for a next byte ends."""
    handler.head(len(content))
    for byte in content:
        if handler.server.released.wait(0.01):
            break
        handler.wfile.write(bytes([byte]))


def dripping_head(handler: Handler, content: bytes) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    while not handler.server.released.wait(0.01):
        handler.wfile.write(b"x")


@pytest.mark.parametrize("behaviour", [dripping, dripping_head])
def test_a_server_that_drips_is_given_up_at_the_deadline(
    server: Server, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour
) -> None:
    monkeypatch.setenv(DEADLINE_VARIABLE, "0.3")
    server.behaviours[FIRST] = [behaviour]
    with pytest.raises(DownloadError) as error:
        fetcher(server.remote)
    assert_helpful(error, server.remote.url_of(FIRST), "127.0.0.1 takes longer", DEADLINE_VARIABLE)
    assert server.requests == {FIRST: 1}
    assert list(checkpoint_directory(server.remote, fetcher.cache).iterdir()) == []


@pytest.mark.parametrize("stated", ["soon", "0", "-1", "nan", "inf"])
def test_a_deadline_that_is_no_time_is_a_mistake(monkeypatch: pytest.MonkeyPatch, stated: str) -> None:
    monkeypatch.setenv(DEADLINE_VARIABLE, stated)
    with pytest.raises(SettingError, match=DEADLINE_VARIABLE):
        download_seconds()


SECRET_URLS = [
    "http://user:hunter2@127.0.0.1/folder/",
    "http://hunter2@127.0.0.1/folder/",
    "ftp://user:hunter2@127.0.0.1/folder/",
    "http://user:hunter2@[127.0.0.1/folder/",
    "http://user:hunter2@127.0.0.1:port/folder/",
    "http://127.0.0.1/folder?token=hunter2",
    "http://127.0.0.1/folder#hunter2",
]


@pytest.mark.parametrize("url", SECRET_URLS)
def test_a_secret_in_the_url_is_refused_and_neither_shown_nor_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], url: str
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingError) as refusal:
        RemoteCheckpoint("test", url, ("file",))
    assert "hunter2" not in str(refusal.value)
    for extra in ([], ["-m", "neuron=1,2"]):
        command = ["optimize", "model=hoefling_2024", f"model.url='{url}'", "neuron=1", "out=runs/out"]
        assert main([*command[:3], *(extra or command[3:4]), command[4]]) == 2
        printed = capfd.readouterr()
        assert "hunter2" not in printed.out + printed.err
        assert len(printed.err.splitlines()) == 1
    recorded = [path for path in tmp_path.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert recorded == []


def test_a_password_from_netrc_is_sent(server: Server, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    def guarded(handler: Handler, content: bytes) -> None:
        expected = "Basic " + base64.b64encode(b"reader:hunter2").decode()
        (whole if handler.headers.get("Authorization") == expected else status(401))(handler, content)

    server.behaviours = {name: [guarded] for name in CONTENTS}
    with pytest.raises(DownloadError, match="401"):
        fetcher(server.remote)
    secrets = fetcher.cache.parent / "netrc"
    secrets.write_text("machine 127.0.0.1 login reader password hunter2\n")
    secrets.chmod(0o600)
    monkeypatch.setenv("NETRC", str(secrets))
    folder = fetcher(server.remote)
    assert_whole(folder)
    assert all(b"hunter2" not in path.read_bytes() for path in folder.iterdir())


def test_a_redirect_with_a_secret_is_not_shown(server: Server, fetcher: Fetcher) -> None:
    def redirecting(handler: Handler, content: bytes) -> None:
        handler.head(0, 302, Location="sftp://user:hunter2@127.0.0.1/file")

    server.behaviours[FIRST] = [redirecting]
    with pytest.raises(DownloadError) as error:
        fetcher(server.remote)
    assert_helpful(error, "127.0.0.1 cannot be used")
    assert "hunter2" not in str(error.value)


def test_a_cache_that_cannot_be_used_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DownloadError) as error:
        fetch(server.remote, tmp_path / "file")
    assert_helpful(error, str(tmp_path / "file"), CACHE_VARIABLE)


def test_an_interrupted_download_leaves_nothing(server: Server, fetcher: Fetcher) -> None:
    def interrupt(file: str, done: int, *_: object) -> None:
        if file == WEIGHTS and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetcher(server.remote, report=interrupt)
    assert_nothing_torn(checkpoint_directory(server.remote, fetcher.cache), WEIGHTS)
    assert_whole(fetcher(server.remote))


# --- many at once


def test_threads_that_fetch_at_once_agree(server: Server, fetcher: Fetcher, capfd: pytest.CaptureFixture[str]) -> None:
    server.behaviours[FIRST] = [meeting(threading.Barrier(2))]
    folders: list[Path] = []
    threads = [threading.Thread(target=lambda: folders.append(fetcher(server.remote))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(folders) == 2
    assert server.requests[FIRST] == 2
    assert_whole(folders[0])
    assert capfd.readouterr() == ("", "")
    assert pooch.get_logger().filters == []


def test_processes_that_fetch_at_once_agree(server: Server, tmp_path: Path) -> None:
    server.behaviours[FIRST] = [meeting(threading.Barrier(2))]
    program = (
        "from openretina_cli.models.download import RemoteCheckpoint, fetch\n"
        f"print(fetch(RemoteCheckpoint.ensemble('test_ensemble', {server.remote.url!r}, {SEEDS!r})))"
    )
    environment = {**os.environ, CACHE_VARIABLE: str(tmp_path)}
    command = [sys.executable, "-c", program]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    fetching = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
    printed, complained = zip(*[process.communicate(timeout=60) for process in fetching], strict=True)
    assert [process.returncode for process in fetching] == [0, 0]
    assert complained == ("", "")  # here pooch's own logger would be seen; under pytest it would not
    assert printed == (f"{checkpoint_directory(server.remote, tmp_path)}\n",) * 2
    assert server.requests[FIRST] == 2
    assert_whole(Path(printed[0].strip()))


def test_records_are_read_by_sha256sum(server: Server, fetcher: Fetcher) -> None:
    folder = fetcher(server.remote)
    for name in CONTENTS:
        assert re.fullmatch(rf"[0-9a-f]{{64}}  {re.escape(name)}\n", (folder / f"{name}.sha256").read_text())


def test_downloading_does_not_import_torch() -> None:
    program = "import sys, openretina_cli.models.download; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# --- checkpoints of one file

PUBLISHED = (
    *("hoefling_2024_low_res", "hoefling_2024_high_res", "hoefling_2024_base_low_res"),
    *("karamanlis_2024_mouse", "karamanlis_2024_marmoset", "maheswaranathan_2023", "sridhar_2025"),
    *("goldin_2022_axolotl", "goldin_2022_mouse"),
)


def redirecting(other: Server) -> Behaviour:
    """Sends to another host and port with a query, as the hosts of published checkpoints do."""

    def behave(handler: Handler, content: bytes) -> None:
        place = f"http://localhost:{other.server_port}/cas/{handler.path.rpartition('/')[2]}"
        handler.head(0, 302, Location=place, X_Linked_Size=str(len(content)))

    return behave


@pytest.fixture
def published(server: Server, zoo: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A server that sends every published name to another host, which has a readable checkpoint."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    files = [known.remote.files[0] for name, known in known_models().items() if name in PUBLISHED and known.remote]
    with Server() as other:
        for name in (*files, "epoch=00_val=0.77.ckpt"):
            other.contents[name] = server.contents[name] = (zoo / "lnp_exp.ckpt").read_bytes()
            server.behaviours[name] = [redirecting(other)]
        thread = threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        other.shutdown()
        thread.join()


def local_path(server: Server, file: str) -> str:
    return f"http://127.0.0.1:{server.server_port}/resolve/main/{file}"


def run_of(model: str, path: str, *extra: str) -> int:
    few = ["stopper.max_iterations=1", "stimulus.frames=20", "output=minimal", "device=cpu", "neuron=0", "out=out"]
    return main(["optimize", f"model={model}", f"model.path='{path}'", "reducer=mean", "overwrite=true", *few, *extra])


def test_every_published_name_is_listed_with_one_file_and_can_be_fetched(capfd: pytest.CaptureFixture[str]) -> None:
    known = known_models()
    remotes = [known[name].remote for name in PUBLISHED]
    assert all(remote is not None and len(remote.files) == 1 and remote.url.startswith("https") for remote in remotes)
    assert main(["models"]) == 0
    listed = capfd.readouterr().out
    assert all(name in listed for name in PUBLISHED)


@pytest.mark.parametrize("model", PUBLISHED)
def test_every_published_name_arrives_through_a_redirect_and_is_read(
    published: Server, model: str, capfd: pytest.CaptureFixture[str]
) -> None:
    remote = known_models()[model].remote
    assert remote is not None
    path = local_path(published, remote.files[0])
    states = ["model.channels=null", "model.min_quality=null"]
    assert main(["models", model, f"model.path='{path}'", *states]) == 0
    assert main(["models", model, f"model.path='{path}'", *states]) == 0
    assert published.requests[remote.files[0]] == 1
    folder = checkpoint_directory(RemoteCheckpoint.single(path, model))
    digest = hashlib.sha256(published.contents[remote.files[0]]).hexdigest()
    assert (folder / f"{remote.files[0]}.sha256").read_text() == f"{digest}  {remote.files[0]}\n"
    assert path in capfd.readouterr().out.replace("\n", "").replace(" ", "")


def test_a_web_address_takes_the_place_of_a_path(published: Server, tmp_path: Path) -> None:
    path = local_path(published, "epoch=00_val=0.77.ckpt")
    assert main(["models", "fetch", path]) == 0
    published.shutdown()  # what is here needs no server
    assert run_of("core_readout", path) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["model"]["source"] == path
    assert result["model"]["name"] == "epoch=00_val=0.77"


@pytest.mark.parametrize(
    ("behaviour", "word"),
    [
        (page(b"<html>sign in</html>", "text/html"), "web page"),
        (page(b"<!doctype html>", "application/octet-stream"), "web page"),
        (page(b"version https://git-lfs.github.com/spec/v1", "text/plain"), "web page or note"),
        (page(b"no archive at all", "application/octet-stream"), "something else in place of the file"),
        (status(404), "404"),
        (truncating, "broke off the connection"),
    ],
)
def test_a_checkpoint_that_does_not_arrive_leaves_nothing(
    published: Server, fetcher: Fetcher, behaviour: Behaviour, word: str
) -> None:
    file = "epoch=00_val=0.77.ckpt"
    published.behaviours[file] = [behaviour]
    remote = RemoteCheckpoint.single(local_path(published, file))
    with pytest.raises(DownloadError) as error:
        fetcher(remote)
    assert_helpful(error, word, f"openretina models fetch {remote.argument}")
    assert not [*checkpoint_directory(remote, fetcher.cache).glob("*")]


@pytest.mark.parametrize(
    "path", ["https://host/x.ckpt?token=hunter2", "https://me:hunter2@host/x.ckpt", "https://host/"]
)
def test_an_address_that_is_no_plain_file_is_refused_without_repeating_it(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_of("core_readout", path) == 2
    error = capfd.readouterr().err
    assert len(error.splitlines()) == 1
    assert "hunter2" not in error

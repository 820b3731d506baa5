"""Headless Chromium, told what to do over a pipe: opens a page from a disk, presses keys, asks what is there."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chromium import FLAGS
from real_parts import missing

PATIENCE = 60  # seconds without any answer; a browser that hangs must not hang the tests

# Answers at the first frame in which the condition holds; nothing waits for a guessed time.
UNTIL = """new Promise((resolve) => {{
  const look = () => {{ const value = ({condition}); if (value) resolve(value); else requestAnimationFrame(look); }};
  look();
}})"""

KEYS = {
    "Tab": 9,
    "Enter": 13,
    "Escape": 27,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
    "Home": 36,
}


class Page:
    """One page of the browser.

    Args:
        write: file descriptor that the browser listens to.
        read: file descriptor that it answers on.
    """

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._buffer = b""
        self._count = 0
        self._session = ""
        self.complaints: list[str] = []

    def attach(self) -> None:
        """Take over the browser's first page."""
        targets = self.ask("Target.getTargets")["targetInfos"]
        target = next(info["targetId"] for info in targets if info["type"] == "page")
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> Any:
        """Send a command of the DevTools protocol and wait for its answer."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._count:
            self._listen(answer)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._read], [], [], PATIENCE)[0]:
                raise TimeoutError("the browser does not answer")
            chunk = os.read(self._read, 2**20)
            if not chunk:
                raise AssertionError("the browser ended")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(line)

    def _listen(self, event: dict[str, Any]) -> None:
        method, found = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = found["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Runtime.consoleAPICalled" and found["type"] in ("error", "warning", "assert"):
            self.complaints.append(str([argument.get("value") for argument in found["args"]]))
        elif method == "Log.entryAdded" and found["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{found['entry']['text']} {found['entry'].get('url', '')}")

    def open(self, path: Path, address: str = "", ready: str = "document.querySelector('#count')?.textContent") -> None:
        """Open a file, and wait until it is loaded and ready; a report is when its first cards are there."""
        self.ask("Page.navigate", url="about:blank")
        self.ask("Page.navigate", url=path.resolve().as_uri() + address)
        self.until(f"document.readyState === 'complete' && {ready}")

    def value(self, expression: str) -> Any:
        """What an expression in the page comes to."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def until(self, condition: str) -> Any:
        """Wait until an expression is true, and return its value."""
        return self.value(UNTIL.format(condition=condition))

    def press(self, key: str) -> None:
        """Press and let go of a key, wherever the focus is."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        code = KEYS.get(key, ord(key[0].upper()))
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def resize(self, width: int, height: int) -> None:
        """Give the window another size, in pixels."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def picture(self) -> bytes:
        """What is to be seen, as PNG."""
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """A browser with a profile of its own; see `real_parts` for a machine without one."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    if binary is None or shutil.which("bash") is None:
        missing("chromium", "apt-get install chromium")
    hears, tell = os.pipe()
    listen, says = os.pipe()
    flags = [*FLAGS, "--remote-debugging-pipe", "--hide-scrollbars", "--autoplay-policy=no-user-gesture-required"]
    # the browser listens on descriptor 3 and answers on 4; only a shell can put the pipes there
    command = ["bash", "-c", f'exec "$@" 3<&{hears} 4>&{says}', "bash", binary, *flags]
    command += [f"--user-data-dir={folder / 'profile'}", "--window-size=1280,900", "about:blank"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, pass_fds=(hears, says), stdout=quiet, stderr=quiet) as process:
        try:
            os.close(hears)
            os.close(says)
            page = Page(tell, listen)
            page.attach()
            yield page
        finally:
            process.terminate()
            os.close(tell)
            os.close(listen)

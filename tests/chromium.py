"""What a real browser makes of a video: played in headless Chromium, read back from a canvas."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from real_parts import missing

# Loads the video, seeks to `time`, draws the frame that is shown there and posts what it saw. The video travels inside
# the page, because a canvas that shows a foreign file may not be read back.
PAGE = """<!doctype html><body><video muted src="data:video/mp4;base64,{data}"></video><script>
const video = document.querySelector("video"), points = {points};
const say = (report) => fetch("/report", {{method: "POST", body: JSON.stringify(report)}});
const look = () => {{
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  const context = canvas.getContext("2d");
  context.drawImage(video, 0, 0);
  const pixels = points.map(([x, y]) => Array.from(context.getImageData(x, y, 1, 1).data).slice(0, 3));
  say({{duration: video.duration, width: video.videoWidth, height: video.videoHeight, pixels}});
}};
video.onseeked = look;
video.onerror = () => say({{error: video.error.message}});
const seek = () => {{ video.currentTime = {time}; }};
if (video.readyState > 0) seek(); else video.onloadedmetadata = seek;
</script></body>"""

# A profile of its own, and nothing fetched: no updates, no first-run pages, no sync.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


class ReportDesk(HTTPServer):
    """Serves one page on this machine, and keeps what the page reports."""

    timeout = 60  # seconds without any request; a browser that hangs must not hang the tests
    report: dict[str, Any] | None = None

    def __init__(self, page: str) -> None:
        super().__init__(("127.0.0.1", 0), Desk)
        self.page = page.encode()

    def handle_timeout(self) -> None:
        raise TimeoutError("the browser reported nothing")


class Desk(BaseHTTPRequestHandler):
    """Hands out the page, takes in the report."""

    server: ReportDesk

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self.server.page)

    def do_POST(self) -> None:
        self.server.report = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def watch(mp4: bytes, time: float, points: list[tuple[int, int]], folder: Path) -> dict[str, Any]:
    """Duration (s), size and the colours at `points` (x, y) of the frame that Chromium shows at `time` seconds."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    if binary is None:
        missing("chromium", "apt-get install chromium")
    page = PAGE.format(data=base64.b64encode(mp4).decode(), points=json.dumps(points), time=time)
    with ReportDesk(page) as desk:
        address = f"http://127.0.0.1:{desk.server_port}/"
        command = [binary, *FLAGS, f"--user-data-dir={folder / 'profile'}", address]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
            try:
                while desk.report is None:
                    desk.handle_request()
            finally:
                browser.terminate()
        return desk.report

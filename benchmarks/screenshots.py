"""Makes the README's pictures with TensorBoard and a headless Chromium: python benchmarks/screenshots.py"""

import base64
import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from nextchar.cli.main import exit_after
from nextchar.cli.printing import short
from nextchar.comparison import files as report
from nextchar.comparison import ranking as comparison
from nextchar.config.compose import run_settings
from nextchar.errors import BadInput
from nextchar.runs.atomic import write_atomically
from nextchar.runs.record import PROJECT
from nextchar.training import train as training

README = PROJECT / "outputs" / "readme"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LONGEST_WAIT = 60.0  # seconds until a page must be complete
WIDTH, HEIGHT = 1400, 900  # pixels of a picture

RUNS = {
    "count": ["model=count"],
    "count k=0.1": ["model=count", "smoothing.k=0.1"],
    "count k=10": ["model=count", "smoothing.k=10"],
    "nn": ["model=nn"],
    "nn adam": ["model=nn", "optim=adam"],
    "nn lr=5": ["model=nn", "optim.lr=5"],
}
FEW = {"runFilter": "^(count|nn|nn adam)$", "tagFilter": "train/(grad|loss)|val", "smoothing": "0"}
COLUMNS = ["model.name", "optim.lr", "optim.name", "smoothing.k", "smoothing.name"]

# Finds elements by selector, inside web components too.
DEEP = """const deep = (selector, root = document) => [...root.querySelectorAll(selector),
    ...[...root.querySelectorAll('*')].flatMap(e => e.shadowRoot ? deep(selector, e.shadowRoot) : [])];"""
# The cards of Time Series that show both nets; a counted run has no gradient.
CARDS = "deep('scalar-card').filter(card => card.querySelectorAll('tb-data-table-content-row').length >= 2)"
CELLS = "deep('vaadin-grid-cell-content').map(cell => cell.innerText.trim())"
# Closes the pane of settings, which covers a third of the page.
CLOSE_PANE = "deep('[aria-label=\"Close side pane\"]').forEach(button => button.click())"
# Ticks the wanted columns of settings (their names hold a dot) and unticks the others.
TICK = f"""deep('paper-checkbox').filter(box => box.innerText.includes('.'))
    .forEach(box => box.checked != {COLUMNS}.includes(box.innerText.trim()) && box.click())"""


def main() -> None:
    if sys.argv[1:]:
        print(__doc__)
        raise SystemExit(0 if sys.argv[1] in ("-h", "--help") else 2)
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise BadInput(f"no browser found; install one of {', '.join(BROWSERS)}")
    README.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        for name, words in RUNS.items():
            train(folder / "runs" / name, *words, f"figures={name == 'count'}")
        keep("counts", (folder / "runs/count/figures/counts.png").read_bytes())
        train(folder / "order 6", "model.order=6")
        keep("orders", (folder / "order 6/figures/orders.png").read_bytes())
        with serving(folder / "runs") as address, Page(browser, folder / "profile") as page:
            page.open(f"{address}/?{urllib.parse.urlencode(FEW)}#timeseries", zoom=0.85)
            page.wait(f"{CARDS}.length >= 6")
            page.run(CLOSE_PANE)
            keep("curves", page.picture())
            page.open(f"{address}/#hparams", zoom=0.75)  # ten columns and more
            page.wait(f"{[*RUNS, 'train/loss']}.every(text => {CELLS}.includes(text))")
            page.run(TICK)
            keep("hparams", page.picture(height=HEIGHT // 2))
            compared = folder / report.PAGE
            compared.write_bytes(report.files(comparison.compare([folder / "runs"]))[report.PAGE])
            page.open(compared.as_uri(), zoom=0.72)
            page.wait("deep('tbody tr').length > 0")
            keep("compare", page.picture())


def train(folder: Path, *words: str) -> None:
    """Trains a run into this folder."""
    settings = run_settings(words)
    training.train(settings, folder)


def keep(name: str, png: bytes) -> None:
    """Writes outputs/readme/NAME.png in 256 colours, which take a third of the bytes and look the same."""
    file, target = io.BytesIO(), README / f"{name}.png"
    few = Image.open(io.BytesIO(png)).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(file, "png", optimize=True)
    write_atomically(target, file.getvalue())
    print(f"picture      {short(target)}  {len(file.getvalue()) / 1000:.0f} kB", file=sys.stderr)


@contextlib.contextmanager
def serving(logdir: Path, *options: str) -> Iterator[str]:
    """Serves a folder of runs by TensorBoard on a free port of this machine only. Yields its address."""
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={logdir}", "--host=127.0.0.1", "--port=0", *options]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    with contextlib.ExitStack() as stack:
        stack.callback(server.stderr.close)
        stack.callback(server.wait)
        stack.callback(server.kill)  # it has no state to save
        said = ""
        for line in server.stderr:
            if address := re.search(r"http://127\.0\.0\.1:\d+", line):
                yield address.group()
                return
            said = line.strip()
        raise RuntimeError(f"TensorBoard did not start: {said}")


class Page:
    """A page of a headless browser, driven by the Chrome DevTools Protocol over a pipe."""

    def __init__(self, browser: str, profile: Path) -> None:
        flags = ["--headless", "--remote-debugging-pipe", "--disable-gpu", "--disable-quic", "--no-first-run"]
        flags += [
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
        ]
        flags += ["--no-sandbox"] * (os.geteuid() == 0)  # Chromium has no sandbox for root
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # The browser reads descriptor 3 and writes 4. By bash: sh redirects no descriptors of two digits.
        redirected = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", redirected, "bash", browser, f"--user-data-dir={profile}", *flags, "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._received, self._number, self._session = b"", 0, {}  # type: bytes, int, dict[str, str]

    def __enter__(self) -> "Page":
        pages = [info for info in self._ask("Target.getTargets")["targetInfos"] if info["type"] == "page"]
        attached = self._ask("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        return self

    def __exit__(self, *raised: object) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._session = {}
            self._ask("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def open(self, address: str, zoom: float = 1) -> None:
        """Opens an address; a zoom below 1 shows more of the page in the same picture."""
        size = {"width": round(WIDTH / zoom), "height": round(HEIGHT / zoom)}
        self._ask("Emulation.setDeviceMetricsOverride", **size, deviceScaleFactor=zoom, mobile=False)
        self._ask("Page.navigate", url="about:blank")  # else an address that differs only behind # loads nothing
        self._ask("Page.navigate", url=address)

    def run(self, script: str) -> Any:
        """Runs a script in the page. Returns its value."""
        answer = self._ask("Runtime.evaluate", expression=f"{{{DEEP} {script}}}", returnByValue=True)
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Waits until a script is true. Raises RuntimeError after LONGEST_WAIT."""
        deadline = time.monotonic() + LONGEST_WAIT
        while self.run(condition) is not True:
            if time.monotonic() > deadline:
                raise RuntimeError(f"after {LONGEST_WAIT:.0f} s the page still fails: {condition}")
            time.sleep(0.2)

    def picture(self, height: int = HEIGHT) -> bytes:
        """A PNG of the upper part of the page, once two captures in a row are equal."""
        previous, now = b"", self._capture()
        while now != previous:
            time.sleep(0.5)
            previous, now = now, self._capture()
        file = io.BytesIO()
        Image.open(io.BytesIO(now)).crop((0, 0, WIDTH, height)).save(file, "png")
        return file.getvalue()

    def _capture(self) -> bytes:
        return base64.b64decode(self._ask("Page.captureScreenshot", format="png")["data"])

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command and returns its answer; events in between are ignored."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **self._session}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._received:
                if not (more := os.read(self._read, 1 << 16)):
                    raise EOFError("the browser has closed")
                self._received += more
            one, _, self._received = self._received.partition(b"\0")
            answer = json.loads(one)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result


if __name__ == "__main__":
    exit_after(main)

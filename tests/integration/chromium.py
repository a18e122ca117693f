"""A headless Chromium for tests, spoken to by the DevTools protocol over a pipe, with no library.

https://chromedevtools.github.io/devtools-protocol/ describes the methods and events.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time

_TIMEOUT_SEC = 120


def find_chromium():
    """The path of Debian's or another Chromium, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page:
    """One page of a new browser; a context manager.

    Attributes:
      events: what the browser reported, as (method, params).

    Args:
      program: path of Chromium.
      profile: an empty folder for the browser's own files.
      width, height: of the screen, in CSS pixels.
      dark: whether the reader prefers dark pages.
    """

    def __init__(self, program, profile, width, height, dark):
        self.events = []
        self._number = 0
        self._unread = b""
        self._start(program, profile)
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=True)
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def _start(self, program, profile):
        from_test, to_browser = os.pipe()
        to_test, from_browser = os.pipe()
        # The protocol's pipe is file descriptors 3 and 4 of the browser. (dash knows one digit only.)
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$0" "$@" 3<&{from_test} 4>&{from_browser}', program, "--headless",
             "--remote-debugging-pipe", f"--user-data-dir={profile}", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "about:blank"],
            pass_fds=(from_test, from_browser), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(from_test)
        os.close(from_browser)
        self._to_browser, self._from_browser = to_browser, to_test

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self._to_browser)
        os.close(self._from_browser)
        self._process.terminate()
        self._process.wait(timeout=_TIMEOUT_SEC)

    def call(self, method, **params):
        """Call a method for this page and return its result."""
        return self._send(method, self._session, **params)

    def open(self, url):
        """Go to `url` and wait until all of it is loaded."""
        self.call("Page.navigate", url=url)
        while not any(method == "Page.loadEventFired" for method, _ in self.events):
            self._receive()

    def open_offline(self, path):
        """Go to the file `path` with no network."""
        self.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)
        self.open(path.as_uri())

    def smallest_print(self):
        """The height of the smallest text in the page's pictures, in CSS pixels."""
        return self.evaluate(
            "Math.min(...[...document.querySelectorAll('svg text')].map("
            "text => text.ownerSVGElement.getScreenCTM().a * parseFloat(getComputedStyle(text).fontSize)))")

    def evaluate(self, expression):
        """The value of a JavaScript expression in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]

    def screenshot(self, path):
        """Write a PNG of the whole page, as far down as it goes."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip={**size, "scale": 1})["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(picture))

    def _send(self, method, session=None, **params):
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._to_browser, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                return answer["result"]

    def _receive(self):
        """The next message of the browser; events are noted."""
        deadline = time.monotonic() + _TIMEOUT_SEC
        while b"\0" not in self._unread:
            assert select.select([self._from_browser], [], [], max(0, deadline - time.monotonic()))[0], "no answer"
            received = os.read(self._from_browser, 1 << 20)
            assert received, f"Chromium has ended with {self._process.wait(timeout=_TIMEOUT_SEC)}"
            self._unread += received
        message, _, self._unread = self._unread.partition(b"\0")
        message = json.loads(message)
        if "method" in message:
            self.events.append((message["method"], message.get("params", {})))
        return message

"""A real browser for tests and pictures: headless Chromium, driven through chromedriver's WebDriver over HTTP."""
from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
         "--disable-dev-shm-usage", "--force-color-profile=srgb", "--font-render-hinting=none")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"ENTER": "\ue007", "ESCAPE": "\ue00c", "DOWN": "\ue015", "UP": "\ue013", "END": "\ue010", "TAB": "\ue004"}
SECONDS = 30  # until what is waited for must be there


class Browser:
    """One browser with a profile of its own, which is gone when it is closed."""

    def __init__(self, width=1280, height=900, dark=False):
        self.profile = tempfile.mkdtemp(prefix="browser-")
        self.driver = subprocess.Popen([shutil.which("chromedriver"), "--port=0"], stdout=subprocess.PIPE, text=True,
                                       stderr=subprocess.DEVNULL, env={**os.environ, "HOME": self.profile})
        try:
            self.base = f"http://127.0.0.1:{self._read_port()}/session"
            flags = [*FLAGS, f"--user-data-dir={self.profile}", f"--window-size={width},{height}"]
            options = {"args": flags, "binary": shutil.which("chromium")}
            found = self._ask("POST", "", {"capabilities": {"alwaysMatch": {
                "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}})
            self.base += "/" + found["sessionId"]
            self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                         mobile=width < 600)
            self.prefer("dark" if dark else "light")
        except BaseException:
            self.close()
            raise

    def _read_port(self):
        for line in self.driver.stdout:
            if "started successfully on port" in line:
                return int(line.rstrip().rstrip(".").rpartition(" ")[2])
        raise AssertionError("chromedriver did not start")

    def _ask(self, method, path, data=None):
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(self.base + path, body, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    def close(self):
        try:
            self._ask("DELETE", "")
        except (AssertionError, OSError):
            pass
        self.driver.terminate()
        self.driver.wait(30)
        self.driver.stdout.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def command(self, name, **params):
        """A command of the DevTools protocol."""
        return self._ask("POST", "/goog/cdp/execute", {"cmd": name, "params": params})

    def prefer(self, scheme):
        """Light or dark, as the system would ask for."""
        self.command("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}, {"name": "prefers-reduced-motion", "value": "reduce"}])

    def open(self, url):
        """Open a page and wait until its script has run."""
        self._ask("POST", "/url", {"url": url})
        self.wait_for("document.body.dataset.ready === '1'")

    def run(self, script, *args):
        """What a script returns, whose arguments are `arguments`."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(args)})

    def value(self, expression):
        return self.run(f"return {expression}")

    def wait_for(self, expression, seconds=SECONDS):
        """The value of an expression, once it is true."""
        end = time.monotonic() + seconds
        while not (value := self.value(expression)):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.02)
        return value

    def find(self, selector):
        return self._ask("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self._ask("POST", f"/element/{self.find(selector)}/click", {})

    def type(self, selector, text):
        self._ask("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def press(self, *keys):
        """Keys to what has the focus; names of KEYS or characters."""
        actions = [{"type": kind, "value": KEYS.get(key, key)} for key in keys for kind in ("keyDown", "keyUp")]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def errors(self):
        """What the console has said since the last call, but for what is no fault."""
        return [entry["message"] for entry in self._ask("POST", "/se/log", {"type": "browser"})
                if entry["level"] in ("SEVERE", "WARNING")]

    def screenshot(self, height=None):
        """What is shown, as PNG; of the whole page up to a height."""
        if height is None:
            return base64.b64decode(self._ask("GET", "/screenshot"))
        width = self.value("innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        return base64.b64decode(self.command("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                                             clip=clip)["data"])

"""A real JupyterLab and a real Chromium for tests of widgets; import the fixtures that a test file uses."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
APPLICATIONS = {
    "lab": ("jupyterlab", "LabApp", "lab/tree", "&reset"),
    "notebook": ("notebook", "JupyterNotebookApp", "notebooks", ""),
}
"""The module to run, the class that its options belong to, where it opens files, and what closes those that it had."""

# Chromium refuses to sandbox itself as root, and containers lack what its sandbox needs. No name is resolved, so that a
# page that needs the network fails here as it would for a reader without one.
ARGUMENTS = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
# A notebook that names no kernel asks for one in a dialogue.
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
# A notebook that opens before its kernel answers runs nothing, and says nothing either.
RUN_ALL = """async (theme) => {
    const { commands, shell } = window.jupyterapp;
    const run = async () => {
        const { sessionContext } = shell.currentWidget;
        await sessionContext.ready;
        await sessionContext.session.kernel.info;
        await commands.execute("apputils:change-theme", { theme });
        await commands.execute("notebook:run-all-cells");
    };
    const late = (_, reject) => setTimeout(() => reject(new Error("the cells did not run within a minute")), 60_000);
    await Promise.race([run(), new Promise(late)]);
}"""
ERROR = "document.querySelector('[data-mime-type=\"application/vnd.jupyter.error\"]')"
# Nothing pops up, and nothing is asked of the network.
QUIET = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}


def chromium_path() -> str:
    """From ``PROBE_CHROMIUM`` or the path; without a browser a test is skipped, and fails where ``CI`` is true."""
    if named := os.environ.get("PROBE_CHROMIUM"):
        return named
    for name in NAMES:
        if found := shutil.which(name):
            return found
    reason = f"no Chromium: set PROBE_CHROMIUM, or put one of {', '.join(NAMES)} on the path"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


# Each test file that imports it has a fixture of its own, and a process can hold one Playwright at a time.
@pytest.fixture(scope="module")
def playwright() -> Generator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def chromium(playwright: Playwright) -> Generator[Browser]:
    browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
    yield browser
    browser.close()


@dataclass(frozen=True)
class Jupyter:
    """A running server and the directory that it shows."""

    root: Path
    url: str
    token: str
    browser: Browser
    place: str
    fresh: str

    @contextmanager
    def run(self, *cells: str, theme: str = "JupyterLab Light") -> Generator[Page]:
        """The page of a notebook of these cells, all of which have run."""
        path = self.root / f"{secrets.token_hex(4)}.ipynb"
        nbformat.write(
            nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=KERNEL), path
        )
        context = self.browser.new_context(viewport={"width": 1280, "height": 1400})
        page = context.new_page()
        page.goto(f"{self.url}/{self.place}/{path.name}?token={self.token}{self.fresh}")
        page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext")
        page.evaluate(RUN_ALL, theme)
        if traceback := page.evaluate(f"() => {ERROR}?.innerText"):
            pytest.fail(f"a cell of the notebook failed:\n{traceback}")
        yield page
        context.close()


@contextmanager
def jupyter_server(application: str, directory: Path, browser: Browser) -> Generator[Jupyter]:
    """A server with a home of its own, on a free port of this machine alone."""
    module, options, place, fresh = APPLICATIONS[application]
    root = directory / "root"
    root.mkdir(parents=True)
    port, token = _free_port(), secrets.token_hex(16)
    command = [sys.executable, "-m", module, "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"]
    command += [f"--ServerApp.root_dir={root}", "--ServerApp.terminals_enabled=False"]
    command += [f"--{options}.expose_app_in_browser=True", "--LabApp.news_url=None"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with (directory / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=root, env=_own_home(directory), stdout=log, stderr=log)
        jupyter = Jupyter(root, f"http://127.0.0.1:{port}", token, browser, place, fresh)
        try:
            _wait_for(jupyter, process, directory / "server.log")
            yield jupyter
        finally:
            _stop(jupyter, process)


def _own_home(directory: Path) -> dict[str, str]:
    """The environment, with every directory that Jupyter keeps things in below this one."""
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "JUPYTERLAB_SETTINGS_DIR")
    own = {name: str(directory / name.lower()) for name in (*places, "JUPYTERLAB_WORKSPACES_DIR")}
    settings = Path(own["JUPYTERLAB_SETTINGS_DIR"]) / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(QUIET))
    return {**os.environ, **own, "JUPYTER_NO_CONFIG": "1"}


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _wait_for(jupyter: Jupyter, process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            _ask(jupyter, "api/status").close()
            return
        except urllib.error.URLError:
            time.sleep(0.1)
    pytest.fail(f"Jupyter did not start:\n{log.read_text(errors='replace')}")


def _stop(jupyter: Jupyter, process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end, which ends its kernels; kill it where it does not."""
    try:
        if process.poll() is None:
            _ask(jupyter, "api/shutdown", method="POST").close()
        process.wait(20)
    except (urllib.error.URLError, subprocess.TimeoutExpired):
        process.kill()
        process.wait()


def _ask(jupyter: Jupyter, path: str, method: str = "GET"):
    headers = {"Authorization": f"token {jupyter.token}"}
    # No proxy of the machine may stand between a test and its own server.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(urllib.request.Request(f"{jupyter.url}/{path}", headers=headers, method=method), timeout=5)


@pytest.fixture(scope="module", params=APPLICATIONS)
def jupyter(
    request: pytest.FixtureRequest, chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Jupyter]:
    """A server of JupyterLab, and one of Notebook 7; one for all tests of a file."""
    with jupyter_server(request.param, tmp_path_factory.mktemp(request.param), chromium) as running:
        yield running

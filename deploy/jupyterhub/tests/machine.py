"""A hub and its Labwright as processes, and what a caller of the hub does."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).resolve().parents[3]
LAPTOP_CONFIG = ROOT / "deploy/jupyterhub/laptop/jupyterhub_config.py"
API_TOKEN = "a-token-of-the-tests"
CONFIG = """\
c = get_config()
load_subconfig({laptop!r})
c.JupyterHub.bind_url = "http://127.0.0.1:{public}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy}"
c.JupyterHub.services = [{{"name": "tests", "api_token": {token!r}}}]
scopes = ["admin:users", "admin:servers", "access:servers", "read:users"]
c.JupyterHub.load_roles = [{{"name": "tests", "services": ["tests"], "scopes": scopes}}]
c.Spawner.poll_interval = 1
c.Spawner.consecutive_failure_limit = 2
"""


class Machine:
    """Labwright and a hub, below a folder of their own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.state = folder / ".labwright"
        self.arguments = arguments
        self.ports = dict(zip(("labwright", "public", "hub", "proxy"), free_ports(4), strict=True))
        self.url = f"http://127.0.0.1:{self.ports['public']}"
        self.labwright: subprocess.Popen[bytes] | None = None
        self.hub: subprocess.Popen[bytes] | None = None

    @contextmanager
    def running(self) -> Iterator[Machine]:
        """Starts both, and ends both in the end; what they wrote is then in the report of the tests."""
        try:
            self.start()
            yield self
        finally:
            self.stop()
            print(self.log("labwright"), self.log("hub"))

    def start(self) -> None:
        self.start_labwright()
        until(lambda: accepts(self.ports["labwright"]), 30)
        self.start_hub()

    def start_labwright(self) -> None:
        node = ROOT / "node_modules/node/bin/node"
        command = [str(node), str(ROOT / "src/main.ts"), "serve", f"--port={self.ports['labwright']}", *self.arguments]
        self.labwright = self._run("labwright", command)

    def start_hub(self) -> None:
        config = self.folder / "jupyterhub_config.py"
        config.write_text(CONFIG.format(laptop=str(LAPTOP_CONFIG), token=API_TOKEN, **self.ports))
        self.hub = self._run("hub", [sys.executable, "-m", "jupyterhub", "-f", str(config)])
        # The hub listens before the proxy has its route: until then the proxy answers with 503.
        until(lambda: answers(self.ports["public"], "/hub/api/"), 60)

    def stop(self) -> None:
        for process in (self.hub, self.labwright):
            if process is not None:
                end(process, signal.SIGTERM)

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def labs(self) -> list[int]:
        """Processes whose home is one of this machine's labs'."""
        mark = f"HOME={self.state / 'homes'}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in path.read_bytes():
                    found.append(int(path.parent.name))
            except OSError:
                continue
        return found

    def _run(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "LABWRIGHT_FOLDER": str(self.state),
            "LABWRIGHT_URL": f"http://127.0.0.1:{self.ports['labwright']}/labwright",
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )


def end(process: subprocess.Popen[bytes], with_signal: signal.Signals) -> None:
    process.send_signal(with_signal)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(port: int, path: str) -> bool:
    """Whether a GET without any headers is answered with 200."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def until(condition: Callable[[], Any], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.1)


class Caller:
    """Somebody with a token who calls the hub."""

    def __init__(self, machine: Machine, session: aiohttp.ClientSession) -> None:
        self.machine = machine
        self.session = session
        self.api = f"{machine.url}/hub/api"

    async def add_user(self, user: str) -> None:
        async with self.session.post(f"{self.api}/users/{user}") as response:
            assert response.status in {201, 409}, await response.text()

    async def start(self, user: str, server: str = "", options: dict[str, Any] | None = None) -> int:
        body = {} if options is None else {"json": {"user_options": options}}
        async with self.session.post(self._server(user, server), **body) as response:
            return response.status

    async def stop(self, user: str, server: str = "") -> int:
        async with self.session.delete(self._server(user, server)) as response:
            return response.status

    async def progress(self, user: str, server: str = "") -> list[dict[str, Any]]:
        for _ in range(50):
            async with self.session.get(f"{self._server(user, server)}/progress") as response:
                # The hub answers so in the moment in which a start is not pending any more and has not failed yet.
                if response.status == 400:
                    await asyncio.sleep(0.1)
                    continue
                assert response.status == 200, await response.text()
                lines = [line async for line in response.content if line.startswith(b"data: ")]
                return [json.loads(line[6:]) for line in lines]
        raise AssertionError(f"the server {server!r} of {user} is not starting")

    async def server(self, user: str, server: str = "") -> dict[str, Any] | None:
        async with self.session.get(f"{self.api}/users/{user}?include_stopped_servers") as response:
            model = await response.json()
            found: dict[str, Any] | None = model["servers"].get(server)
            return found

    async def until(self, user: str, server: str = "", *, state: str = "ready", seconds: float = 40) -> None:
        deadline = time.monotonic() + seconds
        while True:
            found = await self.server(user, server)
            if (found is None and state == "stopped") or (found is not None and found[state]):
                return
            assert time.monotonic() < deadline, f"{user} is not {state}: {found}"
            await asyncio.sleep(0.2)

    async def get(self, path: str) -> tuple[int, str]:
        async with self.session.get(f"{self.machine.url}{path}", allow_redirects=False) as response:
            return response.status, await response.text()

    async def run_in_kernel(self, path: str, code: str) -> str:
        """What a kernel of the server at `path` makes of `code`, over the proxy's websocket."""
        async with self.session.post(f"{self.machine.url}{path}api/kernels", json={"name": "python3"}) as response:
            assert response.status == 201, await response.text()
            kernel = (await response.json())["id"]
        address = f"{self.machine.url}{path}api/kernels/{kernel}/channels"
        header = {
            "msg_id": uuid.uuid4().hex,
            "msg_type": "execute_request",
            "session": "s",
            "username": "",
            "version": "5",
        }
        message = {
            "header": header | {"date": ""},
            "parent_header": {},
            "metadata": {},
            "channel": "shell",
            "content": {"code": code, "silent": False},
        }
        async with self.session.ws_connect(address) as websocket:
            await websocket.send_json(message)
            while True:
                answer = await websocket.receive_json(timeout=40)
                if answer["msg_type"] == "execute_result":
                    return str(answer["content"]["data"]["text/plain"])

    def _server(self, user: str, server: str) -> str:
        return f"{self.api}/users/{user}/{f'servers/{server}' if server else 'server'}"


@asynccontextmanager
async def calling(machine: Machine) -> AsyncIterator[Caller]:
    timeout = aiohttp.ClientTimeout(total=60)
    headers = {"Authorization": f"token {API_TOKEN}"}
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        yield Caller(machine, session)

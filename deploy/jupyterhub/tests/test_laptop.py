"""The laptop path: a real hub, its proxy, Labwright with local labs, real JupyterLab processes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from machine import Machine, calling, until

FILE_MODE = 0o777


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("laptop"), "--with-local-labs")
    with machine.running():
        yield machine
    until(lambda: not machine.labs(), 15)
    check_logs(machine)


def check_logs(machine: Machine) -> None:
    hub = machine.log("hub")
    assert "Traceback" not in hub + machine.log("labwright")
    assert "Unclosed" not in hub
    for secret in ("hub-token", "hub-password", "jupyterhub-cookie-secret"):
        assert (machine.state / secret).read_text().strip() not in hub
    assert not re.search(r"poll.*(fail|error)", hub, re.IGNORECASE)


async def test_somebody_logs_in_fills_in_the_form_and_gets_a_jupyterlab(machine: Machine) -> None:
    password = (machine.state / "hub-password").read_text().strip()
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=aiohttp.ClientTimeout(total=60)) as browser:

        async def submit(path: str, **fields: str) -> tuple[str, str]:
            async with browser.get(f"{machine.url}{path}") as page:
                text = await page.text()
            token = next(cookie.value for cookie in jar if cookie.key == "_xsrf" and cookie["path"] == "/hub/")
            async with browser.post(f"{machine.url}{path}", data={"_xsrf": token, **fields}) as answer:
                return text, str(answer.url)

        await submit("/hub/login", username="grace", password="a guess")
        async with browser.get(f"{machine.url}/hub/home") as page:
            assert page.url.path == "/hub/login"
        await submit("/hub/login", username="grace", password=password)
        choices = {"size": "small", "image_list": "localhost/jupyterlab:local"}
        form, url = await submit("/hub/spawn", **choices)
        assert 'name="size"' in form
        assert "JupyterLab of this machine" in form
        assert "/hub/spawn-pending/grace" in url or "/user/grace/" in url
        async with calling(machine) as caller:
            await caller.until("grace")
        async with browser.get(f"{machine.url}/user/grace/lab") as page:
            assert page.status == 200
            assert "jupyter-config-data" in await page.text()


async def test_a_bot_starts_servers_runs_code_and_stops_them(machine: Machine) -> None:
    async with calling(machine) as caller:
        await caller.add_user("ada")
        assert await caller.start("ada") in {201, 202}
        events = await caller.progress("ada")
        assert events[-1].get("ready"), events
        assert (await caller.get("/user/ada/api"))[0] == 200
        assert await caller.run_in_kernel("/user/ada/", "1+1") == "2"
        home = await caller.run_in_kernel("/user/ada/", "import os; os.getcwd()")
        assert home == repr(str(machine.state / "homes/ada"))

        options = {"size": "large", "image_class": "recommended"}
        assert await caller.start("ada", "gpu", options) in {201, 202}
        await caller.until("ada", "gpu")
        assert (await caller.get("/user/ada/gpu/api"))[0] == 200
        model = await caller.server("ada", "gpu")
        assert model is not None
        assert model["user_options"] == options

        before = machine.labs()
        assert await caller.stop("ada", "gpu") in {202, 204}
        await caller.until("ada", "gpu", state="stopped")
        assert set(machine.labs()) < set(before)
        assert (await caller.get("/user/ada/api"))[0] == 200
        assert await caller.stop("ada") in {202, 204}
        await caller.until("ada", state="stopped")
        assert (await caller.get("/user/ada/api"))[0] != 200


async def test_what_is_written_is_for_its_owner_only(machine: Machine) -> None:
    assert machine.state.stat().st_mode & FILE_MODE == 0o700
    for name in ("hub-token", "hub-password", "jupyterhub-cookie-secret"):
        assert Path(machine.state / name).stat().st_mode & FILE_MODE == 0o600

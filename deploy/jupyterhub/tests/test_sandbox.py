"""A real hub in front of Labwright on its simulated cluster: failures, restarts and a rush, which are quick there."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import signal
import time
from collections.abc import Iterator

import pytest
from machine import Machine, calling, end
from test_laptop import check_logs

FAULTS = """\
faults:
  - { fault: imagePull, match: { username: typo } }
  - { fault: slow, match: { username: "slow*" }, factor: 1, seconds: 4 }
"""
CONFIG = {
    "baseUrl": "http://127.0.0.1",
    "listen": {"host": "127.0.0.1"},
    "images": {"list": [{"reference": "registry.example.org/lab:1", "class": "recommended"}]},
    "users": {"defaults": {"uid": 1000, "gid": 1000}},
    "lab": {"sizes": [{"name": "small", "cpu": 0.1, "memory": "64Mi"}], "internalUrl": "podIp"},
}
RUSH = 20


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("sandbox")
    (folder / "faults.yaml").write_text(FAULTS)
    token = secrets.token_hex(16)
    config = CONFIG | {"auth": {"tokens": [{"role": "hub", "sha256": hashlib.sha256(token.encode()).hexdigest()}]}}
    (folder / "config.json").write_text(json.dumps(config))
    machine = Machine(folder, "--sandbox", "--config=config.json", "--sandbox-faults=faults.yaml")
    machine.state.mkdir(mode=0o700)
    (machine.state / "hub-token").write_text(token)
    with machine.running():
        yield machine
    check_logs(machine)


async def test_a_failure_reaches_the_user_with_its_reason_and_what_to_do(machine: Machine) -> None:
    async with calling(machine) as caller:
        await caller.add_user("typo")
        # More often than the hub's limit of consecutive failures: none of them counts as one.
        for _ in range(3):
            assert await caller.start("typo") in {201, 202}
            *told, last = await caller.progress("typo")
            assert last["failed"]
            assert "The image does not exist" in last["message"]
            assert "Choose another image." in last["message"]
            # Once, as the last word.
            assert not any("The image does not exist" in each["message"] for each in told)


async def test_a_refusal_reaches_the_user(machine: Machine) -> None:
    async with calling(machine) as caller:
        await caller.add_user("ada")
        await caller.start("ada", options={"size": "gigantic", "image_class": "recommended"})
        last = (await caller.progress("ada"))[-1]
        assert last["failed"]
        assert 'Invalid lab size "gigantic"' in last["message"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_hub_restarted_in_the_middle_of_a_start_finds_the_lab(machine: Machine, how: signal.Signals) -> None:
    user = f"slow-{how.name.lower()}"
    async with calling(machine) as caller:
        await caller.add_user(user)
        starting = asyncio.ensure_future(caller.start(user))
        while not (await caller.server(user) or {}).get("pending"):
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        assert machine.hub is not None
        end(machine.hub, how)
        await asyncio.gather(starting, return_exceptions=True)
        await asyncio.to_thread(machine.start_hub)
        await caller.until(user)
        assert (await caller.get(f"/user/{user}/"))[0] < 500
        assert await caller.stop(user) in {202, 204}
        await caller.until(user, state="stopped")


async def test_a_start_can_be_stopped_and_begun_again(machine: Machine) -> None:
    async with calling(machine) as caller:
        await caller.add_user("slow-ada")
        starting = asyncio.ensure_future(caller.start("slow-ada"))
        while not (await caller.server("slow-ada") or {}).get("pending"):
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        assert await caller.stop("slow-ada") in {202, 204}
        await asyncio.gather(starting, return_exceptions=True)
        await caller.until("slow-ada", state="stopped")
        assert await caller.start("slow-ada") in {201, 202}
        await caller.until("slow-ada")
        assert await caller.stop("slow-ada") in {202, 204}
        await caller.until("slow-ada", state="stopped")


async def test_a_controller_that_is_frozen_for_a_while_costs_no_server(machine: Machine) -> None:
    async with calling(machine) as caller:
        await caller.add_user("grace")
        await caller.start("grace")
        await caller.until("grace")
        assert machine.labwright is not None
        machine.labwright.send_signal(signal.SIGSTOP)
        try:
            # Several polls.
            await asyncio.sleep(3)
        finally:
            machine.labwright.send_signal(signal.SIGCONT)
        model = await caller.server("grace")
        assert model is not None
        assert model["ready"]
        assert await caller.stop("grace") in {202, 204}


async def test_a_rush_of_users_gets_its_labs(machine: Machine) -> None:
    async with calling(machine) as caller:
        users = [f"rush-{number}" for number in range(RUSH)]
        await asyncio.gather(*(caller.add_user(user) for user in users))
        began = time.monotonic()
        assert set(await asyncio.gather(*(caller.start(user) for user in users))) <= {201, 202}
        await asyncio.gather(*(caller.until(user, seconds=90) for user in users))
        print(f"{RUSH} starts at once: {time.monotonic() - began:.1f} s")
        assert set(await asyncio.gather(*(caller.stop(user) for user in users))) <= {202, 204}
        await asyncio.gather(*(caller.until(user, state="stopped", seconds=90) for user in users))

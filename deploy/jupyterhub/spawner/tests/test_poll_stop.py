from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from fake_controller import FORM, FakeController, FakeLab, stay_pending
from support import MakeSpawner, poll_at_start_of_hub, until
from tornado.web import HTTPError

URL = "http://10.1.2.3:8888/user/ada/"


@pytest.mark.parametrize(
    ("status", "expected"),
    [("pending", None), ("running", None), ("terminating", 0), ("terminated", 0), ("failed", 1), (None, 0)],
)
async def test_polls(
    make_spawner: MakeSpawner, controller: FakeController, status: str | None, expected: int | None
) -> None:
    if status is not None:
        controller.labs["ada", ""] = FakeLab(1, {}, status=status)
    assert await make_spawner().poll() == expected


async def test_a_server_that_was_never_started_does_not_run(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    assert await make_spawner(row=False).poll() == 0
    assert controller.requests == []


async def test_a_server_that_starts_counts_as_running(make_spawner: MakeSpawner, controller: FakeController) -> None:
    controller.on_create = stay_pending
    spawner = make_spawner()
    starting = asyncio.ensure_future(spawner.start())
    await until(lambda: spawner._starting)
    assert await spawner.poll() is None
    await until(lambda: controller.labs)
    controller.lab().run()
    await starting


@pytest.mark.parametrize(
    "fault",
    [
        lambda c: c.refuse("get", 503, "not_ready", times=2),
        lambda c: c.refuse("get", 500, "internal_error"),
        lambda c: c.refuse("get", 401, "invalid_token"),
        lambda c: c.refuse("get", 403, "permission_denied"),
        lambda c: c.refuse("get", 404, "not_found"),
        lambda c: c.drop("get"),
    ],
)
async def test_waits_for_an_answer_that_counts(
    make_spawner: MakeSpawner, controller: FakeController, fault: Any
) -> None:
    fault(controller)
    controller.labs["ada", ""] = FakeLab(1, {}, status="failed")
    assert await make_spawner().poll() == 1


async def test_never_calls_a_lab_dead_because_of_the_controller_and_complains_once(
    make_spawner: MakeSpawner, controller: FakeController, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    spawners = [make_spawner(user, retry_timeout=0.2) for user in ("ada", "grace")]
    for spawner in spawners:
        spawner.log = logging.getLogger("hub")
        controller.labs[spawner.user.name, ""] = FakeLab(1, {}, status="running")
    await controller.close()
    for _ in range(2):
        assert await asyncio.gather(*(spawner.poll() for spawner in spawners)) == [None, None]
    assert await spawners[0].get_url() == spawners[0].server.url
    await controller.open()
    assert await spawners[0].poll() is None
    assert [record.levelname for record in caplog.records if record.name == "hub"] == ["WARNING", "INFO"]
    assert "does not answer" in caplog.text
    assert "the-hubs-own" not in caplog.text


async def test_stops_waits_for_the_end_and_does_not_mind_stopping_again(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    spawner = make_spawner()
    await spawner.start()
    await spawner.stop()
    assert controller.labs == {}
    assert await spawner.poll() == 0
    assert spawner.get_state() == {}
    await spawner.stop(now=True)
    assert controller.operations.count("delete") == 2


async def test_stops_through_failures(make_spawner: MakeSpawner, controller: FakeController) -> None:
    controller.labs["ada", "gpu"] = FakeLab(1, {}, status="running")
    controller.refuse("delete", 500, "delete_failed")
    controller.drop("delete", after=True)
    await make_spawner("ada", "gpu").stop()
    assert controller.labs == {}


async def test_says_when_a_lab_cannot_be_stopped(make_spawner: MakeSpawner, controller: FakeController) -> None:
    spawner = make_spawner(retry_timeout=0.2)
    await controller.close()
    with pytest.raises(HTTPError, match="could not be stopped"):
        await spawner.stop()
    await spawner.delete_forever()


async def test_finds_a_lab_that_came_up_while_the_hub_was_down(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    controller.labs["ada", ""] = FakeLab(1, {}, status="running", internal_url="http://10.9.8.7:8888/user/ada/")
    spawner = make_spawner()
    spawner.load_state({})
    assert await poll_at_start_of_hub(spawner) is None
    assert await spawner.get_url() == "http://10.9.8.7:8888/user/ada/"
    assert spawner.get_state() == {"url": "http://10.9.8.7:8888/user/ada/"}


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("http://lab.lab-ada.svc/user/ada/", "http://lab.lab-ada.svc:80/user/ada/"),
        ("http://[fd00::7]:8888/user/ada/", "http://[fd00::7]:8888/user/ada/"),
        ("https://lab.example/other/", "https://lab.example:443/user/ada/"),
    ],
)
async def test_writes_an_address_as_the_hub_does(
    make_spawner: MakeSpawner, controller: FakeController, url: str, stored: str
) -> None:
    controller.labs["ada", ""] = FakeLab(1, {}, status="running", internal_url=url)
    assert await make_spawner().get_url() == stored


async def test_waits_for_the_lab_of_a_start_that_a_restart_of_the_hub_interrupted(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    lab = controller.labs["ada", ""] = FakeLab(1, {})
    spawner = make_spawner()
    polling = poll_at_start_of_hub(spawner)
    await until(lambda: controller.last_event_ids)
    assert not polling.done()
    lab.run()
    assert await polling is None
    assert await spawner.get_url() == URL


async def test_waits_for_the_controller_first_when_both_were_restarted(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    lab = controller.labs["ada", ""] = FakeLab(1, {})
    spawner = make_spawner()
    await controller.close()
    polling = poll_at_start_of_hub(spawner)
    await asyncio.sleep(0.3)
    controller.refuse("get", 503, "not_ready", times=2)
    await controller.open()
    await until(lambda: controller.last_event_ids)
    lab.run()
    assert await polling is None
    assert await spawner.get_url() == URL


async def test_reports_a_lab_that_fails_after_a_restart_of_the_hub(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    lab = controller.labs["ada", ""] = FakeLab(1, {})
    spawner = make_spawner()
    polling = poll_at_start_of_hub(spawner)
    await until(lambda: controller.last_event_ids)
    lab.fail("ImageNotFound", "The image does not exist.")
    assert await polling == 1


async def test_does_not_wait_for_an_interrupted_start_for_ever(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    controller.labs["ada", ""] = FakeLab(1, {})
    spawner = make_spawner(start_timeout=1)
    assert await poll_at_start_of_hub(spawner) is None
    assert await spawner.get_url() == spawner.server.url


async def test_shows_the_form_of_the_controller(make_spawner: MakeSpawner, controller: FakeController) -> None:
    spawner = make_spawner("a/b")
    spawner.user_options = {}
    assert await spawner.get_options_form() == FORM
    assert ("form", "/labwright/spawner/v1/lab-form/a%2Fb") in controller.requests


async def test_shows_the_form_with_what_was_chosen_the_last_time(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    spawner = make_spawner("ada")
    spawner.user_options = {"profile": ["python"], "_xsrf": ["secret"]}
    assert await spawner.get_options_form() == FORM
    path = "/labwright/spawner/v1/lab-form/ada"
    assert ("form", f"{path}?last=%7B%22profile%22%3A%5B%22python%22%5D%7D") in controller.requests
    spawner.user_options = {"profile": "x" * 5000}
    assert await spawner.get_options_form() == FORM
    assert ("form", path) in controller.requests


async def test_tells_a_user_who_comes_back_why_the_last_lab_ended(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    controller.labs["ada", ""] = FakeLab(1, {}, "failed", None, "OOMKilled", "It used <too> much memory.")
    form = await make_spawner().get_options_form()
    assert "Your last server: <strong>It used &lt;too&gt; much memory.</strong> Choose a larger size." in form
    assert form.endswith(FORM)


async def test_shows_a_sentence_where_there_is_no_form(make_spawner: MakeSpawner, controller: FakeController) -> None:
    spawner = make_spawner(retry_timeout=0.2)
    controller.refuse("form", 403, "permission_denied", "Must have a <UID>")
    assert "Must have a &lt;UID&gt;" in await spawner.get_options_form()
    assert "cannot have a lab" in await make_spawner("..").get_options_form()
    assert "login has expired" in await make_spawner(user_token_key="token").get_options_form()


async def test_shows_a_sentence_while_the_controller_is_down(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    await controller.close()
    assert "Load this page again" in await make_spawner(retry_timeout=0.2).get_options_form()

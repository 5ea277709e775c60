from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from fake_controller import HUB_TOKEN, FakeController, FakeLab, answer, stay_pending
from support import MakeSpawner, poll_at_start_of_hub, until
from tornado.web import HTTPError

from labwright_spawner import LabwrightSpawner

URL = "http://10.1.2.3:8888/user/ada/"


async def told(spawner: LabwrightSpawner) -> list[tuple[int, str]]:
    return [(event["progress"], event["message"]) async for event in spawner.progress()]


async def failure(spawner: LabwrightSpawner) -> Any:
    with pytest.raises(HTTPError) as raised:
        await spawner.start()
    return raised.value


async def test_creates_a_lab_follows_it_and_returns_its_address(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    spawner = make_spawner(environment={"NUMBER": 5, "NOTHING": None})
    listeners = [asyncio.ensure_future(told(spawner)) for _ in range(3)]
    assert await spawner.start() == URL
    assert controller.operations == ["create", "events", "get"]
    specification = controller.lab().specification
    assert specification["options"] == {"size": ["small"], "image_class": ["recommended"]}
    env = specification["env"]
    assert env["JUPYTERHUB_SERVICE_URL"] == "http://0.0.0.0:8888/user/ada/"
    assert env["JUPYTERHUB_SERVICE_PREFIX"] == "/user/ada/"
    assert env["JUPYTERHUB_API_TOKEN"] == "s3cret"
    assert env["NUMBER"] == "5"
    assert "NOTHING" not in env
    assert "PATH" not in env
    expected = [
        (1, "Starting lab creation for ada"),
        (30, "Created Kubernetes objects for user lab"),
        (45, 'Pulling image "x"'),
        (90, "Lab Kubernetes pod started for ada"),
    ]
    assert [await listener for listener in listeners] == [expected] * 3
    assert await told(spawner) == expected
    assert spawner.get_state() == {"url": URL}


async def test_hands_on_a_repository_as_the_form_has_it(make_spawner: MakeSpawner, controller: FakeController) -> None:
    spawner = make_spawner()
    form = {
        "image_list": ["use_image_from_repository"],
        "image_repo": ["https://github.com/ada/notebooks"],
        "image_ref": ["main"],
        "image_path": [""],
        "size": ["small"],
    }
    spawner.user_options = spawner.options_from_form({**form, "_xsrf": ["2|a|b"]})
    assert await spawner.start() == URL
    assert controller.lab().specification["options"] == form


@pytest.mark.parametrize(
    ("user", "server", "path"),
    [
        ("ada", "gpu", "/labwright/spawner/v1/labs/ada/servers/gpu/create"),
        ("a/b c@x%2e", "ü", "/labwright/spawner/v1/labs/a%2Fb%20c%40x%252e/servers/%C3%BC/create"),
    ],
)
async def test_names_user_and_server_in_the_path_whatever_they_are(
    make_spawner: MakeSpawner, controller: FakeController, user: str, server: str, path: str
) -> None:
    spawner = make_spawner(user, server)
    await spawner.start()
    assert controller.requests[0] == ("create", path)
    assert (user, server) in controller.labs


@pytest.mark.parametrize("user", [".", ".."])
async def test_refuses_names_that_mean_something_else_in_a_path(
    make_spawner: MakeSpawner, controller: FakeController, user: str
) -> None:
    spawner = make_spawner(user)
    assert "cannot have a lab" in (await failure(spawner)).message
    assert await spawner.poll() == 0
    await spawner.stop()
    assert controller.requests == []


async def test_leaves_out_what_is_no_option_and_falls_back_to_the_default_ones(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    spawner = make_spawner(default_options={"size": "large"})
    form = {"_xsrf": ["2|1"], "size": ["small"], "upload_file": [{"body": b"x"}]}
    assert spawner.run_options_from_form(form) == {"size": ["small"]}
    spawner.user_options = {"size": "small", "_xsrf": "2|1", "deep": {"kept": [1]}}
    await spawner.start()
    assert controller.lab().specification["options"] == {"size": "small", "deep": {"kept": [1]}}
    controller.labs.clear()
    spawner.user_options = {}
    await spawner.start()
    assert controller.lab().specification["options"] == {"size": "large"}


@pytest.mark.parametrize("status", ["running", "pending"])
async def test_removes_a_lab_of_an_earlier_spawn_first(
    make_spawner: MakeSpawner, controller: FakeController, status: str
) -> None:
    controller.labs["ada", ""] = FakeLab(0, {}, status=status, internal_url=URL)
    spawner = make_spawner()
    assert await spawner.start() == URL
    assert controller.operations[:3] == ["create", "delete", "create"]
    assert (await told(spawner))[0] == (0, "A lab from before is still there. Removing it first.")


async def test_gives_up_on_a_lab_that_always_stands_in_the_way(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    controller.refuse("create", 409, "lab_exists", "Lab already exists for ada", times=9)
    error = await failure(make_spawner())
    assert controller.operations.count("create") == 3
    assert error.status_code == 409
    assert error.message.startswith("A lab from before could not be removed.")


@pytest.mark.parametrize(
    ("status", "detail", "message"),
    [
        (
            403,
            {"msg": "Insufficient quota to spawn requested lab", "type": "insufficient_quota"},
            "Insufficient quota to spawn requested lab.",
        ),
        (
            400,
            {"msg": 'Docker reference "<b>" not found', "type": "unknown_image"},
            'Docker reference "<b>" not found.',
        ),
        (403, {"msg": "Must have a UID to spawn labs", "type": "permission_denied"}, "Must have a UID to spawn labs."),
        (
            422,
            {"msg": "Field required", "type": "missing", "loc": ["body", "options", "size"]},
            "size: Field required.",
        ),
        (422, {"msg": "Value error, No image", "type": "value_error", "loc": ["body"]}, "No image."),
        (401, {"msg": "No valid credential", "type": "invalid_token"}, "The lab controller does not accept the hub."),
        (404, {"msg": "Not Found", "type": "not_found"}, "The hub does not find the lab controller."),
        (500, {"msg": "Internal error", "type": "internal_error"}, "The lab controller has failed."),
    ],
)
async def test_hands_a_refusal_on_to_the_user(
    make_spawner: MakeSpawner, controller: FakeController, status: int, detail: dict[str, Any], message: str
) -> None:
    async def refuse(_request: Any) -> Any:
        response = answer(status, "", "")
        response.text = json.dumps({"detail": [detail]})
        return response

    controller.refuse("create", status, "", times=3)
    controller.faults[0].act = refuse
    spawner = make_spawner()
    error = await failure(spawner)
    assert error.message.startswith(message)
    assert error.jupyterhub_message == error.message
    assert "<b>" not in error.jupyterhub_html_message
    assert error.status_code < 500
    # The hub tells it, after the last of the spawner's own.
    assert error.message not in [text for _, text in await told(spawner)]
    assert await spawner.poll() == 0


@pytest.mark.parametrize(
    ("reason", "message", "status", "advice"),
    [
        ("ImageNotFound", "The image does not exist.", 400, "Choose another image."),
        ("Unschedulable", "The cluster has no room.", 429, "A smaller size may find room sooner."),
        ("VolumeMountFailed", "A volume cannot be mounted.", 424, "tell the people who run this site"),
        ("OOMKilled", "It was ended. Choose a larger size.", 400, "It was ended. Choose a larger size."),
        ("Something new", "Whatever <i>it</i> is.", 424, "tell the people who run this site"),
    ],
)
async def test_says_why_a_lab_failed_and_what_to_do(
    make_spawner: MakeSpawner, controller: FakeController, reason: str, message: str, status: int, advice: str
) -> None:
    controller.on_create = lambda lab: lab.fail(reason, message)
    spawner = make_spawner()
    error = await failure(spawner)
    assert error.message.startswith(message)
    assert error.message.count(advice) == 1
    assert error.status_code == status
    assert error.reason == (reason if reason.isalnum() else "unknown")
    assert "<i>" not in error.message_html
    assert await spawner.poll() == 1


async def test_tells_messages_as_text_not_as_markup(make_spawner: MakeSpawner, controller: FakeController) -> None:
    def create(lab: FakeLab) -> None:
        lab.tell("info", "<script>alert(1)</script>", 40)
        lab.run()

    controller.on_create = create
    spawner = make_spawner()
    await spawner.start()
    html = [event["html_message"] async for event in spawner.progress()]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert not any("<script" in each for each in html)


@pytest.mark.parametrize("inside", [False, True])
async def test_goes_on_where_a_stream_was_cut(
    make_spawner: MakeSpawner, controller: FakeController, inside: bool
) -> None:
    controller.on_create = stay_pending
    controller.cut(1, inside=inside)
    spawner = make_spawner()
    starting = asyncio.ensure_future(spawner.start())
    await until(lambda: controller.created)
    lab = controller.lab()
    lab.tell("info", "Pulling", 40)
    await until(lambda: controller.operations.count("events") == 2)
    lab.run()
    assert await starting == URL
    assert controller.last_event_ids == [None, "1.1"]
    assert [message for _, message in await told(spawner)] == [
        "Starting lab creation for ada",
        "Pulling",
        "Lab Kubernetes pod started for ada",
    ]


async def test_does_not_take_the_end_of_a_stream_for_success(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    controller.on_create = stay_pending
    controller.cut(0, times=4)
    spawner = make_spawner()
    starting = asyncio.ensure_future(spawner.start())
    await until(lambda: controller.operations.count("events") >= 3)
    assert not starting.done()
    controller.lab().run()
    assert await starting == URL


async def test_gets_by_without_any_stream(make_spawner: MakeSpawner, controller: FakeController) -> None:
    controller.cut(0, times=1000)
    assert await make_spawner().start() == URL


async def test_waits_for_a_controller_that_is_not_there_yet(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    spawner = make_spawner()
    await controller.close()
    starting = asyncio.ensure_future(spawner.start())
    await until(lambda: spawner._log.events)
    assert spawner._log.events[-1]["message"] == "The lab controller does not answer at the moment. Waiting for it."
    await controller.open()
    assert await starting == URL


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_waits_for_a_controller_that_asks_for_patience(
    make_spawner: MakeSpawner, controller: FakeController, status: int
) -> None:
    controller.refuse("create", status, "not_ready", headers={"Retry-After": "1"})
    controller.refuse("get", status, "not_ready")
    controller.refuse("events", status, "not_ready")
    assert await make_spawner().start() == URL


async def test_does_not_take_the_page_of_an_ingress_for_an_answer(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    async def page(_request: Any) -> Any:
        response = answer(404, "", "")
        response.text = "<h1>default backend</h1>"
        return response

    for operation in ("create", "events", "get"):
        controller.refuse(operation, 404, "")
        controller.faults[-1].act = page
    assert await make_spawner().start() == URL


async def test_survives_a_restart_of_the_controller_in_the_middle(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    controller.on_create = stay_pending
    spawner = make_spawner()
    starting = asyncio.ensure_future(spawner.start())
    await until(lambda: spawner._log.events)
    await controller.close()
    await until(lambda: len(spawner._log.events) == 2)
    controller.lab().tell("info", "Pulling", 40)
    await controller.open()
    await until(lambda: controller.operations.count("events") >= 2)
    controller.lab().run()
    assert await starting == URL
    assert [progress for progress, _ in await told(spawner)] == [1, 1, 40, 90]


async def test_tells_nothing_of_a_start_that_a_restart_of_the_hub_interrupted(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    before = controller.labs["ada", ""] = FakeLab(1, {})
    spawner = make_spawner()
    polling = poll_at_start_of_hub(spawner)
    await until(lambda: controller.last_event_ids)
    before.tell("info", "Pulling for the one before", 45)
    before.fail("ImageNotFound", "The image does not exist.")
    assert await polling == 1
    spawner._check_pending = False
    assert await spawner.start() == URL
    assert [progress for progress, _ in await told(spawner)] == [1, 30, 45, 90]


async def test_makes_one_lab_when_the_answer_to_a_create_is_lost(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    controller.drop("create", after=True)
    assert await make_spawner().start() == URL
    assert len(controller.labs) == 1


async def test_gives_up_after_its_time_and_says_so(make_spawner: MakeSpawner, controller: FakeController) -> None:
    spawner = make_spawner(retry_timeout=0.3)
    await controller.close()
    error = await failure(spawner)
    assert error.message.startswith("The lab controller does not answer.")
    assert error.reason == "controller_unavailable"
    assert "Waiting for it" in (await told(spawner))[-1][1]


async def test_notices_a_lab_that_somebody_removes(make_spawner: MakeSpawner, controller: FakeController) -> None:
    controller.on_create = stay_pending
    spawner = make_spawner()
    starting = asyncio.ensure_future(failure(spawner))
    await until(lambda: spawner._log.events)
    lab = controller.labs.pop(("ada", ""))
    lab.tell("failed", "Operation cancelled")
    assert (await starting).message.startswith("The lab was removed while it was starting.")


async def test_reads_the_credential_again_for_each_call(
    make_spawner: MakeSpawner, controller: FakeController, token_file: Path
) -> None:
    spawner = make_spawner()
    await spawner.start()
    controller.accepted = {"rotated"}
    token_file.write_text("rotated")
    assert await spawner.poll() is None
    assert controller.tokens == [HUB_TOKEN] * 3 + ["rotated"]


async def test_waits_for_a_credential_that_is_being_written(
    make_spawner: MakeSpawner, controller: FakeController, token_file: Path
) -> None:
    token_file.write_text("")
    spawner = make_spawner()
    starting = asyncio.ensure_future(spawner.start())
    await asyncio.sleep(0.05)
    assert controller.requests == []
    token_file.unlink()
    await asyncio.sleep(0.15)
    token_file.write_text(HUB_TOKEN)
    assert await starting == URL


async def test_shows_the_users_own_token_where_it_matters(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    controller.accepted = {HUB_TOKEN, "adas-own"}
    spawner = make_spawner(user_token_key="access_token", auth_state={"access_token": "adas-own"})
    await spawner.start()
    await spawner.get_options_form()
    of = dict(zip(controller.operations, controller.tokens, strict=True))
    assert of == {"create": "adas-own", "form": "adas-own", "events": HUB_TOKEN, "get": HUB_TOKEN}


@pytest.mark.parametrize("auth_state", [None, {}, {"access_token": None}, {"access_token": "expired"}])
async def test_asks_the_user_to_log_in_again(
    make_spawner: MakeSpawner, controller: FakeController, auth_state: Any
) -> None:
    spawner = make_spawner(user_token_key="access_token", auth_state=auth_state)
    error = await failure(spawner)
    assert error.message == "Your login has expired. Log out, log in and start again."
    assert error.status_code == 401


async def test_stops_the_lab_of_a_start_that_is_cancelled(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    controller.on_create = stay_pending
    spawner = make_spawner()
    starting = asyncio.ensure_future(spawner.start())
    await until(lambda: spawner._log.events)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert controller.labs
    await until(lambda: not controller.labs)
    assert await spawner.poll() == 0


async def test_stops_a_lab_whose_creation_was_under_way_when_the_start_was_cancelled(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    arrived, go_on = controller.hold("create")
    spawner = make_spawner()
    starting = asyncio.ensure_future(spawner.start())
    await arrived.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await asyncio.sleep(0.1)
    assert controller.operations == ["create"]
    go_on.set()
    await until(lambda: controller.operations == ["create", "delete"] and not controller.labs)


async def _cancel_and_hold_the_removal(make_spawner: MakeSpawner, controller: FakeController) -> asyncio.Event:
    """A start that is cancelled; its lab is being removed until the event is set."""
    controller.on_create = stay_pending
    deleting, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        deleting.set()
        await go_on.wait()

    controller.before_delete = hold
    first = make_spawner()
    starting = asyncio.ensure_future(first.start())
    await until(lambda: first._log.events)
    starting.cancel()
    await deleting.wait()
    return go_on


async def test_a_cancelled_start_cannot_hit_the_next_one(make_spawner: MakeSpawner, controller: FakeController) -> None:
    go_on = await _cancel_and_hold_the_removal(make_spawner, controller)
    second = asyncio.ensure_future(make_spawner().start())
    await asyncio.sleep(0.05)
    go_on.set()
    await until(lambda: len(controller.created) == 2)
    controller.lab().run()
    assert await second == URL
    await asyncio.sleep(0.1)
    assert controller.operations.count("delete") == 1
    assert controller.lab().status == "running"


async def test_a_start_that_is_cancelled_while_it_waits_leaves_the_next_one_waiting_too(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    go_on = await _cancel_and_hold_the_removal(make_spawner, controller)
    second = asyncio.ensure_future(make_spawner().start())
    await asyncio.sleep(0.05)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    third = asyncio.ensure_future(make_spawner().start())
    await asyncio.sleep(0.05)
    assert controller.operations.count("create") == 1
    go_on.set()
    await until(lambda: len(controller.created) == 2)
    controller.lab().run()
    assert await third == URL
    assert controller.lab().status == "running"


async def test_a_lab_is_removed_also_when_the_next_start_is_cancelled_before_it_begins(
    make_spawner: MakeSpawner, controller: FakeController
) -> None:
    arrived, go_on = controller.hold("create")
    first = asyncio.ensure_future(make_spawner().start())
    await arrived.wait()
    first.cancel()
    second = asyncio.ensure_future(make_spawner().start())
    await asyncio.sleep(0.01)
    second.cancel()
    for start in (first, second):
        with pytest.raises(asyncio.CancelledError):
            await start
    go_on.set()
    await until(lambda: controller.operations == ["create", "delete"] and not controller.labs)

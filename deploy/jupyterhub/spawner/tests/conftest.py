from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_controller import HUB_TOKEN, FakeController
from jupyterhub.objects import Hub
from support import MakeSpawner, give_row

from labwright_spawner import LabwrightSpawner, abandoned, spawner


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(abandoned, "DELAY", 0.05)
    spawner._outages.clear()


@pytest.fixture
async def controller() -> AsyncIterator[FakeController]:
    fake = FakeController()
    await fake.open()
    yield fake
    await fake.close()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{HUB_TOKEN}\n")
    return path


@pytest.fixture
async def make_spawner(controller: FakeController, token_file: Path) -> MakeSpawner:
    """Makes a spawner as a hub does, for a user of whom the hub knows `auth_state`."""

    def make(
        user: str = "ada", server: str = "", *, auth_state: Any = None, row: bool = True, **traits: Any
    ) -> LabwrightSpawner:
        async def get_auth_state() -> Any:
            return auth_state

        fake_user = SimpleNamespace(name=user, url=f"/user/{user}/", get_auth_state=get_auth_state)
        settings = {"controller_url": controller.url, "token_path": str(token_file), "retry_timeout": 5.0, **traits}
        made = LabwrightSpawner(
            user=fake_user,
            hub=Hub(ip="127.0.0.1", port=8081, base_url="/hub/"),
            orm_spawner=SimpleNamespace(name=server, display_name=server, server=None),
            api_token="s3cret",
            oauth_client_id="jupyterhub-user-ada",
            **settings,
        )
        made.user_options = {"size": ["small"], "image_class": ["recommended"]}
        if row:
            give_row(made, f"/user/{user}/")
        return made

    return make

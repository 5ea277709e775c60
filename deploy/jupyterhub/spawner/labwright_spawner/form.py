"""The page that asks what to start."""

from __future__ import annotations

import asyncio
from html import escape
from typing import TYPE_CHECKING, Any

from .controller import Refusal, Unavailable, UnknownLab
from .failures import refusal_text, spawn_failed

if TYPE_CHECKING:
    from .spawner import LabwrightSpawner


def read_form(form_data: dict[str, Any]) -> dict[str, Any]:
    """The options as the form sends them: lists of texts. The controller knows what they mean."""
    return {name: value for name, value in form_data.items() if is_option(name, value)}


def is_option(name: str, value: Any) -> bool:
    """Not the hub's own field, and nothing that is no JSON: an upload."""
    return name != "_xsrf" and not (name.endswith("_file") and isinstance(value, list))


async def fetch_form(spawner: LabwrightSpawner) -> str:
    """The user's form, with word of how the last lab ended; a sentence when there is no form to be had."""
    form, notice = await asyncio.gather(_form(spawner), _notice(spawner))
    return f"{notice}{form}"


async def _form(spawner: LabwrightSpawner) -> str:
    try:
        token = await spawner._user_token()
        return await spawner._patiently(lambda: spawner._controller.form(spawner.user.name, token), spawner._page_wait)
    except Refusal as refusal:
        text = refusal_text(refusal, by_user=spawner.user_token_key is not None)
        return _alert(*text)
    except Unavailable as error:
        spawner._complain(error)
        return _alert("The lab controller does not answer at the moment.", "Load this page again in a minute.")


async def _notice(spawner: LabwrightSpawner) -> str:
    """Why the last lab is not there any more, for a user who comes back to the form and wonders."""
    try:
        lab = await asyncio.wait_for(spawner._controller.lab(spawner._lab_key), spawner._page_wait)
    except (UnknownLab, Unavailable, Refusal, asyncio.TimeoutError):
        return ""
    if lab.status != "failed" or lab.message is None:
        return ""
    error = spawn_failed(lab.reason, lab.message)
    return f'<div class="alert alert-warning" role="status">Your last server: {error.message_html}</div>\n'


def _alert(message: str, advice: str) -> str:
    return f'<div class="alert alert-warning" role="alert"><strong>{escape(message)}</strong> {escape(advice)}</div>\n'

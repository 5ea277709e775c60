"""The page that asks what to start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from html import escape
from typing import Any

from .answers import Refusal, Unavailable, UnknownLab
from .controller import LabKey
from .failures import refusal_text, spawn_failed
from .patience import Link

UserToken = Callable[[], Awaitable[str]]
"""Finds the user's own credential; raises Refusal when there is none."""


def read_form(form_data: dict[str, Any]) -> dict[str, Any]:
    """The options as the form sends them: lists of texts. The controller knows what they mean."""
    return {name: value for name, value in form_data.items() if is_option(name, value)}


def is_option(name: str, value: Any) -> bool:
    """Not the hub's own field, and nothing that is no JSON: an upload."""
    return name != "_xsrf" and not (name.endswith("_file") and isinstance(value, list))


async def fetch_form(
    link: Link, key: LabKey, user_token: UserToken | None, seconds: float, last: dict[str, Any] | None = None
) -> str:
    """The user's form, with word of how the last lab ended; a sentence when there is no form to be had.

    :param last: the options of the last server of that name, as the hub has kept them.
    :param user_token: the user's own credential, where it is to be used in place of the hub's.
    :param seconds: how long the page waits.
    """
    form, notice = await asyncio.gather(_form(link, key.user, user_token, seconds, last), _notice(link, key, seconds))
    return f"{notice}{form}"


async def _form(
    link: Link, user: str, user_token: UserToken | None, seconds: float, last: dict[str, Any] | None
) -> str:
    try:
        token = None if user_token is None else await user_token()
        return await link.patiently(lambda controller: controller.form(user, token, last), seconds)
    except Refusal as refusal:
        return _alert(*refusal_text(refusal, by_user=user_token is not None))
    except Unavailable as error:
        link.complain(error)
        return _alert("The lab controller does not answer at the moment.", "Load this page again in a minute.")


async def _notice(link: Link, key: LabKey, seconds: float) -> str:
    """Why the last lab is not there any more, for a user who comes back to the form and wonders."""
    try:
        lab = await asyncio.wait_for(link.controller.lab(key), seconds)
    except (UnknownLab, Unavailable, Refusal, asyncio.TimeoutError):
        return ""
    if lab.status != "failed" or lab.message is None:
        return ""
    error = spawn_failed(lab.reason, lab.message)
    return f'<div class="alert alert-warning" role="status">Your last server: {error.message_html}</div>\n'


def _alert(message: str, advice: str) -> str:
    return f'<div class="alert alert-warning" role="alert"><strong>{escape(message)}</strong> {escape(advice)}</div>\n'

"""A controller on loopback that holds labs in memory and misbehaves when told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Key = tuple[str, str]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HUB_TOKEN = "the-hubs-own"
FORM = '<input type="radio" name="size" value="small" checked>'


@dataclass
class FakeLab:
    number: int
    specification: dict[str, Any]
    status: str = "pending"
    internal_url: str | None = None
    reason: str | None = None
    message: str | None = None
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ended(self) -> bool:
        return bool(self.events) and self.events[-1][0] in {"complete", "failed"}

    def tell(self, kind: str, message: str, progress: int | None = None) -> None:
        self.events.append((kind, {"message": message} | ({} if progress is None else {"progress": progress})))
        self.changed.set()
        self.changed = asyncio.Event()

    def run(self, url: str = "http://10.1.2.3:8888/user/ada/") -> None:
        self.status, self.internal_url = "running", url
        self.tell("complete", "Lab Kubernetes pod started for ada")

    def fail(self, reason: str, message: str) -> None:
        self.status, self.reason, self.message = "failed", reason, message
        self.tell("error", message)
        self.tell("failed", "Lab spawn failed")


@dataclass
class Fault:
    operation: str
    act: Callable[[web.Request], Awaitable[web.StreamResponse | None]]
    times: int = 1


def answer(status: int, code: str, message: str, **headers: str) -> web.Response:
    return web.json_response({"detail": [{"msg": message, "type": code}]}, status=status, headers=headers)


class FakeController:
    """The routes that the spawner uses, over labs that come up at once unless `on_create` says otherwise."""

    def __init__(self) -> None:
        self.labs: dict[Key, FakeLab] = {}
        self.created: list[FakeLab] = []
        self.requests: list[tuple[str, str]] = []
        """Operation and raw path of each request."""
        self.tokens: list[str] = []
        self.last_event_ids: list[str | None] = []
        self.accepted = {HUB_TOKEN}
        self.faults: list[Fault] = []
        self.on_create: Callable[[FakeLab], None] = run_at_once
        self.before_delete: Callable[[], Awaitable[None]] | None = None
        self._runner: web.AppRunner | None = None
        self.port = 0

    # How tests use it.

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/labwright"

    @property
    def operations(self) -> list[str]:
        return [operation for operation, _ in self.requests]

    def lab(self, user: str = "ada", server: str = "") -> FakeLab:
        return self.labs[user, server]

    def refuse(
        self,
        operation: str,
        status: int,
        code: str,
        message: str = "No",
        times: int = 1,
        headers: dict[str, str] | None = None,
    ) -> None:
        async def act(_request: web.Request) -> web.StreamResponse:
            return answer(status, code, message, **(headers or {}))

        self.faults.append(Fault(operation, act, times))

    def hold(self, operation: str) -> tuple[asyncio.Event, asyncio.Event]:
        """Keep the next request waiting; it goes on as usual afterwards.

        :returns: set when the request has arrived; to be set when it is to go on.
        """
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def act(_request: web.Request) -> None:
            arrived.set()
            await go_on.wait()

        self.faults.append(Fault(operation, act))
        return arrived, go_on

    def drop(self, operation: str, times: int = 1, *, after: bool = False) -> None:
        """Hang up without an answer; `after`: once the work has been done."""

        async def act(request: web.Request) -> web.StreamResponse:
            if after:
                await self._handlers[operation](request)
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        self.faults.append(Fault(operation, act, times))

    def cut(self, events: int, *, inside: bool = False, times: int = 1) -> None:
        """End the stream after so many events; `inside`: in the middle of the next one, without its end."""

        async def act(request: web.Request) -> web.StreamResponse:
            return await self._follow(request, limit=events, inside=inside)

        self.faults.append(Fault("events", act, times))

    async def open(self, port: int = 0) -> None:
        app = web.Application()
        self._handlers: dict[str, Handler] = {
            "create": self._create,
            "get": self._get,
            "delete": self._delete,
            "events": self._follow,
            "form": self._form,
        }
        for base in ("/labs/{user}", "/labs/{user}/servers/{server}"):
            path = f"/labwright/spawner/v1{base}"
            app.router.add_post(f"{path}/create", self._route("create"))
            app.router.add_get(f"{path}/events", self._route("events"))
            app.router.add_get(path, self._route("get"))
            app.router.add_delete(path, self._route("delete"))
        app.router.add_get("/labwright/spawner/v1/lab-form/{user}", self._route("form"))
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port or self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # What it answers.

    def _route(self, operation: str) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            self.requests.append((operation, request.raw_path))
            self.tokens.append(token)
            for fault in self.faults:
                if fault.operation == operation and fault.times > 0:
                    fault.times -= 1
                    response = await fault.act(request)
                    if response is not None:
                        return response
            if token not in self.accepted:
                return answer(401, "invalid_token", "No valid credential")
            return await self._handlers[operation](request)

        return handle

    async def _create(self, request: web.Request) -> web.StreamResponse:
        key, lab = self._find(request)
        if lab is not None and lab.status not in {"failed", "terminated"}:
            return answer(409, "lab_exists" if lab.status == "running" else "operation_in_progress", "There is a lab")
        lab = self.labs[key] = FakeLab(len(self.created) + 1, await request.json())
        self.created.append(lab)
        lab.tell("info", "Starting lab creation for ada", 1)
        self.on_create(lab)
        return web.json_response(None, status=201)

    async def _get(self, request: web.Request) -> web.StreamResponse:
        _, lab = self._find(request)
        if lab is None:
            return answer(404, "unknown_user", "Unknown user ada")
        state = {name: getattr(lab, name) for name in ("status", "internal_url", "reason", "message")}
        return web.json_response(state)

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        key, lab = self._find(request)
        if lab is None:
            return answer(404, "unknown_user", "Unknown user ada")
        lab.status = "terminating"
        if self.before_delete is not None:
            await self.before_delete()
        self.labs.pop(key, None)
        if not lab.ended:
            lab.tell("failed", "Operation cancelled")
        return web.Response(status=204)

    async def _form(self, _request: web.Request) -> web.StreamResponse:
        return web.Response(text=FORM, content_type="text/html")

    async def _follow(self, request: web.Request, limit: int | None = None, inside: bool = False) -> web.StreamResponse:
        _, lab = self._find(request)
        if lab is None:
            return answer(404, "unknown_user", "Unknown user ada")
        last = request.headers.get("Last-Event-ID")
        self.last_event_ids.append(last)
        prefix, _, number = (last or "").partition(".")
        place = int(number) if prefix == str(lab.number) else 0
        # Whoever has read the end is told it once more.
        place = min(place, len(lab.events) - lab.ended)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        sent = 0
        while True:
            changed = lab.changed
            while place < len(lab.events):
                kind, data = lab.events[place]
                place += 1
                text = f"id: {lab.number}.{place}\r\nevent: {kind}\r\ndata: {json.dumps(data)}\r\n\r\n"
                if sent == limit:
                    if inside:
                        await response.write(text[: len(text) // 2].encode())
                        assert request.transport is not None
                        request.transport.abort()
                    return response
                await response.write(text.encode())
                sent += 1
                if kind in {"complete", "failed"}:
                    return response
            if sent == limit and not inside:
                return response
            await response.write(b": keep-alive\r\n\r\n")
            await changed.wait()

    def _find(self, request: web.Request) -> tuple[Key, FakeLab | None]:
        key = (request.match_info["user"], request.match_info.get("server", ""))
        return key, self.labs.get(key)


def run_at_once(lab: FakeLab) -> None:
    lab.tell("info", "Created Kubernetes objects for user lab", 30)
    lab.tell("info", 'Pulling image "x"', 45)
    lab.run()


def stay_pending(_lab: FakeLab) -> None:
    """The test says when."""

"""What Nublado's hub plugin does with its libraries: it finds the controller by discovery, and reads a spawn's events.

usage: nublado_plugin.py URL TOKEN USER    URL is that of Labwright with its path prefix

Prints one JSON object: the controller's URL as found, and every event with its id, type and data.
"""

import asyncio
import importlib.metadata
import json
import sys

import httpx
from httpx_sse import aconnect_sse
from rubin.repertoire import Discovery, DiscoveryClient


async def main(url: str, token: str, user: str) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        document = (await client.get(f"{url}/discovery")).json()
        Discovery.model_validate(document)
        discovery = DiscoveryClient(client, base_url=url)
        controller = await discovery.url_for_internal("nublado-controller")
        events = []
        path = f"{controller}/spawner/v1/labs/{user}/events"
        headers = {"Authorization": f"Bearer {token}"}
        async with aconnect_sse(client, "GET", path, headers=headers) as source:
            async for event in source.aiter_sse():
                events.append({"id": event.id, "type": event.event, "data": event.data})
    version = importlib.metadata.version("rubin-repertoire")
    print(json.dumps({"version": version, "controller": controller, "events": events}))


asyncio.run(main(*sys.argv[1:]))

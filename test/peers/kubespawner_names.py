"""What KubeSpawner makes of the names of users and servers: pairs as JSON on standard input, its answers on standard output."""

import asyncio
import json
import os
import sys
import tempfile

# KubeSpawner reads how a cluster is reached when it is imported; none is asked here.
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "none",
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "none", "user": {}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
}
NAMES = [
    "username", "servername", "user_server",
    "safe_username", "safe_servername", "safe_user_server",
    "escaped_username", "escaped_servername", "escaped_user_server",
    "unescaped_username", "unescaped_servername",
]  # fmt: skip


class User:
    id = 1
    url = "/user"

    def __init__(self, name):
        self.name = name


class Orm:
    server = None
    state = None

    def __init__(self, name):
        self.name = name


def answer(kubespawner, username, servername):
    spawner = kubespawner(_mock=True, user=User(username), orm_spawner=Orm(servername))
    values = {name: spawner._expand_user_properties("{%s}" % name) for name in NAMES}
    labels = spawner._build_pod_labels({})
    return {
        "values": values,
        "joined": spawner._expand_user_properties("{username}--{servername}"),
        "labels": {name: value for name, value in labels.items() if name.startswith("hub.jupyter.org/")},
    }


async def answers(pairs):
    from kubespawner import KubeSpawner

    return [answer(KubeSpawner, *pair) for pair in pairs]


def run(answers):
    """Prints as JSON what `answers` makes of the JSON on standard input."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(KUBECONFIG, file)
        file.flush()
        os.environ["KUBECONFIG"] = file.name
        print(json.dumps(asyncio.run(answers(json.load(sys.stdin)))))


if __name__ == "__main__":
    run(answers)

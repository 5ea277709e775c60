"""The pods that KubeSpawner makes for values of Zero to JupyterHub.

Standard input: a JSON list of {values, cases}, where `values` are those of the chart with its defaults, and a case is
{username, servername, admin, options}. Standard output: for each, a list of {pod, secrets, env}, or {error} where KubeSpawner
refuses; `secrets` are those that the chart makes for labs, and `env` is what the hub itself tells each server, whatever its spawner is.
"""

import json
from urllib.parse import quote

from kubespawner_names import Orm, User, run

USER_POOL = [{"matchExpressions": [{"key": "hub.jupyter.org/node-purpose", "operator": "In", "values": ["user"]}]}]
# Values of `singleuser` that are traits of KubeSpawner under another or the same name.
SAME = {
    "start_timeout": "startTimeout",
    "image_pull_policy": "image.pullPolicy",
    "extra_labels": "extraLabels",
    "extra_annotations": "extraAnnotations",
    "uid": "uid",
    "fs_gid": "fsGid",
    "service_account": "serviceAccountName",
    "node_selector": "nodeSelector",
    "node_affinity_required": "extraNodeAffinity.required",
    "node_affinity_preferred": "extraNodeAffinity.preferred",
    "pod_affinity_required": "extraPodAffinity.required",
    "pod_affinity_preferred": "extraPodAffinity.preferred",
    "pod_anti_affinity_required": "extraPodAntiAffinity.required",
    "pod_anti_affinity_preferred": "extraPodAntiAffinity.preferred",
    "lifecycle_hooks": "lifecycleHooks",
    "init_containers": "initContainers",
    "extra_containers": "extraContainers",
    "mem_limit": "memory.limit",
    "mem_guarantee": "memory.guarantee",
    "cpu_limit": "cpu.limit",
    "cpu_guarantee": "cpu.guarantee",
    "extra_resource_limits": "extraResource.limits",
    "extra_resource_guarantees": "extraResource.guarantees",
    "environment": "extraEnv",
    "profile_list": "profileList",
    "extra_pod_config": "extraPodConfig",
    "pod_name_template": "podNameTemplate",
    "allow_privilege_escalation": "allowPrivilegeEscalation",
    "default_url": "defaultUrl",
    "cmd": "cmd",
}


def find(values, path):
    for key in path.split("."):
        if not isinstance(values, dict):
            return None
        values = values.get(key)
    return values


def listed(entries):
    """A list, or a table by any key in the order of its keys."""
    if isinstance(entries, dict):
        return [entries[key] for key in sorted(entries)]
    return list(entries or [])


def home_of(storage):
    """Volumes, mounts and further traits for the home directory."""
    kind = storage["type"]
    if kind == "none":
        return [], [], {}
    if kind == "static":
        name, claim, sub_path, traits = "home", storage["static"]["pvcName"], storage["static"]["subPath"], {}
    else:
        dynamic = storage["dynamic"]
        name, claim, sub_path = dynamic["volumeNameTemplate"], "{pvc_name}", dynamic.get("subPath")
        traits = {"pvc_name_template": dynamic["pvcNameTemplate"]} if dynamic.get("pvcNameTemplate") else {}
    mount = {"name": name, "mountPath": storage["homeMountPath"]}
    if sub_path:
        mount["subPath"] = sub_path
    return [{"name": name, "persistentVolumeClaim": {"claimName": claim}}], [mount], traits


def contents(file):
    if file.get("binaryData") is not None:
        return {"base64": "".join(file["binaryData"].split())}
    if file.get("stringData") is not None:
        return {"text": file["stringData"]}
    return {"data": file.get("data")}


def files_of(extra_files):
    if not extra_files:
        return [], [], {}
    items, mounts = [], []
    for key, file in extra_files.items():
        item = {"key": key, "path": key}
        if file.get("mode") is not None:
            item["mode"] = int(file["mode"])
        items.append(item)
        mounts.append({"name": "files", "mountPath": file["mountPath"], "subPath": key})
    volume = {"name": "files", "secret": {"secretName": "singleuser", "items": items}}
    return [volume], mounts, {key: contents(file) for key, file in extra_files.items()}


def traits_of(values, admin):
    """What the chart configures KubeSpawner with, and what base charts of many hubs add for administrators."""
    singleuser = values["singleuser"]
    scheduling = values["scheduling"]
    traits = {name: find(singleuser, path) for name, path in SAME.items()}
    image = singleuser["image"]
    traits["image"] = f"{image['name']}:{image['tag']}" if image.get("tag") else image["name"]
    pull_secrets = listed(image.get("pullSecrets")) + listed(values.get("imagePullSecrets"))
    if image.get("pullSecret"):
        pull_secrets.append(image["pullSecret"])
    traits["image_pull_secrets"] = pull_secrets or None

    volumes, mounts, more = home_of(singleuser["storage"])
    traits.update(more)
    file_volumes, file_mounts, files = files_of(singleuser.get("extraFiles"))
    volumes += file_volumes + listed(singleuser["storage"].get("extraVolumes"))
    mounts += file_mounts + listed(singleuser["storage"].get("extraVolumeMounts"))

    environment = dict(traits.get("environment") or {})
    for key in ("admin", "singleuserAdmin"):
        own = find(values, f"custom.{key}") or {}
        if admin:
            environment.update(own.get("extraEnv") or {})
            volumes += listed(own.get("extraVolumes"))
            mounts += listed(own.get("extraVolumeMounts"))
    traits.update(environment=environment, volumes=volumes, volume_mounts=mounts)

    traits["tolerations"] = listed(scheduling["userPods"].get("tolerations")) + listed(singleuser["extraTolerations"])
    purpose = scheduling["userPods"]["nodeAffinity"]["matchNodePurpose"]
    if purpose == "require":
        traits["node_affinity_required"] = listed(traits["node_affinity_required"]) + USER_POOL
    elif purpose == "prefer":
        preferred = {"weight": 100, "preference": USER_POOL[0]}
        traits["node_affinity_preferred"] = [*listed(traits["node_affinity_preferred"]), preferred]
    if scheduling["userScheduler"]["enabled"]:
        traits["scheduler_name"] = "user-scheduler"
    if scheduling["podPriority"]["enabled"]:
        traits["priority_class_name"] = "jupyterhub-default-priority"

    if singleuser["cloudMetadata"]["blockWithIptables"]:
        tools, ip = singleuser["networkTools"]["image"], singleuser["cloudMetadata"]["ip"]
        rule = f"iptables --append OUTPUT --protocol tcp --destination {ip} --destination-port 80 --jump DROP"
        block = {
            "name": "block-cloud-metadata",
            "image": f"{tools['name']}:{tools['tag']}",
            "command": rule.split(),
            "securityContext": {"privileged": True, "runAsUser": 0, "capabilities": {"add": ["NET_ADMIN"]}},
        }
        traits["init_containers"] = [*listed(traits["init_containers"]), block]
    traits["common_labels"] = {"app": "jupyterhub", "chart": "jupyterhub", "heritage": "jupyterhub", "release": "jupyterhub"}
    traits.update(find(values, "hub.config.KubeSpawner") or {})
    return {name: value for name, value in traits.items() if value is not None}, files


class Hub:
    public_host = ""
    base_url = "/hub/"
    url = "http://hub:8081/hub/"
    api_url = "http://hub:8081/hub/api"


def spawner_of(spawner_class, traits, case):
    """Traits come by configuration, as in a hub, so that what a spawner does not know is left aside."""
    from jupyterhub.orm import Server
    from traitlets.config import Config

    config = Config({spawner_class.__name__: traits})
    names = [name for name in (case["username"], case["servername"]) if name]
    prefix = "/user/" + "".join(f"{quote(name, safe='')}/" for name in names)
    server = Server(proto="http", ip="0.0.0.0", port=8888, base_url=prefix, cookie_name="")
    orm_spawner = Orm(case["servername"])
    orm_spawner.server = server
    spawner = spawner_class(
        _mock=True,
        config=config,
        user=User(case["username"]),
        hub=Hub(),
        orm_spawner=orm_spawner,
        api_token="a-placeholder",
        oauth_client_id="jupyterhub-user",
        user_options=case["options"],
        namespace="jupyterhub",
    )
    return spawner


async def answer(kubespawner, values, case):
    traits, files = traits_of(values, case["admin"])
    spawner = spawner_of(kubespawner, traits, case)
    await spawner.load_user_options()
    manifest = spawner.api.api_client.sanitize_for_serialization(await spawner.get_pod_manifest())
    url = find(values, "singleuser.defaultUrl")
    plain = spawner_of(kubespawner, {"default_url": url} if url else {}, case)
    env = {name: value for name, value in plain.get_env().items() if value is not None}
    for name in ("JUPYTER_IMAGE", "JUPYTER_IMAGE_SPEC", "MEM_LIMIT", "MEM_GUARANTEE", "CPU_LIMIT", "CPU_GUARANTEE"):
        env.pop(name, None)
    return {"pod": manifest, "secrets": {"singleuser": files}, "env": env}


async def answers(hubs):
    from kubespawner import KubeSpawner

    found = []
    for hub in hubs:
        pods = []
        for case in hub["cases"]:
            try:
                # KubeSpawner writes into what it is given.
                pods.append(await answer(KubeSpawner, json.loads(json.dumps(hub["values"])), case))
            except Exception as error:
                pods.append({"error": f"{type(error).__name__}: {error}"})
        found.append(pods)
    return found


if __name__ == "__main__":
    run(answers)

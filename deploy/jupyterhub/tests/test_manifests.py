"""The configurations for clusters: they load, and they agree with each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jupyterhub.app import JupyterHub
from jupyterhub.authenticators.shared import SharedPasswordAuthenticator
from jupyterhub.proxy import ConfigurableHTTPProxy
from labwright_spawner import LabwrightSpawner
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

FOLDER = Path(__file__).resolve().parents[1]
TOKEN_VOLUME = {"path": "token", "audience": "labwright", "expirationSeconds": 3600}


def load(path: Path) -> Config:
    return PyFileConfigLoader(path.name, path=str(path.parent)).load_config()


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / "cluster" / name).read_text()))


def check_traits(config: Config) -> None:
    """Every setting is one that its class has."""
    leaves = (JupyterHub, LabwrightSpawner, ConfigurableHTTPProxy, SharedPasswordAuthenticator)
    classes = {each.__name__: each for leaf in leaves for each in leaf.mro()}
    for section, settings in config.items():
        for name in settings:
            assert name in classes[section].class_traits(config=True), f"{section}.{name}"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LABWRIGHT_FOLDER", str(tmp_path / "state"))


def test_the_laptops_configuration_stays_on_loopback() -> None:
    config = load(FOLDER / "laptop/jupyterhub_config.py")
    check_traits(config)
    assert config.JupyterHub.bind_url.startswith("http://127.0.0.1:")
    assert config.JupyterHub.hub_bind_url.startswith("http://127.0.0.1:")
    again = load(FOLDER / "laptop/jupyterhub_config.py")
    assert again.SharedPasswordAuthenticator.user_password == config.SharedPasswordAuthenticator.user_password


def test_the_clusters_configuration_takes_what_differs_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    path = FOLDER / "cluster/jupyterhub_config.py"
    config = load(path)
    check_traits(config)
    assert "authenticator_class" not in config.JupyterHub
    assert config.LabwrightSpawner.user_token_key is None
    monkeypatch.setenv("LABWRIGHT_URL", "http://10.0.0.1:8080/lw")
    monkeypatch.setenv("LABWRIGHT_USER_TOKEN_KEY", "access_token")
    monkeypatch.setenv("LABWRIGHT_SERVICE_TOKEN", "a-token-of-a-service")
    monkeypatch.setenv("LABWRIGHT_CALLBACK_URL", "https://hub.example.org/labwright/oauth_callback")
    monkeypatch.setenv("JUPYTERHUB_USER_PASSWORD", "a-password-for-all")
    config = load(path)
    check_traits(config)
    assert config.LabwrightSpawner.controller_url == "http://10.0.0.1:8080/lw"
    assert config.LabwrightSpawner.user_token_key == "access_token"
    assert config.JupyterHub.services[0]["oauth_redirect_uri"].endswith("/oauth_callback")
    assert config.JupyterHub.authenticator_class == "shared-password"


def test_the_hubs_pod_has_the_token_that_its_configuration_reads() -> None:
    hub = next(each for each in documents("hub.yaml") if each["kind"] == "Deployment")
    pod = hub["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    (container,) = pod["containers"]
    environment = {each["name"]: each.get("value") for each in container["env"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    token = Path(environment["LABWRIGHT_TOKEN_PATH"])
    sources = volumes[mounts[str(token.parent)]]["projected"]["sources"]
    assert sources == [{"serviceAccountToken": TOKEN_VOLUME | {"path": token.name}}]
    assert environment["JUPYTERHUB_STATE"] in mounts
    assert set(mounts.values()) == set(volumes)
    # Everything that the hub is told by its environment, the configuration asks for.
    text = (FOLDER / "cluster/jupyterhub_config.py").read_text()
    of_jupyterhub = {"CONFIGPROXY_AUTH_TOKEN", "JUPYTERHUB_CRYPT_KEY"}
    assert {name for name in environment if f'"{name}"' not in text} == of_jupyterhub


def test_the_clusters_files_belong_together() -> None:
    kustomization = yaml.safe_load((FOLDER / "cluster/kustomization.yaml").read_text())
    everything = [document for name in kustomization["resources"] for document in documents(name)]
    (generated,) = kustomization["configMapGenerator"]
    assert all((FOLDER / "cluster" / name).is_file() for name in generated["files"])
    images = {image["name"] for image in kustomization["images"]}
    labels = []
    for each in everything:
        if each["kind"] == "Deployment":
            template = each["spec"]["template"]
            labels.append(template["metadata"]["labels"])
            assert each["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]
            assert {container["image"] for container in template["spec"]["containers"]} <= images
    for each in everything:
        if each["kind"] == "Service":
            assert each["spec"]["selector"] in labels
        if each["kind"] == "NetworkPolicy":
            assert each["spec"]["podSelector"]["matchLabels"] in labels


def test_the_charts_values_fit_the_spawner_and_the_token() -> None:
    values = yaml.safe_load((FOLDER / "z2jh/values.yaml").read_text())
    hub = values["hub"]
    check_traits(Config(hub["config"]))
    (volume,) = hub["extraVolumes"]
    (mount,) = hub["extraVolumeMounts"]
    assert volume["name"] == mount["name"]
    assert volume["projected"]["sources"] == [{"serviceAccountToken": TOKEN_VOLUME}]
    assert hub["config"]["LabwrightSpawner"]["token_path"] == f"{mount['mountPath']}/token"
    config = Config()
    for code in hub["extraConfig"].values():
        exec(code, {"c": config})  # noqa: S102 - as the chart does
    check_traits(config)
    assert config.JupyterHub.hub_connect_url == "http://hub.jupyterhub.svc:8081"
    assert not values["scheduling"]["userScheduler"]["enabled"]
    assert not values["prePuller"]["hook"]["enabled"]

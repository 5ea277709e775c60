"""A JupyterHub in a pod, beside Labwright.

What differs between sites comes from the environment; the manifests beside this file set it.

- `LABWRIGHT_URL`: address of Labwright with its path prefix.
- `LABWRIGHT_TOKEN_PATH`: the pod's token for Labwright: a projected service-account token, which the kubelet rotates.
- `LABWRIGHT_USER_TOKEN_KEY`: key of the users' own tokens in their auth state; empty: the hub acts on their behalf.
- `HUB_CONNECT_URL`: the hub as labs and the proxy reach it, by a name that outlives the pod.
- `PROXY_API_URL`, `CONFIGPROXY_AUTH_TOKEN`: the proxy, a pod of its own, so that restarts of the hub cut no connection.
- `JUPYTERHUB_STATE`: folder for the database and the cookie secret, on a volume.
- `LABWRIGHT_SERVICE_TOKEN`: token of Labwright as a service of this hub, where it lets people log in through the hub or
  asks for their facts (`auth.jupyterhub.tokenFile`); `LABWRIGHT_CALLBACK_URL`: its `…/oauth_callback` for browsers.
- `LABWRIGHT_SERVICE_URL`: Labwright without its path, where the hub's proxy is to lead people to it as well. Its
  `pathPrefix` has to be `/services/labwright` then.
- `JUPYTERHUB_USER_PASSWORD`: one password for everybody, for trying it out. Choose another authenticator for real use.
"""

import os

c = get_config()  # noqa: F821 - the hub provides it

state = os.environ.get("JUPYTERHUB_STATE", "/srv/jupyterhub/state")

c.JupyterHub.spawner_class = "labwright"
c.LabwrightSpawner.controller_url = os.environ.get("LABWRIGHT_URL", "http://labwright.labwright.svc/labwright")
c.LabwrightSpawner.token_path = os.environ.get("LABWRIGHT_TOKEN_PATH", "/var/run/secrets/labwright/token")
c.LabwrightSpawner.user_token_key = os.environ.get("LABWRIGHT_USER_TOKEN_KEY") or None
c.JupyterHub.allow_named_servers = True

# The hub listens everywhere in its pod. Labs remember the address by which they reach it, so that it must not change.
c.JupyterHub.hub_bind_url = os.environ.get("HUB_BIND_URL", "http://0.0.0.0:8081")
c.JupyterHub.hub_connect_url = os.environ.get("HUB_CONNECT_URL", "http://hub:8081")
c.JupyterHub.bind_url = os.environ.get("PUBLIC_BIND_URL", "http://0.0.0.0:8000")
c.ConfigurableHTTPProxy.api_url = os.environ.get("PROXY_API_URL", "http://proxy-api:8001")
c.ConfigurableHTTPProxy.should_start = os.environ.get("PROXY_SHOULD_START") == "1"

c.JupyterHub.db_url = os.environ.get("JUPYTERHUB_DB_URL", f"sqlite:///{state}/jupyterhub.sqlite")
c.JupyterHub.cookie_secret_file = f"{state}/cookie-secret"

# A hub that is restarted finds its labs again, also those that were starting. Such a lab waits for the hub, and the hub
# for the lab: the hub answers first.
c.JupyterHub.cleanup_servers = False
c.JupyterHub.init_spawners_timeout = 1
# The page with the progress at once.
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
# No failed lab is mended by ending the hub.
c.Spawner.consecutive_failure_limit = 0

# Who may do more than use labs of their own, for tokens of this hub: Labwright's `auth.jupyterhub.scopes`.
c.JupyterHub.custom_scopes = {
    "custom:labwright:hub": {"description": "Start, watch and stop anybody's labs"},
    "custom:labwright:admin": {"description": "Administer Labwright"},
}
service_token = os.environ.get("LABWRIGHT_SERVICE_TOKEN")
if service_token:
    service = {"name": "labwright", "api_token": service_token, "oauth_no_confirm": True}
    if os.environ.get("LABWRIGHT_SERVICE_URL"):
        service["url"] = os.environ["LABWRIGHT_SERVICE_URL"]
    if os.environ.get("LABWRIGHT_CALLBACK_URL"):
        service["oauth_redirect_uri"] = os.environ["LABWRIGHT_CALLBACK_URL"]
    c.JupyterHub.services = [service]
    c.JupyterHub.load_roles = [
        {"name": "labwright", "services": ["labwright"], "scopes": ["read:users"]},
        {"name": "user", "scopes": ["self", "access:services!service=labwright"]},
    ]

password = os.environ.get("JUPYTERHUB_USER_PASSWORD")
if password:
    c.JupyterHub.authenticator_class = "shared-password"
    c.SharedPasswordAuthenticator.user_password = password
    c.Authenticator.allow_all = True

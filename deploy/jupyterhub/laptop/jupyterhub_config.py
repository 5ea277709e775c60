"""A JupyterHub for one machine, in front of `npm start -- --with-local-labs`.

From the root of the repository:

    npm ci && npm start -- --with-local-labs
    python3 -m venv .venv && .venv/bin/pip install './deploy/jupyterhub/spawner[laptop]'
    .venv/bin/jupyterhub -f deploy/jupyterhub/laptop/jupyterhub_config.py

Everything listens on loopback only, and what is written is in `.labwright/`. Labs are processes of your own account and
nothing isolates them: whoever logs in here runs commands as you. That is why even here there is a password; it is made
when this is first started.
"""

import os
import secrets
import shutil
import sys
from pathlib import Path

c = get_config()  # noqa: F821 - the hub provides it

root = Path(__file__).resolve().parents[3]
# Where `npm start` keeps its own: below the folder it was started in.
folder = Path(os.environ.get("LABWRIGHT_FOLDER", root / ".labwright"))
folder.mkdir(mode=0o700, exist_ok=True)

# Labwright, with the token that it makes anew at each start.
c.JupyterHub.spawner_class = "labwright"
c.LabwrightSpawner.controller_url = os.environ.get("LABWRIGHT_URL", "http://127.0.0.1:8080/labwright")
c.LabwrightSpawner.token_path = str(folder / "hub-token")
# For servers that are started through the hub's API, without the form.
c.LabwrightSpawner.default_options = {"size": "small", "image_class": "recommended"}
c.JupyterHub.allow_named_servers = True

# Labs live as long as Labwright does; a hub that is restarted finds them again.
c.JupyterHub.cleanup_servers = False
# A lab whose start a restart of the hub interrupted waits for the hub, and the hub for the lab: the hub answers first.
c.JupyterHub.init_spawners_timeout = 1
# The page with the progress at once, not after ten seconds.
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}

c.JupyterHub.bind_url = "http://127.0.0.1:8000"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:8081"
c.JupyterHub.db_url = f"sqlite:///{folder / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(folder / "jupyterhub-cookie-secret")

# The proxy is one of this repository's packages, and so is the Node.js that it runs on.
proxy = root / "node_modules" / ".bin" / "configurable-http-proxy"
node = root / "node_modules" / "node" / "bin" / "node"
if not proxy.exists():
    sys.exit(f"There is no {proxy}. Run `npm ci` in {root} first.")
c.ConfigurableHTTPProxy.command = [str(node) if node.exists() else shutil.which("node") or "node", str(proxy)]
c.ConfigurableHTTPProxy.pid_file = str(folder / "jupyterhub-proxy.pid")

# One password for any name: other accounts of this machine reach the same loopback addresses.
password_file = folder / "hub-password"
if not password_file.exists():
    password_file.touch(mode=0o600)
    password_file.write_text(secrets.token_urlsafe(9))
password = password_file.read_text().strip()
c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = password
c.Authenticator.allow_all = True

if sys.stdout.isatty():
    print(f"\nLog in at http://127.0.0.1:8000 with any name and the password {password}\n", flush=True)
else:
    print(f"The password is in {password_file}", flush=True)
if not (folder / "hub-token").exists():
    print("Labwright does not run yet. In another terminal: npm start -- --with-local-labs", flush=True)

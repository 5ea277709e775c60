"""A host of Git over HTTP, Git's own `http-backend`, with an LFS store beside each repository."""

import base64
import hashlib
import json
import os
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

_IDENTITY = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "protocol.file.allow=always")
_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n"
_BATCH = "/info/lfs/objects/batch"


class GitHost:
    """Repositories by name, at `{url}/{name}.git`."""

    def __init__(self, folder: Path, tls: ssl.SSLContext | None = None) -> None:
        self.folder = folder
        self.objects: dict[str, bytes] = {}
        #: User and password that every request has to show; nothing is asked for when absent.
        self.login: str | None = None
        self.asked_with: list[tuple[str, str | None]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def git(self, where: Path, *words: str) -> str:
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
        program = ["git", "-C", str(where), *_IDENTITY, *words]
        return subprocess.run(program, check=True, capture_output=True, text=True, env=env).stdout.strip()

    def add(self, name: str, files: dict[str, str], submodules: dict[str, tuple[str, str]] | None = None) -> str:
        """Add a repository; its commit."""
        tree, bare = self.folder / f"{name}-tree", self.folder / f"{name}.git"
        tree.mkdir(parents=True)
        self.git(tree, "init", "-q", "--initial-branch=main")
        for path, text in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_text(text)
        modules = ""
        for path, (url, commit) in (submodules or {}).items():
            modules += f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n'
            self.git(tree, "update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
        if modules:
            (tree / ".gitmodules").write_text(modules)
        # A submodule has no folder here, and is no file that was removed.
        self.git(tree, "add", *[str(path.relative_to(tree)) for path in tree.iterdir() if path.name != ".git"], ".")
        for path, (_, commit) in (submodules or {}).items():
            self.git(tree, "update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
        self.git(tree, "commit", "-q", "--allow-empty", "-m", "one")
        self.git(tree, "clone", "-q", "--bare", str(tree), str(bare))
        return self.git(tree, "rev-parse", "HEAD")

    def add_unreached(self, name: str) -> str:
        """A commit of a repository that no branch and no tag has."""
        tree, bare = self.folder / f"{name}-tree", self.folder / f"{name}.git"
        (tree / "pulled.txt").write_text("pulled")
        self.git(tree, "add", "pulled.txt")
        self.git(tree, "commit", "-q", "-m", "pulled")
        self.git(tree, "push", "-q", str(bare), "HEAD:refs/pull/7/head")
        return self.git(tree, "rev-parse", "HEAD")

    def store(self, content: bytes) -> str:
        """Keep a file in LFS; the pointer to it."""
        oid = hashlib.sha256(content).hexdigest()
        self.objects[oid] = content
        return _POINTER.format(oid=oid, size=len(content))


def _handler(host: GitHost) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

        def _answer(self, body: bytes) -> None:
            path, _, query = self.path.partition("?")
            authorization = self.headers.get("Authorization")
            host.asked_with.append((path, authorization))
            wanted = host.login and f"Basic {base64.b64encode(host.login.encode()).decode()}"
            if wanted and authorization != wanted and not path.startswith("/objects/"):
                self._send(401, b"", {"WWW-Authenticate": 'Basic realm="git"'})
            elif path.endswith(_BATCH):
                self._send(200, _batch(host, body), {"Content-Type": "application/vnd.git-lfs+json"})
            elif path.startswith("/objects/"):
                content = host.objects.get(path.rpartition("/")[2])
                self._send(404 if content is None else 200, content or b"", {})
            else:
                self._backend(path, query, body)

        def _backend(self, path: str, query: str, body: bytes) -> None:
            env = {
                "PATH": os.environ["PATH"],
                "HOME": "/nonexistent",
                "GIT_PROJECT_ROOT": str(host.folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            }
            ran = subprocess.run(
                ["git", "http-backend"],  # noqa: S607
                input=body,
                capture_output=True,
                check=False,
                env=env,
            )
            head, _, rest = ran.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
            status = int(headers.pop("Status", "200").split()[0])
            self._send(status, rest, headers)

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Handler


def _batch(host: GitHost, body: bytes) -> bytes:
    """https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md."""
    answers = []
    for wanted in json.loads(body)["objects"]:
        oid = wanted["oid"]
        if oid in host.objects:
            answers.append({**wanted, "actions": {"download": {"href": f"{host.url}/objects/{oid}"}}})
        else:
            answers.append({**wanted, "error": {"code": 404, "message": "Object does not exist on the server"}})
    return json.dumps({"transfer": "basic", "objects": answers}).encode()

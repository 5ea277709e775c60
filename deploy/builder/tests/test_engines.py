import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from repo2docker.engine import BuildError
from traitlets.config import LoggingConfigurable

from labwright_builder import buildah
from labwright_builder.buildah import BuildahEngine
from labwright_builder.buildkit import BuildkitEngine
from labwright_builder.docker import DockerEngine
from labwright_builder.engine import LabwrightEngine

from .conftest import Programs, Said

IMAGE = "registry.example.org:5000/labs/ada:1"


@pytest.fixture(autouse=True)
def _unconfined(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is run is looked at here; test_confine.py is about namespaces."""

    def command(program: Sequence[str], *, hidden: Sequence[str] = ()) -> list[str]:
        return ["env", f"HIDDEN={','.join(hidden)}", *program]

    monkeypatch.setattr(buildah, "command", command)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM registry.example.org:5000/base:1\nFROM debian:13\n")
    return folder


def build(engine: LabwrightEngine, path: Path, **options: object) -> list[str]:
    given: dict[str, object] = {"tag": IMAGE, "push": True, "path": str(path), "dockerfile": "Dockerfile", **options}
    return list(engine.build(**given))


def test_buildah_builds_without_a_view_of_the_secrets_and_then_pushes(
    programs: Programs, said: Said, parent: LoggingConfigurable, repository: Path
) -> None:
    programs.play(("build", "STEP 1/2: FROM x\r\nprogress\rdone\xff\n", 0), ("push", "Copying\n", 0))
    lines = build(
        BuildahEngine(parent=parent),
        repository,
        buildargs={"A": "--b"},
        labels={"l": "v"},
        cache_from=["registry.example.org:5000/cache:1"],
        platform="linux/amd64",
    )
    assert lines == ["STEP 1/2: FROM x\n", "progress\n", "done\ufffd\n"]
    run, push = programs.calls
    assert run["argv"][-1] == str(repository)
    assert {
        "--build-arg=A=--b",
        "--label=l=v",
        "--cache-from=registry.example.org:5000/cache",
        f"--tag={IMAGE}",
    } <= set(run["argv"])
    assert run["env"]["HIDDEN"] == "/run/labwright/secrets"
    assert push["argv"][-2:] == [IMAGE, f"docker://{IMAGE}"]
    assert [phase for phase, _ in said.lines] == ["pushing"] * 3
    assert said.lines[-1][1] == f"Pushed {IMAGE} sha256:{'0' * 64}\n"


def test_buildah_pulls_only_bases_it_has_credentials_for_and_tells_the_build_of_none(
    programs: Programs, parent: LoggingConfigurable, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"auths": {"https://registry.example.org:5000/v2/": {"auth": "cGxhY2Vob2xkZXI="}}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(file))
    monkeypatch.setenv("LABWRIGHT_REGISTRY_INSECURE", "1")
    programs.play(("push", "", 0))
    build(BuildahEngine(parent=parent), repository)
    pull, run, push = programs.calls
    assert pull["argv"][-2:] == ["--", "registry.example.org:5000/base:1"]
    assert [call["env"].get("REGISTRY_AUTH_FILE") for call in (pull, run, push)] == [str(file), None, str(file)]


def test_only_the_registry_of_the_image_is_reached_over_plain_http(
    programs: Programs, parent: LoggingConfigurable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = BuildahEngine(parent=parent)
    text = Path(engine._write_registries(tmp_path, IMAGE)).read_text()
    assert "insecure" not in text
    monkeypatch.setenv("LABWRIGHT_REGISTRY_INSECURE", "1")
    text = Path(engine._write_registries(tmp_path, IMAGE)).read_text()
    assert text.endswith('[[registry]]\nlocation = "registry.example.org:5000"\ninsecure = true\n')


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            'STEP 2/3: RUN pip   install nothing\nError: building at STEP "RUN pip": exit status 7\n',
            "Step 2/3: RUN pip install nothing failed with exit code 7.",
        ),
        (
            "STEP 1/3: FROM example.org/no:1\nError: manifest unknown\n",
            "The base image example.org/no:1 cannot be fetched: its registry does not have it."
            " It said: manifest unknown",
        ),
        (
            'STEP 2/3: RUN stress\nKilled\nError: building at STEP "RUN stress": exit status 137\n',
            "Step 2/3: RUN stress was killed: most likely the build used more memory than it has (exit code 137).",
        ),
        ("STEP 2/3: COPY a b\nError: no such file\n", "Step 2/3: COPY a b failed."),
        ("Error: Dockerfile is empty\n", "The build could not begin: Error: Dockerfile is empty"),
        ("", "The build failed with exit code 125."),
    ],
)
def test_says_which_step_of_a_buildah_build_has_failed(
    programs: Programs, said: Said, parent: LoggingConfigurable, repository: Path, output: str, message: str
) -> None:
    programs.play(("build", output, 125))
    with pytest.raises(BuildError):
        build(BuildahEngine(parent=parent), repository)
    assert said.lines == [("failed", message)]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("Error: unauthorized: authentication required\n", "The registry refuses the image.* It said: unauthorized"),
        (
            'Error: pushing image "r/denied:1" to "docker://r/denied:1": writing blob: initiating layer upload to'
            " /v2/denied/blobs/uploads/ in r: name unknown\n",
            "The registry has no such repository, and makes none by itself. It said: initiating .*: name unknown",
        ),
        ("Error: x: 413 (Request Entity Too Large)\n", "takes no layer of this size"),
        ("Error: x: 429 (Too Many Requests)\n", "The registry asks for fewer requests."),
        (
            'Get "https://r/v2/": x509: certificate signed by unknown authority\n',
            "certificate that is not trusted",
        ),
        (f'Error: Get "https://u:{"t" * 9}@r/v2/": \n', r"It said: Get .https://r/v2/"),
        ("dial tcp 192.0.2.1:443: connect: connection refused\n", "The registry cannot be reached"),
        ("write /var/tmp/x: no space left on device\n", "There is no room left"),
        ("Error: 4010 layers\n", "Pushing the image failed with exit code 125."),
    ],
)
def test_says_why_a_push_has_failed(
    programs: Programs, said: Said, parent: LoggingConfigurable, repository: Path, output: str, message: str
) -> None:
    programs.play(("build", "", 0), ("push", output, 125))
    with pytest.raises(BuildError, match=message):
        build(BuildahEngine(parent=parent), repository)
    assert said.lines[-1][0] == "failed"


def test_unpacks_a_context_that_repo2docker_has_made(programs: Programs, parent: LoggingConfigurable) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("Dockerfile")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"FROM"))
    packed.seek(0)
    list(BuildahEngine(parent=parent).build(tag=IMAGE, fileobj=packed))
    context = programs.calls[0]["argv"][-1]
    assert f"--file={context}/Dockerfile" in programs.calls[0]["argv"]
    assert not Path(context).exists()


def test_buildkit_pushes_with_a_cache_in_the_registry_over_mutual_tls(
    programs: Programs, said: Said, parent: LoggingConfigurable, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABWRIGHT_BUILDKIT_TLS", "/run/labwright/buildkit-tls")
    monkeypatch.setenv("LABWRIGHT_BUILDKIT_CACHE", "registry.example.org:5000/cache")
    monkeypatch.setenv("LABWRIGHT_IMAGE", IMAGE)
    programs.play(("build", "#5 [1/2] FROM x\n#9 pushing layers\n#9 done\n", 0))
    lines = build(BuildkitEngine(parent=parent), repository, buildargs={"A": "b"}, labels={"l": "v"})
    assert lines == ["#5 [1/2] FROM x\n"]
    assert said.lines[0] == ("pushing", "#9 pushing layers\n")
    (argv,) = [call["argv"] for call in programs.calls]
    cache = "type=registry,ref=registry.example.org:5000/cache:labs-ada"
    assert {
        "--tlskey=/run/labwright/buildkit-tls/key.pem",
        f"--import-cache={cache}",
        f"--export-cache={cache},mode=max,ignore-error=true",
        f"--output=type=image,name={IMAGE},push=true",
        "--opt=build-arg:A=b",
        "--opt=label:l=v",
    } <= set(argv)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            '#6 [2/3] RUN exit 4\n#6 ERROR: process "/bin/sh -c exit 4" did not complete successfully: exit code: 4\n',
            "Step 2/3: RUN exit 4 failed with exit code 4.",
        ),
        (
            "error: failed to solve: failed to resolve source metadata for example.org/no:1: unexpected status from"
            " HEAD request to https://example.org/v2/no/manifests/1: 401 Unauthorized\n",
            "The base image example.org/no:1 cannot be fetched.",
        ),
        ("#9 pushing layers\nerror: failed to push: 403 Forbidden\n", "The registry refuses the image"),
        ("error: dial tcp: connection refused\n", "The BuildKit daemon cannot be reached."),
    ],
)
def test_says_what_of_a_buildkit_build_has_failed(
    programs: Programs, said: Said, parent: LoggingConfigurable, repository: Path, output: str, message: str
) -> None:
    programs.play(("build", output, 1))
    with pytest.raises(BuildError, match=message):
        build(BuildkitEngine(parent=parent), repository)
    assert said.lines[-1][0] == "failed"


@pytest.mark.parametrize(("buildx", "buildkit"), [(0, "1"), (1, "0")])
def test_docker_builds_with_what_its_cli_has_and_then_pushes(
    programs: Programs, said: Said, parent: LoggingConfigurable, repository: Path, buildx: int, buildkit: str
) -> None:
    programs.play(("buildx", "", buildx), ("build", "Step 1/1 : FROM x\n", 0), ("push", "1: digest: sha256:0\n", 0))
    assert build(DockerEngine(parent=parent), repository, labels={"l": "v"}) == ["Step 1/1 : FROM x\n"]
    _, run, push = programs.calls
    assert {f"--tag={IMAGE}", "--label=l=v"} <= set(run["argv"])
    assert run["env"]["DOCKER_BUILDKIT"] == buildkit
    assert push["argv"][1:] == ["push", IMAGE]
    assert [phase for phase, _ in said.lines] == ["pushing", "pushing"]


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            "Step 2/2 : RUN exit 3\nThe command '/bin/sh -c exit 3' returned a non-zero code: 3\n",
            "Step 2/2: RUN exit 3 failed with exit code 3.",
        ),
        (
            '#6 [2/2] RUN exit 4\nERROR: process "/bin/sh -c exit 4" did not complete successfully: exit code: 4\n',
            "Step 2/2: RUN exit 4 failed with exit code 4.",
        ),
        ("ERROR: Cannot connect to the Docker daemon at unix:///x.\n", "The engine of the node cannot be reached."),
    ],
)
def test_says_what_of_a_docker_build_has_failed(
    programs: Programs, said: Said, parent: LoggingConfigurable, repository: Path, output: str, message: str
) -> None:
    programs.play(("buildx", "", 1), ("build", output, 1))
    with pytest.raises(BuildError):
        build(DockerEngine(parent=parent), repository)
    assert said.lines == [("failed", message)]

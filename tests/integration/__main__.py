"""Runs the tests of the runner, as it is shipped, in one throw-away container.

`python3 -m tests.integration [pytest's options]`. The images are built first when what they are made of changed.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cluster import cluster as clusters
from tests.cluster import engine as engines
from tests.cluster import images
from tests.cluster.cache import Cache, default_root
from tests.cluster.cluster import Cluster
from tests.cluster.engine import Engine
from tests.cluster.shell import HarnessError

HERE = Path(__file__).parent
AROUND_IT = images.ProjectImage(
    "localhost/quotenode-integration:dev", HERE, (HERE / "Dockerfile", HERE / "requirements.txt")
)


def main(arguments: list[str]) -> int:
    cache = Cache(default_root())
    engine = engines.choose(cache)
    with cache.locked():
        for image in (images.OPERATOR, AROUND_IT):
            images.build(Cluster(clusters.chosen_name(), cache, engine), image)
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "image.tar"
        export(engine, images.OPERATOR.name, archive)
        return attached(engine, [*container(engine, archive), *arguments])


def container(engine: Engine, archive: Path) -> list[str]:
    """Privileged, since each test gives the runner mounts of its own; without any network but its own loopback."""
    tests, code = "/opt/quotenode/tests", "/opt/quotenode/operator"
    mounts = {archive: "/image.tar", images.ROOT / "tests": tests, images.ROOT / "operator": code}
    volumes = [f"--volume={source}:{target}:ro" for source, target in mounts.items()]
    start = json.dumps(start_command(engine, images.OPERATOR.name))
    scratch = "--tmpfs=/scratch:rw,exec,size=6g,mode=0755"
    environment = [f"--env=QN_SHIPPED={start}", "--env=PYTEST_ADDOPTS"]
    isolation = ["--privileged", "--network=none", *environment]
    return ["run", "--rm", *isolation, *volumes, scratch, AROUND_IT.name, f"{tests}/integration/inside.sh"]


def start_command(engine: Engine, image: str) -> list[str]:
    """How the image starts its program: its environment and its entry point."""
    config = json.loads(engine("image", "inspect", image))[0]["Config"]
    return ["env", "-i", *(config["Env"] or []), *config["Entrypoint"]]


def export(engine: Engine, image: str, archive: Path) -> None:
    name = engine("create", image).strip()
    try:
        engine("export", "--output", archive, name)
    finally:
        engine("rm", name)


def attached(engine: Engine, command: list[str]) -> int:
    """The exit code of a command that talks to the terminal itself."""
    return subprocess.call([engine.name, *command], env={**os.environ, **engine.env})


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HarnessError as error:
        sys.exit(f"error: {error}")

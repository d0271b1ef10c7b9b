"""Runs the tests of the runner, as it is shipped, in one throw-away container: `python3 -m tests.integration [pytest's options]`."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.cluster import engine as engines
from tests.cluster.cache import Cache, default_root
from tests.cluster.engine import Engine
from tests.cluster.shell import HarnessError, step

SHIPPED = "localhost/quotenode-backup-operator:dev"
AROUND_IT = "localhost/quotenode-integration:dev"
ROOT = Path(__file__).parents[2]
HERE = ROOT / "tests" / "integration"


def main(arguments: list[str]) -> int:
    engine = engines.choose(Cache(default_root()))
    if not engine.has_image(SHIPPED):
        raise HarnessError(f"There is no image {SHIPPED} yet. Build it with `python3 -m tests.cluster images`.")
    with step("building the container of the integration tests"):
        engine.build(HERE, AROUND_IT)
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "image.tar"
        export(engine, SHIPPED, archive)
        return attached(engine, [*container(engine, archive), *arguments])


def container(engine: Engine, image: Path) -> list[str]:
    """Privileged, since each test gives the runner mounts of its own; without any network but its own loopback."""
    mounts = {image: "/image.tar", ROOT / "tests": "/opt/quotenode/tests", ROOT / "operator": "/opt/quotenode/operator"}
    volumes = [f"--volume={source}:{target}:ro" for source, target in mounts.items()]
    start = json.dumps(start_command(engine, SHIPPED))
    scratch = "--tmpfs=/scratch:rw,exec,size=6g,mode=0755"
    isolation = ["--privileged", "--network=none", f"--env=QN_SHIPPED={start}"]
    return ["run", "--rm", *isolation, *volumes, scratch, AROUND_IT, "tests/integration/inside.sh"]


def attached(engine: Engine, command: list[str]) -> int:
    """The exit code of a command that talks to the terminal itself."""
    return subprocess.call([engine.name, *command], env={**os.environ, **engine.env})


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


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HarnessError as error:
        sys.exit(str(error))

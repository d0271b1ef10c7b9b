"""The images of this project: built when their inputs changed, put into the nodes when a node lacks them."""

from dataclasses import dataclass
from pathlib import Path

from . import bases
from .cache import key_of
from .cluster import Cluster
from .shell import HarnessError, step

ROOT = Path(__file__).parents[2]
INPUTS_LABEL = "io.quotenode.backup.inputs"
LOADED = "/kind/loaded"  # a folder in each node: which image was put in last, by name


@dataclass(frozen=True)
class ProjectImage:
    name: str
    context: Path
    inputs: tuple[Path, ...]  # all that its Dockerfile copies, and the Dockerfile

    @property
    def key(self) -> str:
        return key_of(*self.inputs)


OPERATOR = ProjectImage(
    "localhost/quotenode-backup-operator:dev",
    ROOT,
    (ROOT / "Dockerfile", ROOT / "requirements.lock", ROOT / "operator"),
)
STAND_IN = ProjectImage(
    "localhost/quotenode-standin:dev", ROOT / "examples" / "quotenode", (ROOT / "examples" / "quotenode",)
)


def present() -> list[ProjectImage]:
    return [image for image in (OPERATOR, STAND_IN) if (image.context / "Dockerfile").exists()]


def build(cluster: Cluster, image: ProjectImage) -> None:
    engine = cluster.engine
    if engine.label(image.name, INPUTS_LABEL) == image.key:
        return
    bases.provide(cluster.cache, engine, *bases.ALL)
    with step(f"building {image.name}"):
        engine.build(image.context, image.name, "--label", f"{INPUTS_LABEL}={image.key}")


def load(cluster: Cluster, image: str) -> None:
    """Put an image of the engine into every node, unless all have this very one."""
    engine = cluster.engine
    if not engine.has_image(image):
        raise HarnessError(f"There is no image {image} here. Build it first, then load it.")
    identity = engine.image_id(image)
    if all(loaded_identity(cluster, node, image) == identity for node in cluster.nodes):
        return
    with step(f"loading {image} into the nodes"), cluster.cache.scratch() as folder:
        engine.save(image, folder / "image.tar")
        cluster.kind("load", "image-archive", folder / "image.tar", "--name", cluster.name)
        for node in cluster.nodes:
            engine("exec", node, "sh", "-c", f"mkdir -p {LOADED} && echo {identity} > {record(image)}")


def loaded_identity(cluster: Cluster, node: str, image: str) -> str | None:
    """None when the node never got it, or has thrown it away since."""
    check = f"ctr --namespace k8s.io images ls --quiet name=={image} | grep --quiet . && cat {record(image)}"
    if not cluster.engine.try_to("exec", node, "sh", "-c", check):
        return None
    return cluster.engine("exec", node, "cat", record(image)).strip()


def record(image: str) -> str:
    return f"{LOADED}/{image.replace('/', '_')}"

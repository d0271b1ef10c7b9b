"""The image of a kind node, built from Go modules and Debian packages where none can be pulled.

It follows what `kind build node-image` does: a base with systemd and containerd, the Kubernetes
programs in it, and the images of the control plane imported into its containerd.
"""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import bases, golang, versions
from .cache import Cache, key_of
from .engine import Engine
from .shell import HarnessError, say, step

FILES = Path(__file__).parent / "files"
REPOSITORY = "localhost/quotenode-kind-node"
PAUSE_IMAGE = f"registry.k8s.io/pause:{versions.PAUSE}"
STATIC_PODS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
STORAGE_IMAGES = ("localhost/local-path-provisioner:kind", "localhost/local-path-helper:kind")
NODE_FILES = ("node", "control-plane", "proxy", "pause", "storage")
BUILD_CONTAINER = "quotenode-kind-node-build"

WAIT_FOR_CONTAINERD = "for _ in $(seq 100); do ctr version >/dev/null 2>&1 && exit 0; sleep 0.1; done; exit 1"


def provide(cache: Cache, engine: Engine) -> str:
    """The name of a node image that this engine has."""
    image = f"{REPOSITORY}:{image_key()}"
    if engine.has_image(image):
        return image
    published = versions.PUBLISHED_NODE_IMAGE
    if engine.has_image(published) or bases.pulled(engine, published):
        return published
    say("    no registry gives it: building the node image, once, from Go modules and Debian packages")
    bases.provide(cache, engine, bases.BOOKWORM)
    with step(f"building {image}"):
        build(cache, engine, image)
    remove_older(engine, image)
    return image


def is_built_here(image: str) -> bool:
    return image.startswith(REPOSITORY)


def image_key() -> str:
    pins = (versions.KUBERNETES, versions.KIND, versions.ETCD, versions.COREDNS, versions.LOCAL_PATH_PROVISIONER)
    return key_of(*pins, *map(FILES.joinpath, NODE_FILES), Path(__file__))


def build(cache: Cache, engine: Engine, image: str) -> None:
    kubernetes = golang.kubernetes(cache)
    with cache.scratch() as folder:
        base = f"{image}-base"
        build_base(engine, base, kubernetes, folder / "base")
        archives = build_inner_images(cache, engine, kubernetes, folder)
        with running(engine, base) as container:
            load_inner_images(engine, container, archives)
            commit(engine, container, image)
        engine("rmi", "--force", base)


def build_base(engine: Engine, base: str, kubernetes: Path, context: Path) -> None:
    copy_writable(golang.module_source("sigs.k8s.io/kind", versions.KIND) / "images/base/files", context / "kind")
    for program in ("kubelet", "kubeadm", "kubectl"):
        shutil.copy2(kubernetes / program, context)
    shutil.copy2(FILES / "storage/default-storage.yaml", context)
    dockerfile = FILES / "node/Dockerfile"
    engine.build(context, base, "--build-arg", f"PAUSE_IMAGE={PAUSE_IMAGE}", "--file", dockerfile)


def copy_writable(source: Path, target: Path) -> None:
    """Files of Go's module cache are read-only, which would stay so in the image."""
    shutil.copytree(source, target)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def build_inner_images(cache: Cache, engine: Engine, kubernetes: Path, folder: Path) -> list[Path]:
    """Archives of the images that a node must have before its first pod starts."""
    kernel = golang.module_source("k8s.io/kubernetes", versions.KUBERNETES)
    wanted = kubeadm_images(engine, kubernetes)
    recipes = [(wanted[name], kubernetes / name, "control-plane/Dockerfile") for name in STATIC_PODS]
    recipes += [
        (wanted["etcd"], golang.built(cache, golang.ETCD), "control-plane/Dockerfile"),
        (wanted["coredns"], golang.built(cache, golang.COREDNS), "control-plane/coredns.Dockerfile"),
        (wanted["kube-proxy"], kubernetes / "kube-proxy", "proxy/Dockerfile"),
        (PAUSE_IMAGE, kernel / "build/pause/linux/pause.c", "pause/Dockerfile"),
        (STORAGE_IMAGES[0], golang.built(cache, golang.LOCAL_PATH_PROVISIONER), "storage/provisioner.Dockerfile"),
        (STORAGE_IMAGES[1], FILES / "storage/default-storage.yaml", "storage/helper.Dockerfile"),
    ]
    return [inner_image(engine, *recipe, folder) for recipe in recipes]


def kubeadm_images(engine: Engine, kubernetes: Path) -> dict[str, str]:
    """The names that kubeadm will ask for, by their last part without the tag."""
    mount = f"{kubernetes}:/kubernetes:ro"
    command = ["/kubernetes/kubeadm", "config", "images", "list", "--kubernetes-version", versions.KUBERNETES]
    listing = engine("run", "--rm", "--network", "none", "--volume", mount, bases.BOOKWORM, *command)
    return {line.rsplit("/", 1)[1].split(":")[0]: line for line in listing.split()}


def inner_image(engine: Engine, image: str, payload: Path, dockerfile: str, folder: Path) -> Path:
    """Build an image around one file and return its archive; the engine does not keep the image."""
    context = folder / payload.name
    context.mkdir(exist_ok=True)
    shutil.copy2(payload, context)
    archive = folder / f"{re.sub('[/:]', '-', image)}.tar"
    engine.build(context, image, "--build-arg", f"PROGRAM={payload.name}", "--file", FILES / dockerfile)
    engine.save(image, archive)
    engine("rmi", "--force", image)
    return archive


@contextmanager
def running(engine: Engine, base: str) -> Iterator[str]:
    engine.try_to("rm", "--force", BUILD_CONTAINER)
    options = ["--detach", "--name", BUILD_CONTAINER, "--security-opt", "seccomp=unconfined"]
    engine("run", *options, "--entrypoint", "sleep", base, "infinity")
    try:
        yield BUILD_CONTAINER
    finally:
        engine("rm", "--force", BUILD_CONTAINER)


def load_inner_images(engine: Engine, container: str, archives: list[Path]) -> None:
    engine("exec", "--detach", container, "containerd")
    engine("exec", container, "sh", "-c", WAIT_FOR_CONTAINERD)
    for archive in archives:
        engine("cp", archive, f"{container}:/image.tar")
        ctr = ["ctr", "--namespace", "k8s.io", "images", "import", "--all-platforms", "--no-unpack", "--digests"]
        engine("exec", container, *ctr, "/image.tar")
        engine("exec", container, "rm", "/image.tar")
    loaded = engine("exec", container, "ctr", "--namespace", "k8s.io", "images", "ls", "-q").split()
    missing = {PAUSE_IMAGE, *STORAGE_IMAGES} - set(loaded)
    if missing:
        raise HarnessError(f"The node image lacks {', '.join(sorted(missing))} after the import.")
    engine("exec", container, "sh", "-c", "pkill containerd; while pgrep containerd; do sleep 0.1; done")


def commit(engine: Engine, container: str, image: str) -> None:
    engine("exec", container, "sh", "-c", f"echo {versions.KUBERNETES} > /kind/version")
    changes = ["--change", 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]', "--change", "CMD []"]
    engine("commit", *changes, container, image)


def remove_older(engine: Engine, image: str) -> None:
    """Images of earlier inputs; one that a running cluster still uses stays."""
    listed = engine("images", "--format", "{{.Repository}}:{{.Tag}}", REPOSITORY).split()
    for older in set(listed) - {image}:
        engine.try_to("rmi", older)

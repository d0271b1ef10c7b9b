"""The public images that Dockerfiles here start from: pulled, or made on the spot under the same names."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from . import golang, packages, versions
from .cache import Cache
from .shell import HarnessError, run, step

if TYPE_CHECKING:
    from .engine import Engine

FILES = Path(__file__).parent / "files"
BOOKWORM = "docker.io/library/debian:bookworm-slim"
TRIXIE = "docker.io/library/debian:trixie-slim"
RCLONE = f"docker.io/rclone/rclone:{versions.RCLONE.removeprefix('v')}"
ALL = (BOOKWORM, TRIXIE, RCLONE)

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
BOOTSTRAP_PACKAGES = ("mmdebstrap", "debian-archive-keyring", "ca-certificates")


def provide(cache: Cache, engine: "Engine", *images: str) -> None:
    """Make sure that these of the images that Dockerfiles here name are there."""
    makers: dict[str, Callable[[str], None]] = {
        BOOKWORM: lambda image: import_debian(cache, engine, "bookworm", image),
        TRIXIE: lambda image: import_debian(cache, engine, "trixie", image),
        RCLONE: lambda image: build_rclone(cache, engine, image),
    }
    for image in images:
        if not engine.has_image(image) and not pulled(engine, image):
            makers[image](image)


def pulled(engine: "Engine", image: str) -> bool:
    with step(f"pulling {image.split('@')[0]}"):
        return engine.try_to("pull", image)


def import_debian(cache: Cache, engine: "Engine", suite: str, image: str) -> None:
    """A minimal Debian from the mirror that this machine's apt uses."""
    if os.geteuid() != 0:
        raise HarnessError(
            f"{image} cannot be pulled here, and only root can make it from Debian packages: run this as root."
        )
    packages.require(BOOTSTRAP_PACKAGES, f"to make {image}, which cannot be pulled here")
    with step(f"making {image} from Debian packages"), cache.scratch() as folder:
        archive = folder / "rootfs.tar"
        options = ["--variant=minbase", "--include=ca-certificates", *trust_options()]
        run(["mmdebstrap", *options, suite, archive, *mirror_lines(suite)])
        engine("import", "--change", 'CMD ["bash"]', archive, image)


def trust_options() -> list[str]:
    """Builds trust what this machine trusts, also where a company's proxy signs the connections anew."""
    if not CERTIFICATES.exists():
        return []
    return [f"--customize-hook=upload {CERTIFICATES} {CERTIFICATES}"]


def mirror_lines(suite: str) -> list[str]:
    """apt's own mirrors turned to another suite; none when this is no Debian, then mmdebstrap's default holds."""
    listing = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    return suite_lines(run(listing), debian_codename(), suite)


def debian_codename() -> str | None:
    facts = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    return facts.get("VERSION_CODENAME") if facts.get("ID") == "debian" else None


def suite_lines(targets: str, codename: str | None, suite: str) -> list[str]:
    mirrors: dict[str, str] = {}
    for uri, release, component in (line.split() for line in targets.splitlines()):
        if codename and component == "main" and release.startswith(codename):
            mirrors.setdefault(release.removeprefix(codename), uri)
    return [f"deb {uri} {suite}{part} main" for part, uri in mirrors.items()]


def build_rclone(cache: Cache, engine: "Engine", image: str) -> None:
    """Stands in for the official image as a build stage: the same binary from the same source at the same path."""
    rclone = golang.built(cache, golang.RCLONE)
    with step(f"making {image}"):
        engine.build(rclone.parent, image, "--file", FILES / "rclone" / "Dockerfile")

"""python3 -m tests.cluster: the cluster for tests and demo. See each command's help."""

import argparse
import os
import shlex
import sys
from collections.abc import Callable

from . import cluster as clusters
from . import engine as engines
from . import images, tools
from .cache import Cache, default_root
from .cluster import Cluster
from .shell import HarnessError, say


def main() -> int:
    arguments = parser().parse_args()
    try:
        arguments.act(arguments)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: run it again to go on from here", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python3 -m tests.cluster", description="The cluster for tests and demo.")
    verbs = top.add_subparsers(required=True, metavar="COMMAND")
    command(verbs, "up", up, "make the cluster, or repair it, and bring its images up to date")
    command(verbs, "down", down, "remove the cluster; the cache stays")
    command(verbs, "images", build_and_load, "build what changed of our images and load it into the nodes")
    command(verbs, "status", status, "say what is there")
    command(verbs, "env", environment, "print the shell's export lines for kubectl, kind and the engine")
    command(verbs, "load", load, "load images of the engine into the nodes").add_argument("images", nargs="+")
    command(verbs, "tools", provide_tools, "print the path of each tool, building it if needed").add_argument(
        "names", nargs="+", metavar="NAME", choices=tools.VERSION_COMMANDS
    )
    engine_verb = command(verbs, "engine", run_engine, "run the container engine with its settings, as in: engine ps")
    engine_verb.add_argument("arguments", nargs=argparse.REMAINDER)
    return top


def command(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    act: Callable[[argparse.Namespace], None],
    help_text: str,
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=help_text)
    verb.set_defaults(act=act)
    return verb


def here() -> Cluster:
    cache = Cache(default_root())
    return Cluster(clusters.chosen_name(), cache, engines.choose(cache))


def up(_: argparse.Namespace) -> None:
    cluster = here()
    with cluster.cache.locked():
        for tool in ("kind", "kubectl", "helm"):
            tools.provide(cluster.cache, tool)
        cluster.ensure()
        refresh_images(cluster)
    say(f"Cluster {cluster.name} is up. Use it with: export KUBECONFIG={shlex.quote(str(cluster.kubeconfig))}")


def refresh_images(cluster: Cluster) -> None:
    for image in images.present():
        images.build(cluster, image)
        images.load(cluster, image.name)


def down(_: argparse.Namespace) -> None:
    cluster = here()
    with cluster.cache.locked():
        cluster.delete()


def build_and_load(_: argparse.Namespace) -> None:
    cluster = here()
    with cluster.cache.locked():
        refresh_images(cluster)


def load(arguments: argparse.Namespace) -> None:
    cluster = here()
    with cluster.cache.locked():
        for image in arguments.images:
            images.load(cluster, image)


def status(_: argparse.Namespace) -> None:
    cluster = here()
    state = "running" if cluster.answers() else "half made or broken" if cluster.exists() else "absent"
    say(f"cluster     {cluster.name}: {state}")
    say(f"engine      {cluster.engine.name}")
    say(f"cache       {cluster.cache.root}")
    say(f"kubeconfig  {cluster.kubeconfig}")


def environment(_: argparse.Namespace) -> None:
    cluster = here()
    path = f"{cluster.cache.folder('bin')}{os.pathsep}{os.environ['PATH']}"
    for name, value in {**cluster.engine.env, "KUBECONFIG": str(cluster.kubeconfig), "PATH": path}.items():
        say(f"export {name}={shlex.quote(value)}")


def provide_tools(arguments: argparse.Namespace) -> None:
    cache = Cache(default_root())
    for name in arguments.names:
        say(str(tools.provide(cache, name)))


def run_engine(arguments: argparse.Namespace) -> None:
    engine = engines.choose(Cache(default_root()))
    os.execvpe(engine.name, [engine.name, *arguments.arguments], {**os.environ, **engine.env})


if __name__ == "__main__":
    sys.exit(main())

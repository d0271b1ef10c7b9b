"""Measures the data path of the shipped image, and the latency of the operator on the cluster: `python3 -m tests.bench`.

Absolute times say more about the machine than about the program, so everything is compared in one run on the same data, and only the
ratios are bounds.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.bench.cluster import latencies
from tests.bench.table import report
from tests.cluster import engine as engines
from tests.cluster.cache import Cache, default_root
from tests.cluster.shell import HarnessError, step

HERE = Path(__file__).parent
IMAGE = "localhost/quotenode-bench:dev"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.bench", description=__doc__)
    parser.add_argument(
        "--size", type=int, default=1000, metavar="MB", help="size of the database and of the files, each"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured; the median counts")
    parser.add_argument("--only", choices=["data", "cluster"], help="one half of it")
    chosen = parser.parse_args()
    failed = 0
    if chosen.only != "cluster":
        failed += data_path(chosen.size, chosen.rounds)
    if chosen.only != "data":
        failed += report("On the cluster", latencies())
    return 1 if failed else 0


def data_path(size: int, rounds: int) -> int:
    engine = engines.choose(Cache(default_root()))
    with step("building the container of the benchmark"):
        engine.build(HERE, IMAGE)
    # A volume and not the container's own layers: those are an overlay, which no claim is.
    # Reading the memory of a process of another user takes the one capability.
    run = ["run", "--rm", "--cap-add=SYS_PTRACE", "--volume=/bench", IMAGE, str(size), str(rounds)]
    return subprocess.call([engine.name, *run], env={**os.environ, **engine.env})


if __name__ == "__main__":
    try:
        sys.exit(main())
    except HarnessError as error:
        sys.exit(str(error))

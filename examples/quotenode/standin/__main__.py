"""migrate | backend | worker"""

import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from standin import seed, web, worker


def main(role: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, _leave)
    root = Path(os.environ.get("DATA_DIR", "/app/data"))
    match role:
        case "migrate":
            seed.seed(root)
        case "backend":
            web.serve(root)
        case "worker":
            worker.work()
        case _:
            sys.exit(f"usage: standin {__doc__}")


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


main(sys.argv[1] if len(sys.argv) == 2 else "")

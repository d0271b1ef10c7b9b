"""A process that swaps, so that a test can kill it: it reads what to do from its stdin, and says on its stdout how far it is."""

import json
import sys
from pathlib import Path

from quotenode_backup.runner.postgres.restore.swap import open_swap
from tests.integration.postgres import Database, Server
from tests.integration.restored_databases import Restore, server_as

OPEN = "open"


def main() -> None:
    given = json.loads(sys.stdin.readline())
    server = Server(given["major"], Path(given["server"]), port=given["port"])
    database = Database(server, given["name"], given["user"], given["password"])
    restore = Restore(Path(given["folder"]), database, server_as(database, *given["admin"]), given["uid"])
    with open_swap(restore.identities, restore.plan()) as swap:
        print(OPEN, flush=True)
        sys.stdin.readline()
        print(swap.commit().value, flush=True)


if __name__ == "__main__":
    main()

"""`python -m quotenode_backup COMMAND`: several programs in one image. Each imports only what it needs."""

import sys
from importlib import import_module

USAGE = """usage: quotenode-backup COMMAND

  operator       watch QuoteNodeBackup resources and create their Jobs
  backup         make one backup, following the plan in the pod
  record         write a run's row into backup_logs, following the plan in the pod
  find           look for the bundle of a recreated run, following the plan in the pod
  remove         remove the bundle of a run, following the plan in the pod
  verify         check a bundle and what it would be restored to, following the plan in the pod
  load           load a bundle beside the live data, following the plan in the pod
  swap           put what was loaded in the place of the live data, following the plan in the pod
  health         ask the application until it serves, following the plan in the pod
  expire         remove what a restore has left, following the plan in the pod
  archive        write the files of a plan to standard output (used by backup)
  crds FOLDER    write the CustomResourceDefinitions into a folder
"""


RUNNER_COMMANDS = ("backup", "record", "find", "remove", "verify", "load", "swap", "health", "expire")
"""Each is a module of its own name, and the step of a Job."""


def main(arguments: list[str] | None = None) -> int:
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    match command:
        case "operator":
            from quotenode_backup.controller.app import main as operate

            return operate()
        case _ if command in RUNNER_COMMANDS:
            module = import_module(f"quotenode_backup.runner.commands.{command}")
            return int(module.main(rest))
        case "archive":
            from quotenode_backup.runner.files.archive import main as archive

            return archive(rest)
        case "crds":
            from quotenode_backup.api.crd import write_crds

            return write_crds(rest)
    print(USAGE, file=sys.stderr, end="")
    return 64


if __name__ == "__main__":
    sys.exit(main())

"""`python -m quotenode_backup COMMAND`: several programs in one image. Each imports only what it needs."""

import sys

USAGE = """usage: quotenode-backup COMMAND

  operator       watch QuoteNodeBackup resources and create their Jobs
  backup         make one backup, following the plan in the pod
  record         write a run's row into backup_logs, following the plan in the pod
  find           look for the bundle of a recreated run, following the plan in the pod
  remove         remove the bundle of a run, following the plan in the pod
  archive        write the files of a plan to standard output (used by backup)
  crds FOLDER    write the CustomResourceDefinitions into a folder
"""


def main(arguments: list[str] | None = None) -> int:
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    match command:
        case "operator":
            from quotenode_backup.controller.app import main as operate

            return operate()
        case "backup":
            from quotenode_backup.runner.commands.backup import main as backup

            return backup(rest)
        case "record":
            from quotenode_backup.runner.commands.record import main as record

            return record(rest)
        case "find":
            from quotenode_backup.runner.commands.find import main as find

            return find(rest)
        case "remove":
            from quotenode_backup.runner.commands.remove import main as remove

            return remove(rest)
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

"""`python -m quotenode_backup COMMAND`: one image, several programs. Each imports only what it needs."""

import sys

USAGE = """usage: quotenode-backup COMMAND

  operator       watch QuoteNodeBackup resources and run their Jobs
  run            make one backup, as the plan in the pod says
  record         write the row of a run into backup_logs, as the plan in the pod says
  find           look for the bundle of a run that was restored, as the plan in the pod says
  remove         remove the bundle of a run, as the plan in the pod says
  archive        write the files of a plan to standard output (part of run)
  crds FOLDER    write the CustomResourceDefinitions into a folder
"""


def main(arguments: list[str] | None = None) -> int:
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or [""]
    match command:
        case "operator":
            from quotenode_backup.controller.app import main as operate

            return operate()
        case "run":
            from quotenode_backup.runner.commands.run import main as run

            return run(rest)
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

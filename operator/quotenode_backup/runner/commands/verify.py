"""`python -m quotenode_backup verify` checks all that can be checked of a restore before anything is changed.

It reads the whole bundle, and looks at the database and the folders that it would be restored to. All that it may write is the pin that keeps retention
from removing the bundle meanwhile.
"""

import logging
from collections.abc import Mapping, Sequence

from quotenode_backup.contract.restore_plans import VerifyPlan
from quotenode_backup.contract.restore_results import BundleFacts, VerifyResult
from quotenode_backup.domain import bundle as shape
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.runner.bundle.member_stream import Member, member_stream
from quotenode_backup.runner.commands.bundle_reading import files_of, verified
from quotenode_backup.runner.commands.restore_checks import Checked, check_database, require_files, require_same_name
from quotenode_backup.runner.commands.restore_target import LiveFolder, identities_of, live_folders
from quotenode_backup.runner.files.archive_check import Tally, require_tally
from quotenode_backup.runner.files.extract import Found, scan
from quotenode_backup.runner.files.folders import steps_inside
from quotenode_backup.runner.files.probes import require_bundles_elsewhere, require_replaceable
from quotenode_backup.runner.files.room import Need, require_room
from quotenode_backup.runner.postgres.dump_head import DumpHead, NotADump, read_head
from quotenode_backup.runner.process import plan_io, program
from quotenode_backup.runner.process.mounts import Mounts
from quotenode_backup.runner.process.program import Command, Context
from quotenode_backup.runner.process.signals import Unfinished
from quotenode_backup.runner.store import pins
from quotenode_backup.runner.store.bundle_source import BundleSource, Verified, opened_bundle

log = logging.getLogger(__name__)

A_CHECK = Unfinished("all of the bundle was checked, and nothing was changed", "raise spec.activeDeadlineSeconds")


def main(arguments: Sequence[str], mounts: Mounts | None = None) -> int:
    return program.run(Command(VerifyPlan, VerifyResult, check, A_CHECK), arguments, mounts)


def check(plan: VerifyPlan, context: Context) -> VerifyResult:
    identities = identities_of(plan, context)
    with live_folders(plan, context) as folders, opened_bundle(plan.bundle, context.mounts.destination) as source:
        if plan.pin_until:
            pins.pin(source.folder, source.name, plan.run_uid, plan.pin_until)
        bundle = verified(source, context)
        require_same_name(plan, bundle.manifest)
        if plan.files:
            require_files(plan, bundle.manifest)
        head, found = scanned(source, bundle, context)
        if plan.files:
            check_folders(plan, source, folders, found)
        database = bundle.manifest.database
        checked = check_database(plan, context.mounts, identities, head, database.size_bytes)
    facts = _facts(bundle, head, found if bundle.manifest.files else None, checked)
    log.info("The restore would replace: %s", ", ".join(replaced(plan)))
    message = f"{source.shown} is whole, and can be restored: {_content(facts)}."
    return plan_io.succeeded(plan, message, VerifyResult).model_copy(update={"facts": facts, "notes": _notes(plan)})


def scanned(source: BundleSource, bundle: Verified, context: Context) -> tuple[DumpHead, Found]:
    """The head of the dump, and every entry of the archive of the files, which is read to its end."""
    head, found = None, Found({}, 0)
    with source.folder.file(source.name) as file, member_stream(file, bundle.members) as members:
        for member in members:
            context.signals.require_none()
            if member.name == shape.DUMP:
                head = head_of(member)
            elif member.name == shape.FILES:
                found = _scanned(member, bundle, context)
    assert head, "a bundle that was verified has a dump"
    return head, found


def head_of(member: Member) -> DumpHead:
    try:
        return read_head(member.chunks())[0]
    except NotADump as error:
        raise RunFailed(
            Reason.DUMP_UNREADABLE, f"The contents of the dump cannot be read ({error}): restore another backup."
        ) from error


def _scanned(member: Member, bundle: Verified, context: Context) -> Found:
    held = bundle.manifest.files
    assert held, "a member of this name is in the manifest"
    most = Tally(held.files, held.folders, held.links, held.content_bytes)

    def watch(_: Mapping[str, Tally]) -> None:
        context.signals.require_none()

    found = scan(files_of(member), bundle.manifest.holds, most, watch)
    require_tally(found.total, most)
    return found


def check_folders(plan: VerifyPlan, source: BundleSource, folders: Mapping[str, LiveFolder], found: Found) -> None:
    """The claims may be mounted read-only for this."""
    for folder in folders.values():
        require_replaceable(folder.live)
        if folder.claim == plan.bundle.claim.claim_name:
            own = steps_inside(folder.path, folder.sub_path, strict=True)
            require_bundles_elsewhere(own, source.planned.path.split("/")[:-1])
    require_room(Need(folder.claim, folder.live, found.tallies[name]) for name, folder in folders.items())


def _facts(bundle: Verified, head: DumpHead, found: Found | None, checked: Checked) -> BundleFacts:
    manifest = bundle.manifest
    total = found.total if found else None
    return BundleFacts(
        sha256=bundle.sha256,
        backup_time=manifest.started,
        tables=len(head.of_kind("TABLE DATA")),
        entries=total.files + total.folders + total.links if total else None,
        files_bytes=total.bytes if total else None,
        backup_server_version=manifest.versions.get("server"),
        live_server_version=checked.server_version,
    )


def replaced(plan: VerifyPlan) -> list[str]:
    """As people read it."""
    database = [f"database {plan.database.name}"] if plan.restores_database else []
    return [*database, *(f"the files of claim {one.claim_name}" for one in plan.files)]


def _content(facts: BundleFacts) -> str:
    entries = "" if facts.entries is None else f" and {facts.entries} files, folders and links"
    return f"{facts.tables} tables{entries}"


def _notes(plan: VerifyPlan) -> tuple[str, ...]:
    """What was true when the backup was made is true again."""
    if not plan.restores_database:
        return ()
    return (
        "Mails and jobs that were waiting when the backup was made are sent and run again.",
        "Numbers that were given to customers since the backup are given again.",
        "Tokens that were revoked and persons that were erased since the backup come back.",
    )

"""Whatever happens in the middle: the right reason, nothing left behind, and the next backup is whole."""

import contextlib
import os
import random
import secrets
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import Reason
from quotenode_backup.runner.postgres.sessions import lock_key
from tests.integration import older, trees
from tests.integration.bundles import command
from tests.integration.held import dump_under_way, dumping
from tests.integration.pod import USER, Outcome, Pod
from tests.integration.postgres import OWNER, Server
from tests.integration.processes import frozen
from tests.integration.site import Site
from tests.integration.waiting import eventually, pause


def ends(site: Site, pod: Pod, reason: Reason, *mentioned: str) -> None:
    """The attempt fails so, leaves nothing behind, and the next one is whole."""
    pod.wait().failed(reason, *mentioned)
    site.assert_nothing_left_behind()
    site.works_again()


def test_a_run_that_is_told_to_stop_cleans_up_and_says_so(big_site: Site) -> None:
    with dump_under_way(big_site) as pod:
        pod.signal(signal.SIGTERM)
        outcome = pod.wait(10)
    outcome.failed(Reason.INTERRUPTED)
    big_site.assert_nothing_left_behind()
    big_site.works_again()


@pytest.mark.parametrize("seed", range(6))
def test_a_run_that_is_told_to_stop_at_any_moment_reports_the_truth(site: Site, seed: int) -> None:
    pod = site.start()
    pod.pid  # noqa: B018 - waits until it has started
    pause(random.Random(seed).uniform(0, 0.8))
    with contextlib.suppress(ProcessLookupError):
        pod.signal(signal.SIGTERM)
    outcome = pod.wait(10)
    if outcome.exit_code == 0:
        outcome.succeeded()
    elif outcome.termination_message:
        outcome.failed(Reason.INTERRUPTED)
    site.assert_nothing_left_behind()
    site.works_again()


def test_a_run_that_is_told_to_stop_twice_still_cleans_up(big_site: Site) -> None:
    with dump_under_way(big_site) as pod:
        for _ in range(3):
            if pod.is_running():
                pod.signal(signal.SIGTERM)
        outcome = pod.wait(10)
    outcome.failed(Reason.INTERRUPTED)
    big_site.assert_nothing_left_behind()


def test_a_deadline_that_passes_ends_a_run_cleanly(big_site: Site) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=10)).isoformat()
    with dump_under_way(big_site, big_site.plan(deadline=soon)) as pod:
        outcome = pod.wait(25)
    outcome.failed(Reason.DEADLINE_EXCEEDED)
    big_site.assert_nothing_left_behind()
    big_site.works_again()


def test_a_deadline_that_has_passed_already_starts_no_dump(site: Site) -> None:
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    site.fails(Reason.DEADLINE_EXCEEDED, plan=site.plan(deadline=past))


def test_a_terminated_dump_session_is_a_lost_connection(big_site: Site) -> None:
    with dump_under_way(big_site) as pod:
        backend = big_site.database.dump_backend()
        assert backend
        big_site.database.terminate(backend)
    ends(big_site, pod, Reason.SOURCE_CONNECTION_LOST)


def test_a_terminated_lock_session_ends_the_dump(big_site: Site) -> None:
    with dump_under_way(big_site) as pod:
        lock = big_site.database.lock_backend()
        assert lock
        big_site.database.terminate(lock)
        outcome = pod.wait(25)
    outcome.failed(Reason.SOURCE_CONNECTION_LOST)
    big_site.assert_nothing_left_behind()
    big_site.works_again()


def test_a_terminated_snapshot_session_never_gives_half_a_bundle(big_site: Site) -> None:
    """The dump has taken over the snapshot by then, so it may go on: but what comes out must be whole."""
    with dump_under_way(big_site) as pod:
        snapshot = big_site.database.snapshot_backend()
        assert snapshot
        big_site.database.terminate(snapshot)
    outcome = pod.wait()
    if outcome.exit_code == 0:
        big_site.assert_equals(big_site.open(big_site.destination / outcome.succeeded().path))
    else:
        outcome.failed(Reason.SOURCE_CONNECTION_LOST)
    big_site.assert_nothing_left_behind()


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGINT], ids=["immediate", "fast"])
def test_a_server_stopped_in_the_middle_is_a_lost_connection(
    folder: Path, own_server: Server, how: signal.Signals
) -> None:
    site = Site(folder / "site", own_server.seeded_database("quotenode", ballast=True))
    with dump_under_way(site) as pod:
        own_server.stop(how)
    outcome = pod.wait()
    outcome.failed(Reason.SOURCE_CONNECTION_LOST)
    own_server.start()
    site.assert_nothing_left_behind()
    site.works_again()


@pytest.mark.parametrize("child", ["pg_dump", "quotenode_backup archive"])
def test_a_child_that_is_killed_is_reported_as_such(big_site: Site, child: str) -> None:
    huge = big_site.uploads / "huge.bin"
    huge.touch()
    os.truncate(huge, 3 * 2**30)
    trees.own(big_site.uploads, USER)
    with dump_under_way(big_site) as pod:
        os.kill(pod.child(child), signal.SIGKILL)
        outcome = pod.wait(20)
    message = outcome.failed(Reason.CHILD_KILLED, "memory")
    assert child.split()[-1] in message
    big_site.assert_nothing_left_behind()
    huge.unlink()
    big_site.works_again()


def test_a_locked_table_fails_the_dump_and_lets_the_application_go_on(site: Site) -> None:
    with site.database.connect() as application:
        application.execute("BEGIN")
        application.execute("LOCK TABLE offers IN ACCESS EXCLUSIVE MODE")
        # Half of that is for waiting, which is as long as pg_dump does by itself.
        soon = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
        outcome = site.start(site.plan(deadline=soon)).wait(100)
        application.execute("ROLLBACK")
    outcome.failed(Reason.TABLE_LOCKED, "offers", within=100)
    site.assert_nothing_left_behind()
    site.works_again()


def test_the_second_of_two_runs_at_once_waits_and_names_the_first(big_site: Site) -> None:
    with dump_under_way(big_site) as first:
        second = big_site.backup()
        second.failed(Reason.LOCK_BUSY, within=15)
        assert second.exit_code == 75
    first.wait().succeeded()
    big_site.assert_nothing_left_behind()
    big_site.works_again()


def test_backups_of_two_databases_of_one_server_do_not_wait_for_each_other(big_site: Site, folder: Path) -> None:
    other = Site(folder / "other", big_site.database.server.seeded_database("another_one"))
    restored = other.live()
    with dump_under_way(big_site) as first:
        stored = other.backup().succeeded()
    first.wait().succeeded()
    big_site.assert_nothing_left_behind()
    assert other.restored(other.open(other.destination / stored.path)) == restored
    other.database.server.drop_database("another_one")


@contextmanager
def small_disk(site: Site, options: str) -> Iterator[None]:
    command(["mount", "-t", "tmpfs", "-o", f"uid={USER},gid={USER},{options}", "tmpfs", site.destination])
    try:
        yield
    finally:
        command(["umount", site.destination])


@pytest.mark.parametrize("megabytes", [1, 8, 16, 24, 32, 40, 48])
def test_a_disk_that_fills_up_is_named_and_left_clean(site: Site, megabytes: int) -> None:
    trees.write(site.uploads / "photo.jpg", os.urandom(14 * 2**20))
    trees.write(site.uploads / "photo2.jpg", os.urandom(14 * 2**20))
    trees.own(site.uploads, USER)
    with small_disk(site, f"size={megabytes}m"):
        outcome = site.backup()
        if megabytes > 28 and outcome.exit_code == 0:
            outcome.succeeded()
        else:
            outcome.failed(Reason.NO_SPACE, "quotenode-backups")
        site.assert_nothing_left_behind()
        command(["mount", "-o", "remount,size=200m", site.destination])
        site.works_again()


def test_a_large_database_of_which_little_is_dumped_needs_little_room(site: Site) -> None:
    """Rows of a materialized view are not dumped. These take 240 MB."""
    site.database.execute(
        "CREATE MATERIALIZED VIEW wide AS SELECT n, repeat(md5(n::text), 50) AS filler FROM generate_series(1, 150000) AS n"
    )
    site.database.execute(f"ALTER MATERIALIZED VIEW wide OWNER TO {OWNER}")
    with small_disk(site, "size=4m"):
        for _ in range(2):
            site.backup(site.plan(files=[])).succeeded()
    site.assert_server_is_free()


@pytest.mark.parametrize("inodes", [3, 4, 5, 6])
def test_a_disk_without_inodes_is_a_full_one(site: Site, inodes: int) -> None:
    with small_disk(site, f"nr_inodes={inodes}"):
        outcome: Outcome = site.backup()
        if outcome.exit_code:
            outcome.failed(Reason.NO_SPACE, "quotenode-backups")
        site.assert_nothing_left_behind()
        command(["mount", "-o", "remount,nr_inodes=1000", site.destination])
        site.works_again()


@pytest.mark.parametrize("what_is_left", ["partial files", "a removal"])
def test_a_disk_that_a_dead_attempt_left_full_is_cleared_before_anything_is_written(
    site: Site, what_is_left: str
) -> None:
    with small_disk(site, "size=24m"):
        if what_is_left == "a removal":
            [condemned] = older.bundles(site, 1)
            condemned.record.rename(condemned.path.with_name(f".pruned-{condemned.record.name}"))
            fill(condemned.path)
        else:
            fill(site.bundle_folder / f".partial-{tag(site)}-dead")
        site.backup().succeeded()
        assert len(site.bundles()) == 1
        site.assert_nothing_left_behind()


def fill(path: Path) -> None:
    """Let one file take all that its disk has left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    trees.own(path.parent, USER)


def tag(site: Site) -> str:
    """What the partial files of this server's database are called by."""
    return f"{lock_key(int(site.database.server.system_identifier), site.database.name) & 0xFFFFFFFF:08x}"


def test_a_network_that_drops_packets_ends_the_run_within_the_keepalives(folder: Path) -> None:
    """The server lives in a network of its own; then the wire between is cut, without a word to either side."""
    with far_server(folder) as (server, host, cut):
        site = Site(folder / "site", server.seeded_database("quotenode", ballast=True))
        pod = site.start(site.plan(database={"host": host}))
        eventually(lambda: dumping(site.database, pod), "a dump is under way")
        cut()
        outcome = pod.wait(110)
    outcome.failed(Reason.SOURCE_CONNECTION_LOST, within=110)
    assert not [name for name, size in site.stored().items() if size]


def test_a_run_that_is_told_to_stop_while_the_network_is_cut_ends_before_it_is_killed(folder: Path) -> None:
    """A pod has thirty seconds. The row in backup_logs is tried, and not waited for."""
    with far_server(folder) as (server, host, cut):
        site = Site(folder / "site", server.seeded_database("quotenode", ballast=True))
        pod = site.start(site.plan(database={"host": host}, audit=True))
        eventually(lambda: dumping(site.database, pod), "a dump is under way")
        cut()
        pod.signal(signal.SIGTERM)
        outcome = pod.wait(25)
    outcome.failed(Reason.INTERRUPTED)
    assert outcome.result.audit is not None
    assert not outcome.result.audit.logged
    assert outcome.result.audit.reason is Reason.SOURCE_UNREACHABLE


@contextmanager
def far_server(folder: Path) -> Iterator[tuple[Server, str, Callable[[], None]]]:
    name = f"qn{uuid.uuid4().hex[:8]}"  # the kernel takes the last one's wire away in its own time
    net = f"10.{secrets.randbelow(200) + 20}.{secrets.randbelow(250)}"  # other tests have theirs at the same time
    near, far = f"{net}.1", f"{net}.2"

    def cut() -> None:
        """Every packet is lost from now on; neither side hears of it."""
        command(["ip", "-n", name, "link", "set", "far", "down"])

    command(["ip", "netns", "add", name])
    try:
        command(["ip", "link", "add", name, "type", "veth", "peer", "name", "far", "netns", name])
        for words in (["addr", "add", f"{near}/24", "dev", name], ["link", "set", name, "up"]):
            command(["ip", *words])
        for words in (
            ["addr", "add", f"{far}/24", "dev", "far"],
            ["link", "set", "far", "up"],
            ["link", "set", "lo", "up"],
        ):
            command(["ip", "-n", name, *words])
        server = Server(17, folder / "far-server", {"listen_addresses": far}, within=("ip", "netns", "exec", name))
        server.create()
        try:
            with (server.data / "pg_hba.conf").open("a") as file:
                file.write(f"host all all {net}.0/24 scram-sha-256\n")
            server.execute("SELECT pg_reload_conf()")
            yield server, far, cut
        finally:
            server.stop()
    finally:
        command(["ip", "netns", "del", name])


@contextmanager
def read_back_under_way(site: Site) -> Iterator[Pod]:
    """A backup caught while it reads its bundle back from the disk: what reads the dump stands still."""
    pod = site.start()
    with frozen(pod.child("pg_restore")):
        yield pod


def test_a_run_that_is_told_to_stop_while_it_reads_back_keeps_nothing(big_site: Site) -> None:
    with read_back_under_way(big_site) as pod:
        pod.signal(signal.SIGTERM)
        outcome = pod.wait(10)
    outcome.failed(Reason.INTERRUPTED)
    big_site.assert_nothing_left_behind()


def test_a_lock_that_is_lost_while_it_reads_back_keeps_it_from_committing(big_site: Site) -> None:
    with read_back_under_way(big_site) as pod:
        lock = big_site.database.lock_backend()
        assert lock
        big_site.database.terminate(lock)
    ends(big_site, pod, Reason.SOURCE_CONNECTION_LOST)


def test_a_reader_that_is_killed_is_reported_as_such(big_site: Site) -> None:
    with read_back_under_way(big_site) as pod:
        os.kill(pod.child("pg_restore"), signal.SIGKILL)
    ends(big_site, pod, Reason.CHILD_KILLED, "pg_restore")


def test_many_runs_at_once_make_one_dump_at_a_time(big_site: Site) -> None:
    """Also when they call the server by another name."""
    plans = [big_site.plan(database={"host": host}) for host in ("localhost", "127.0.0.1", "localhost", "127.0.0.1")]
    pods = [big_site.start(plan) for plan in plans]
    dumps = 0
    while any(pod.is_running() for pod in pods):
        [(running,)] = big_site.database.server.query(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pg_dump' AND usename = 'quotenode'"
        )
        dumps = max(dumps, running)
        pause()
    outcomes = [pod.wait() for pod in pods]
    assert dumps == 1
    for outcome in outcomes:
        if outcome.exit_code:
            outcome.failed(Reason.LOCK_BUSY)
    assert any(outcome.exit_code == 0 for outcome in outcomes)
    big_site.assert_server_is_free()


def test_the_lock_keeps_no_snapshot_that_would_hold_vacuum_back(big_site: Site) -> None:
    with dump_under_way(big_site) as pod:
        lock = big_site.database.lock_backend()
        held = big_site.database.server.query(
            "SELECT backend_xmin, backend_xid, datname FROM pg_stat_activity WHERE pid = %s", lock
        )
    assert held == [(None, None, "postgres")]
    pod.wait().succeeded()


def test_a_table_whose_file_is_lost_fails_the_dump_and_is_named(folder: Path, own_server: Server) -> None:
    site = Site(folder / "site", own_server.seeded_database("quotenode"))
    site.database.execute("CHECKPOINT")
    [(file,)] = site.database.execute("SELECT pg_relation_filepath('offers')")
    own_server.stop(signal.SIGINT)
    (own_server.data / file).unlink()
    own_server.start()
    site.fails(Reason.DUMP_FAILED, "offers")


def test_a_disk_error_in_a_source_names_the_file(site: Site) -> None:
    tracer = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-P", "/shipped/source/0/offers/doc-3.pdf", "-e"]
    outcome = site.start(tracer=[*tracer, "inject=read,pread64,readv,sendfile:error=EIO"]).wait()
    assert "offers/doc-3.pdf" in outcome.result.message, outcome.story
    assert outcome.exit_code == 74
    site.assert_nothing_left_behind()

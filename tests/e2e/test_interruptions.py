"""Kills and cuts in the middle of a dump: the right end, a sentence, nothing left behind, and the next backup works.

Each story catches the dump while it waits for a lock of somebody else's, does its harm, and lets go.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.aftermath import nothing_left_and_works_again
from tests.e2e.backups import a_backup, completed, condition, failed, killed_for_its_memory, running_pod, status
from tests.e2e.held import dump_held
from tests.e2e.kubectl import Json, Namespace
from tests.e2e.nodes import forget_volume, local_volume, on_node, unmounted
from tests.e2e.standin.quotenode import DATABASE_POD, QuoteNode
from tests.e2e.waiting import eventually


@pytest.fixture(scope="module")
def namespace(watched: Callable[[str], Namespace]) -> Namespace:
    return watched("network")


@pytest.fixture(scope="module")
def quotenode(namespace: Namespace, deploy: Callable[[Namespace], QuoteNode]) -> QuoteNode:
    return deploy(namespace)


def first_attempt_ended(namespace: Namespace, name: str, within: float) -> Json:
    def ended() -> Json | None:
        attempts = status(namespace, name).get("attempts", [])
        return attempts[0] if attempts and attempts[0].get("completionTime") else None

    return eventually(ended, f"the first attempt of {name} has ended", within)


def another_attempt_completes(namespace: Namespace, name: str, reasons: set[str], within: float = 120) -> None:
    """The first attempt ended so; later ones may have met the lock of a session that the server had not missed yet."""
    first, *between, last = completed(namespace, name, within)["attempts"]
    assert first["reason"] in reasons, first
    assert first["message"]
    assert {attempt["reason"] for attempt in between} <= {"LockBusy", "SourceUnreachable"}
    assert (last["reason"], last["exitCode"]) == ("Completed", 0)


def kill_runner(pod: Json) -> None:
    """SIGKILL from the node for the process that leads the pod's container."""
    on_node(
        'for p in /proc/[0-9]*; do tr "\\0" "\\n" < "$p/environ" 2>/dev/null'
        f' | grep -qx "POD_UID={pod["metadata"]["uid"]}" || continue;'
        ' tr "\\0" " " < "$p/cmdline" | grep -q "quotenode_backup backup" && kill -9 "${p#/proc/}"; done; true',
        pod["spec"]["nodeName"],
    )


def delete_pod(namespace: Namespace, pod: Json, *options: str) -> None:
    namespace.delete("pod", pod["metadata"]["name"], options=["--wait=false", *options])


@pytest.mark.parametrize(
    ("name", "kill", "reasons"),
    [
        ("pod-deleted", delete_pod, {"Interrupted", "PodLost"}),
        ("pod-forced", lambda n, pod: delete_pod(n, pod, "--force", "--grace-period=0"), {"Interrupted", "PodLost"}),
        ("runner-killed", lambda _, pod: kill_runner(pod), {"PodLost"}),
    ],
    ids=["pod deleted", "pod deleted by force", "runner killed"],
)
def test_after_the_pod_is_killed_another_attempt_completes(
    namespace: Namespace, quotenode: QuoteNode, name: str, kill: Callable[[Namespace, Json], None], reasons: set[str]
) -> None:
    with dump_held(namespace, quotenode, a_backup(name)):
        kill(namespace, running_pod(namespace, name))
        first_attempt_ended(namespace, name, 60)

    another_attempt_completes(namespace, name, reasons)
    nothing_left_and_works_again(namespace, quotenode, name)


def test_after_the_dump_session_is_terminated_another_attempt_completes(
    namespace: Namespace, quotenode: QuoteNode
) -> None:
    with dump_held(namespace, quotenode, a_backup("session-terminated")):
        quotenode.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_dump'")
        first = first_attempt_ended(namespace, "session-terminated", 30)

    assert first["exitCode"] == 69
    assert "quotenode-db" in first["message"]
    another_attempt_completes(namespace, "session-terminated", {"SourceConnectionLost"})
    nothing_left_and_works_again(namespace, quotenode, "session-terminated")


def test_after_postgresql_is_restarted_another_attempt_completes(namespace: Namespace, quotenode: QuoteNode) -> None:
    with dump_held(namespace, quotenode, a_backup("server-restarted", backoffLimit=3)):
        before = namespace.get("pod", DATABASE_POD) or {}
        namespace.delete("pod", DATABASE_POD, options=["--grace-period=1"])
        eventually(lambda: is_another_and_ready(namespace.get("pod", DATABASE_POD), before), "the server is back", 120)

    another_attempt_completes(namespace, "server-restarted", {"SourceConnectionLost"})
    nothing_left_and_works_again(namespace, quotenode, "server-restarted")


def is_another_and_ready(pod: Json | None, before: Json) -> bool:
    if pod is None or pod["metadata"]["uid"] == before["metadata"]["uid"]:
        return False
    return condition(pod["status"], "Ready").get("status") == "True"


@contextmanager
def packets_dropped(namespace: Namespace) -> Iterator[None]:
    """Nothing reaches the database any more, and nobody is told."""
    database = namespace.get("pod", DATABASE_POD) or {}
    address, node = database["status"]["podIP"], database["spec"]["nodeName"]
    rules = (f"FORWARD --source {address} --jump DROP", f"FORWARD --destination {address} --jump DROP")
    on_node("; ".join(f"iptables --wait --insert {rule}" for rule in rules), node)
    try:
        yield
    finally:
        on_node("; ".join(f"iptables --wait --delete {rule}" for rule in rules), node)


def test_a_network_that_drops_packets_ends_the_attempt_and_another_completes(
    namespace: Namespace, quotenode: QuoteNode
) -> None:
    with dump_held(namespace, quotenode, a_backup("cut")), packets_dropped(namespace):
        first = first_attempt_ended(namespace, "cut", 90)

    assert first["exitCode"] == 69
    assert "quotenode-db" in first["message"]
    another_attempt_completes(namespace, "cut", {"SourceConnectionLost"}, 180)
    nothing_left_and_works_again(namespace, quotenode, "cut")


@pytest.fixture
def small_disk(namespace: Namespace) -> Iterator[str]:
    """Where the node has the volume of claim `filled`."""
    path = f"/var/local/qn-e2e/{namespace.name}-filled"
    on_node(f"mkdir -p {path}; mount -t tmpfs -o size=8m,mode=0777 tmpfs {path}")
    local_volume(namespace, "filled", path)
    yield path
    namespace.delete("pod", "look-filled-1000")
    forget_volume(namespace, "filled")
    unmounted(path)


def test_a_volume_that_fills_up_in_the_middle_fails_the_run(
    namespace: Namespace, quotenode: QuoteNode, small_disk: str
) -> None:
    with dump_held(namespace, quotenode, a_backup("filled-up", storage={"local": {"claimName": "filled"}})):
        on_node(f"dd if=/dev/zero of={small_disk}/filler bs=4k status=none || true")

    ended = failed(namespace, "filled-up", "NoSpace", 90, "filled", "spec.storage.local")

    assert [attempt["exitCode"] for attempt in ended["attempts"]] == [73]
    on_node(f"rm {small_disk}/filler")
    nothing_left_and_works_again(namespace, quotenode, "filled-up", claim="filled")


def test_a_deadline_that_passes_fails_the_run(namespace: Namespace, quotenode: QuoteNode) -> None:
    with dump_held(namespace, quotenode, a_backup("too-late", activeDeadlineSeconds=90)):
        ended = failed(namespace, "too-late", "DeadlineExceeded", 120, "spec.activeDeadlineSeconds")

    assert [attempt["exitCode"] for attempt in ended["attempts"]] == [124]
    nothing_left_and_works_again(namespace, quotenode, "too-late")


def test_a_run_that_needs_more_memory_than_it_may_use_says_so_after_a_second_attempt(
    namespace: Namespace, quotenode: QuoteNode
) -> None:
    too_little = {"requests": {"memory": "24Mi"}, "limits": {"memory": "24Mi"}}
    namespace.apply(a_backup("starved", pod={"resources": too_little}))

    ended = killed_for_its_memory(namespace, "starved", 150)

    assert [attempt["exitCode"] for attempt in ended["attempts"]] == [137, 137]
    nothing_left_and_works_again(namespace, quotenode, "starved")

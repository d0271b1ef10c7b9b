import os
import resource
from pathlib import Path

import pytest

from tests.cluster import engine, packages
from tests.cluster.cache import Cache
from tests.cluster.shell import HarnessError, failure_text, run


def test_limits_never_exceed_our_own() -> None:
    for limit, kind in zip(engine.ulimits(), (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC), strict=True):
        soft, hard = limit.split("=")[1].split(":")
        own = resource.getrlimit(kind)[1]
        assert soft == hard
        assert own == resource.RLIM_INFINITY or int(hard) <= own


def test_podman_is_refused_to_a_user_with_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(HarnessError, match=r"Install and start Docker .* or run this as root"):
        engine.podman(Cache(tmp_path))


def test_missing_packages_are_named_to_a_user_with_the_command_that_installs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(
        HarnessError, match=r"Missing Debian packages \(to fly\): no-such-package\.\n.*sudo apt-get install"
    ):
        packages.require(["no-such-package"], "to fly")


def test_a_failed_command_is_told_with_its_last_lines() -> None:
    with pytest.raises(HarnessError, match=r"(?s)`sh -c .*` ended with exit code 3:\n    why"):
        run(["sh", "-c", "echo why >&2; exit 3"])


def test_only_the_last_lines_are_told() -> None:
    text = failure_text(["make"], 2, "\n".join(f"line {number}" for number in range(100)))

    assert "line 99" in text
    assert "line 50" not in text


def test_an_absent_program_is_named() -> None:
    with pytest.raises(HarnessError, match="no-such-program is not installed"):
        run(["no-such-program"])

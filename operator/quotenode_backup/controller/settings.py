"""The operator's settings, from environment variables that the chart sets."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from quotenode_backup.manifests.pod import RunnerSettings

_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingsInvalid(Exception):
    """A setting is missing or invalid. The message names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    runner: RunnerSettings
    namespaces: tuple[str, ...]
    """Empty: all namespaces."""
    resync_seconds: int
    max_concurrent_runs: int
    """0: any number."""
    log_format: str
    log_level: str
    http_port: int
    crash_at: str
    identity: str
    """The pod's name."""
    operator: str
    """The operator's Deployment as `namespace/name`, which stays the same when its pod is replaced."""
    admission_policy: str = ""
    """Name of the admission policy that checks the authors of QuoteNodeBackups; empty when there is none."""
    restore_admission_policy: str = ""
    """The same of QuoteNodeRestores."""

    @property
    def scopes(self) -> tuple[str | None, ...]:
        """The scopes of lists: each watched namespace, or a single None for all namespaces at once."""
        return self.namespaces or (None,)


def settings(environment: Mapping[str, str] = os.environ) -> Settings:
    log_format = environment.get("QN_LOG_FORMAT", "json")
    if log_format not in {"json", "text"}:
        raise SettingsInvalid(f"QN_LOG_FORMAT is {log_format!r}: it must be json or text")
    log_level = environment.get("QN_LOG_LEVEL", "INFO")
    if log_level not in _LOG_LEVELS:
        raise SettingsInvalid(f"QN_LOG_LEVEL is {log_level!r}: it must be one of {', '.join(_LOG_LEVELS)}")
    image = environment.get("QN_RUNNER_IMAGE", "")
    if not image:
        raise SettingsInvalid("QN_RUNNER_IMAGE is not set: it must name the image of the backup pods")
    return Settings(
        runner=RunnerSettings(
            image=image,
            image_pull_policy=environment.get("QN_RUNNER_IMAGE_PULL_POLICY", "IfNotPresent"),
            service_account=environment.get("QN_RUNNER_SERVICE_ACCOUNT", "default"),
            log_format=log_format,
            log_level=log_level,
        ),
        namespaces=tuple(
            name.strip() for name in environment.get("QN_WATCH_NAMESPACES", "").split(",") if name.strip()
        ),
        resync_seconds=_number(environment, "QN_RESYNC_SECONDS", 300, least=5, most=3600),
        max_concurrent_runs=_number(environment, "QN_MAX_CONCURRENT_RUNS", 10, least=0),
        log_format=log_format,
        log_level=log_level,
        http_port=_number(environment, "QN_HTTP_PORT", 8080, most=65535),
        crash_at=environment.get("QN_CRASH_AT", ""),
        identity=environment.get("POD_NAME") or socket.gethostname(),
        admission_policy=environment.get("QN_ADMISSION_POLICY", ""),
        restore_admission_policy=environment.get("QN_RESTORE_ADMISSION_POLICY", ""),
        operator=environment.get("QN_OPERATOR", ""),
    )


def _number(environment: Mapping[str, str], name: str, default: int, *, least: int = 1, most: int = 86400) -> int:
    text = environment.get(name, str(default))
    if not text.isdecimal() or not least <= int(text) <= most:
        raise SettingsInvalid(f"{name} is {text!r}: it must be a whole number from {least} to {most}")
    return int(text)

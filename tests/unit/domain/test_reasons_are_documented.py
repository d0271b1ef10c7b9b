"""docs/reasons.md is what people read at night: it has every reason, and the true exit codes and retries."""

import re
from pathlib import Path

import pytest

from quotenode_backup.domain.reasons import VERDICTS, Reason, is_retryable

SECTIONS = ("While a run is in progress", "Schedules", "After a run", "Restores", "Not retried", "Retried")
PAGE = (Path(__file__).parents[3] / "docs" / "reasons.md").read_text()


def rows(title: str) -> dict[str, str]:
    """Reason -> exit code (empty where there is none), as one section of the page has them."""
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    found: dict[str, str] = {}
    for line in section.splitlines():
        if not line.startswith("| `"):
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        reasons, exits = re.findall(r"`(\w+)`", cells[0]), cells[1].split(", ") if len(cells) == 3 else [""]
        found |= {reason: exits[min(index, len(exits) - 1)] for index, reason in enumerate(reasons)}
    return found


def test_every_reason_is_on_the_page_and_no_other() -> None:
    listed = [reason for title in SECTIONS for reason in rows(title)]

    assert sorted(listed) == sorted(Reason)


@pytest.mark.parametrize("title", ["Not retried", "Retried"])
def test_exit_codes_are_those_of_the_code(title: str) -> None:
    for reason, exit_code in rows(title).items():
        verdict = VERDICTS.get(Reason(reason))
        assert exit_code == (str(verdict.exit_code.value) if verdict else ""), reason


@pytest.mark.parametrize(("title", "retried"), [("Not retried", False), ("Retried", True)])
def test_the_sections_say_what_is_retried(title: str, retried: bool) -> None:
    assert {reason: is_retryable(Reason(reason)) for reason in rows(title)} == dict.fromkeys(rows(title), retried)

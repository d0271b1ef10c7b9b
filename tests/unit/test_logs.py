"""What a log collector gets of a line, from the operator and the runner alike."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

import quotenode_backup
from quotenode_backup.logs import JsonFormatter, TextFormatter

PACKAGE = str(Path(quotenode_backup.__path__[0]).parent)


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {"name": "quotenode_backup.x", "levelname": "INFO", "msg": message, "created": 1.5, "msecs": 500}
    )
    vars(made).update(extra)
    return made


def test_a_json_line_has_time_level_logger_and_message() -> None:
    assert json.loads(JsonFormatter().format(record("dumped 'ü'"))) == {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "info",
        "logger": "quotenode_backup.x",
        "message": "dumped 'ü'",
    }


def test_a_json_line_names_the_resource_that_it_is_about() -> None:
    line = json.loads(JsonFormatter().format(record("done", namespace="shop", backup="nightly")))
    assert (line["namespace"], line["backup"]) == ("shop", "nightly")


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_an_exception_comes_with_its_traceback(formatter: logging.Formatter) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        line = formatter.format(record("failed", exc_info=sys.exc_info()))
    assert "Traceback" in line
    assert "ValueError: broken" in line


def test_a_text_line_has_the_time_in_utc() -> None:
    assert TextFormatter().format(record("done")) == "1970-01-01T00:00:01.500Z INFO    done"


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_bytes_that_are_not_utf_8_are_printed_as_escapes(log_format: str) -> None:
    """In a process of its own, since its standard output is changed."""
    program = f"import logging; from quotenode_backup import logs; logs.configure({log_format!r}, 'INFO'); logging.info('a\\udcff')"
    environment = {"PYTHONPATH": PACKAGE, "PATH": os.environ["PATH"], "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert "a\\udcff" in done.stdout
    assert not done.stderr
    if log_format == "json":
        assert json.loads(done.stdout)["message"] == "a\udcff"

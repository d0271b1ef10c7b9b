"""Log lines on stdout: plain, or JSON for a log collector."""

import json
import logging
import os
import sys
import time


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": self.formatTime(record), "level": record.levelname.lower(), "message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def set_up() -> None:
    logging.Formatter.converter = time.gmtime
    logging.Formatter.default_time_format = "%Y-%m-%dT%H:%M:%S"
    logging.Formatter.default_msec_format = "%s.%03dZ"
    handler = logging.StreamHandler(sys.stdout)
    plain = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JsonFormatter() if os.environ.get("QN_LOG_FORMAT") == "json" else plain)
    logging.basicConfig(level=os.environ.get("QN_LOG_LEVEL") or "INFO", handlers=[handler], force=True)
    logging.getLogger("psycopg").setLevel(logging.WARNING)

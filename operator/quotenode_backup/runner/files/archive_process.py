"""The archive of the files as a component of a backup: the program `archive`, whose output igzip compresses."""

import json
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from quotenode_backup.contract.plans import BackupPlan
from quotenode_backup.domain.reasons import Reason, RunFailed
from quotenode_backup.domain.text import readable_size
from quotenode_backup.runner.files.account import Account
from quotenode_backup.runner.process.component import Component, Sink
from quotenode_backup.runner.process.display import Redactor, sentence
from quotenode_backup.runner.process.mounts import Mounts
from quotenode_backup.runner.process.pipeline import Exit, Pipeline, Stage


class FilesArchive(Component):
    def __init__(
        self, sink: Sink, plan: BackupPlan, mounts: Mounts, environment: Mapping[str, str], redact: Redactor
    ) -> None:
        super().__init__(sink, redact)
        self._environment = environment
        self._sources = [
            {
                "name": files.name,
                "root": str(mounts.source(index)),
                "subPath": files.sub_path,
                "claimName": files.claim_name,
            }
            for index, files in enumerate(plan.files)
        ]
        self.account = Account()
        self._failed: RunFailed | None = None
        self._is_done = False

    def pipeline(self) -> Pipeline:
        reading, writing = os.pipe()
        archive = (sys.executable, "-P", "-m", "quotenode_backup", "archive", str(writing), json.dumps(self._sources))
        try:
            pipeline = Pipeline(
                [
                    Stage("the archive of the files", archive, self._environment, (writing,)),
                    Stage("igzip", ("igzip", "-1", "-c"), self._environment),
                ],
                self._redact,
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        self._listener = threading.Thread(target=self._listen, args=(reading,), daemon=True)
        self._listener.start()
        return pipeline

    def _listen(self, reading: int) -> None:
        """A child that is killed may leave half a line. Its exit code says enough then."""
        with os.fdopen(reading, encoding="utf-8") as reports:
            for line in reports:
                with suppress(ValueError):
                    self._take(json.loads(line))

    def _take(self, report: dict[str, Any]) -> None:
        if failed := report.get("failed"):
            self._failed = RunFailed(Reason(failed["reason"]), failed["message"])
        else:
            self._is_done = "done" in report
            self.account = replace(self.account, **(report.get("progress") or report["done"]))

    def run(self) -> None:
        super().run()
        self._listener.join()
        if not self._is_done:
            raise RunFailed(Reason.IO_ERROR, "The archive of the files ended without the report of what is in it.")

    def explain(self, failure: Exit) -> RunFailed:
        self._listener.join()
        return self._failed or RunFailed(
            Reason.IO_ERROR,
            f"{failure.name} ended with exit code {failure.code} ({sentence(failure.stderr, 220) or 'without a message'}).",
        )

    def progress(self) -> str:
        account = self.account
        return f"files: {account.files} of {readable_size(account.bytes)}, {readable_size(self.sink.size)} stored"

"""The archive of the files as a component of a backup: the program `archive`, whose two outputs are the archive and its index."""

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
from quotenode_backup.runner.process.pipeline import Exit, Pipeline, Stage, pump


class FilesArchive(Component):
    """`index`: where the index goes. It has all of it when `run` returns."""

    def __init__(
        self,
        sink: Sink,
        index: Sink,
        plan: BackupPlan,
        mounts: Mounts,
        environment: Mapping[str, str],
        redact: Redactor,
    ) -> None:
        super().__init__(sink, redact)
        self._index, self._environment = index, environment
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
        self._index_error: OSError | None = None

    def pipeline(self) -> Pipeline:
        reports, index = os.pipe(), os.pipe()
        outputs = (reports[1], index[1])
        program = (sys.executable, "-P", "-m", "quotenode_backup", "archive", *map(str, outputs))
        stage = Stage("the archive of the files", (*program, json.dumps(self._sources)), self._environment, outputs)
        try:
            pipeline = Pipeline([stage], self._redact)
        except BaseException:
            for reading in (reports[0], index[0]):
                os.close(reading)
            raise
        finally:
            for writing in outputs:
                os.close(writing)
        self._threads = [
            threading.Thread(target=self._listen, args=(reports[0],), daemon=True),
            threading.Thread(target=self._store_index, args=(index[0],), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        return pipeline

    def _store_index(self, reading: int) -> None:
        """Closing the pipe after an error ends the program, too."""
        with os.fdopen(reading, "rb", 0) as index:
            try:
                pump(index, self._index.write)
            except OSError as error:
                self._index_error = error

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
        """However it ends, nothing is written to the index any more, whose file may be closed next."""
        try:
            super().run()
        finally:
            self._join()
        self._require_index()
        if not self._is_done:
            raise RunFailed(Reason.IO_ERROR, "The archive of the files ended without the report of what is in it.")

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _require_index(self) -> None:
        if self._index_error:
            raise self._index_error

    def explain(self, failure: Exit) -> RunFailed:
        self._join()
        self._require_index()
        return self._failed or RunFailed(
            Reason.IO_ERROR,
            f"{failure.name} ended with exit code {failure.code} ({sentence(failure.stderr, 220) or 'without a message'}).",
        )

    def progress(self) -> str:
        account = self.account
        return f"files: {account.files} of {readable_size(account.bytes)}, {readable_size(self.sink.size)} stored"

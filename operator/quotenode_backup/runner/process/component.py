"""A part of a backup: a pipeline of programs whose output goes into a sink."""

import logging
import time
from abc import ABC, abstractmethod
from typing import Protocol

from quotenode_backup.domain.reasons import RunFailed
from quotenode_backup.domain.text import readable_size
from quotenode_backup.runner.process.display import Redactor, sentence
from quotenode_backup.runner.process.pipeline import Exit, Pipeline, first_failure, pump

log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where the output goes. Whoever opens a sink also closes it."""

    @property
    def size(self) -> int:
        """Bytes written so far."""

    def write(self, data: memoryview) -> None: ...


class Component(ABC):
    """Runs in a thread until it is done, fails, or is killed."""

    def __init__(self, sink: Sink, redact: Redactor) -> None:
        self.sink = sink
        self._redact = redact
        self._pipeline: Pipeline | None = None

    @abstractmethod
    def pipeline(self) -> Pipeline:
        """Starts the programs."""

    @abstractmethod
    def explain(self, failure: Exit) -> RunFailed:
        """What it means that a program of the pipeline failed."""

    @abstractmethod
    def progress(self) -> str: ...

    def start(self) -> None:
        self._pipeline = self.pipeline()

    def run(self) -> None:
        """Returns when all of the output is in the sink and every program has succeeded."""
        assert self._pipeline
        try:
            pump(self._pipeline.output, self.sink.write)
        except BaseException:
            self.end()
            raise
        exits = self._pipeline.wait()
        failure = first_failure(exits)
        if failure:
            raise self.explain(failure)
        for ended in exits:
            self.succeeded(ended)

    def succeeded(self, ended: Exit) -> None:
        """A program that succeeded may still have warned of something: its stderr goes to the log."""
        for line in ended.stderr.splitlines():
            log.warning("%s: %s", ended.name, sentence(line, 1000))

    def kill(self) -> None:
        if self._pipeline:
            self._pipeline.kill()

    def end(self) -> None:
        """Kills the programs and waits until none is left."""
        if self._pipeline:
            self._pipeline.kill()
            self._pipeline.wait()


class Progress:
    """Logs a line about the progress now and then."""

    def __init__(self, components: list[Component]) -> None:
        self._components, self._began = components, time.monotonic()

    def log(self) -> None:
        seconds = max(time.monotonic() - self._began, 0.001)
        stored = sum(component.sink.size for component in self._components)
        done = "; ".join(component.progress() for component in self._components)
        log.info("%s; %s/s", done, readable_size(int(stored / seconds)))

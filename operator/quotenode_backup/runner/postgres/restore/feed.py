"""Bytes on their way into programs and out of them."""

import os
from collections.abc import Callable, Iterable
from typing import IO

from quotenode_backup.runner.process.pipeline import Pipeline, pump

Chunk = bytes | memoryview


def feed(chunks: Iterable[Chunk], *pipelines: Pipeline) -> None:
    """Gives all chunks to each of the pipelines, and then closes their input. One that has ended gets no more: its exit code tells why it has. The
    chunks are taken to their end all the same, since whoever gives them may hash them."""
    open_inputs = [pipeline.input for pipeline in pipelines]
    try:
        for chunk in chunks:
            open_inputs = [pipe for pipe in open_inputs if _written(pipe, chunk)]
    finally:
        for pipeline in pipelines:
            _close(pipeline.input)


def relay(source: Pipeline, take: Callable[[memoryview], Chunk], end: Callable[[], Chunk], target: Pipeline) -> None:
    """Passes on what comes out of one program to another. If that one ends early, the first one is killed, since nobody needs its output any more."""
    is_taken = True

    def pass_on(chunk: memoryview) -> None:
        nonlocal is_taken
        if is_taken and not _written(target.input, take(chunk)):
            is_taken = False
            source.kill()

    try:
        pump(source.output, pass_on)
        if is_taken:
            _written(target.input, end())
    finally:
        _close(target.input)


def _written(pipe: IO[bytes], chunk: Chunk) -> bool:
    left = memoryview(chunk)
    try:
        while left:
            left = left[os.write(pipe.fileno(), left) :]
    except BrokenPipeError:
        return False
    return True


def _close(pipe: IO[bytes]) -> None:
    if not pipe.closed:
        pipe.close()

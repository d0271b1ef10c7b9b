"""What may stand in a folder of bundles under any name, and is not a regular file."""

import os
import socket
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path


def a_folder(path: Path) -> None:
    path.mkdir()
    (path / "mine").touch()


def a_link_to_nowhere(path: Path) -> None:
    path.symlink_to("/nowhere")


def a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def a_link_to_a_folder(path: Path) -> None:
    path.symlink_to("/etc")


def a_link_to_a_file(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    """By a relative name, since that of a socket may have no more than 107 bytes."""
    with chdir(path.parent), socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)


STRANGE_ENTRIES: list[Callable[[Path], None]] = [
    a_folder,
    a_link_to_nowhere,
    a_link_to_itself,
    a_link_to_a_folder,
    a_link_to_a_file,
    a_pipe,
    a_socket,
]

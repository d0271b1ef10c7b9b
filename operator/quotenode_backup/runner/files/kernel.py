"""The two calls into the kernel that Python does not offer, through the C library.

Everything about ctypes is here: each function takes and gives plain values, and raises OSError as those of `os` do.
"""

import ctypes
import os
from functools import cache

_NOREPLACE = 1


def rename_noreplace(source: int, name: str, target: int, new: str) -> None:
    """renameat2(2) with RENAME_NOREPLACE. Raises FileExistsError where a rename would replace an entry.

    EINVAL means that the file system does not know the flag, as NFS and some of FUSE.
    """
    _check(_libc().renameat2(source, os.fsencode(name), target, os.fsencode(new), _NOREPLACE), name, new)


def sync_filesystem(descriptor: int) -> None:
    """syncfs(2): waits until all that was written to the file system of an open file is on the disk."""
    _check(_libc().syncfs(descriptor))


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.renameat2.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    libc.syncfs.argtypes = [ctypes.c_int]
    return libc


def _check(result: int, *names: str) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), *names[:1], None, *names[1:])

"""The entries of the tar: what is written before the content of a file.

The tar has GNU's format. Names are in it as the bytes that they are, and each entry has one pax record for its exact time. GNU tar and bsdtar both
restore that in every locale and without a warning, which is not so for pax records with names that are not UTF-8.
"""

import os
import re
import stat
import struct
import tarfile
from functools import cache

BLOCK = 512
ENCODING, ERRORS = "utf-8", "surrogateescape"
SETID = stat.S_ISUID | stat.S_ISGID
END_OF_ARCHIVE = bytes(2 * BLOCK)
_LONGEST = tarfile.LENGTH_NAME
_PLAIN = struct.Struct(f"{_LONGEST}s8s8s8s12s12s8sc{_LONGEST}s")
_NO_SUM = bytes(8).replace(b"\0", b" ")
"""What stands in the place of the sum while the sum is computed."""
_SAME_IN_ALL = tarfile.TarInfo().tobuf(tarfile.GNU_FORMAT)[_PLAIN.size :]
"""The rest of a header. No entry has the name of its owner."""
_TIME_RECORD = re.compile(rb"(\d\d) mtime=(-?)(\d+)\.(\d{9})\n\0*")


def make_entry(path: str, seen: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type = kind
    entry.mode = stat.S_IMODE(seen.st_mode) & (0o7777 if kind == tarfile.DIRTYPE else ~SETID)
    entry.uid, entry.gid = seen.st_uid, seen.st_gid
    entry.mtime = seen.st_mtime_ns // 1_000_000_000
    return entry


def headers(entry: tarfile.TarInfo, mtime_ns: int) -> bytes:
    return time_record(mtime_ns) + (_plain_header(entry) or entry.tobuf(tarfile.GNU_FORMAT, ENCODING, ERRORS))


def read_header(block: bytes) -> tarfile.TarInfo:
    """Raises ValueError or tarfile.TarError if it is not a header."""
    entry = _read_plain_header(block)
    return entry or tarfile.TarInfo.frombuf(block, ENCODING, ERRORS)


def _plain_header(entry: tarfile.TarInfo) -> bytes | None:
    """The same as tarfile makes, which takes eight times as long. None if names are long or numbers are large, which is left to tarfile."""
    name, target = entry.name.encode(ENCODING, ERRORS), entry.linkname.encode(ENCODING, ERRORS)
    owner, numbers = (entry.uid, entry.gid), (entry.size, int(entry.mtime))
    if max(len(name), len(target)) > _LONGEST or not (_fit(owner, 7) and _fit(numbers, 11)):
        return None
    fields = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (entry.mode, *owner, *numbers)
    before, after = name.ljust(_LONGEST, b"\0") + fields, entry.type + target.ljust(_LONGEST, b"\0") + _SAME_IN_ALL
    return b"%b%06o\0 %b" % (before, sum(before) + sum(_NO_SUM) + sum(after), after)


def _fit(numbers: tuple[int, ...], digits: int) -> bool:
    return min(numbers) >= 0 and max(numbers) < 8**digits


def _read_plain_header(block: bytes) -> tarfile.TarInfo | None:
    """None unless it is just what `_plain_header` makes."""
    name, *numbers, _, kind, target = _PLAIN.unpack_from(block)
    entry = tarfile.TarInfo(name.rstrip(b"\0").decode(ENCODING, ERRORS))
    entry.type, entry.linkname = kind, target.rstrip(b"\0").decode(ENCODING, ERRORS)
    try:
        entry.mode, entry.uid, entry.gid, entry.size, entry.mtime = (int(number[:-1], 8) for number in numbers)
    except ValueError:
        return None
    return entry if _plain_header(entry) == block else None


def time_record(nanoseconds: int) -> bytes:
    """A pax header with the time of the next entry, to the nanosecond."""
    whole, fraction = divmod(abs(nanoseconds), 1_000_000_000)
    sign = "-" if nanoseconds < 0 else ""
    record = _pax_record("mtime", f"{sign}{whole}.{fraction:09d}")
    return _pax_header(len(record)) + record.ljust(BLOCK, b"\0")


def recorded_time(record: bytes) -> tuple[int, int]:
    """The length of a time record, and the time in it. Raises ValueError if it is not one."""
    found = _TIME_RECORD.fullmatch(record)
    if not found:
        raise ValueError("an entry of the archive has no time")
    length, sign, whole, fraction = found.groups()
    nanoseconds = int(whole) * 1_000_000_000 + int(fraction)
    return int(length), -nanoseconds if sign else nanoseconds


def is_time_header(block: bytes, length: int) -> bool:
    """Whether this is the header of a time record of that length. A later Python may write some of its unused fields in another way."""
    if block == _pax_header(length):
        return True
    header = tarfile.TarInfo.frombuf(block, ENCODING, ERRORS)
    return (header.type, header.size) == (tarfile.XHDTYPE, length)


@cache
def _pax_header(length: int) -> bytes:
    header = tarfile.TarInfo("PaxHeaders/mtime")
    header.type, header.size = tarfile.XHDTYPE, length
    return header.tobuf(tarfile.USTAR_FORMAT)


def _pax_record(key: str, value: str) -> bytes:
    """`LENGTH KEY=VALUE`, where LENGTH includes its own digits."""
    text = f" {key}={value}\n"
    length = len(text) + 2
    return f"{length}{text}".encode()

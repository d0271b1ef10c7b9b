"""The owners of extracted files, as far as our user may set them."""

import os


class Owners:
    """Only root can give files away. Others can give them to a group that they are a member of, such as that of `pod.fsGroup`."""

    def __init__(self) -> None:
        self._user, self._group = os.geteuid(), os.getegid()
        self._groups = {self._group, *os.getgroups()}
        self._is_root = self._user == 0
        self.not_set = 0
        """How many entries belong to others than they did when they were backed up."""

    def give(self, descriptor: int, uid: int, gid: int) -> None:
        """Of an open file or folder. Takes its set-id bits away, so its mode is set afterwards."""
        if wanted := self._settable(uid, gid):
            try:
                os.fchown(descriptor, *wanted)
            except PermissionError:
                self._refused()

    def give_link(self, folder: int, name: bytes, uid: int, gid: int) -> None:
        if wanted := self._settable(uid, gid):
            try:
                os.chown(name, *wanted, dir_fd=folder, follow_symlinks=False)
            except PermissionError:
                self._refused()

    def _settable(self, uid: int, gid: int) -> tuple[int, int] | None:
        if self._is_root:
            return uid, gid
        if uid != self._user or gid not in self._groups:
            self.not_set += 1
        return (-1, gid) if gid in self._groups else None

    def _refused(self) -> None:
        """root without the capability, or a file system that squashes it."""
        self.not_set += self._is_root
        self._is_root = False

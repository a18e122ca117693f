"""Bytes of shards and of their indexes, read again for a while when the system fails."""

import contextlib
import errno
import os
import resource
import time

from albert_hvd.data.records.tfrecord import index_path
from albert_hvd.errors import InputError, RunFailed

# A file server that is restarted fails meanwhile (EIO, ESTALE). For so long a read is tried again.
RETRY_SEC = 60.0
_FIRST_PAUSE_SEC, _LONGEST_PAUSE_SEC = 0.5, 10.0
# What waiting does not change.
_FINAL_ERRORS = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)

CHANGED = "changed since this run began"
AHEAD_BYTES = 1 << 18  # what the system is asked to read at once
_REMEMBERED_STRETCHES = 1 << 16


def max_open_files():
    """How many files may be open at once: half of what the system allows, the other half is for the rest of the process."""
    return max(64, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2, 4096))


class ShardFiles:
    """Reads from shards and from the index files beside them. Not thread-safe.

    Args:
      paths: of the shards.
      warn: called with a line when a read fails and is tried again.
    """

    def __init__(self, paths, warn):
        self._paths, self._warn = paths, warn
        self._versions = [_version(os.stat(path)) for path in paths]
        self._files = {}  # path: descriptor
        self._most = max_open_files()
        self._asked_for = {}

    def read(self, shard, start, end):
        """(bytes from `start` to `end` of a shard, whether the shard is another than when it was opened first).

        Raises:
          InputError: the file is gone.
          RunFailed: the system has failed to read it for `RETRY_SEC`.
        """
        path, version = self._paths[shard], self._versions[shard]
        try:
            file = self._files[path] if path in self._files else self._open(path)
            return os.pread(file, end - start, start), _version(os.fstat(file)) != version
        except OSError as error:
            return self._retry(path, start, error, lambda file: (os.pread(file, end - start, start),
                                                                 _version(os.fstat(file)) != version))

    def read_index(self, shard, start, end):
        """Bytes from `start` to `end` of the index of a shard; errors as `read`."""
        path = index_path(self._paths[shard])

        def call(file):
            return os.pread(file, end - start, start)

        try:
            return call(self._open(path))
        except OSError as error:
            return self._retry(path, start, error, call)

    def read_ahead(self, shards, offsets):
        """Ask the system for the stretches of `AHEAD_BYTES` around these places, each once, without waiting for them."""
        for stretch in zip(shards.tolist(), (offsets // AHEAD_BYTES).tolist()):
            if stretch in self._asked_for:
                continue
            self._asked_for[stretch] = None
            if len(self._asked_for) > _REMEMBERED_STRETCHES:
                del self._asked_for[next(iter(self._asked_for))]
            with contextlib.suppress(OSError, InputError):  # the read itself says what is wrong
                os.posix_fadvise(self._open(self._paths[stretch[0]]), stretch[1] * AHEAD_BYTES, AHEAD_BYTES,
                                 os.POSIX_FADV_WILLNEED)

    def forget_index(self, shard):
        """Open the index of a shard anew at its next read."""
        self._forget(index_path(self._paths[shard]))

    def close(self):
        """Close the files; the next read opens them again."""
        while self._files:
            os.close(self._files.popitem()[1])

    def _retry(self, path, start, error, call):
        """What `call` gives for the descriptor of a file, once it does not fail as it has with `error`."""
        began, pause = time.monotonic(), _FIRST_PAUSE_SEC
        while True:
            problem = f"{path}: {error.strerror} when reading at byte {start}"
            if time.monotonic() - began >= RETRY_SEC:
                raise RunFailed(f"{problem}, for {RETRY_SEC:g} seconds: see to the disk or the file server, then run the "
                                "same command again")
            if pause == _FIRST_PAUSE_SEC:
                self._warn(f"{problem}: trying again for {RETRY_SEC:g} seconds")
            self._forget(path)  # as a file server does that was restarted
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SEC)
            try:
                return call(self._open(path))
            except OSError as again:
                error = again

    def _forget(self, path):
        """Close a file if it is open; what fails then has failed before."""
        if path in self._files:
            with contextlib.suppress(OSError):
                os.close(self._files.pop(path))

    def _open(self, path):
        """The descriptor of a file. Raises InputError when it is gone, OSError when trying again may help."""
        if path in self._files:
            return self._files[path]
        if len(self._files) >= self._most:
            os.close(self._files.pop(next(iter(self._files))))
        try:
            self._files[path] = os.open(path, os.O_RDONLY)
        except OSError as error:
            if error.errno not in _FINAL_ERRORS:
                raise
            raise InputError(f"cannot be opened any more ({error.strerror})",
                             "put it back, then run the same command again", value=path) from None
        return self._files[path]


def _version(status):
    """What differs once a file has been written to or replaced."""
    return status.st_size, status.st_mtime_ns

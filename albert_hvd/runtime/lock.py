"""One writer at a time: a lock that a killed process does not leave behind.

    with RunLock(output_dir): ...

`run.lock` in the folder says who holds it. Two signs tell whether that holder is alive:

- it holds the file with flock(2), which the kernel takes from a dead process at once. Not every shared file system
  carries that over to other hosts, and some keep the lock of a host that was lost;
- it touches the file every `_BEAT_SEC`. Whoever finds the file of another host watches whether that goes on. Only
  changes are looked at, never the time of day: clocks differ between hosts, and jump.

A holder whose lock was taken over, because it was suspended or cut off for so long, finds that out at its next beat
and ends itself.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import sys
import threading
import time
import uuid

from albert_hvd.errors import InputError, setting
from albert_hvd.runtime.exit import end_process

LOCK = "run.lock"

_BEAT_SEC = 5.0
# So long without a beat, and the holder is taken for lost; several times what a slow file server may need.
_LOST_AFTER_SEC = 60.0
# Ranks whose launcher was killed take some seconds to notice and to end.
_ENDING_SEC = 10.0
_LOOK_EVERY_SEC = 0.5

_NO_FLOCK = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class RunLock:
    """A context in which no other process of any host holds the same lock.

    Args:
      folder: the folder that is written to, which is there.
      on_loss: called with a one-line reason, in a thread, when another run has taken the lock over.
      name: of the lock file in it.
      option: what errors name, with `value`; default: `output_dir` and the folder.

    Raises:
      InputError: on entering, when another process holds it, or when it cannot be written.

    Attributes:
      path: the lock file.
    """

    def __init__(self, folder, on_loss=end_process, name=LOCK, option="output_dir", value=None):
        self.path, self._on_loss = os.path.join(folder, name), on_loss
        self._option, self._value = option, folder if value is None else value
        self._file = None
        self._released = threading.Event()

    def __enter__(self):
        self._file = self._acquire()
        self._beats = threading.Thread(target=self._beat, name="run lock", daemon=True)
        self._beats.start()
        return self

    def __exit__(self, *_):
        self._released.set()
        self._beats.join()
        with contextlib.suppress(OSError):
            if _is_at(self._file, self.path) and _read_holder(self._file).get("token") == self._token:
                os.remove(self.path)
        os.close(self._file)

    def _acquire(self):
        """The descriptor of the lock file, locked and with our name in it."""
        watch = None
        while True:
            file, locked = self._open()
            holder = _read_holder(file)
            if _is_free(holder, locked):
                return self._take(file, locked)
            watch = watch or _Watch()
            verdict = watch.look(holder, os.fstat(file).st_mtime_ns, locked)
            if verdict == "lost":
                sys.stderr.write(f"warning: taking over {self.path}: {_describe(holder)} has given no sign of life for "
                                 f"{_LOST_AFTER_SEC:.0f} s\n")
                return self._take(file, locked)
            os.close(file)
            if verdict == "alive":
                raise InputError(f"another run writes there: {_describe(holder)}",
                                 "stop that one or wait for its end, or give another folder", name=self._option,
                                 value=self._value)
            time.sleep(_LOOK_EVERY_SEC)

    def _open(self):
        """Open the lock file and try to lock it: (descriptor, True, False or None where there are no such locks)."""
        while True:
            try:
                file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise self._not_written(error) from None
            locked = _try_to_lock(file)
            if _is_at(file, self.path):
                return file, locked
            os.close(file)  # its holder ended, and removed it, between our two calls

    def _take(self, file, locked):
        """Write our name into the lock file; into a new one where a lost holder's lock sits on the old."""
        if not locked and os.fstat(file).st_size:
            if _is_at(file, self.path):
                os.remove(self.path)
            os.close(file)
            file, _ = self._open()
        self._token = uuid.uuid4().hex
        holder = {"host": socket.gethostname(), "pid": os.getpid(), "started": time.strftime("%Y-%m-%d %H:%M:%S %z"),
                  "boot": _boot(), "token": self._token, **_slurm_job()}
        try:
            os.ftruncate(file, 0)
            os.pwrite(file, json.dumps(holder).encode() + b"\n", 0)
        except OSError as error:
            raise self._not_written(error) from None
        return file

    def _not_written(self, error):
        return InputError(f"cannot write {self.path} ({error.strerror})", "fix that, or choose another folder",
                          name=self._option, value=self._value)

    def _beat(self):
        while not self._released.wait(_BEAT_SEC):
            try:
                os.utime(self._file)
                with open(self.path, "rb") as file:
                    holder = _read_holder(file.fileno())
            except OSError:
                continue  # a file server that is away, or a file that somebody deleted: nobody has it instead of us
            if holder and holder.get("token") != self._token:
                self._on_loss(f"{setting(self._option, self._value)}: {_describe(holder)} has taken this folder over, "
                              f"since this run gave no sign of life; it continues there")
                return


class _Watch:
    """Watches a lock file until it is clear whether its holder lives."""

    def __init__(self):
        self._began = time.monotonic()
        self._first = None

    def look(self, holder, beat, locked):
        """Look at the file again.

        Args:
          holder: dict of what it says.
          beat: its time of change.
          locked: False when another process has locked it.

        Returns:
          "alive", "lost", or "" while that is open.
        """
        waited = time.monotonic() - self._began
        if locked is False and (not holder or _is_here(holder)):
            return "alive" if waited >= _ENDING_SEC else ""
        sign = (holder.get("token"), beat)
        if self._first is None:
            self._first = sign
            print(f"{_describe(holder)} may still write to this folder: looking for a sign of life for up to "
                  f"{_LOST_AFTER_SEC:.0f} s", flush=True)
        if sign != self._first:
            return "alive"
        return "lost" if waited >= _LOST_AFTER_SEC else ""


def _is_free(holder, locked):
    """Whether a lock file can be taken at once."""
    if not holder:
        return locked is not False
    return bool(locked) if _is_here(holder) else _is_requeued(holder)


def _is_here(holder):
    """Whether the holder runs, or ran, under this kernel, which then knows whether it holds the lock."""
    return holder.get("boot") == _boot()


def _try_to_lock(file):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _NO_FLOCK:
            return None
        raise


def _is_at(file, path):
    """Whether the open file is the one of that path."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(file), there)


def _read_holder(file):
    """What a lock file says of its holder; an empty dict when it says nothing that can be read."""
    try:
        holder = json.loads(os.pread(file, 4096, 0))
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _describe(holder):
    """The holder in words."""
    if not holder:
        return "a run that has not given its name"
    job = f" (Slurm job {holder['slurm_job']})" if holder.get("slurm_job") else ""
    return f"process {holder.get('pid')} on {holder.get('host')}{job}, started {holder.get('started')}"


def _boot():
    """Names the running kernel: its processes see each other's flock, whatever host names they go by."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return socket.gethostname()


def _slurm_job():
    """The Slurm job of this process and which of its starts this is, as the holder notes them."""
    if "SLURM_JOB_ID" not in os.environ:
        return {}
    return {"slurm_job": os.environ["SLURM_JOB_ID"], "slurm_start": int(os.environ.get("SLURM_RESTART_COUNT") or 0)}


def _is_requeued(holder):
    """Whether the holder was an earlier start of our own Slurm job, which Slurm has ended."""
    job = _slurm_job()
    return bool(job) and holder.get("slurm_job") == job["slurm_job"] and \
        holder.get("slurm_start", 0) < job["slurm_start"]

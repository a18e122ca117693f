"""File systems of a few pages that a test mounts, fills and makes room on; without the right to mount it is skipped."""

import mmap
import os
import shutil
import subprocess

import pytest

PAGE = mmap.PAGESIZE
AMPLE = 64 << 20


class SmallDisk:
    """A file system of its own at `folder`, with ample room at first."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        try:
            self._mount("-t", "tmpfs", "-o", f"size={AMPLE}", "small_disk")
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"a small file system cannot be mounted, which takes root ({error})")

    def _mount(self, *words):
        subprocess.run(["mount", *words, self.folder], check=True, capture_output=True)

    def leave(self, pages):
        """Shrink it to what lies on it and this many free pages."""
        # One page more than none: a size of 0 means no limit.
        self._mount("-o", f"remount,size={max(self.used() + pages, 1) * PAGE}")

    def make_room(self):
        self._mount("-o", f"remount,rw,size={AMPLE}")

    def make_read_only(self):
        self._mount("-o", "remount,ro")

    def used(self):
        """The pages that are taken."""
        return shutil.disk_usage(self.folder).used // PAGE

    def clear(self):
        """Ample room, and nothing on it."""
        self.make_room()
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def unmount(self):
        subprocess.run(["umount", "--lazy", self.folder], check=True)


def with_full_shared_memory(words):
    """A command line that runs `words` where /dev/shm is a file system of its own, of one page that is taken."""
    fill = "mount -t tmpfs -o size=4k none /dev/shm && head -c 8192 /dev/zero >/dev/shm/full 2>/dev/null; exec \"$@\""
    return ["unshare", "--mount", "sh", "-c", fill, "sh", *words]


def can_unshare():
    """Whether this machine lets a process have mounts of its own."""
    command = with_full_shared_memory(["true"])
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True).returncode == 0


def files_in(folder):
    """{path: bytes} of all files under a folder, hidden ones left out."""
    return {os.path.relpath(path, folder): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)}

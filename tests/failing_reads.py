"""Reads that fail at the system call, as those of a file server do while it is restarted."""

import shutil
import subprocess

import pytest

# pread of files whose path ends in $FAIL_ENDING fails with $FAIL_ERRNO as often as the file $FAIL_COUNT is long: each
# failure cuts a byte off. The file is shared by all processes.
_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fails(int file) {
    const char *ending = getenv("FAIL_ENDING"), *count = getenv("FAIL_COUNT"), *number = getenv("FAIL_ERRNO");
    char link[64], path[4096];
    struct stat left;
    if (!ending || !count || !number) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < (ssize_t)strlen(ending)) return 0;
    path[length] = 0;
    if (strcmp(path + length - strlen(ending), ending)) return 0;
    if (stat(count, &left) || left.st_size == 0) return 0;
    if (truncate(count, left.st_size - 1)) return 0;
    errno = atoi(number);
    return 1;
}

#define WRAP(name, offset_type) \
    ssize_t name(int file, void *buffer, size_t size, offset_type offset) { \
        static ssize_t (*next)(int, void *, size_t, offset_type); \
        if (!next) next = dlsym(RTLD_NEXT, #name); \
        return fails(file) ? -1 : next(file, buffer, size, offset); \
    }
WRAP(pread, off_t)
WRAP(pread64, off64_t)
"""


def build_shim(folder):
    """The path of the shared library, to be preloaded; skips the test where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no C compiler to make reads fail with")
    source, library = folder / "failing_reads.c", folder / "failing_reads.so"
    source.write_text(_SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


class FailingReads:
    """The environment in which reads of files with an ending fail, as often as the file $FAIL_COUNT is long.

    Args:
      folder: for the library and the count.
      ending: of the files' paths.
      number: the system's number of the error.
    """

    def __init__(self, folder, ending, number):
        self._count = folder / "failures_left"
        self._count.write_bytes(b"")
        self.environment = {"LD_PRELOAD": str(build_shim(folder)), "FAIL_ENDING": ending, "FAIL_ERRNO": str(number),
                            "FAIL_COUNT": str(self._count)}

    @property
    def left(self):
        """How many failures have not happened."""
        return self._count.stat().st_size

"""Unpacking a .tar.gz from a stranger.

Nothing but plain files and folders is made, nothing outside the folder given, and no more bytes, members
or header bytes than a model has use for. The archive is read once from front to end.
"""

import gzip
import os
import shutil
import tarfile
import zlib

from albert_hvd.errors import InputError

_GZIP_MAGIC = b"\x1f\x8b"
_MAX_BYTES = 32 << 30  # an xxlarge ALBERT with both moments of its optimizer takes 3 GB
_MAX_MEMBERS = 1000
_MAX_HEADER_BYTES = 1 << 16  # tarfile reads the headers of long names whole
# Trained weights hardly shrink, an optimizer's zeros do; gzip reaches 1000.
_MAX_RATIO, _ALWAYS_ALLOWED_BYTES = 50, 64 << 20


class _Refused(Exception):
    """Why an archive is not unpacked any further."""


def is_archive(path):
    """Whether `path` is a file that begins as gzip does; InputError naming `input` when it cannot be read."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", "check its permissions", name="input",
                         value=path) from None


def unpack(path, folder, max_bytes=_MAX_BYTES, max_members=_MAX_MEMBERS):
    """Unpack a gzipped tar into `folder`, which is empty; file modes and owners are not taken over.

    After an error the folder may hold some of the files: the caller removes it.

    Args:
      path: the archive.
      max_bytes: how much it may grow to, headers included.
      max_members: how many files and folders it may hold.

    Raises:
      InputError: a damaged archive, a member that would leave `folder`, a link, a device or another
        special file, a name that comes twice, or more than the limits.
    """
    limit = min(max_bytes, max(_ALWAYS_ALLOWED_BYTES, _MAX_RATIO * os.path.getsize(path)),
                shutil.disk_usage(folder).free)
    try:
        with gzip.open(path) as unzipped:
            stream = _LimitedStream(unzipped, limit)
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=_ShortHeader) as archive:
                for number, member in enumerate(archive, start=1):
                    if number > max_members:
                        raise _Refused(f"it has more than {max_members} members")
                    _unpack_member(archive, member, folder)
            while stream.read(1 << 20):  # to the end, where the checksum is
                pass
    except _Refused as refusal:
        raise InputError(refusal,
                         "it was not made to hold a model: get it elsewhere, or unpack it by hand",
                         name="input", value=path) from None
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, RecursionError) as error:
        raise InputError(f"cannot be unpacked ({error})",
                         "download it again, and make sure that the disk has room", name="input", value=path) from None


class _LimitedStream:
    """The first `limit` bytes of a file; `_Refused` once more are asked for and there."""

    def __init__(self, file, limit):
        self._file, self._left, self._limit = file, limit, limit

    def read(self, size):
        block = self._file.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise _Refused(f"unpacked it takes more than {self._limit} bytes")
        return block


class _ShortHeader(tarfile.TarInfo):
    """A header that does not announce a huge name or a huge list of attributes."""

    _EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
                 tarfile.GNUTYPE_LONGLINK)

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        header = super().frombuf(buf, encoding, errors)
        if header.type in cls._EXTENDED and header.size > _MAX_HEADER_BYTES:
            raise _Refused(f"one of its headers takes {header.size} bytes")
        return header


def _unpack_member(archive, member, folder):
    parts = member.name.split("/")
    if os.path.isabs(member.name) or ".." in parts or "\\" in member.name or "\0" in member.name:
        raise _Refused(f"its member {member.name!r} would lie outside the folder")
    target = os.path.join(folder, *parts)
    if member.isdir():
        os.makedirs(target, exist_ok=True)
    elif member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse():
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "xb") as file:  # a name that comes twice is an error
            shutil.copyfileobj(archive.extractfile(member), file)
    else:
        raise _Refused(f"its member {member.name!r} is a link, a device or another special file")

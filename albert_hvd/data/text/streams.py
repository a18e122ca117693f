"""Files as streams of their content: decompressed, archives member by member, in bounded memory, pipes too."""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from typing import NamedTuple

from albert_hvd.data.text import content
from albert_hvd.errors import InputError, parameter
from albert_hvd.runtime.files import is_pipe

# Compressions and archives within each other; more is a trap.
MOST_LAYERS = 6
# What archives hold beside the data: of macOS and of Windows.
_NOT_DATA = ("Thumbs.db", "desktop.ini")
_DESCRIPTIONS = re.compile(r"(?i)(?:readme|licen[cs]e|copying|notice|changelog|makefile)(?:\.\w+)?$")


class Source(NamedTuple):
    """A file, or a member of an archive.

    Attributes:
      name: what messages call it: the path, for a member of an archive with ": " and the member's name.
      ending: of its name, in lower case, those of compressions left out; "" without.
      head: its first `content.HEAD_BYTES`.
      stream: binary, at its beginning; only as long as the next source has not been asked for.
    """

    name: str
    ending: str
    head: bytes
    stream: object


def open_sources(path):
    """Yield a `Source` for the file `path`, or for each file of an archive; whatever is compressed is decompressed.

    Raises: InputError for what cannot be opened. Damage shows when it is read: see `damage`.
    """
    try:
        file = open(path, "rb", buffering=0)
    except OSError as error:
        raise _unreadable(path, error) from None
    with file:
        yield from _sources(path, os.path.basename(path), file, 0)


@contextlib.contextmanager
def damage(path):
    """What reading a damaged file raises within the block becomes an InputError that names `path`."""
    try:
        yield
    except (EOFError, lzma.LZMAError, zlib.error, OSError, UnicodeError, zipfile.BadZipFile, tarfile.TarError,
            ZstandardError) as error:
        raise InputError(f"damaged or cut short ({str(error) or type(error).__name__})", "get it again",
                         name="input_file", value=path) from None


class ZstandardError(Exception):
    """What zstandard says of a damaged file; its own exception is known only where the package is."""


def read_head(path):
    """The first bytes of a file as they are; InputError when it cannot be read."""
    try:
        with open(path, "rb", buffering=0) as file:
            return _read(file, content.HEAD_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path, error):
    return InputError(f"cannot be read ({error.strerror})", "fix that or give another file", name="input_file",
                      value=path)


def ending(name):
    """The ending of a file's name in lower case, those of compressions left out: .csv of a.csv.gz; "" without."""
    stem, last = os.path.splitext(os.path.basename(name).lower())
    return ending(stem) if last in (".gz", ".xz", ".bz2", ".zst", ".lzma") else last


def _sources(name, file_name, stream, depth):
    with damage(name):
        head = _read(stream, content.HEAD_BYTES)
        stream = _from_start(stream, head)
    if depth > MOST_LAYERS:
        raise InputError("too many archives or compressions within each other", "unpack it first", name="input_file",
                         value=name)
    kind = content.compression(head)
    if kind:
        with damage(name):
            yield from _sources(name, file_name, _decompressed(kind, stream, name), depth + 1)
    elif content.archive(head) == "zip":
        yield from _zip_members(name, stream, depth)
    elif content.archive(head) == "tar":
        yield from _tar_members(name, stream, depth)
    else:
        yield Source(name, ending(file_name), head, stream)


def _read(stream, size):
    """Up to `size` bytes; a pipe gives fewer at a time."""
    parts, missing = [], size
    while missing and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _from_start(stream, head):
    """The stream with `head`, which was read from it, before it again."""
    if isinstance(stream, io.FileIO) and stream.seekable():
        stream.seek(0)
        return io.BufferedReader(stream, 1 << 16)
    return io.BufferedReader(_Rejoined(head, stream), 1 << 16)


class _Rejoined(io.RawIOBase):
    """Bytes, and a stream after them."""

    def __init__(self, head, stream):
        self._head, self._stream = memoryview(head), stream

    def readable(self):
        return True

    def readinto(self, buffer):
        if not self._head:
            return self._stream.readinto(buffer)
        size = min(len(buffer), len(self._head))
        buffer[:size] = self._head[:size]
        self._head = self._head[size:]
        return size


def _decompressed(kind, stream, name):
    if kind != "zstd":
        return {"gzip": gzip.open, "xz": lzma.open, "bzip2": bz2.open}[kind](stream, "rb")
    try:
        import zstandard
    except ImportError:
        raise InputError("reading zstd files needs the package zstandard", "install it or decompress the file",
                         name="input_file", value=name) from None
    return io.BufferedReader(_Zstandard(stream, zstandard), 1 << 16)


class _Zstandard(io.RawIOBase):
    """All frames of a zstd file, of any window; unlike the package's own reader it sees that the last one is cut."""

    def __init__(self, stream, zstandard):
        # The longest window that `zstd --ultra --long=31` writes.
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 31)
        self._stream, self._error = stream, zstandard.ZstdError
        self._frame, self._input, self._output = None, b"", memoryview(b"")

    def readable(self):
        return True

    def readinto(self, buffer):
        while not self._output:
            self._input = self._input or self._stream.read(1 << 15)
            if not self._input:
                if self._frame:
                    raise EOFError("its last frame has no end")
                return 0
            self._frame = self._frame or self._decompressor.decompressobj()
            try:
                self._output = memoryview(self._frame.decompress(self._input))
            except self._error as error:
                raise ZstandardError(str(error)) from None
            self._input = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = None
        size = min(len(buffer), len(self._output))
        buffer[:size] = self._output[:size]
        self._output = self._output[size:]
        return size


@contextlib.contextmanager
def seekable(stream):
    """The stream, or a file on disk without a name with the content of one that can be read only once."""
    if stream.seekable():
        yield stream
        return
    with tempfile.TemporaryFile() as file:
        shutil.copyfileobj(stream, file, 1 << 20)
        file.seek(0)
        yield file


def _zip_members(name, stream, depth):
    with contextlib.ExitStack() as stack:
        with damage(name):
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(seekable(stream))))
        other = content.zip_content([member.filename for member in archive.infolist()])
        if other:
            raise no_text(name, other)
        for member in archive.infolist():
            is_link = stat.S_ISLNK(member.external_attr >> 16)
            if member.is_dir() or is_link or is_hidden(member.filename):
                continue
            called = f"{name}: {_printable(member.filename)}"
            try:
                with damage(called), archive.open(member) as file:
                    yield from _sources(called, member.filename, file, depth + 1)
            except (RuntimeError, NotImplementedError) as error:  # a password; a method of other programs
                raise InputError(f"cannot be unpacked ({error})", "unpack the archive first", name="input_file",
                                 value=called) from None


def _tar_members(name, stream, depth):
    with damage(name), tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            if member.isfile() and not is_hidden(member.name):
                called = f"{name}: {_printable(member.name)}"
                yield from _sources(called, member.name, archive.extractfile(member), depth + 1)


def _printable(name):
    return "".join(character if character.isprintable() else "?" for character in name)


@contextlib.contextmanager
def on_disk(paths):
    """{path: another that can be read more than once}: pipes are copied to files on disk without a name."""
    with contextlib.ExitStack() as stack:
        places = {}
        for path in paths:
            places[path] = path
            if is_pipe(path):
                with open(path, "rb") as pipe:
                    file = stack.enter_context(seekable(pipe))
                places[path] = f"/dev/fd/{file.fileno()}"
        yield places


def is_hidden(name):
    """Whether a file in a folder or an archive is none of its data, by its name: hidden, or about the others."""
    base = os.path.basename(name)
    return (any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))
            or name.startswith("__MACOSX/") or base in _NOT_DATA or bool(_DESCRIPTIONS.match(base)))


def no_text(name, what, fix=None, option="input_file"):
    """The InputError for a file that is not to be read."""
    return InputError(f"{what}, no text", fix or "give text, JSON, CSV, subtitles or Parquet, or archives of these",
                      name=option, value=name)


def text_of(source, encoding="utf-8"):
    """(text stream, first characters) of a source; a byte order mark decides the encoding and is left out.

    Invalid bytes become U+FFFD. Raises: InputError for an unknown encoding, and for what is no text.
    """
    marked, length = content.marked_encoding(source.head)
    encoding = marked or encoding
    try:
        "".encode(encoding)  # some that Python knows raise only when they are used
        head = source.head[length:].decode(encoding, "replace")
    except (LookupError, ValueError):
        raise InputError("unknown encoding", "try utf-8 or cp1252", name="encoding", value=encoding) from None
    what, fix, better = content.binary(source.head[length:], encoding) or (None, None, None)
    if better:
        raise InputError(what, f"set {parameter('encoding')} to what it is, such as {better}", name="input_file",
                         value=source.name)
    if what:
        raise no_text(source.name, what, fix)
    refused = content.marked_up(head)
    if refused:
        raise no_text(source.name, *refused)
    source.stream.read(length)
    return io.TextIOWrapper(source.stream, encoding=encoding, errors="replace", newline=""), head


def text_between(path, start, end):
    """The bytes [start, end) of a file in UTF-8 as a text stream."""
    return io.TextIOWrapper(io.BufferedReader(_Span(path, start, end), 1 << 16), encoding="utf-8", errors="replace",
                            newline="")


class _Span(io.RawIOBase):
    """A part of a file."""

    def __init__(self, path, start, end):
        self._file, self._left = open(path, "rb", buffering=0), end - start
        self._file.seek(start)

    def readable(self):
        return True

    def readinto(self, buffer):
        size = self._file.readinto(memoryview(buffer)[:min(len(buffer), self._left)])
        self._left -= size
        return size

    def close(self):
        self._file.close()
        super().close()

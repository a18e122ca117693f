"""What the dynamic linker reads in a shared library, for 64-bit little-endian ELF: `nm -D` and `readelf -d` in Python.

A machine that takes Horovod's wheel from the cache may have neither. Source: the System V ABI, chapters 4 and 5.
"""

import contextlib
import mmap
import pathlib
import struct
from typing import NamedTuple

_SHT_DYNAMIC, _SHT_DYNSYM = 6, 11
_DT_NEEDED, _DT_RPATH, _DT_RUNPATH = 1, 15, 29
_SHN_UNDEF, _STB_WEAK = 0, 2


class Library(NamedTuple):
    """A shared library's side of the linking.

    Attributes:
      needed: names of the libraries that it wants loaded.
      run_path: folders that it wants searched for them, with $ORIGIN as it stands.
      defined: symbols that it offers, mangled and without version (set of bytes).
      undefined: symbols that others must offer; weak ones, which may stay open, left out (set of bytes).
    """

    needed: tuple
    run_path: tuple
    defined: frozenset
    undefined: frozenset


def read_library(path):
    """The `Library` in the file `path`.

    Raises:
      ValueError: it is no 64-bit little-endian ELF file.
    """
    with open(path, "rb") as file:
        if file.read(6) != b"\x7fELF\x02\x01":
            raise ValueError(f"{path} is no 64-bit little-endian ELF file")
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with contextlib.closing(data):
        table, = struct.unpack_from("<Q", data, 40)
        size, count = struct.unpack_from("<HH", data, 58)
        # Of each section: type, offset, size, number of the section with its strings.
        sections = [struct.unpack_from("<4xI16xQQI", data, table + size * number) for number in range(count)]
        needed, run_path, defined, undefined = [], [], set(), set()
        for kind, offset, length, link in sections:
            if kind == _SHT_DYNAMIC:
                strings = _strings(data, sections[link])
                for tag, value in struct.iter_unpack("<qQ", data[offset:offset + length]):
                    if tag == _DT_NEEDED:
                        needed.append(_text(strings, value).decode())
                    elif tag in (_DT_RPATH, _DT_RUNPATH):
                        run_path += _text(strings, value).decode().split(":")
            elif kind == _SHT_DYNSYM:
                strings = _strings(data, sections[link])
                for name, info, section in struct.iter_unpack("<IBxH16x", data[offset:offset + length]):
                    if section != _SHN_UNDEF:
                        defined.add(_text(strings, name))
                    elif name and info >> 4 != _STB_WEAK:
                        undefined.add(_text(strings, name))
        return Library(tuple(needed), tuple(run_path), frozenset(defined), frozenset(undefined))


def places_of(path, library, name):
    """Where the run path of `library`, the file `path`, leads to a library called `name`: list of paths."""
    origin = str(pathlib.Path(path).resolve().parent)
    folders = [pathlib.Path(folder.replace("${ORIGIN}", origin).replace("$ORIGIN", origin))
               for folder in library.run_path]
    return [folder / name for folder in folders if (folder / name).exists()]


def _strings(data, section):
    _, offset, length, _ = section
    return data[offset:offset + length]


def _text(strings, start):
    return strings[start:strings.index(b"\0", start)]

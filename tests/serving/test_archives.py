"""Archives that are what they should be, and those that are made to harm."""

import gzip
import io
import os
import tarfile

import pytest

from albert_hvd.errors import InputError
from albert_hvd.serving.archives import is_archive, unpack


def member(name, content=b"", **attributes):
    """(TarInfo, content) of one member."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def pack(path, *members, format=tarfile.GNU_FORMAT):
    with tarfile.open(path, "w:gz", format=format) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return str(path)


def refusal(path, folder, **limits):
    folder.mkdir()
    with pytest.raises(InputError) as error:
        unpack(str(path), str(folder), **limits)
    assert f"input={path}: " in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def test_files_and_folders_come_out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    long_name = "albert/" + "x" * 150
    path = pack(tmp_path / "a.tar.gz", member("./albert", type=tarfile.DIRTYPE), member("albert/a.bin", b"\0" * 700),
                member("albert/deep/b", b"b", mode=0o6777), member(long_name, b"long"))
    unpack(path, str(folder))
    assert (folder / "albert" / "a.bin").read_bytes() == b"\0" * 700
    assert (folder / "albert" / "deep" / "b").read_bytes() == b"b" and (folder / long_name).read_bytes() == b"long"
    assert not os.stat(folder / "albert" / "deep" / "b").st_mode & 0o6111


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/evil", "..\\evil"])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE])
def test_nothing_leaves_the_folder(name, kind, tmp_path):
    path = pack(tmp_path / "a.tar.gz", member(name, type=kind))
    assert "outside the folder" in refusal(path, tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["a.tar.gz", "out"] and os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE,
                                  tarfile.FIFOTYPE])
def test_only_files_and_folders_are_made(kind, tmp_path):
    path = pack(tmp_path / "a.tar.gz", member("a", type=kind, linkname="/etc"), member("a/b", b"b"))
    assert "is a link, a device or another special file" in refusal(path, tmp_path / "out")
    assert os.listdir(tmp_path / "out") == []


def test_a_bomb_is_stopped_by_its_ratio(tmp_path):
    path = tmp_path / "a.tar.gz"
    info, _ = member("zeros", size=100 << 20)
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(info.tobuf())
        for _ in range(100):
            file.write(bytes(1 << 20))
    assert f"more than {64 << 20} bytes" in refusal(path, tmp_path / "out")
    assert os.path.getsize(tmp_path / "out" / "zeros") <= 64 << 20


def test_limits_of_bytes_and_members(tmp_path):
    path = pack(tmp_path / "a.tar.gz", *(member(f"m{number}", b"x" * 600) for number in range(5)))
    assert "more than 4000 bytes" in refusal(path, tmp_path / "bytes", max_bytes=4000)
    assert "more than 4 members" in refusal(path, tmp_path / "members", max_members=4)
    (tmp_path / "whole").mkdir()
    unpack(path, str(tmp_path / "whole"), max_members=5)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_huge_header_is_not_read(kind, tmp_path):
    path = pack(tmp_path / "a.tar.gz", member("name", b"x" * (1 << 17), type=kind))
    assert "one of its headers takes 131072 bytes" in refusal(path, tmp_path / "out")


def test_a_chain_of_headers_is_refused(tmp_path):
    """tarfile reads each long name's header by calling itself."""
    header, _ = member("long", type=tarfile.GNUTYPE_LONGNAME, size=5)
    with gzip.open(tmp_path / "a.tar.gz", "wb") as file:
        file.write((header.tobuf(tarfile.GNU_FORMAT) + b"abcd\0".ljust(512, b"\0")) * 3000)
    assert "cannot be unpacked" in refusal(tmp_path / "a.tar.gz", tmp_path / "out")


def test_a_name_that_comes_twice(tmp_path):
    path = pack(tmp_path / "a.tar.gz", member("a", b"first"), member("a", b"second"))
    assert "cannot be unpacked" in refusal(path, tmp_path / "out")
    assert (tmp_path / "out" / "a").read_bytes() == b"first"


def test_damaged_archives(tmp_path):
    whole = open(pack(tmp_path / "a.tar.gz", member("a", os.urandom(5000))), "rb").read()
    flipped = bytearray(whole)
    flipped[-6] ^= 1  # in the checksum
    for number, damaged in enumerate((whole[:len(whole) // 2], flipped, gzip.compress(b"no tar" * 500))):
        path = tmp_path / f"{number}.tar.gz"
        path.write_bytes(damaged)
        assert "download it again" in refusal(path, tmp_path / str(number))


def test_archives_are_known_by_their_content(tmp_path):
    (tmp_path / "text.tar.gz").write_text("text")
    (tmp_path / "empty").write_bytes(b"")
    pack(tmp_path / "download", member("a"))
    assert is_archive(str(tmp_path / "download"))
    assert not any(is_archive(str(tmp_path / name)) for name in ("text.tar.gz", "empty", "absent", ""))

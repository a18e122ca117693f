"""Files that appear under their name whole, on the disk, and beside other writers of the same name."""

import os
import re
import stat

import pytest

from albert_hvd.runtime import files
from albert_hvd.runtime.files import remove_partial_files, use_umask, whole_file, whole_folder


@pytest.mark.parametrize("sync", [True, False])
def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch, sync):
    done = []

    def fsync(descriptor):
        done.append(("fsync", os.fstat(descriptor).st_size))

    monkeypatch.setattr(files.os, "fsync", fsync)
    replace = os.replace
    monkeypatch.setattr(files.os, "replace", lambda *paths: (done.append(("replace", paths[1])), replace(*paths)))
    path = str(tmp_path / "status.json")
    with whole_file(path, sync=sync) as file:
        file.write(b"text")
        assert not os.path.exists(path)
    assert done == [("fsync", 4)] * sync + [("replace", path)]


def test_two_writers_of_one_name_do_not_meet(tmp_path):
    """As in two containers, or on two hosts, where processes have the same number."""
    with whole_file(str(tmp_path / "a")) as first, whole_file(str(tmp_path / "a")) as second:
        first.write(b"first")
        second.write(b"second")
        names = os.listdir(tmp_path)
        host = re.escape(os.uname().nodename[:40])
        assert len(names) == 2 and all(re.fullmatch(rf"\.a\.{host}-{os.getpid()}-[0-9a-f]{{8}}\.partial", name)
                                       for name in names)
    assert os.listdir(tmp_path) == ["a"] and (tmp_path / "a").read_bytes() == b"first"
    with whole_folder(str(tmp_path / "b")), whole_folder(str(tmp_path / "c")):
        assert len(os.listdir(tmp_path)) == 3
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c"]


def test_what_interrupted_writers_left_is_removed(tmp_path):
    for name in (".a.host-1-00000000.partial", ".a.17.partial", ".b.host-1-00000000.partial"):
        (tmp_path / name).write_bytes(b"")
    remove_partial_files(str(tmp_path), "a")
    assert os.listdir(tmp_path) == [".b.host-1-00000000.partial"]


def test_a_file_gets_the_mode_of_the_umask(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    path.touch(mode=0o600)
    (tmp_path / "new").touch()
    use_umask(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "new").stat().st_mode)
    # A file system that has no modes, such as a share of Windows.
    monkeypatch.setattr(files.shutil, "copymode", lambda *_: (_ for _ in ()).throw(PermissionError(1, "not permitted")))
    use_umask(str(path))
    assert sorted(os.listdir(tmp_path)) == ["new", "weights"]

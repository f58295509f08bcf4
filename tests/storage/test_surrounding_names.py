"""Names that systems put into what they tell, such as mount points, and that say something else than they seem to."""
from __future__ import annotations

import glob
import io
import os
import subprocess

import pytest

from milestone_persist.storage import filesystem
from milestone_persist.storage.postgresql.psql import find_psql


@pytest.fixture
def mounts(monkeypatch):
    """Puts bytes in the place of /proc/self/mounts, or has none there and `mount` print them."""
    def mounts(told, by_command=False):
        def open_told(path, *words, **options):
            if path != "/proc/self/mounts":
                return plain(path, *words, **options)
            if by_command:
                raise FileNotFoundError
            return io.BytesIO(told)

        plain = open
        monkeypatch.setattr("builtins.open", open_told)
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, os.fsdecode(told)))

    return mounts


@pytest.mark.parametrize("written, name", [
    (rb"a\040b", b"a b"), (rb"a\011b", b"a\tb"), (rb"a\012b", b"a\nb"), (rb"a\134040b", rb"a\040b"),
    (b"caf\xe9", b"caf\xe9"), ("ü".encode(), "ü".encode()), (rb"a\043b", b"a#b"),
])
def test_a_mount_point_is_known_by_any_name(mounts, written, name):
    mounts(b"x / ext4 rw 0 0\nserver:/x /srv/" + written + b" nfs4 rw 0 0\n")
    assert filesystem.filesystem_of(os.fsdecode(b"/srv/" + name + b"/project")) == "nfs4"
    assert filesystem.is_network(os.fsdecode(b"/srv/" + name)) and not filesystem.is_network("/srv/a")


@pytest.mark.parametrize("source, name", [
    ("//me@host/share", "share"), ("//me@host/share", "left on desk"), ("host:/left on desk", "share (old)"),
    ("host:/a on b", "c on d"),
])
def test_so_it_is_where_only_mount_tells(mounts, source, name):
    mounts(f"/dev/disk1 on / (apfs, local)\n{source} on /Volumes/{name} (smbfs, nodev)\n".encode(), by_command=True)
    assert filesystem.filesystem_of(f"/Volumes/{name}/project") == "smbfs"
    assert filesystem.filesystem_of("/Volumes/other") == "apfs"


def test_a_psql_is_chosen_by_version_whatever_else_lies_beside_it(tmp_path, monkeypatch):
    (tmp_path / "pg_wrapper").write_text("")
    (tmp_path / "pg_wrapper").chmod(0o755)
    (tmp_path / "psql").symlink_to("pg_wrapper")
    names = ("9.6", "17beta1", "10", "16", "current", "nan", "9.10")
    paths = [f"/usr/lib/postgresql/{name}/bin/psql" for name in names]
    monkeypatch.setattr(glob, "glob", lambda pattern: paths)
    assert find_psql({"PATH": str(tmp_path)}) == "/usr/lib/postgresql/16/bin/psql"
    monkeypatch.setattr(glob, "glob", lambda pattern: [])
    assert find_psql({"PATH": str(tmp_path)}) == str(tmp_path / "psql")

"""The file system of a path: some do not support SQLite's shared memory or its locks."""
from __future__ import annotations

import os

NETWORK = ("nfs", "smb", "cifs", "9p", "virtiofs", "drvfs", "fuse.sshfs", "afpfs", "webdav", "vboxsf", "afs", "ceph")


def filesystem_of(path: str) -> str:
    """The type of the file system that holds `path`; "" if the system does not say."""
    here, best, kind = os.path.realpath(path), "", ""
    for point, name in _mounts():
        inside = here == point or here.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, name
    return kind


def is_network(path: str) -> bool:
    """Whether `path` is on a file system shared with other machines (NFS, SMB, 9p, virtiofs, drvfs …)."""
    return filesystem_of(path).startswith(NETWORK)


def _mounts() -> list[tuple[str, str]]:
    """Mount points and their types, from /proc or, if there is none, from mount(8)."""
    try:
        with open("/proc/self/mounts", "rb") as file:
            rows = [line.split() for line in file]
        return [(os.fsdecode(row[1].decode("unicode_escape").encode("latin-1")),  # a space is \040
                 row[2].decode("ascii", "replace")) for row in rows if len(row) > 2]
    except OSError:
        return _mounts_by_command()


def _mounts_by_command() -> list[tuple[str, str]]:
    import subprocess

    try:
        text = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    found = []
    for line in text.splitlines():  # "//host/share on /Volumes/share (smbfs, nodev)"
        head, _, kinds = line.rpartition(" (")
        parts = head.split(" on ")  # more than two where that stands in a name: one of the points is it
        found += [(" on ".join(parts[at:]), kinds.partition(",")[0].rstrip(")")) for at in range(1, len(parts))]
    return found

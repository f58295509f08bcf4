"""Vendoring: copies of this program for projects in which nothing can be installed."""
from __future__ import annotations

import os

from ..base import __version__
from ..base.errors import Incomplete, UsageError
from ..registry import operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Copy
    from ..storage.call import Call

GROUP = "Installing"


@operation(text="vendored", shell=False, existing=True)
def vendor(call: Call, directory: str = "", *, check: bool = False, zipapp: str = "") -> Copy:
    """Copy this program into a folder that needs no installation and can be moved; the same again changes nothing.

    It replaces an earlier copy in one step, and nothing else.

    directory: the folder; with --check, it may be a zipapp
    check: only print what in the copy is changed, missing, extra or of another version; status 1 if anything is
    zipapp: write one executable file instead, with byte code for the Python that runs now

    Example: vendor tools/milestone_persist
    """
    from ..vendor.copies import check_copy, write_folder, write_zipapp

    if bool(directory) == bool(zipapp):
        raise UsageError("name one: DIRECTORY for a folder, or --zipapp FILE for one file")
    path = os.path.realpath(directory or zipapp)
    if not check:
        return write_folder(path) if directory else write_zipapp(path)
    found = check_copy(path)
    if found["drift"] or not found["current"]:
        raise Incomplete(_describe(found), found)
    return found


def _describe(found: Copy) -> str:
    path, version = found["path"], found["version"]
    if found["drift"]:
        return f"{path} is not as it was copied: remove it, then vendor it again"
    other = "of another build" if version == __version__ else f"version {version}, this is {__version__}"
    return f"{path} is {other}: vendor it again to replace it"

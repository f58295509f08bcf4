# What a Python that is too old for the program does, and must be able to read.
import os
import sys


def hand_over():  # type: () -> None
    """Run the newest Python on PATH instead, with the same arguments; end with an error if none is new enough."""
    if not os.environ.get("MILESTONE_HANDED_OVER"):
        _become_newest()
    sys.stderr.write("milestone_persist: Python 3.9 or later is needed, this is %s: set MILESTONE_PYTHON to one\n"
                     % sys.version.split()[0])
    sys.exit(3)


def _become_newest():  # type: () -> None
    for minor in range(30, 8, -1):
        for folder in os.environ.get("PATH", "").split(os.pathsep):
            path = os.path.join(folder, "python3.%d" % minor)
            # A shim may lead to nothing, and a folder that is not from the root into somebody's repository.
            if os.path.isabs(folder) and not folder.endswith("shims") and os.access(path, os.X_OK):
                os.environ["MILESTONE_HANDED_OVER"] = "1"
                os.execv(path, [path, "-I", "-S", os.path.abspath(sys.argv[0])] + sys.argv[1:])

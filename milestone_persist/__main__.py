# Entry point. These first lines must be readable by any Python: the one found may be too old.
import os
import sys

if sys.version_info < (3, 9):
    # The shell may have found an old interpreter first; hand over to a newer one, if there is one.
    if not os.environ.get("MILESTONE_HANDED_OVER"):
        os.environ["MILESTONE_HANDED_OVER"] = "1"
        for name in ("python3.13", "python3.12", "python3.11", "python3.10", "python3.9"):
            for folder in os.environ.get("PATH", "").split(os.pathsep):
                path = os.path.join(folder, name)
                if folder and os.access(path, os.X_OK):
                    os.execv(path, [path, "-I", "-S", sys.argv[0]] + sys.argv[1:])
    sys.stderr.write("milestone_persist: Python 3.9 or later is needed, this is %s: set MILESTONE_PYTHON to one\n"
                     % sys.version.split()[0])
    sys.exit(3)

if __package__:  # python -m: the current directory comes first, where a json.py of the user's may lie
    if sys.path and sys.path[0] in ("", os.getcwd()):
        sys.path.append(sys.path.pop(0))
else:  # run by path: the package's home comes last, so that nothing beside it hides the standard library
    sys.path.append(__file__.rpartition("milestone_persist")[0] or ".")

from milestone_persist.entry import run  # noqa: E402

if __name__ == "__main__":
    run()

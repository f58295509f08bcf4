# Entry point. These first lines must be readable by any Python: the one found may be too old.
import gc  # noqa: I001 # built in

gc.set_threshold(100000)  # a call is over before looking for garbage would pay: it costs more than some calls do

import os  # noqa: E402
import sys  # noqa: E402


def hand_over():  # type: () -> None
    """Become the newest Python on PATH, with the same words; return if there is none that will do."""
    for minor in range(30, 8, -1):
        for folder in os.environ.get("PATH", "").split(os.pathsep):
            path = os.path.join(folder, "python3.%d" % minor)
            if folder and not folder.endswith("shims") and os.access(path, os.X_OK):  # a shim may lead to nothing
                os.environ["MILESTONE_HANDED_OVER"] = "1"
                os.execv(path, [path, "-I", "-S", os.path.abspath(sys.argv[0])] + sys.argv[1:])


if sys.version_info < (3, 9):
    if not os.environ.get("MILESTONE_HANDED_OVER"):
        hand_over()
    sys.stderr.write("milestone_persist: Python 3.9 or later is needed, this is %s: set MILESTONE_PYTHON to one\n"
                     % sys.version.split()[0])
    sys.exit(3)
os.environ.pop("MILESTONE_HANDED_OVER", None)

if __package__:  # python -m: the current directory comes first, where a json.py of the user's may lie
    try:
        here = os.getcwd()
    except OSError:  # it was deleted
        here = ""
    if sys.path and sys.path[0] in ("", here):
        sys.path.append(sys.path.pop(0))
else:
    if getattr(globals()["__loader__"], "prefix", None) == "":  # a zipapp, of which this file is also the start
        home = sys.path.pop(0)
    else:  # run by path
        home = __file__.rpartition("milestone_persist")[0] or "."
    # A path through a folder that is removed while we run, as `uninstall --bin` does, would lead nowhere.
    sys.path.insert(0, os.path.realpath(home) if os.pardir in home else home)
    import __future__  # noqa: F401 # from the standard library, before the package's home comes first

    import milestone_persist  # noqa: F401 # this one, whatever is installed; its modules are found by its place
    sys.path.append(sys.path.pop(0))  # its home comes last, so that nothing beside it hides the standard library

import _signal  # type: ignore[import-not-found] # noqa: E402 # built in; `signal` would import enum

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # Ctrl-C ends us at once, as it does any program

import milestone_persist.modules  # noqa: E402

milestone_persist.modules.find_quickly(milestone_persist.__path__[0])

from milestone_persist.cli.process import run  # noqa: E402

if __name__ == "__main__":
    run()

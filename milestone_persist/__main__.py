# Entry point. Python compiles it at each call, so it is short; and any Python must be able to read it.
import gc
import os
import sys

gc.set_threshold(100000)  # a call is over before looking for garbage would pay: it costs more than some calls do
if sys.version_info < (3, 9):
    here = os.path.dirname(__file__)  # of the package, or, in a zipapp, of what holds it
    sys.path[:0] = [here, os.path.join(here, "milestone_persist")]
    sys.dont_write_bytecode = True
    __import__("older_python").hand_over()
if not __package__:  # not python -m
    INNER = "milestone_persist/__main__.py"
    import __future__  # noqa: F401 # from the standard library, before the package's home comes first
    if getattr(globals()["__loader__"], "prefix", None) == "":  # a zipapp, of which this file is also the start
        home = sys.path.pop(0)
    else:  # run by path
        home, found, _ = __file__.rpartition(INNER)
        if not found:  # through a link of another name, or from within the package
            home = os.path.realpath(__file__).rpartition(INNER)[0]
    # A path through a folder that is removed while we run, as `uninstall --bin` does, would lead nowhere.
    sys.path.insert(0, os.path.realpath(home) if os.pardir in home else home or ".")
try:
    from milestone_persist import modules  # of this package, whatever is installed; the rest is found by its place
except Exception:  # what Python keeps of it is spoilt, as a full disk leaves it: do without any
    sys.pycache_prefix, sys.dont_write_bytecode = os.devnull, True
    from milestone_persist import modules
    modules.drop_first_code()
modules.put_first_place_last(is_ours=not __package__)

import _signal  # type: ignore[import-not-found] # noqa: E402 # built in; `signal` would import enum

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # Ctrl-C ends us at once, as it does any program
modules.find_quickly()

from milestone_persist.cli.process import run  # noqa: E402

if __name__ == "__main__":
    run()

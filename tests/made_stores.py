"""Stores that are made and empty: each is made once, and every test that begins with one gets a copy."""
from __future__ import annotations

import shutil

from milestone_persist.opening.place import begin_call, make_store


class MadeStores:
    """What `make_store` makes, by the settings of the environment and the time; kept below `folder`."""

    def __init__(self, folder):
        self.folder, self.made = folder, {}

    def put(self, directory, environ, clock):
        """A store at `directory`, where nothing is. Of a server's rows there is no copy: there it is made."""
        settings = sorted(item for item in environ.items() if item[0].startswith(("MILESTONE_", "DATABASE_")))
        if "MILESTONE_DATABASE_URL" in environ:
            make_store(begin_call(str(directory), environ, clock))
            return
        key = (clock.time(), *settings)
        if key not in self.made:
            self.made[key] = self.folder / str(len(self.made)) / "store"
            make_store(begin_call(str(self.made[key]), environ, clock))
        shutil.copytree(self.made[key], directory)

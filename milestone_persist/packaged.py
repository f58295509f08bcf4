"""The files that come with the package, wherever it runs from: checkout, installation, wheel as a zip, zipapp."""
from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__loader__: Any
PACKAGE = os.path.dirname(os.path.abspath(__file__))


def read_packaged(folder: str, name: str) -> str:
    """The text of a file of the package's `sql` or `shell` folder; FileNotFoundError when it is in neither place."""
    for home in (PACKAGE, os.path.dirname(PACKAGE)):  # installed or zipped; then a checkout
        try:
            data: bytes = __loader__.get_data(os.path.join(home, folder, name))
            return data.decode()
        except OSError:
            continue
    raise FileNotFoundError(f"{folder}/{name} is missing beside the package {PACKAGE}")

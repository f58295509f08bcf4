"""Regenerates the generated files of this project."""
from __future__ import annotations

from ..registry import operation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import GeneratedFile
    from ..storage.call import Call


GROUP = "Looking"


@operation(text="generated", shell=False)
def generate(call: Call, *files: str) -> list[GeneratedFile]:
    """Regenerate the generated files of this project; for its developers.

    files: some of them; without any, all

    Example: generate
    """
    from ..generate.files import FILES, write_generated
    from ..install import plugins

    return write_generated(files, {**FILES, **plugins.FILES}, [plugins.EXECUTABLE], plugins.make_links())

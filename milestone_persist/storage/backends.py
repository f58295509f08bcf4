"""The backends, on two axes: which engine holds the rows, and whether milestone records are files or rows too."""
from __future__ import annotations

# The names of the engines; each is a folder of this room.
JSONFILES, SQLITE, POSTGRES = "jsonfiles", "sqlite", "postgresql"
IN_USE = "config/backend-in-use.txt"  # in a data directory: where its rows are, and by which move they came there


class Backend:
    """One row of the table; there is one object of each, which `is` compares.

    name: as the data directory notes it
    word: what people call it
    engine: what holds the rows: JSONFILES, SQLITE or POSTGRES
    records_are_files: whether milestone records are files in active/ and completed/, which people edit; else rows
    head: the file without which there is no store; "" where that is none of the data directory
    """

    __slots__ = ("name", "word", "engine", "records_are_files", "head")

    def __init__(self, name: str, word: str, engine: str, records_are_files: bool, head: str) -> None:
        self.name, self.word, self.engine = name, word, engine
        self.records_are_files, self.head = records_are_files, head

    def has_rows_of(self, other: Backend) -> bool:
        """Whether the rows need not move between the two, only the records."""
        return self.engine == other.engine


FILE = Backend("file", "file", JSONFILES, True, "file-store.json")
HYBRID = Backend("hybrid", "hybrid", SQLITE, True, "coordination.db")
DATABASE = Backend("database", "database", SQLITE, False, "coordination.db")
POSTGRESQL = Backend("postgresql", "database", POSTGRES, False, "")
DEFAULT = HYBRID  # of a new directory
NAMED = {backend.name: backend for backend in (FILE, HYBRID, DATABASE, POSTGRESQL)}

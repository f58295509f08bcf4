"""Files of milestone records: which exist, to which milestone they belong by name, and their contents."""
from __future__ import annotations

import os

from ..base.errors import StorageError
from ..base.filenames import file_name_of, name_of_file
from ..base.found import cannot_read, read_found
from ..base.values import has_controls
from .headings import read_headings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..storage.interface import Row, Storage

    RecordFiles = dict[str, tuple[str, str]]  # folder: path in the data directory, stamp

FOLDERS = ("completed", "active")  # where both hold a milestone's record, the active one counts
ENDING = ".yaml"
KNOWN = "SELECT id, file_path, file_stamp FROM milestones WHERE file_path IS NOT NULL"


def record_folder(archived: bool) -> str:
    """The folder for the record of a milestone."""
    return FOLDERS[0] if archived else FOLDERS[1]


def path_counting(files: RecordFiles) -> tuple[str, str]:
    """The path and stamp of the valid one among a milestone's files."""
    return files[max(files, key=FOLDERS.index)]


class Changes:
    """How the record files differ from the milestones table.

    changed: milestone, path, stamp and text of each file that is new or was edited
    gone: milestones whose file is not there any more
    wrong: path of each file that cannot be a milestone's record: why not
    """

    def __init__(self) -> None:
        self.changed: list[tuple[str, str, str, str]] = []
        self.gone: list[str] = []
        self.wrong: dict[str, str] = {}


def find_changes(store: Storage, milestone_id: str | None = None) -> Changes:
    """Compare the record files with the milestones table, reading only those whose time or size has changed.

    milestone_id: look only at the files of that milestone, and at those that have nearly its name
    """
    changes = Changes()
    known, found = _match_files(store, changes.wrong, milestone_id)
    indexed = {row["id"]: (row["file_path"], row["file_stamp"]) for row in known}
    for name, files in found.items():
        path, stamp = path_counting(files)
        if indexed.get(name) != (path, stamp):
            try:
                text = read_text(store, path)
            except StorageError as error:
                changes.wrong[path] = str(error)
                continue
            if text is not None:  # else it was removed just now
                changes.changed.append((name, path, stamp, text))
    changes.gone = [name for name in indexed if name not in found]
    return changes


def find_record_files(store: Storage) -> dict[str, RecordFiles]:
    """The files that each milestone has."""
    return _match_files(store, {})[1]


def find_files_of(store: Storage, milestone_id: str) -> RecordFiles:
    """The files that one milestone has."""
    return _match_files(store, {}, milestone_id)[1].get(milestone_id, {})


def _match_files(store: Storage, wrong: dict[str, str],
                 milestone_id: str | None = None) -> tuple[list[Row], dict[str, RecordFiles]]:
    """Known and existing record files, by milestone; invalid ones are added to `wrong`, with the reason."""
    folders = {folder: os.path.join(store.directory, folder) for folder in FOLDERS}
    if milestone_id is None:
        known = store.execute(KNOWN)
        listed = {folder: [*_list_files(path)] for folder, path in folders.items()}
    else:
        known = store.execute(f"{KNOWN} AND id = :id", {"id": milestone_id})
        own = os.path.basename(known[0]["file_path"]) if known else ""
        listed = {folder: _list_near(path, milestone_id, own) for folder, path in folders.items()}
        others = {name for files in listed.values() for name, _ in files} - {own}
        known += [row for row in (store.execute(KNOWN) if others else ())
                  if row["id"] != milestone_id and os.path.basename(row["file_path"]) in others]
    return known, _find_owners(store, known, listed, wrong)


def _list_near(folder: str, milestone_id: str, own: str) -> list[tuple[str, str]]:
    """Name and stamp of each file that may be the record of a milestone, or has its name but for the case."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise cannot_read(folder, error) from None
    near, text = set(), f"/{'/'.join(names)}/".lower()  # no name holds a slash
    stems = milestone_id, file_name_of(milestone_id, keep_case=True), file_name_of(milestone_id, spelled=True)
    for name in {own or milestone_id + ENDING, *(stem + ENDING for stem in stems)}:
        place = text.find(f"/{name.lower()}/")
        while place >= 0:
            near.add(names[text.count("/", 0, place)])
            place = text.find(f"/{name.lower()}/", place + 1)
    if "%" in text or "~" in text:  # names that do not say what they stand for
        near.update(name for name in names if ("%" in name or "~" in name)
                    and name_of_file(name[:-len(ENDING)]) in (milestone_id, None))
    paths = {name: os.path.join(folder, name) for name in sorted(near) if _is_record_name(name)}
    stamps = {name: stamp_of(path) for name, path in paths.items() if os.path.islink(path) or not os.path.isdir(path)}
    return [(name, stamp) for name, stamp in stamps.items() if stamp]


def _is_record_name(name: str) -> bool:
    return name.endswith(ENDING) and not name.startswith(".")


def _find_owners(store: Storage, known: list[Row], listed: dict[str, list[tuple[str, str]]],
                 wrong: dict[str, str]) -> dict[str, RecordFiles]:
    """The record files among those listed, by milestone."""
    owners = {os.path.basename(row["file_path"]): row["id"] for row in known}
    found: dict[str, RecordFiles] = {}
    for folder, files in listed.items():
        for name, stamp in sorted(files, key=lambda file: (file[0] not in owners, file)):
            path = os.path.join(folder, name)
            full = os.path.join(store.directory, path)
            milestone_id = owners.get(name) or _id_of(store, path)
            if milestone_id is None:
                wrong[path] = f"the name of {full} is not UTF-8 or holds a control character: rename it"
                continue
            first = found.setdefault(milestone_id, {}).setdefault(folder, (path, stamp))
            if first[0] != path:
                wrong[path] = (f"{full} is a second record of milestone {milestone_id!r}, beside {first[0]}: "
                               "make one of the two")
    return found


def list_stamps(store: Storage) -> dict[str, str]:
    """Every existing record file, and its stamp."""
    return {os.path.join(folder, name): stamp for folder in FOLDERS
            for name, stamp in _list_files(os.path.join(store.directory, folder))}


def _list_files(folder: str) -> Iterator[tuple[str, str]]:
    """Name and stamp of each record file in a folder."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if _is_record_name(entry.name) and not entry.is_dir(follow_symlinks=False):
                    # a link or a pipe is told of, not read
                    stamp = stamp_of(entry.path)
                    if stamp:
                        yield entry.name, stamp
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise cannot_read(folder, error) from None


def stamp_of(full: str) -> str:
    """The stamp that shows whether a file was edited: modification time and size; "" if it does not exist."""
    try:
        status = os.lstat(full)
    except FileNotFoundError:
        return ""
    return f"{status.st_mtime_ns}:{status.st_size}"


def _id_of(store: Storage, path: str) -> str | None:
    """The milestone of a new file: the one with that file name, else the one with the file's name as its id.

    Where a name was too long to be kept whole, the record's own heading `id` tells. None for a name that is not text.
    """
    stem = os.path.basename(path)[:-len(ENDING)]
    try:
        stem.encode()
    except UnicodeEncodeError:
        return None
    name = name_of_file(stem)
    if name:
        return None if has_controls(name) else name
    try:
        name = read_headings(read_text(store, path) or "").get("id", "")
    except StorageError:
        name = ""
    name = name if name and file_name_of(name, keep_case=True) == stem else stem
    return None if has_controls(name) else name


def read_text(store: Storage, path: str) -> str | None:
    """The text of a record file; None if it does not exist, StorageError if it is not a text."""
    full = os.path.join(store.directory, path)
    data = read_found(full, alone=True)
    try:
        if data is not None and b"\0" in data:
            raise ValueError
        return None if data is None else data.decode()
    except ValueError:
        raise StorageError(f"{full} is not UTF-8 text: fix it or move it away") from None


def remove_parts(store: Storage) -> None:
    """Remove what killed writers left next to records, within the caller's transaction: there are no writers now."""
    for folder in FOLDERS:
        home = os.path.join(store.directory, folder)
        for name in os.listdir(home) if os.path.isdir(home) else ():
            words = name.split(".")
            if words[-1] == "part" and len(words) > 3 and len(words[-2]) == 12 and f".{words[-3]}" == ENDING:
                try:
                    os.unlink(os.path.join(home, name))
                except OSError:  # it does no harm
                    continue


def new_path(store: Storage, milestone_id: str, folder: str) -> str:
    """A path for the record of a milestone that has none.

    Its name differs from all others' even where `A` is `a` to the file system.
    """
    name = file_name_of(milestone_id, keep_case=True) + ENDING
    taken = store.execute(
        "SELECT 1 AS taken FROM milestones WHERE id <> :id AND lower(file_path) IN (:active, :completed)",
        {"id": milestone_id, **{other: os.path.join(other, name).lower() for other in FOLDERS}})
    if taken:
        name = file_name_of(milestone_id, spelled=True) + ENDING
    return os.path.join(folder, name)

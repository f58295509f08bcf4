"""Installs into a folder and uninstalls: changes only what differs, and keeps what was there."""
from __future__ import annotations

import os

from ..base.errors import Refused, UsageError
from ..storage.locks import FolderLock
from . import json_entries, sections, toml_section
from .choosing import choice_of_entries
from .client_files import SHARED_FILES
from .file_changes import FileChanges
from .manifest import Choice, Item, Manifest, digest_of, read_file
from .ways_in import nearest_folder, refuse_links_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ..base.answers import InstalledFile


class Installation:
    """The installation in a folder. Each method returns what it changed: rows of file, change and perhaps kept.

    change: missing (it was not there), stale (it was ours), foreign (it was not; kept says where it is now),
        removed, restored, edited (left as it is, because it is not what was installed)
    dry_run: it only tells
    """

    def __init__(self, root: str, manifest: str, dry_run: bool = False) -> None:
        self.root, self._place, self._dry_run = root, manifest, dry_run
        self._manifest_path = os.path.join(root, manifest)
        self._rows: list[InstalledFile] = []
        self._texts: dict[str, str | None] = {}  # of shared files, by their real paths

    @property
    def choice(self) -> Choice:
        """What was requested when it was installed; empty if nothing is installed."""
        refuse_links_out(self.root, [], [self._place])
        old = Manifest.load(self.root, self._place)
        return old.choice or choice_of_entries([*old.shared]) if old else {}

    def install(self, wanted: dict[str, Item], entries: dict[str, Any] = {}, renewed: dict[str, Item] = {},
                choice: Choice = {}) -> list[InstalledFile]:
        """Put the wanted files in their places, and our entries into files of others; what an earlier call put there
        and is not wanted any more goes.

        entries: for each file of others, what its format puts in
        renewed: files that are brought up to date where an earlier call has put them and that are unedited
        choice: what was asked for, to be noted
        """
        with FileChanges(self._dry_run) as changes, FolderLock(nearest_folder(self.root)):
            refuse_links_out(self.root, [*wanted], [self._place, *entries])
            old = Manifest.load(self.root, self._place) or Manifest()
            refuse_links_out(self.root, [*old.files, *renewed], [*_shared_files(old)])
            wanted = {**wanted, **{path: item for path, item in renewed.items()
                                   if digest_of(self._full(path)) in old.files.get(path, [])}}
            places = {self._real_place(path): path for path in sorted(wanted, key=lambda path: path in old.files)}
            names = {*places.values()}  # of two names of one file the last, or the known
            wanted = {path: item for path, item in wanted.items() if path in names}
            new = Manifest()
            new.choice = choice
            new.directories = sorted(self._needed_directories([*wanted, *entries, self._place], old))
            steps = self._plan(wanted, old, new)
            edits = self._plan_entries(entries, old, new)
            self._remove_left(changes, old, [*wanted, *entries])
            self._write_manifest(changes, new)  # first: so a run after a kill knows what is ours
            for path, kept in steps:
                self._replace(changes, path, wanted[path], kept)
            for path, text in edits:
                self._write_text(changes, path, text)
            for path in sorted(_shared_files(old) - {*entries}):
                self._take_out(changes, path, old)
            for path in old.files:
                if self._real_place(path) not in places:
                    self._remove(changes, path, old)
            self._remove_directories(changes, [path for path in old.directories if path not in new.directories])
        return self._rows

    def uninstall(self) -> list[InstalledFile]:
        """Take out what was installed and is still as it was; what was there before comes back. Refused if nothing
        was installed."""
        with FileChanges(self._dry_run) as changes, FolderLock(nearest_folder(self.root)):
            refuse_links_out(self.root, [], [self._place])
            old = Manifest.load(self.root, self._place)
            if old is not None:
                refuse_links_out(self.root, [*old.files, *old.directories], [*_shared_files(old)])
            self._remove_left(changes, old or Manifest(), [])
            if old is None:
                raise Refused(f"nothing was installed in {self.root}: there is no {self._manifest_path}")
            for path in sorted(_shared_files(old), key=lambda path: (path in old.kept, path)):
                self._take_out(changes, path, old)
            for path in old.files:
                self._remove(changes, path, old)
            self._remove_directories(changes, old.directories)
            changes.remove(self._manifest_path)  # last: so a run after a kill knows what is left
            self._remove_directories(changes, old.directories)
        return self._rows

    def _remove_left(self, changes: FileChanges, old: Manifest, wanted: list[str]) -> None:
        """Remove what a killed call has written but not put in place."""
        for path in {*wanted, *old.files, *_shared_files(old), *old.kept.values()}:
            changes.remove_left(self._full(path))
            if path in SHARED_FILES:
                changes.remove_left(os.path.realpath(self._full(path)))
        changes.remove_left(self._manifest_path)

    def _remove_directories(self, changes: FileChanges, paths: list[str]) -> None:
        for path in sorted(paths, key=len, reverse=True):
            changes.remove_directory(self._full(path))

    def _full(self, path: str) -> str:
        return os.path.normpath(os.path.join(self.root, path))

    def _real_place(self, path: str) -> str:
        """Where a path is, the links on its way followed: the same for two names of one file."""
        folder, name = os.path.split(self._full(path))
        return os.path.join(os.path.realpath(folder), name)

    def _tell(self, path: str, change: str, kept: str = "") -> None:
        row: InstalledFile = {"file": path, "change": change}
        if kept:
            row["kept"] = kept
        self._rows.append(row)

    def _plan(self, wanted: dict[str, Item], old: Manifest, new: Manifest) -> list[tuple[str, str]]:
        """Which files to write, their paths and where to keep existing ones; recorded in the new manifest."""
        steps = []
        new.kept = {path: kept for path, kept in old.kept.items() if path in wanted or path in old.shared}
        for path, item in wanted.items():
            found, known = digest_of(self._full(path)), old.files.get(path, [])
            new.files[path] = [item.digest, *[digest for digest in known if digest != item.digest][:1]]
            if found == item.digest:
                continue
            foreign = found is not None and found not in known
            kept = self._name_to_keep(path, old) if foreign else ""
            if foreign:
                new.kept.setdefault(path, kept)
            self._tell(path, "foreign" if foreign else "missing" if found is None else "stale", kept)
            steps.append((path, kept))
        return steps

    def _needed_directories(self, paths: list[str], old: Manifest) -> Iterator[str]:
        """The folders on the way to these paths that we have created or will create."""
        seen = set()
        for path in paths:
            parts = path.split("/")[:-1]
            for folder in [".", *("/".join(parts[:end]) for end in range(1, len(parts) + 1))]:
                if folder not in seen and (folder in old.directories or not os.path.isdir(self._full(folder))):
                    seen.add(folder)
                    yield _require_no_file(self._full(folder), folder)

    def _name_to_keep(self, path: str, old: Manifest) -> str:
        """The name under which to keep an existing file; the one that a killed call has already used, if any."""
        name, count = old.kept.get(path, ""), 1
        if name and digest_of(self._full(name)) == digest_of(os.path.realpath(self._full(path))):
            return name
        name = f"{path}.orig"
        while os.path.lexists(self._full(name)):
            name, count = f"{path}.orig.{count}", count + 1
        return name

    def _replace(self, changes: FileChanges, path: str, item: Item, kept: str) -> None:
        full = self._full(path)
        changes.make_directory(os.path.dirname(full))
        if kept:
            changes.keep(full, self._full(kept))
        if item.target:
            changes.link(full, item.target, is_kept=bool(kept))
        else:
            changes.write(full, item.data, item.mode, is_kept=bool(kept))

    def _remove(self, changes: FileChanges, path: str, old: Manifest) -> None:
        """Remove a file of ours and restore what was there."""
        full, kept = self._full(path), old.kept.get(path, "")
        found = digest_of(full)
        if found is not None and found not in old.files[path]:
            if kept and found == digest_of(self._full(kept)):  # a killed call has kept it, and come no further
                changes.remove(self._full(kept))
                return
            self._tell(path, "edited", kept)
            return
        if kept and os.path.lexists(self._full(kept)):
            changes.bring_back(self._full(kept), full)
            self._tell(path, "restored")
        elif found is not None:
            changes.remove(full)
            self._tell(path, "removed")

    def _write_manifest(self, changes: FileChanges, manifest: Manifest) -> None:
        data = manifest.dump()
        if digest_of(self._manifest_path) != Item(data).digest:
            changes.make_directory(os.path.dirname(self._manifest_path))
            changes.write(self._manifest_path, data)

    # Files of others: of each, only our entries are ours.

    def _plan_entries(self, entries: dict[str, Any], old: Manifest, new: Manifest) -> list[tuple[str, str]]:
        """Which files of others to write, and their texts; additions are recorded in the new manifest."""
        edits = []
        for path, wanted in entries.items():
            text, recorded = self._read(path), old.shared.get(path, {})
            edited, added = _format(path).put_in(text, recorded, self._full(path), wanted)
            if edited != text:
                self._texts[os.path.realpath(self._full(path))] = edited
                is_there = text is not None and _format(path).take_out(text, recorded, path) != text
                comes_back = is_there or _format(path).take_out(edited, added, path) == text
                kept = "" if comes_back else self._name_to_keep(path, old)
                if kept:
                    new.kept[path] = kept
                self._tell(path, "stale" if is_there else "missing", kept)
                edits.append((path, edited))
            if added:
                new.shared[path] = added
        self._share_what_was_made(new)
        return edits

    def _share_what_was_made(self, manifest: Manifest) -> None:
        """Where a file of others has two names, what was made in it goes with the last of them."""
        made: dict[str, dict[str, None]] = {}
        records = [(os.path.realpath(self._full(path)), added) for path, added in manifest.shared.items()
                   if isinstance(added.get("made"), list)]
        for real, added in records:
            made.setdefault(real, {}).update(dict.fromkeys(added["made"]))
        for real, added in records:
            added["made"] = [*made[real]]

    def _read(self, path: str) -> str | None:
        real = os.path.realpath(self._full(path))
        if real not in self._texts:
            self._texts[real] = None
            if digest_of(real) is not None:
                if not os.access(real, os.W_OK):
                    raise UsageError(f"{real} is read-only: make it writable first; nothing was changed")
                self._texts[real] = _read_text(real)
        return self._texts[real]

    def _write_text(self, changes: FileChanges, path: str, text: str) -> None:
        """Write a file of others, at its real path; its text is kept first if it could not be reproduced."""
        real, kept = os.path.realpath(self._full(path)), [row["kept"] for row in self._rows
                                                          if row["file"] == path and "kept" in row]
        changes.make_directory(os.path.dirname(real))
        if kept:
            changes.write(self._full(kept[0]), read_file(real), os.stat(real).st_mode & 0o777)
        changes.write(real, text.encode())

    def _take_out(self, changes: FileChanges, path: str, old: Manifest) -> None:
        text = self._read(path)
        if text is None:
            return
        real, kept = os.path.realpath(self._full(path)), self._full(old.kept[path]) if path in old.kept else ""
        left = _format(path).take_out(text, old.shared[path], self._full(path))
        self._texts[real] = left
        stays = ""
        if kept and os.path.isfile(kept) and left is not None:
            original = _read_text(kept)
            if json_entries.parse(original, kept) == json_entries.parse(left, path):
                left = original
            else:
                kept, stays = "", old.kept[path]
        else:
            kept = ""
        if left is None:
            changes.remove(real)
        elif left != text:
            changes.write(real, left.encode())
        if kept:
            changes.remove(kept)
        if left != text:
            self._tell(path, "restored" if left is not None else "removed", stays)


def _require_no_file(path: str, folder: str) -> str:
    """The folder, which lies at a path or can be made there; UsageError if something else is there."""
    if os.path.lexists(path) and not os.path.isdir(path):
        raise UsageError(f"{path} is in the way and no folder: move it away first; nothing was changed")
    return folder


def _shared_files(manifest: Manifest) -> set[str]:
    return set(manifest.shared) & set(SHARED_FILES)  # and no other, for the manifest may be a stranger's


def _format(path: str) -> Any:
    """The module that adds our entries to a file of others and removes them."""
    return {".json": json_entries, ".toml": toml_section}.get(os.path.splitext(path)[1], sections)


def _read_text(path: str) -> str:
    try:
        return read_file(path).decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text: fix it first; nothing was changed") from None

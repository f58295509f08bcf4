"""The text of installing: a line for each folder and kind of change."""
from __future__ import annotations

from ...base.quoting import command
from .forms import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...storage.interface import Row

_DONE = {"missing": "written", "stale": "updated", "foreign": "written", "edited": "left, for it was edited",
         "removed": "removed", "restored": "as before"}
_MOST = 4  # names in a line


def functions(data: str) -> str:
    return data


def installed(data: Row) -> str:
    lines = [f"{plain(what)}: {', '.join(names[:_MOST])}" + (f" and {len(names) - _MOST} more" * (len(names) > _MOST))
             for what, names in _grouped(data).items()]
    lines += [_kept(row) for row in data["changes"] if "kept" in row]
    lines += [f"problem: {plain(problem)}" for problem in data["problems"]]
    if not data["changes"]:
        lines.append("nothing is missing or stale" if "program" in data else "nothing was installed")
    if "program" in data:
        lines.append(_program(data))
    return "\n".join(lines + [plain(note) for note in data["notes"]]) + "\n"


def _kept(row: Row) -> str:
    file, kept = plain(row["file"]), plain(row["kept"])
    if row["change"] != "restored":
        return f"kept: {file} is now {kept}"
    return (f"kept: {kept}, as {file} was before install: that was changed since; remove the copy when nothing of it "
            "is missed")


def _grouped(data: Row) -> dict[str, list[str]]:
    """The names of the files, by change and folder."""
    found: dict[str, list[str]] = {}
    for row in data["changes"]:
        folder, _, name = f"{row['folder']}/{row['file']}".rpartition("/")
        change = row["change"] if data["dry_run"] else _DONE[row["change"]]
        found.setdefault(f"{change} in {folder}", []).append(plain(name))
    return found


def _program(data: Row) -> str:
    if data["relative"]:
        return f"program: {plain(data['program'])}, by its relative path: works in every clone that contains it"
    return (f"program: {plain(data['program'])}, by its absolute path: other clones need their own install, "
            "or the program inside the project")


def vendored(data: Row) -> str:
    path = data["path"]
    if "drift" in data:
        rows = [f"{row['drift']}: {plain(row['file'])}\n" for row in data["drift"]]
        return "".join(rows) or f"version {plain(data['version'])}: {plain(path)}\n"
    done = f"{'written' if data['written'] else 'unchanged'}: {plain(path)} (version {data['version']})"
    if data["form"] == "zipapp":
        return f'{done}\nRun next: eval "$({command([path, "init", "sh"])})"\n'
    return f"{done}\nRun next: . {command([path + '/shell/storage-adapter.sh'])}\n"

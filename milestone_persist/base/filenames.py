"""File names for ids: whatever an id contains, its file name stays in the directory, is short enough, and is unique."""
from __future__ import annotations

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
_CAPITALS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
_LONGEST = 200  # of the 255 bytes a file name may have
_DELIMITER = "~"  # ends the part of the id that a truncated name keeps


def file_name_of(name: str, keep_case: bool = False, longest: int = _LONGEST, spelled: bool = False) -> str:
    """The file name of an id: the id itself if it is safe, else with %xx for each unsafe byte.

    keep_case: leave capitals as they are, for names that people write; else no two ids share a name even where
    the file system does not tell `A` from `a`
    longest: bytes the name may have, at least 80
    spelled: write every byte as %xx: no name made without this is the same
    """
    safe = frozenset() if spelled else _PLAIN | _CAPITALS if keep_case else _PLAIN
    plain = "".join(c if c in safe else "".join("%%%02x" % byte for byte in c.encode()) for c in name)
    if plain.startswith("."):
        plain = "%2e" + plain[1:]
    if len(plain) <= longest:
        return plain
    import hashlib

    return plain[:longest - 65] + _DELIMITER + hashlib.sha256(name.encode()).hexdigest()


def name_of_file(file_name: str) -> str | None:
    """The id of a file name; None if the name was truncated, or is not such a name."""
    if _DELIMITER in file_name:
        return None
    try:
        data, rest = b"", file_name
        while rest:
            head, percent, tail = rest.partition("%")
            if percent and (len(tail) < 2 or not set(tail[:2]) <= _HEXADECIMAL):
                return None
            data += head.encode() + (bytes([int(tail[:2], 16)]) if percent else b"")
            rest = tail[2:]
        return data.decode()
    except ValueError:
        return None

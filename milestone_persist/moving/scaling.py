"""When to move, and to which backend: on request, or by the number of milestones."""
from __future__ import annotations

from ..base.errors import MilestoneError, UsageError
from ..base.values import check_word
from ..base.vocabulary import BACKENDS
from ..coordination.settings import optimal_backend
from ..storage.backends import POSTGRESQL
from ..storage.interface import StorageMoved
from ..storage.selection import database_url, fix_backend, fixed_backend
from .migration import Unfinished, migrate, target_backend
from .transfer import count_rows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Migration
    from ..storage.interface import Storage

_ON_A_SERVER = "with MILESTONE_DATABASE_URL set, database is PostgreSQL"
OTHER_WORDS = {"postgresql": _ON_A_SERVER, "postgres": _ON_A_SERVER, "pg": _ON_A_SERVER,
               "sqlite": "hybrid is SQLite with milestone records as files, database SQLite with all as rows"}


def choose_backend(store: Storage, backend: str, dry_run: bool = False) -> Migration:
    """Migrate on request: fixes the backend from then on; `auto` lets it follow the number of milestones."""
    automatic = backend == "auto"
    if backend.lower() in OTHER_WORDS:
        raise UsageError(f"unknown backend {backend!r}: {OTHER_WORDS[backend.lower()]}")
    backend = check_word(_suiting_backend(store) if automatic else backend, BACKENDS, "backend")
    fixed = "" if automatic else backend
    _refuse_contradiction(store, backend)
    used = store.backend
    told: Migration = {"from": used.name, "to": used.name, "rows": count_rows(store), "backup": None,
                       "dry_run": dry_run}
    if target_backend(store, backend) is not used:
        return migrate(store, backend, dry_run, fixed)
    if not dry_run:
        store.require_made()
        fix_backend(store.directory, fixed)
    return told


def _suiting_backend(store: Storage) -> str:
    """The backend if none is fixed: PostgreSQL if a URL is set, else the one that suits the number of milestones."""
    if database_url(store.environ) and store.environ.get("MILESTONE_BACKEND", "") in ("", POSTGRESQL.word):
        return POSTGRESQL.word
    return optimal_backend(store)


def _refuse_contradiction(store: Storage, backend: str) -> None:
    named = store.environ.get("MILESTONE_BACKEND")
    if named and named != backend:
        raise UsageError(f"MILESTONE_BACKEND is {named}: unset it, or make it {backend}")


def grow(store: Storage) -> bool:
    """After a milestone was added: move up to the backend that suits their number, unless one is fixed."""
    best = ""
    try:
        if fixed_backend(store.directory, store.environ) or store.backend is POSTGRESQL:
            return False
        best = optimal_backend(store)
        if BACKENDS.index(best) <= BACKENDS.index(store.backend.word):
            return False
        told = migrate(store, best)
    except StorageMoved:  # by another process, which tells of it
        return True
    except Unfinished as error:
        store.warn(str(error))
        return True
    except MilestoneError as error:
        store.warn(f"could not move to the {best or 'next'} backend, {store.backend.word} goes on: {error}")
        return False
    store.warn(f"moved to the {best} backend; a backup is in {told['backup']}")
    return True

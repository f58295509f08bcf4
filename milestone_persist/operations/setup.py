"""Set-up: initializing the storage, and its settings."""
from __future__ import annotations

from ..coordination.settings import SETTINGS, check_setting, optimal_backend, read_setting, read_settings, store_setting
from ..registry import operation
from ..storage.events import record_event
from ..storage.surroundings import make_folders, tell_earlier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..base.answers import Description, Migration
    from ..storage.interface import Storage

GROUP = "Set-up"


@operation(text="ready")
def initialize_agent_coordination(store: Storage) -> Description:
    """Make the coordination database ready; any agent may run it: existing data is not changed.

    Example: initialize_agent_coordination
    """
    store.require_made()
    tell_earlier(store)
    return store.describe()


@operation(text="ready")
def initialize_storage_system(store: Storage) -> Description:
    """Make the whole data directory ready: the database and the folders for records, logs and backups.

    Example: initialize_storage_system
    """
    store.require_made()
    make_folders(store.directory)
    tell_earlier(store)
    return store.describe()


@operation(text="line", creates=False)
def get_current_storage_backend(store: Storage) -> str:
    """Print the backend in use: file, hybrid or database.

    Example: get_current_storage_backend
    """
    return store.backend.word


@operation(text="line", creates=False)
def get_optimal_storage_backend(store: Storage) -> str:
    """Print the backend that suits the number of milestones: file, from 25 on hybrid, from 100 on database.

    Example: get_optimal_storage_backend
    """
    return optimal_backend(store)


@operation(text="migrated", in_use=True)
def migrate_storage_backend(store: Storage, backend: str, *, dry_run: bool = False) -> Migration:
    """Move everything to another backend, after a backup; the backend is fixed from then on.

    backend: file, hybrid or database (PostgreSQL if its URL is set); auto: what suits the number of milestones
    dry_run: only tell what would be moved

    Example: migrate_storage_backend database --dry-run
    """
    from ..moving.scaling import choose_backend

    return choose_backend(store, backend, dry_run)


@operation(text="settings", creates=False)
def get_storage_config(store: Storage, key: str | None = None) -> str | dict[str, str]:
    """Print one setting, or all of them as KEY=VALUE lines.

    key: a setting's name

    Example: get_storage_config message_retry_limit
    """
    if key is None:
        return read_settings(store)
    if key not in SETTINGS:
        check_setting(key, "")
    return read_setting(store, key)


@operation()
def set_storage_config(store: Storage, key: str, value: str) -> dict[str, str]:
    """Change a setting; initialising again does not reset it.

    key: a setting's name, as get_storage_config lists them
    value: its new value

    Example: set_storage_config message_retry_limit 5
    """
    word = check_setting(key, value)
    with store.transaction("config"):
        store_setting(store, key, word)
        record_event(store, "setting_changed", detail=f"{key}={word}")
    return {key: word}

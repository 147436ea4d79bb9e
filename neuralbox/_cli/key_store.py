"""The keys that `neuralbox login` keeps: in the system's keyring, or in a file that its owner alone can read.

`credentials.json` beside the settings says of each profile where its key is and for which address it was given; the key
itself stands there only where no keyring is at hand. So a command that needs no key of ours asks no keyring, and a key
is sent nowhere but to the address it was kept for. A file that others can read is refused, as it is by ssh.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .._errors import ConfigurationError
from .settings_place import settings_directory

_KEYRING_SERVICE: Final = "neuralbox"


@dataclass(frozen=True, slots=True)
class KeptKey:
    """A key that is kept.

    Attributes:
        name: Under which name.
        base_url: The address it was given for.
        key: It, or None where the keyring has it.
    """

    name: str
    base_url: str
    key: str | None

    def read(self, login: str) -> str:
        """Return the key.

        Args:
            login: The command that keeps it anew.

        Raises:
            ConfigurationError: The keyring is locked, absent, or has it no more.
        """
        if self.key is not None:
            return self.key
        try:
            import keyring

            found = keyring.get_password(_KEYRING_SERVICE, self.name)
        except ImportError as error:
            raise ConfigurationError(
                "The key is in the system's keyring, and `keyring` is not installed: run  pip install 'neuralbox[keyring]'"
            ) from error
        except Exception as error:
            raise _locked(error, login) from error
        if found is None:
            raise ConfigurationError(f"The system's keyring has the key no more: run  {login}")
        return found


def _locked(error: Exception, login: str) -> ConfigurationError:
    return ConfigurationError(
        f"The system's keyring cannot be used ({type(error).__name__}): unlock it, or run  {login} --file"
    )


def find_key(name: str) -> KeptKey | None:
    """Return the key of this name, or None.

    Raises:
        ConfigurationError: The file cannot be read, or others can read it.
    """
    record = _read().get(name)
    if not isinstance(record, dict) or not isinstance(record.get("base_url"), str):
        return None
    key = record.get("key")
    return KeptKey(name, record["base_url"], key if isinstance(key, str) else None)


def kept_profiles() -> set[str]:
    """Return the profiles for which a key of either service is kept.

    Raises:
        ConfigurationError: The file cannot be read, or others can read it.
    """
    return {name.removesuffix(" (geminigen)") for name in _read()}


def keep_key(name: str, key: str, base_url: str, *, in_file: bool, login: str) -> str:
    """Keep a key; return where, in words.

    Args:
        name: Its name.
        key: It.
        base_url: The address it is for.
        in_file: Whether the keyring is not asked at all.
        login: The command that keeps it.

    Raises:
        ConfigurationError: The keyring is locked, or the file cannot be used.
        OSError: The file cannot be written.
    """
    with _changing() as records:
        record: dict[str, Any] = {"base_url": base_url}
        if in_file or not _keep_in_keyring(name, key, login):
            record["key"] = key
        _write(records | {name: record})
        if "key" not in record:
            return "in the system's keyring"
        where = f"in {credentials_file()}, for you alone to read"
        former = records.get(name)
        if isinstance(former, dict) and "key" not in former:
            try:
                _forget_in_keyring(name, login)
            except ConfigurationError:  # locked: that may be why the new one goes into the file
                return f"{where}; the former one stays in the system's keyring, which cannot be opened"
        return where


def forget_key(name: str, login: str) -> bool:
    """Forget a key; return whether there was one.

    Args:
        name: Its name.
        login: The command that keeps it.

    Raises:
        ConfigurationError: The keyring is locked, or the file cannot be used.
    """
    if name not in _read():
        return False
    with _changing() as records:
        record = records.pop(name, None)
        if isinstance(record, dict) and "key" not in record:
            _forget_in_keyring(name, login)
        _write(records)
    return True


def credentials_file() -> Path:
    """Return where the keys' file is, or would be."""
    return settings_directory() / "credentials.json"


# The keyring...


def _keep_in_keyring(name: str, key: str, login: str) -> bool:
    """Keep a key there; False where there is no keyring at all."""
    try:
        import keyring
        from keyring.backends import fail
    except ImportError:
        return False
    try:
        if isinstance(keyring.get_keyring(), fail.Keyring):
            return False
        keyring.set_password(_KEYRING_SERVICE, name, key)
        return keyring.get_password(_KEYRING_SERVICE, name) == key  # one backend takes everything and keeps nothing
    except Exception as error:  # noqa: BLE001 - each backend has errors of its own
        raise _locked(error, login) from None  # what holds the key in its frames is not passed on


def _forget_in_keyring(name: str, login: str) -> None:
    try:
        import keyring
        from keyring.errors import PasswordDeleteError
    except ImportError as error:
        raise ConfigurationError(
            "The key is in the system's keyring, and `keyring` is not installed: run  pip install 'neuralbox[keyring]'"
        ) from error
    try:
        keyring.delete_password(_KEYRING_SERVICE, name)
    except PasswordDeleteError:  # it has it no more
        return
    except Exception as error:
        raise _locked(error, login) from error


# ... and the file.


@contextmanager
def _changing() -> Iterator[dict[str, Any]]:
    """Give the records to a block that changes them; nobody else does so meanwhile."""
    from .._files.own_file import changing

    path = credentials_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with changing(path):
        yield _read()


def _read() -> dict[str, Any]:
    from .._files.own_file import open_own

    path = credentials_file()
    try:
        with os.fdopen(open_own(path, os.O_RDONLY), "rb") as file:
            mode, content = os.fstat(file.fileno()).st_mode, file.read()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigurationError(f"The keys in {path} cannot be read: {error.strerror}.") from error
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise ConfigurationError(
            f"Others can read the keys in {path}, so none was used: make a new key, and run  chmod 600 "
            f"{shlex.quote(str(path))}"
        )
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path} is garbage: remove it, and run  neuralbox login")
    return found


def _write(records: dict[str, Any]) -> None:
    from .._files.own_file import write_own

    path = credentials_file()
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    write_own(fresh, json.dumps(records, indent=1).encode())
    fresh.replace(path)  # whole, or not at all: it may hold other profiles' keys

"""The desktop's keyring, through the library `keyring` (extra `keyring`): for those who installed it.

Entries are stored with `keyring set wf-transfer:NAME USER`, NAME being a section's: `https://host`, `alice@osn`.
"""

from __future__ import annotations

import os
import sys

from .kinds import Basic, Bearer, Secret
from .sources import hosts_of, sites_of
from .tokens import token_in_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .kinds import Credential
    from .means import Means
    from .query import Query


class Keyring:
    """An entry's user and password; the user `token` stands for a bearer token. S3 keys: `access_keys`."""

    slow = ""

    def __init__(self, means: Means) -> None:
        self._means = means

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if not query.transport or not may_exist(self._means):
            return None
        for name in (*hosts_of(query), *sites_of(query)):
            entry = entry_of(name, query.user, looked)
            if entry is None:
                continue
            user, password = entry
            origin = f"wf-transfer:{name} of the keyring"
            if user == "token":
                return Bearer(token_in_text(password, origin), name=name, origin=origin)
            return Basic(user, Secret(password), name=name, origin=origin)
        return None


def may_exist(means: Means) -> bool:
    """Whether a keyring can be there at all: a desktop's, or one that was configured. The library is slow to import."""
    if sys.platform == "darwin" or means.value("PYTHON_KEYRING_BACKEND"):
        return True
    if means.value("DBUS_SESSION_BUS_ADDRESS"):
        return True
    configuration = means.value("XDG_CONFIG_HOME") or means.home(".config")
    return bool(configuration) and os.path.exists(
        os.path.join(configuration, "python_keyring", "keyringrc.cfg")
    )


def entry_of(name: str, user: str, looked: list[str]) -> tuple[str, str] | None:
    """User and password of the keyring's entry; None where there is none, or no keyring."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    service = f"wf-transfer:{name}"
    try:
        found = keyring.get_credential(service, user or None)
    except KeyringError as error:
        looked.append(f"the keyring ({type(error).__name__})")
        return None
    if found is None:
        looked.append(f"{service} of the keyring (not there)")
        return None
    return found.username, found.password

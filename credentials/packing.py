"""Credentials on their way to another process: the one form of them that can be pickled."""

from __future__ import annotations

from .kinds import Credential, Secret
from .private import Seen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Packed:
    """A credential on its way to another process, secrets in the clear. `unpack()` gives it back."""

    __slots__ = ("_credential",)

    def __init__(self, credential: Credential) -> None:
        self._credential = credential

    def unpack(self) -> Credential:
        return self._credential

    def __repr__(self) -> str:
        return "Packed(***)"

    def __reduce__(self) -> tuple[object, ...]:
        credential = self._credential
        return _restored, (type(credential).__name__, tuple(_plain_fields(credential)))


def _plain_fields(credential: Credential) -> Iterator[tuple[str, bool, object]]:
    """Name, whether it was a Secret, and the plain value."""
    for kind in type(credential).__mro__:
        for field in getattr(kind, "__slots__", ()):
            value = getattr(credential, field)
            if field in ("fields", "others"):
                yield field, True, tuple((name, secret.reveal()) for name, secret in value)
            elif isinstance(value, Secret):
                yield field, True, value.reveal()
            else:
                yield field, False, tuple(map(tuple, value)) if field == "seen" else value


def _restored(name: str, fields: tuple[tuple[str, bool, object], ...]) -> Packed:
    kinds: tuple[type[Credential], ...] = (Credential, *Credential.__subclasses__())
    kind = next(kind for kind in kinds if kind.__name__ == name)
    credential = object.__new__(kind)
    for field, secret, value in fields:
        if secret and isinstance(value, tuple):
            value = tuple((header, Secret(text)) for header, text in value)
        elif secret:
            value = Secret(str(value))
        elif field == "seen" and isinstance(value, tuple):
            value = tuple(Seen(*one) for one in value)
        object.__setattr__(credential, field, value)
    return Packed(credential)

"""What is wrong with a batch, said to people: where, what was expected, what was found."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    Path = tuple[str | int, ...]

_PLAIN_KEY: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_HARMLESS: Final = r"[A-Za-z0-9 _.+-]{0,40}"


class BatchError(ValueError):
    """A batch that means nothing: no byte of it was moved.

    `path` is a JSON path such as `[3].src_urls[0].url`, empty where the whole document is meant; `line` and `column`
    count characters from 1. `str()` is one sentence, without values that may be secret.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str = "",
        line: int = 1,
        column: int = 1,
        expected: str = "",
        hint: str = "",
        name: str = "batch",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.line = line
        self.column = column
        self.expected = expected
        self.hint = hint
        self.name = name

    def __str__(self) -> str:
        path = f" {self.path}:" if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.name}:{self.line}:{self.column}:{path} {self.message}{hint}"


class Fault(Exception):
    """A BatchError before anybody has looked for its line and column.

    `path` is relative to the request, or with `whole` to the document. `offset` is the place in the document where
    that is known already; else it is that of `path`'s value, or with `at_key` of its key.
    """

    def __init__(
        self,
        path: Path,
        message: str,
        *,
        expected: str = "",
        hint: str = "",
        offset: int | None = None,
        at_key: bool = False,
        whole: bool = False,
    ) -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        self.expected = expected
        self.hint = hint
        self.offset = offset
        self.at_key = at_key
        self.whole = whole


def mistaken(path: Path, expected: str, value: object, hint: str = "") -> Fault:
    """The fault of a value that is something else than what was expected."""
    return Fault(path, f"expected {expected}, found {shown(value)}", expected=expected, hint=hint)


def shown(value: object) -> str:
    """A decoded JSON value for people: what is short and cannot be a secret as it is, else only its kind."""
    import re
    from json import dumps

    if isinstance(value, dict):
        return "an object" if value else "an empty object"
    if isinstance(value, list):
        return "an array" if value else "an empty array"
    if isinstance(value, str):
        if not value:
            return "an empty string"
        return dumps(value) if re.fullmatch(_HARMLESS, value) else f"a string of {len(value)} characters"
    if type(value) is int and value.bit_length() > 128:
        return "a very long number"
    return dumps(value)


def path_text(path: Path) -> str:
    """`[3].src_urls[0].url`; a key that is no plain word is quoted: `["checksum.type"]`."""
    import re
    from json import dumps

    parts: list[str] = []
    for step in path:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif re.fullmatch(_PLAIN_KEY, step):
            parts.append(f".{step}" if parts else step)
        else:
            parts.append(f"[{dumps(step if len(step) <= 60 else step[:57] + '...')}]")
    return "".join(parts)

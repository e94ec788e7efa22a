"""File names as the bytes they are: escaped for manifests, and shown to people."""

from __future__ import annotations

import os


def is_name(text: str) -> bool:
    """Whether a file can be called so: not where half a surrogate pair stands for no byte."""
    try:
        return bool(text) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def needs_escape(name: bytes) -> bool:
    """Whether GNU coreutils (9.0 and later) marks the line of such a name with a leading backslash."""
    return b"\\" in name or b"\n" in name or b"\r" in name


def escape(name: bytes) -> bytes:
    """The name as GNU coreutils writes it on a marked line."""
    return name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")


def unescape(text: bytes) -> bytes | None:
    r"""The name that an escaped text stands for; None if a backslash is not followed by `\`, `n` or `r`."""
    if b"\0" in text:
        return None
    # Pairs are set aside as NUL, which no name holds, so that the second of a pair escapes nothing.
    name = text.replace(b"\\\\", b"\0").replace(b"\\n", b"\n").replace(b"\\r", b"\r")
    return None if b"\\" in name else name.replace(b"\0", b"\\")


def printable(name: str | bytes) -> str:
    r"""The name for people: what would move a cursor or cannot be shown appears as `\n`, `\x1b`, `\xff`...

    What may be secret in a URL, its user part and its query, appears as `***`.
    """
    return visible(without_secrets(os.fsdecode(name)))


def visible(text: str) -> str:
    """The text without characters that a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _visible(one) for one in text)


def without_secrets(text: str) -> str:
    """The text with the user parts and queries of all URLs in it taken out."""
    if "://" not in text:
        return text
    import re

    text = re.sub(r"(://)[^\s/?#]*@", r"\1***@", text)
    return re.sub(r"(://[^\s?#]*[?#])\S+", r"\1***", text)


def _visible(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as surrogateescape carries it
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")

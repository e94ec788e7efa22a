"""Texts without secrets: what people, logs, events and results may see of a URL, a message or a name.

There is no second place that decides this. It errs on the side of hiding: `***` where nothing was secret is a
nuisance, a password in a log is an incident. Patterns are compiled when first used; most texts need none.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

HIDDEN: Final = "***"
_LEAST: Final = 4

_NAME: Final = r"[^=&;#?\s:/\"'<>,()]{0,100}"
_SECRET_WORD: Final = (
    r"signature|credential|token|secret|passw|passphrase|authz|authoriz|assertion|jwt|cookie|ticket|macaroon"
    r"|access[-_]?key|api[-_]?key|private[-_]?key|%"
)
_SECRET_NAME: Final = rf"(?:{_NAME}(?:{_SECRET_WORD}){_NAME}|sig|{_NAME}[-_.]key|pwd)"

# The password of `user:password@host`. One that holds a `/` is caught too, unless what follows the colon is a port.
_PASSWORD: Final = r"(://[^/?#\s@:\[]*):(?!\d{0,5}(?:[/?#\s]|$))[^\s@\"'<>]*(?:@[^/?#\s@]*)*@"
# A long user without a password is a token (`https://ghp_...@host/`); s3 and ssh users are handles.
_LONE_TOKEN: Final = r"(?i)(\b(?:https?|webdavs?|davs?)://)[^/?#\s@:]{20,}@"
# `key`, `code`, `auth` and `pass` are secrets in a query; in prose (`code=403`) they are not.
_QUERY: Final = rf"(?i)([?&;#](?:{_SECRET_NAME}|key|code|auth|pass)=)[^&#\s\"'<>]*"

_PRIVATE_KEY: Final = (
    r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)"
)
_HEADER: Final = (
    r"(?im)\b((?:proxy-)?authorization|(?:set-)?cookie|[\w-]+-(?:token|key|secret|password|signature|auth)"
    r"|x-amz-server-side-encryption-[\w-]+)"
    r"((?:\\?[\"'])?\s*:\s*)[^\r\n]+"
)
_SCHEME_VALUE: Final = (
    r"(?i)\b(bearer|basic|negotiate|digest)\s+"
    r"(?!(?:auth|authentication|authorization|tokens?|credentials?|mismatch|realm|header|headers|or|and|is|was|not)\b)"
    r"[\w.~+/=-]{6,}"
)
_JWT: Final = r"\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)*"
_VENDOR_TOKEN: Final = r"\b(?:gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|ya29\.[\w-]{16,})"
_ASSIGNMENT: Final = (
    rf"(?i)(?<![?&;#\w%-])((?:\\?[\"'])?{_SECRET_NAME}(?:\\?[\"'])?\s*(?:=|(?<=[\"']):)\s*)"
    r"(?:\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s,;&]+)"
)
_ELEMENT: Final = rf"(?i)(<({_NAME}(?:{_SECRET_WORD}){_NAME})>)[^<]*(?=</)"


def printable(name: str) -> str:
    r"""The text with everything a terminal could obey spelled as an escape: `\n`, `\x1b`, `\u202e`.

    A byte of a file name that is not UTF-8 (a lone surrogate) shows as `\xNN`. Backslashes stay, so this is for
    people and not to be read back.
    """
    if name.isprintable():
        return name
    return "".join(character if character.isprintable() else _escape(character) for character in name)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def redact_url(url: str) -> str:
    """The URL for people: secrets in user part, query and fragment are `***`, control characters are escaped.

    User names, bucket names and query keys stay, so that the URL can still be recognised.
    """
    text = printable(url)
    if "@" not in text and "=" not in text:
        return text
    return _without_url_secrets(text)


def redact(text: str) -> str:
    """Free text without secrets: header values, tokens, private keys, assignments, and URLs as `redact_url` has them.

    Line breaks stay. It knows secrets by their surroundings, so a bare password in prose passes: do not write such prose.
    """
    if "PRIVATE KEY" in text:
        text = re.sub(_PRIVATE_KEY, f"[private key {HIDDEN}]", text)
    if "://" in text or "=" in text:
        text = _without_url_secrets(text)
    if ":" in text:
        text = re.sub(_HEADER, rf"\1\2{HIDDEN}", text)
    if "=" in text or "'" in text or '"' in text:
        text = re.sub(_ASSIGNMENT, rf"\1{HIDDEN}", text)
    if "</" in text:
        text = re.sub(_ELEMENT, rf"\1{HIDDEN}", text)
    text = re.sub(_SCHEME_VALUE, rf"\1 {HIDDEN}", text)
    if "eyJ" in text:
        text = re.sub(_JWT, HIDDEN, text)
    return re.sub(_VENDOR_TOKEN, HIDDEN, text)


def redact_known(text: str, secrets: Iterable[str]) -> str:
    """The text without these secrets, also where its end cuts one off: for what a service said of what it was shown.

    Secrets of less than four characters stay, for they are in every word.
    """
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) < _LEAST:
            continue
        text = text.replace(secret, HIDDEN)
        body, dots = (text[:-3], "...") if text.endswith("...") else (text, "")
        for length in range(min(len(secret) - 1, len(body)), _LEAST - 1, -1):
            if body.endswith(secret[:length]):
                text = f"{body[:-length]}{HIDDEN}{dots}"
                break
    return text


def _without_url_secrets(text: str) -> str:
    if "@" in text:
        text = re.sub(_PASSWORD, rf"\1:{HIDDEN}@", text)
        text = re.sub(_LONE_TOKEN, rf"\1{HIDDEN}@", text)
    if "=" in text:
        text = re.sub(_QUERY, rf"\1{HIDDEN}", text)
    return text

"""Regular expressions that are compiled when they are first used: what a plain answer looks like is seen without any."""

from __future__ import annotations

from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    import re

    return re.compile(pattern)


@cache
def compiled_bytes(pattern: bytes) -> re.Pattern[bytes]:
    import re

    return re.compile(pattern)

"""What a command says to people besides its result."""

from __future__ import annotations


def complain(text: str) -> None:
    """One line on standard error; control characters are escaped."""
    import sys

    from ..credentials.redaction import printable

    print(f"wf-transfer: {printable(text)}", file=sys.stderr)

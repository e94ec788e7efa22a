"""The generated parts of `docs/results.md`: error codes, exit codes and the fields of the result document.

`python -m wf.transfer.results_page docs/results.md` brings the page up to date; what stands outside its markers stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocols.errors import Reach, TransferError
from .result_schema import OBJECTS, error_classes
from .settings import Evidence, Exit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

MEANINGS: Final = {
    "broken": "The connection was cut, reset or stalled in mid-body, or fewer bytes came than were promised.",
    "changed": "The source was another version than before, or a server ignored the range it was asked for.",
    "server-error": "The server failed (HTTP 5xx, apart from 503), or answered what makes no sense.",
    "not-found": "There is nothing under that name.",
    "mismatch": "A size or a digest is not the expected one. If the wrong copy could not be removed, `left_behind` names it.",
    "unverified": "Evidence that was insisted on cannot be had: no expectation, or no way to look at the copy.",
    "denied": "The service refused the credential, or what it was used for.",
    "unsupported": "The protocol, or this server, cannot do that.",
    "unreachable": "No connection, name or TLS, or not a single byte of an answer.",
    "busy": "The service asks to slow down (HTTP 429 or 503, SlowDown).",
    "missing-credential": "The protocol needs a credential and none was found.",
    "missing-extra": "The protocol needs a Python package that is not installed.",
    "configuration": "A setting or a configuration file is wrong.",
    "exists": "The destination is there already, and `--existing` refuses to replace it.",
    "refused": "The operating system refused a local file, or a guard rail refused a dangerous request.",
    "no-space": "The disk or the quota is full.",
    "stopped": "A signal or the deadline ended the run before the request.",
    "defect": "An exception that nobody expected, in wf-transfer or in a plug-in.",
}
"""One sentence for each error code."""

_REMEDIES: Final = {
    "missing-credential": "the message names where it was looked for: put the credential there",
    "missing-extra": "install what the message names: `pip install 'wf-transfer[...]'`",
    "configuration": "correct the file or setting that the message names",
    "refused": "the message says which: permissions, kind of file, or `--allow-dangerous-remove`",
}
"""For codes whose remedy differs from case to case."""

REACHES: Final = {
    Reach.ATTEMPT: "nothing: the same source and destination are tried again",
    Reach.REPLICA: "this source or this destination; the next one is tried",
    Reach.HOST: "everything on this host for now: it cools down, others go on",
    Reach.REQUEST: "the whole request",
    Reach.GROUP: "everything on the same host with the same credential; other replicas are tried",
}

EXITS: Final = {
    Exit.DONE: "everything is done",
    Exit.FAILED: "some requests failed, for different or lasting reasons",
    Exit.USAGE: "the command line is wrong; nothing was started",
    Exit.MISMATCH: "a size or digest did not match in the end (no other replica healed it)",
    Exit.BAD_BATCH: "the batch is wrong; nothing was started",
    Exit.DEFECT: "wf-transfer itself failed: please report it, with what `-d` shows",
    Exit.LATER: "the run was stopped, or every failure is worth trying again later with nothing changed",
    Exit.CREDENTIAL: "every failure is a missing or refused credential",
    Exit.CONFIGURATION: "every failure is a configuration or a package that is missing",
}

EVIDENCES: Final = {
    Evidence.NONE: "nothing was compared",
    Evidence.SIZE: "the destination has as many bytes as were sent",
    Evidence.CHECKSUM: "the service reports a matching checksum that is no cryptographic digest (CRC, Adler, MD5)",
    Evidence.DIGEST: "the service computed a matching SHA-2 digest of what it stored",
    Evidence.READ_BACK: "the stored copy was read again and its digest compared",
}

_TITLES: Final = {
    "document": "The document",
    "tool": "`tool`",
    "totals": "`totals`",
    "checks": "Each member of `integrity`",
    "request": "Each element of `requests`",
    "attempt": "Each element of `attempts`",
    "error": "`error`",
}


def parts() -> dict[str, str]:
    """The generated parts of the page by the name in their markers."""
    return {
        "exits": _table(("exit code", "meaning"), ((str(int(code)), text) for code, text in EXITS.items())),
        "errors": _error_table(),
        "reaches": _table(("reach", "what else cannot work"), ((f"`{k}`", v) for k, v in REACHES.items())),
        "evidence": _table(("evidence", "meaning"), ((f"`{k}`", v) for k, v in EVIDENCES.items())),
        "fields": "\n".join(_fields(name) for name in OBJECTS),
    }


def updated(page: str) -> str:
    """The page with its generated parts renewed. Raises ValueError if a part has no place in it."""
    for name, text in parts().items():
        begin, end = f"<!-- generated: {name} -->", "<!-- end -->"
        before, opening, rest = page.partition(begin)
        _, closing, after = rest.partition(end)
        if not opening or not closing:
            raise ValueError(f"the page lacks the markers {begin} and {end}")
        page = f"{before}{begin}\n{text}{end}{after}"
    return page


def _error_table() -> str:
    head = ("code", "reach", "worth a later run", "meaning", "what to do")
    return _table(head, (_error_row(each) for each in error_classes()))


def _error_row(each: type[TransferError]) -> tuple[str, ...]:
    remedy = each.default_remedy or _REMEDIES[each.code]
    return (f"`{each.code}`", f"`{each.reach}`", "yes" if each.later else "no", MEANINGS[each.code], remedy)


def _fields(name: str) -> str:
    rows = ((f"`{field.name}`", _kind(field.schema), field.meaning) for field in OBJECTS[name])
    return f"**{_TITLES[name]}**\n\n{_table(('field', 'JSON', 'meaning'), rows)}"


def _kind(schema: dict[str, object]) -> str:
    """The type of a field in a few words."""
    if "$ref" in schema:
        return "object"
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        values = schema["enum"]
        assert isinstance(values, list)
        return "integer" if isinstance(values[0], int) else "string"
    if "oneOf" in schema:
        choices = schema["oneOf"]
        assert isinstance(choices, list)
        return " or ".join(_kind(choice) for choice in choices)
    kinds = schema["type"]
    return " or ".join(kinds) if isinstance(kinds, list) else str(kinds)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def main() -> None:
    import sys

    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            page = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(updated(page))


if __name__ == "__main__":
    main()

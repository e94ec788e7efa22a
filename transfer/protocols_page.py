"""What each protocol can do, for `wf-transfer protocols` and for `docs/protocols.md`, both from the capabilities.

`python -m wf.transfer.protocols_page > docs/protocols.md` writes the page anew.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from textwrap import fill
from typing import TYPE_CHECKING, NamedTuple

from ..protocols.capability import Publish, Shape
from ..protocols.locations import LOCAL_SCHEMES
from ..protocols.registry import BUILT_IN, PLANNED, Registry, missing_modules

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

    from ..protocols.capability import Capability


class Extra(NamedTuple):
    """An optional part of the distribution, for protocols that also work without it."""

    name: str
    modules: tuple[str, ...]
    brings: str
    useful: bool = True
    """False while nothing uses it."""


EXTRAS: Final = (
    Extra(
        "s3", ("boto3",), "more places for access keys: profiles, web identity, container and instance roles"
    ),
    Extra(
        "http",
        ("requests",),
        "nothing yet: digest and OAuth logins, which are not built, will need it",
        False,
    ),
    Extra("gcs", ("google.auth", "google_crc32c"), "credentials for Google Cloud Storage, and its checksum"),
    Extra("globus", ("globus_sdk",), "Globus, which does not work without"),
    Extra(
        "ssh", ("paramiko",), "passwords and pass phrases for SFTP, and SFTP where there is no ssh program"
    ),
    Extra("webdav", ("webdav4",), "copies inside one WebDAV server, and removal of a folder by one request"),
    Extra("irods", ("irods",), "iRODS, which does not work without"),
    Extra(
        "xrootd",
        ("XRootD", "google_crc32c"),
        "XRootD, which does not work without, and a checksum that costs little",
    ),
    Extra("yaml", ("yaml",), "replica catalogues as manifests of `wf-checksum`"),
    Extra("crc", ("awscrt", "google_crc32c"), "crc32c and crc64nvme at the speed of the processor"),
    Extra("keyring", ("keyring",), "passwords, tokens and access keys of a desktop's keyring"),
)

PUBLISHED: Final = {
    Publish.ATOMIC: "nothing shows at the final name before the whole, verified content",
    Publish.HELD: "the last bytes are held back until the digest is right; if it is wrong the connection is cut",
    Publish.AFTER: "the name shows before the content could be verified; what is wrong is removed",
}
"""What a protocol promises about the final name, a phrase each."""

_INTRODUCTION: Final = """\
# Protocols

<!-- Generated: python -m wf.transfer.protocols_page > docs/protocols.md -->

`wf-transfer protocols` prints the same for an installation, with what is missing there and with the protocols that
other distributions add; `wf-transfer protocols --json` is for programs. How to add one is told in
[adding-a-protocol.md](adding-a-protocol.md), what each can present to a service in [credentials.md](credentials.md).
"""

_COLUMNS: Final = """
- **read**: as a source; with *ranges* a broken transfer goes on where it broke.
- **write**: as a destination, and how the final name comes to be:
"""


def as_text(registry: Registry | None = None) -> str:
    """What is installed, for people at a terminal."""
    blocks = [_block(capability) for capability in (registry or Registry()).all()]
    blocks.append(_wrapped("not built yet: ", " ".join(f"{scheme}:" for scheme in sorted(PLANNED))))
    return "\n".join(blocks)


def as_json(registry: Registry | None = None) -> str:
    """The same as one JSON document."""
    import json

    protocols = [_record(capability) for capability in (registry or Registry()).all()]
    extras = [{**extra._asdict(), "installed": not _missing(extra)} for extra in EXTRAS]
    return json.dumps({"protocols": protocols, "extras": extras, "planned": sorted(PLANNED)}, indent=2) + "\n"


def page() -> str:
    """`docs/protocols.md`: the built-in protocols, whatever is installed here."""
    promises = "".join(f"  - *{publish}*: {text}.\n" for publish, text in PUBLISHED.items())
    rest = (
        "- **within**: the service copies between two of its own places, and no byte passes through here.\n"
        "- **digests**: those that the service computes of what it holds.\n"
    )
    rest += f"- `--preserve`: {'. '.join(_traits())}.\n"
    notes = "".join(f"- **{each.protocol}**: {each.notes}\n" for each in BUILT_IN if each.notes)
    extras = ((f"`wf-transfer[{each.name}]`", ", ".join(each.modules), each.brings) for each in EXTRAS)
    planned = fill(", ".join(f"`{scheme}:`" for scheme in sorted(PLANNED)), 120, break_on_hyphens=False)
    return (
        f"{_INTRODUCTION}\n## What each can do\n\n{_table(_HEAD, (_row(each) for each in BUILT_IN))}"
        f"{_COLUMNS}{promises}{rest}\n{notes}"
        "\n## What can be installed beside it\n\n"
        f"Where nothing else is said, the protocols work without; `pip install 'wf-transfer[all]'` brings everything.\n\n"
        f"{_table(('extra', 'package', 'brings'), extras)}"
        f"\n## Not built yet\n\nBatches use these schemes too; a request with one fails alone, and says so:\n\n{planned}.\n"
    )


# --- in words


def _block(capability: Capability) -> str:
    lines = [f"{capability.protocol:<8}{_schemes(capability)}\n", _wrapped("", f"{_state(capability)}.")]
    lines += [_wrapped("", f"{sentence}.") for sentence in _abilities(capability)]
    if capability.credentials:
        lines.append(_wrapped("", f"Credentials: {', '.join(capability.credentials)}."))
    lines += [_wrapped("", text) for text in (capability.notes, _advice(capability)) if text]
    return "".join(lines)


def _traits() -> list[str]:
    """Which of the built-in protocols have time and permission bits, a phrase each."""
    kinds = (("times", "read_times", "write_times"), ("modes", "read_modes", "write_modes"))
    return [
        f"*{word}* are told by {_having(read)}, and kept by {_having(written)}"
        for word, read, written in kinds
    ]


def _having(field: str) -> str:
    return ", ".join(each.protocol for each in BUILT_IN if getattr(each, field))


def _wrapped(begin: str, text: str) -> str:
    indent = "" if begin else " " * 8
    return fill(begin + text, 100, initial_indent=indent, subsequent_indent=" " * 8) + "\n"


def _schemes(capability: Capability) -> str:
    return " ".join(f"{scheme}:{'' if scheme in LOCAL_SCHEMES else '//'}" for scheme in capability.schemes)


def _state(capability: Capability) -> str:
    missing = missing_modules(capability)
    if not missing:
        return "Ready"
    return f"Not installed (lacks {', '.join(missing)}): {_install(capability.extra)}"


def _install(extra: str) -> str:
    return f"pip install 'wf-transfer[{extra}]'"


def _advice(capability: Capability) -> str:
    """What an optional package would add that is not here."""
    return " ".join(
        f"For {extra.brings}: {_install(extra.name)}."
        for extra in EXTRAS
        if extra.name == capability.protocol and extra.useful and _missing(extra)
    )


def _missing(extra: Extra) -> bool:
    return not all(_is_there(module) for module in extra.modules)


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False  # not even the package that it is in


def _abilities(capability: Capability) -> list[str]:
    """Sentences without their full stop."""
    found = [f"{_moves(capability)}{'; ' if _orders(capability) else ''}{', '.join(_orders(capability))}"]
    if capability.write:
        found.append(f"Publishing: {PUBLISHED[capability.publish]}")
    kept = [word for word in ("times", "modes") if getattr(capability, f"write_{word}")]
    if kept:
        found.append(f"--preserve: {', '.join(kept)}")
    if capability.digest:
        found.append(f"Digests by the service: {', '.join(capability.digest)}")
    return found


def _moves(capability: Capability) -> str:
    ends = [word for word, can in (("source", capability.read), ("destination", capability.write)) if can]
    words = [" and ".join(ends).capitalize()]
    if capability.read_range:
        words.append("goes on in mid-file")
    if capability.offers(Shape.COPIER):
        words.append("copies within the service")
    if capability.offers(Shape.LINKER):
        words.append("links and moves")
    return ", ".join(words)


def _orders(capability: Capability) -> list[str]:
    """The command words that work."""
    words = [("ls", capability.list), ("stat", capability.stat), ("mkdir", capability.make_directory)]
    removal = "rm -r" if capability.remove_recursive else "rm"
    return [word for word, can in (*words, (removal, capability.remove)) if can]


# --- tables

_HEAD: Final = (
    "protocol",
    "schemes",
    "read",
    "write",
    "within",
    "ls",
    "stat",
    "mkdir",
    "rm",
    "digests",
    "credentials",
)


def _row(capability: Capability) -> tuple[str, ...]:
    read = ("ranges" if capability.read_range else "yes") if capability.read else "-"
    removal = "recursive" if capability.remove_recursive else _yes(capability.remove)
    return (
        f"**{capability.protocol}**",
        " ".join(f"`{scheme}`" for scheme in _schemes(capability).split()),
        read,
        str(capability.publish) if capability.write else "-",
        _yes(capability.offers(Shape.COPIER)),
        _yes(capability.list),
        _yes(capability.stat),
        _yes(capability.make_directory),
        removal,
        ", ".join(capability.digest) or "-",
        ", ".join(capability.credentials) or "-",
    )


def _yes(can: bool) -> str:
    return "yes" if can else "-"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _record(capability: Capability) -> dict[str, object]:
    """The fields of a capability as JSON has them, and whether it can be used here."""
    fields = capability._asdict()
    del fields["implementation"], fields["connections_start"], fields["connections_most"]
    missing = missing_modules(capability)
    install = _install(capability.extra) if missing else ""
    return {**fields, "ready": not missing, "missing": missing, "install": install}


if __name__ == "__main__":
    sys.stdout.write(page())

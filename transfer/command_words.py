"""The first words that make `wf-transfer` do something else than run a batch. Costs nothing to import."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

COMMANDS: Final = {
    "cp": "copy files, with -r folders, between any two places",
    "mkdir": "make folders, and those above them",
    "rm": "remove files, with -r folders and what is in them",
    "ls": "list folders",
    "stat": "show size, version, time and digests of one name",
    "protocols": "show which schemes work here and what each can do",
    "doctor": "look at this installation and machine, and say what to put right",
    "globus": "log in to Globus, for jobs that run later; or log out",
    "completion": "print the completion script for a shell",
    "man": "print the manual page",
}
"""Each word, and what it does in a few others."""

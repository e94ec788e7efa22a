"""What a check tells, in the words of GNU sha256sum, which scripts look for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .names import escape
from .verification import Verdict

if TYPE_CHECKING:
    from .verification import Checked

_WORDS = {
    Verdict.MATCH: b"OK",
    Verdict.MISMATCH: b"FAILED",
    Verdict.MISSING: b"FAILED open or read",
    Verdict.UNREADABLE: b"FAILED open or read",
    Verdict.OUTSIDE: b"FAILED open or read",
    Verdict.NO_DIGEST: b"FAILED no digest",
}


def status_line(verdict: Verdict, name: bytes) -> bytes:
    """The line for a file. Only a name with a newline is escaped, since only that would make two lines of it."""
    if b"\n" in name:
        name = b"\\" + escape(name)
    return b"%b: %b\n" % (name, _WORDS[verdict])


class Tally:
    """Counts of what was found in one manifest, and what follows from them."""

    def __init__(self, *, strict: bool = False, ignore_missing: bool = False) -> None:
        self._counts = dict.fromkeys(Verdict, 0)
        self.strict = strict
        self._ignore_missing = ignore_missing

    def count(self, checked: Checked) -> None:
        self._counts[checked.verdict] += 1

    @property
    def matched(self) -> int:
        return self._counts[Verdict.MATCH]

    @property
    def malformed(self) -> int:
        return self._counts[Verdict.MALFORMED]

    @property
    def well_formed(self) -> int:
        return sum(self._counts.values()) - self.malformed

    @property
    def unread(self) -> int:
        missing = 0 if self._ignore_missing else self._counts[Verdict.MISSING]
        return self._counts[Verdict.UNREADABLE] + self._counts[Verdict.OUTSIDE] + missing

    @property
    def wrong(self) -> int:
        """Files that are not what the manifest says, as far as it says anything."""
        return self._counts[Verdict.MISMATCH] + self._counts[Verdict.NO_DIGEST]

    @property
    def passed(self) -> bool:
        """At least one file matched, and nothing speaks against the others."""
        malformed = self.malformed if self.strict else 0
        return self.matched > 0 and not (self.wrong + self.unread + malformed)

    def warnings(self) -> list[str]:
        """One sentence for each kind of failure that occurred."""
        kinds = (
            (
                self.malformed,
                "line is improperly formatted",
                "lines are improperly formatted",
            ),
            (self.unread, "listed file could not be read", "listed files could not be read"),
            (
                self._counts[Verdict.MISMATCH],
                "computed checksum did NOT match",
                "computed checksums did NOT match",
            ),
            (
                self._counts[Verdict.NO_DIGEST],
                "listed file has no checksum to compare with",
                "listed files have no checksum to compare with",
            ),
        )
        return [f"{count} {one if count == 1 else many}" for count, one, many in kinds if count]

"""Tokens for data federations (OSDF, Pelican): one that the URL names, and the places that only their clients look at.

A URL may begin with the name of a token, as in `ligo+osdf:///igwn/frame`: that is the file `ligo.use` which HTCondor keeps fresh.
Else the discovery of all other services is gone through, and then what Pelican's client adds to it: the file that `TOKEN` names,
and where `_CONDOR_CREDS` is not set the folder `.condor_creds` of the job.
"""

from __future__ import annotations

from .errors import MissingCredential
from .redaction import printable
from .tokens import presented
from .variables import CondorFiles, at_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from .kinds import Bearer
    from .means import Means
    from .tokens import Candidate

_IN_THE_JOB: Final = ".condor_creds"
"""HTCondor's older name of the folder, in the working directory."""


def named_token(means: Means, name: str) -> Bearer:
    """The token that a URL names, whatever it says of itself: somebody has decided."""
    looked: list[str] = []
    for candidate in CondorFiles(means, _IN_THE_JOB).named(name, looked):
        return presented(candidate, by_path=True)
    raise MissingCredential(
        f"the URL asks for the token {printable(name)!r}: looked in {', '.join(looked)}",
        "have the job ask HTCondor for that token, or leave its name out of the URL",
    )


def pelican_tokens(means: Means, looked: list[str]) -> Iterator[Candidate]:
    """What Pelican's client finds beyond WLCG's discovery."""
    for name, path in means.named(("TOKEN",), looked):
        for candidate in at_place(path, means, looked):
            yield candidate._replace(name=name, origin=f"${name}={printable(path)}")
    yield from CondorFiles(means, _IN_THE_JOB).all(looked)

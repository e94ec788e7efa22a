"""Why no credential could be given. The engine maps these to the errors of `wf.protocols` that bear the same names.

::

    CredentialError
    |-- MissingCredential     nothing was found where something is needed; says where it was looked for
    |   `-- UnsafeFile        something was found and refused: others could read or change it
    `-- Misconfigured         something was found that makes no sense: a half pair, an unreadable or odd file
"""

from __future__ import annotations


class CredentialError(Exception):
    """`what` is one sentence for people, `remedy` what to do. Neither holds a secret."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


class MissingCredential(CredentialError):
    """Nothing was found where something is needed."""


class UnsafeFile(MissingCredential):
    """A file with secrets that somebody else can read or change was refused."""


class Misconfigured(CredentialError):
    """What was found cannot be used."""

"""What to present to whom, and texts without secrets. The names here are the public API; they are imported when first used."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .chain import Chain as Chain
    from .chain import standard_chain as standard_chain
    from .errors import CredentialError as CredentialError
    from .errors import Misconfigured as Misconfigured
    from .errors import MissingCredential as MissingCredential
    from .errors import UnsafeFile as UnsafeFile
    from .inspection import Finding as Finding
    from .inspection import Inspection as Inspection
    from .inspection import Severity as Severity
    from .inspection import inspect as inspect
    from .kinds import AccessKey as AccessKey
    from .kinds import Anonymous as Anonymous
    from .kinds import Basic as Basic
    from .kinds import Bearer as Bearer
    from .kinds import Certificate as Certificate
    from .kinds import Credential as Credential
    from .kinds import Globus as Globus
    from .kinds import Google as Google
    from .kinds import Headers as Headers
    from .kinds import Irods as Irods
    from .kinds import Secret as Secret
    from .kinds import SshAgent as SshAgent
    from .kinds import SshKey as SshKey
    from .packing import Packed as Packed
    from .private import Policy as Policy
    from .query import Query as Query
    from .redaction import printable as printable
    from .redaction import redact as redact
    from .redaction import redact_url as redact_url
    from .source import Source as Source

_WHERE = {
    "AccessKey": "kinds",
    "Anonymous": "kinds",
    "Basic": "kinds",
    "Bearer": "kinds",
    "Certificate": "kinds",
    "Chain": "chain",
    "Credential": "kinds",
    "CredentialError": "errors",
    "Finding": "inspection",
    "Globus": "kinds",
    "Google": "kinds",
    "Headers": "kinds",
    "Inspection": "inspection",
    "Irods": "kinds",
    "Misconfigured": "errors",
    "MissingCredential": "errors",
    "Packed": "packing",
    "Policy": "private",
    "Query": "query",
    "Secret": "kinds",
    "Severity": "inspection",
    "Source": "source",
    "SshAgent": "kinds",
    "SshKey": "kinds",
    "UnsafeFile": "errors",
    "inspect": "inspection",
    "printable": "redaction",
    "redact": "redaction",
    "redact_url": "redaction",
    "standard_chain": "chain",
}

__all__ = sorted(_WHERE)  # noqa: PLE0605 - the table is the one place where the names stand


def __getattr__(name: str) -> object:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{module}", __name__), name)

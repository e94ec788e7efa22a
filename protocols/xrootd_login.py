"""The environment of a process that talks XRootD: there, and only there, the library finds the one credential it may present."""

from __future__ import annotations

import os
import sys
from enum import StrEnum

from .errors import Misconfigured

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from ..credentials.kinds import Certificate, Credential, Secret
    from .context import Context

_NEVER_INHERITED: Final = (
    *("BEARER_TOKEN", "BEARER_TOKEN_FILE", "X509_USER_PROXY", "X509_USER_CERT", "X509_USER_KEY"),
    *("XrdSecGSIUSERPROXY", "XrdSecGSIUSERCERT", "XrdSecGSIUSERKEY", "PYTHONPATH", "PYTHONSTARTUP"),
)
_WITHOUT_CREDENTIAL: Final = "unix,host,krb5,sss,pwd"
"""What may be presented where our credentials are silent: what the account itself is, and what it has a ticket or key table for."""
_GRID_AUTHORITIES: Final = "/etc/grid-security/certificates"


class Flavor(StrEnum):
    """What a process is for. The library takes these settings for all it does."""

    PLAIN = "plain"
    WIDE = "wide"
    """Several connections carry one file: far servers give one connection only so much."""
    DELEGATING = "delegating"
    """Servers that ask for it get a proxy certificate of our user's, to read the source of a copy with."""


_STREAMS: Final = 4


class Login:
    """`environment` for the process, and `descriptors` that it inherits: the credential in memory, for no file need hold it."""

    def __init__(self, context: Context, credential: Credential, flavor: Flavor) -> None:
        self.environment = _base(context)
        if flavor is Flavor.WIDE:
            self.environment.setdefault("XRD_SUBSTREAMSPERCHANNEL", str(_STREAMS))
        if flavor is Flavor.DELEGATING:
            self.environment["XrdSecGSIDELEGPROXY"] = "1"
        self.descriptors: tuple[int, ...] = ()
        self._present(credential)

    def _present(self, credential: Credential) -> None:
        from ..credentials.kinds import Bearer, Certificate

        protocols = _WITHOUT_CREDENTIAL
        if isinstance(credential, Bearer):
            protocols = f"ztn,{protocols}"
            self.environment["BEARER_TOKEN_FILE"] = self._in_memory(credential.token)
        elif isinstance(credential, Certificate):
            protocols = f"gsi,{protocols}"
            self._show(credential)
        self.environment.setdefault("XrdSecPROTOCOL", protocols)

    def _show(self, credential: Certificate) -> None:
        if credential.passphrase is not None:
            raise Misconfigured(
                f"the key of credential {credential.name} ({credential.key}) is encrypted",
                remedy="make a proxy certificate, and name that",
            )
        environment = self.environment
        if credential.key in ("", credential.certificate):
            environment["X509_USER_PROXY"] = credential.certificate
        else:
            environment["X509_USER_CERT"], environment["X509_USER_KEY"] = (
                credential.certificate,
                credential.key,
            )
            environment["X509_USER_PROXY"] = os.devnull  # else the one in /tmp would be shown

    def _in_memory(self, secret: Secret) -> str:
        """The path of a file that only this process and its child see."""
        if not hasattr(os, "memfd_create"):
            raise Misconfigured("tokens for XRootD need Linux")
        descriptor = os.memfd_create("wf-token")
        self.descriptors = (*self.descriptors, descriptor)
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, secret.reveal().encode("utf-8"))
        return f"/proc/self/fd/{descriptor}"

    def close(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)


def _base(context: Context) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name not in _NEVER_INHERITED}
    connect = max(1, round(context.connect))
    # One attempt each: the engine repeats. What the library makes of a broken connection is ours to know at once.
    environment |= {
        "XRD_CONNECTIONRETRY": "1",
        "XRD_CONNECTIONWINDOW": str(connect),
        "XRD_STREAMERRORWINDOW": "0",
        "XRD_TIMEOUTRESOLUTION": "1",
        "XRD_LOGLEVEL": "None",
        # A certificate is shown as it is; otherwise a proxy is made of it, and written where the user's own is.
        "XrdSecGSICREATEPROXY": "0",
        "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in sys.path if path),
        # Buffers of a MiB come and go: without this each is mapped, cleared and unmapped by the kernel.
        "MALLOC_MMAP_THRESHOLD_": "67108864",
        "MALLOC_TRIM_THRESHOLD_": "134217728",
        "MALLOC_ARENA_MAX": "2",
    }
    _name_authorities(environment)
    return environment


def _name_authorities(environment: dict[str, str]) -> None:
    """The library looks for authorities in `X509_CERT_DIR` and `X509_CERT_FILE`; ours are named by `SSL_CERT_DIR` and `SSL_CERT_FILE` too."""
    if "X509_CERT_DIR" not in environment and environment.get("SSL_CERT_DIR"):
        environment["X509_CERT_DIR"] = environment["SSL_CERT_DIR"]
    if environment.get("SSL_CERT_FILE"):
        environment.setdefault("X509_CERT_FILE", environment["SSL_CERT_FILE"])
    if not {"X509_CERT_DIR", "X509_CERT_FILE"} & environment.keys() and not os.path.isdir(_GRID_AUTHORITIES):
        from ssl import get_default_verify_paths

        paths = get_default_verify_paths()
        if paths.capath:
            environment["X509_CERT_DIR"] = paths.capath
        if paths.cafile:
            environment["X509_CERT_FILE"] = paths.cafile

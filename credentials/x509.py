"""X.509 proxies and certificates: in variables of a site, in general ones, and at the places where the grid's tools put them."""

from __future__ import annotations

import os

from .errors import CredentialError
from .kinds import Certificate
from .private import check_private, passed_over, seen_now
from .redaction import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .kinds import Credential, Secret
    from .means import Means
    from .private import Seen
    from .query import Query


class ProxyVariables:
    """`X509_USER_PROXY<suffix>`, and `X509_USER_CERT<suffix>` with `X509_USER_KEY<suffix>`, for one site."""

    def __init__(self, means: Means) -> None:
        self._means = means

    def of_site(self, suffix: str, looked: list[str]) -> Certificate | None:
        """What the variables with this suffix name. Raises when it is not there or unsafe."""
        for certificate, key, name in _named(self._means, suffix, looked):
            origin = f"${name}={printable(certificate)}"
            return certificate_in(certificate, key, self._means, name, origin)
        return None


class GeneralProxies:
    """The same variables without a suffix, then `/tmp/x509up_u<uid>` and `~/.globus`: for every server that asks.

    What is missing, unsafe at a place that nobody named, or expired is passed over: TLS would fail with it even where
    nothing is needed.
    """

    slow = ""

    def __init__(self, means: Means) -> None:
        self._means = means

    def find(self, query: Query, looked: list[str]) -> Credential | None:
        if not query.takes_certificates:
            return None
        for certificate, key, name in _named(self._means, "", looked):
            origin = f"${name}={printable(certificate)}"
            try:
                check_private(key, self._means.policy)
            except FileNotFoundError:
                looked.append(f"{origin} (not there)")
                continue
            found = self._unless_expired(certificate, key, name, origin, looked)
            if found is not None:
                return found
        return self._at_standard_places(looked)

    def _at_standard_places(self, looked: list[str]) -> Certificate | None:
        proxy = f"/tmp/x509up_u{os.geteuid()}"
        places = [(proxy, proxy)]
        if folder := self._means.home(".globus"):
            places.append((os.path.join(folder, "usercert.pem"), os.path.join(folder, "userkey.pem")))
        for certificate, key in places:
            if not os.path.lexists(certificate):
                looked.append(f"{printable(certificate)} (not there)")
                continue
            if _is_encrypted(key):
                looked.append(f"{printable(key)} (has a pass phrase: make a proxy of it)")
                continue
            name = os.path.basename(certificate)
            try:
                check_private(key, self._means.policy)
                found = self._unless_expired(certificate, key, name, printable(certificate), looked)
            except FileNotFoundError:
                looked.append(f"{printable(key)} (not there)")
            except CredentialError as error:
                looked.append(passed_over(error))
            else:
                if found is not None:
                    return found
        return None

    def _unless_expired(
        self, certificate: str, key: str, name: str, origin: str, looked: list[str]
    ) -> Certificate | None:
        from time import time

        found = certificate_in(certificate, key, self._means, name, origin)
        if found.expires is not None and found.expires <= time():
            looked.append(f"{origin} (expired)")
            return None
        return found


def certificate_in(
    certificate: str,
    key: str,
    means: Means,
    name: str,
    origin: str,
    passphrase: Secret | None = None,
    seen: tuple[Seen, ...] = (),
) -> Certificate:
    """The credential in these files. Raises MissingCredential and UnsafeFile for a key that cannot be used."""
    seen = (*seen, means.named_file(key, origin))
    if certificate != key and (public := seen_now(certificate)) is not None:
        seen = (*seen, public)
    expires = _end_of(certificate)
    return Certificate(
        certificate, key, passphrase=passphrase, name=name, origin=origin, expires=expires, seen=seen
    )


def _named(means: Means, suffix: str, looked: list[str]) -> list[tuple[str, str, str]]:
    """Certificate, key, and the variable that names them."""
    found = [(path, path, name) for name, path in means.named((f"X509_USER_PROXY{suffix}",), looked)]
    certificate, key = f"X509_USER_CERT{suffix}", f"X509_USER_KEY{suffix}"
    if means.value(certificate) and means.value(key):
        found.append((means.value(certificate), means.value(key), certificate))
    return found


def _end_of(path: str) -> float | None:
    """When the first certificate of the chain to end does; None for a file that cannot be read as PEM."""
    from .certificates import certificates_in

    try:
        with open(path, "rb") as file:
            chain = certificates_in(file.read(1 << 20))
    except (OSError, ValueError):
        return None
    return min((one.expires for one in chain), default=None)


def _is_encrypted(path: str) -> bool:
    from .certificates import key_in

    try:
        with open(path, "rb") as file:
            return key_in(file.read(1 << 20)) == "encrypted"
    except OSError:
        return False

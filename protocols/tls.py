"""TLS settings that verify the server, made once for a run and shared by all its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import Misconfigured

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from ..credentials.kinds import Certificate


def tls_context(environment: Mapping[str, str], certificate: Certificate | None = None) -> ssl.SSLContext:
    """Verifying client settings, with the client certificate if one is given. Costs 15 to 30 ms.

    The authorities are those that `SSL_CERT_FILE`, `SSL_CERT_DIR` and `X509_CERT_DIR` of `environment` name; only
    where all three are unset, the system's. Raises Misconfigured.
    """
    import ssl

    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    settings.minimum_version = ssl.TLSVersion.TLSv1_2
    settings.set_alpn_protocols(["http/1.1"])
    # Some Pythons set it: a stream that was cut would then look like one that had ended.
    settings.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    if not _load_named_authorities(settings, environment):
        settings.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if certificate is not None:
        _load_certificate(settings, certificate)
    return settings


def _load_named_authorities(settings: ssl.SSLContext, environment: Mapping[str, str]) -> bool:
    """False when the environment names none."""
    named = False
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR", "X509_CERT_DIR"):
        path = environment.get(variable)
        if path:
            named = True
            _load_authorities(settings, variable, path)
    return named


def _load_authorities(settings: ssl.SSLContext, variable: str, path: str) -> None:
    import os

    wanted = "file" if variable.endswith("FILE") else "folder"
    if not (os.path.isfile(path) if wanted == "file" else os.path.isdir(path)):
        raise Misconfigured(
            f"{variable} is {path!r}, which is no {wanted}",
            remedy=f"set {variable} to a {wanted} of certificate authorities, or unset it to use the system's",
        )
    try:
        if wanted == "file":
            settings.load_verify_locations(cafile=path)
        else:
            settings.load_verify_locations(capath=path)
    except OSError as error:
        raise Misconfigured(
            f"{variable}: {path!r} cannot be used: {error.strerror or error}",
            remedy=f"set {variable} to a {wanted} of PEM certificates",
        ) from error


def _load_certificate(settings: ssl.SSLContext, certificate: Certificate) -> None:
    def password() -> str:
        # Without this OpenSSL would ask on the terminal.
        if certificate.passphrase is not None:
            return certificate.passphrase.reveal()
        raise Misconfigured(
            f"the key of credential {certificate.name} ({certificate.key}) is encrypted",
            remedy="give its pass phrase in the credentials file, name a key without one, or make a proxy certificate",
        )

    try:
        settings.load_cert_chain(certificate.certificate, certificate.key or None, password=password)
    except OSError as error:
        raise Misconfigured(
            f"the certificate of credential {certificate.name} ({certificate.certificate}) cannot be used: "
            f"{error.strerror or error}",
            remedy="check that the certificate and its key are readable PEM files that belong together",
        ) from error

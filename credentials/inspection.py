"""What is known of a credential before it is presented: where it came from, who may read it, how long and for what it
is good. Nothing here asks a service, and nothing that comes from here holds a secret.
"""

from __future__ import annotations

import os
import stat
import time
from enum import StrEnum

from .claims import claims_of
from .errors import CredentialError, UnsafeFile
from .kinds import AccessKey, Basic, Bearer, Certificate, Google, Headers, Irods, SshAgent, SshKey
from .private import check_private
from .records import NamedTuple
from .redaction import printable, redact_url

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from .certificates import Described
    from .kinds import Credential, Secret

LEEWAY: Final = 60.0
"""Seconds by which clocks may differ without anybody minding."""
_MOST_BYTES: Final = 1 << 20
_RENEW: Final = "get a new one, or one that is good for longer"


class Severity(StrEnum):
    ERROR = "error"
    """It will not work."""
    WARNING = "warning"
    """It may not work, and only trying tells."""
    NOTE = "note"


class Finding(NamedTuple):
    """Something that somebody should know. `code` is one of those listed in `docs/preflight.md`."""

    code: str
    severity: Severity
    message: str
    """One sentence for people, without secrets."""
    remedy: str = ""


class SourceFile(NamedTuple):
    """A file that a credential came from."""

    path: str
    mode: int | None
    """Permission bits; None where the file cannot be looked at."""
    owner: int | None = None
    """User id."""


class Inspection(NamedTuple):
    """What a credential tells of itself. Texts are empty, and times None, where it does not tell."""

    kind: str
    name: str
    origin: str
    files: tuple[SourceFile, ...] = ()
    subject: str = ""
    """Whom it stands for: the subject of a token, the identity behind a proxy, a user name."""
    issuer: str = ""
    audiences: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    not_before: float | None = None
    """Seconds since 1970, as `expires`."""
    expires: float | None = None
    service: str = ""
    """The URL that is configured for an access key; empty for Amazon's own."""
    renewable: bool = False
    """It is had again while a run goes on: read from a file of its own, or made by a command or a token service."""
    findings: tuple[Finding, ...] = ()

    def with_findings(self, *more: Finding) -> Inspection:
        return self._replace(findings=(*self.findings, *more))


def inspect(
    credential: Credential,
    *,
    now: float,
    expected_end: float | None = None,
    leeway: float = LEEWAY,
    insecure: bool = False,
) -> Inspection:
    """What is known of `credential`. Reads the files that it names; asks no service and verifies no signature.

    `now` and `expected_end` are in seconds since 1970: until then the credential is needed. `leeway` is by how much
    the clocks of this machine and of the service may differ. `insecure`: files that others can read are used all the same.
    """
    found = Inspection(credential.kind, credential.name, credential.origin)
    look = _LOOKS.get(type(credential))
    if look is not None:
        found = look(credential, found)
    files = tuple(map(source_file, _paths(credential)))
    ends = credential.expires if found.expires is None else found.expires
    found = found._replace(files=files, expires=ends, renewable=_is_renewed(credential))
    unsafe = (finding for path in _private_paths(credential) for finding in safety(path, insecure=insecure))
    return found.with_findings(*unsafe, *_times(found, now, expected_end, leeway))


def source_file(path: str) -> SourceFile:
    try:
        status = os.stat(path)
    except OSError:
        return SourceFile(path, None)
    return SourceFile(path, stat.S_IMODE(status.st_mode), status.st_uid)


def safety(path: str, *, insecure: bool = False) -> Iterator[Finding]:
    """Why the file at `path` is refused as one with a secret, if it is; with `insecure` that is a warning."""
    try:
        check_private(path)
    except FileNotFoundError:
        yield Finding(
            "missing-file", Severity.ERROR, f"{printable(path)} is not there", "ship it with the job"
        )
    except CredentialError as error:
        severity = Severity.WARNING if insecure and isinstance(error, UnsafeFile) else Severity.ERROR
        yield Finding("unsafe-file", severity, error.what.removesuffix(": refused"), error.remedy)


def utc(seconds: float) -> str:
    """`2026-11-22T07:52:07Z` for seconds since 1970."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


# --- which files


def _paths(credential: Credential) -> list[str]:
    return list(dict.fromkeys((*filter(None, _open_paths(credential)), *_private_paths(credential))))


def _private_paths(credential: Credential) -> list[str]:
    """Those that hold a secret."""
    own = ""
    if isinstance(credential, Certificate):
        own = credential.key or credential.certificate
    elif isinstance(credential, SshKey):
        own = credential.private_key
    public = () if own in _open_paths(credential) else _open_paths(credential)
    return [path for path in dict.fromkeys((own, *credential.files)) if path and path not in public]


def _open_paths(credential: Credential) -> tuple[str, ...]:
    """Those that may be known to everybody."""
    if isinstance(credential, Certificate | SshKey):
        return (credential.certificate,)
    return (credential.environment_file,) if isinstance(credential, Irods) else ()


def _is_renewed(credential: Credential) -> bool:
    """Whether it is had from elsewhere again while a run goes on: a token's own file, a command, a token service.

    What stands in a section of the credentials file stays as it is.
    """
    if isinstance(credential, AccessKey):
        return credential.origin.startswith("boto3")
    return isinstance(credential, Bearer) and bool(credential.files) and not credential.origin.startswith("[")


# --- what each kind tells


def _look_at_user(credential: Basic, found: Inspection) -> Inspection:
    return found._replace(subject=printable(credential.user))


def _look_at_token(credential: Bearer, found: Inspection) -> Inspection:
    return _with_claims(credential.token, found, known=credential.expires is not None)


def _look_at_headers(credential: Headers, found: Inspection) -> Inspection:
    for name, value in credential.fields:
        scheme, _, token = value.reveal().partition(" ")
        if name.lower() == "authorization" and scheme.lower() == "bearer":
            from .kinds import Secret

            return _with_claims(Secret(token), found)
    return found


def _look_at_key(credential: AccessKey, found: Inspection) -> Inspection:
    found = found._replace(service=redact_url(credential.endpoint))
    if credential.session_token is None:
        return found
    # Some services (MinIO, Ceph) give out session tokens that are JWTs.
    claims = claims_of(credential.session_token.reveal())
    if claims is not None and claims.expires is not None:
        return found._replace(expires=claims.expires)
    if credential.expires is not None:
        return found
    text = "the access key is temporary, and does not tell how long it is good"
    return found.with_findings(Finding("end-unknown", Severity.NOTE, text))


def _with_claims(token: Secret, found: Inspection, *, known: bool = False) -> Inspection:
    """`known`: how long it is good was told by whoever made it."""
    claims = claims_of(token.reveal())
    if claims is None and known:
        return found
    if claims is None:
        text = "the token is no JWT: how long and for what it is good only its service knows"
        return found.with_findings(Finding("end-unknown", Severity.NOTE, text))
    return found._replace(
        subject=printable(claims.subject),
        issuer=printable(claims.issuer),
        audiences=tuple(map(printable, claims.audiences)),
        scopes=tuple(map(printable, claims.scopes)),
        not_before=claims.not_before,
        expires=claims.expires,
    )


def _look_at_certificate(credential: Certificate, found: Inspection) -> Inspection:
    from .certificates import certificates_in, key_in

    try:
        content = _content(credential.certificate)
        chain = certificates_in(content)
        key = key_in(_content(credential.key) if credential.key else content)
    except FileNotFoundError as error:
        return found.with_findings(_bad_certificate(f"{printable(str(error.filename))} is not there"))
    except OSError as error:
        return found.with_findings(
            _bad_certificate(f"{printable(str(error.filename))} cannot be read: {error.strerror}")
        )
    except ValueError as error:
        return found.with_findings(_bad_certificate(f"{printable(credential.certificate)}: {error}"))
    if not chain:
        return found.with_findings(
            _bad_certificate(f"{printable(credential.certificate)} holds no certificate in PEM form")
        )
    return _with_chain(chain, found).with_findings(*_key_findings(credential, key))


def _with_chain(chain: tuple[Described, ...], found: Inspection) -> Inspection:
    """A proxy is good as long as every certificate down to its owner's."""
    length = next((number for number, each in enumerate(chain, 1) if not each.is_proxy), len(chain))
    own = chain[:length]
    return found._replace(
        subject=own[-1].subject,
        issuer=own[-1].issuer,
        not_before=max(each.not_before for each in own),
        expires=min(each.expires for each in own),
    )


def _key_findings(credential: Certificate, key: str) -> Iterator[Finding]:
    path = printable(credential.key or credential.certificate)
    if not key:
        yield _bad_certificate(f"{path} holds no private key")
    elif key == "encrypted" and credential.passphrase is None:
        text = f"the private key in {path} is encrypted, and nobody is there to type its pass phrase"
        yield Finding("encrypted-key", Severity.ERROR, text, "make a proxy certificate, or decrypt the key")
    elif not _belong_together(credential):
        yield _bad_certificate(f"the private key in {path} is not the one of the certificate")


def _belong_together(credential: Certificate) -> bool:
    import ssl

    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Never None: OpenSSL would ask on the terminal.
    phrase = credential.passphrase.reveal() if credential.passphrase is not None else ""
    try:
        settings.load_cert_chain(credential.certificate, credential.key or None, phrase)
    except (ssl.SSLError, OSError):
        return False
    return True


def _bad_certificate(text: str) -> Finding:
    return Finding("bad-certificate", Severity.ERROR, text, "make a new proxy, or name the right files")


def _content(path: str) -> bytes:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError("it is not a regular file")
    with open(path, "rb") as file:
        return file.read(_MOST_BYTES)


def _look_at_ssh_key(credential: SshKey, found: Inspection) -> Inspection:
    return found._replace(subject=printable(credential.user))


def _look_at_agent(credential: SshAgent, found: Inspection) -> Inspection:
    found = found._replace(subject=printable(credential.user))
    if os.path.exists(credential.socket):
        return found
    text = f"there is no ssh-agent at {printable(credential.socket)}"
    return found.with_findings(Finding("missing-file", Severity.ERROR, text, "start one, or name a key file"))


def _look_at_google(credential: Google, found: Inspection) -> Inspection:
    import json

    try:
        document = json.loads(credential.document.reveal())
    except ValueError:
        return found
    email = document.get("client_email") if isinstance(document, dict) else None
    return found._replace(subject=printable(email) if isinstance(email, str) else "")


_LOOKS: Final[dict[type[Credential], Callable[..., Inspection]]] = {
    AccessKey: _look_at_key,
    Basic: _look_at_user,
    Bearer: _look_at_token,
    Certificate: _look_at_certificate,
    Google: _look_at_google,
    Headers: _look_at_headers,
    SshAgent: _look_at_agent,
    SshKey: _look_at_ssh_key,
}


# --- times


def _times(found: Inspection, now: float, expected_end: float | None, leeway: float) -> Iterator[Finding]:
    begins, ends = found.not_before, found.expires
    if begins is not None and begins > now + leeway:
        yield Finding(
            "not-yet-valid",
            Severity.ERROR,
            f"it is not good before {utc(begins)}, in {duration(begins - now)}",
            "check this machine's clock, or wait",
        )
    if ends is None:
        return
    if ends <= now:
        yield Finding(
            "expired", Severity.ERROR, f"it expired at {utc(ends)}, {duration(now - ends)} ago", _RENEW
        )
    elif expected_end is not None and ends < expected_end:
        yield _expires_early(found, ends, expected_end)
    elif ends <= now + leeway:
        text = (
            f"it expires at {utc(ends)}, in {duration(ends - now)}: a service whose clock is ahead refuses it"
        )
        yield Finding("expires-early", Severity.WARNING, text, _RENEW)


def _expires_early(found: Inspection, ends: float, expected_end: float) -> Finding:
    text = f"it expires at {utc(ends)}, {duration(expected_end - ends)} before the expected end ({utc(expected_end)})"
    if found.renewable:
        remedy = "make sure that there is a new one in time: it is read or made again"
        return Finding("expires-early", Severity.WARNING, text, remedy)
    return Finding("expires-early", Severity.ERROR, text, _RENEW)


def duration(seconds: float) -> str:
    """`3 d 4 h`, `2 h 5 min`, `7 min`, `40 s`: two units at most."""
    left = int(seconds)
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
        if len(parts) == 2 or (parts and unit == "min"):
            break
    return " ".join(parts[:2]) or "0 s"

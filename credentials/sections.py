"""What a section of the credentials file presents, by the family of the scheme that asks. S3 keys: `access_keys`."""

from __future__ import annotations

from .errors import Misconfigured
from .kinds import Basic, Headers, Secret
from .query import (
    GLOBUS_SCHEMES,
    GOOGLE_SCHEMES,
    IRODS_SCHEMES,
    SSH_SCHEMES,
)
from .redaction import printable
from .tokens import Candidate, presented, token_in_file, token_in_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .file import Section
    from .kinds import Bearer, Credential
    from .means import Means
    from .minting import Mint
    from .query import Query


class Reader:
    """Makes credentials of sections."""

    def __init__(self, means: Means, mint: Mint) -> None:
        self._means = means
        self._mint = mint

    def credential(self, section: Section, query: Query, *, anew: bool = False) -> Credential | None:
        """What the section presents for `query`; None for nothing. `anew`: tokens are made again. Raises CredentialError."""
        if query.transport:
            return self._web(section, query, anew)
        if query.scheme in SSH_SCHEMES:
            return self._ssh(section)
        if query.scheme in GOOGLE_SCHEMES:
            from .google import google_in_section

            return google_in_section(section, self._means)
        if query.scheme in GLOBUS_SCHEMES:
            from .globus import globus_in_section

            return globus_in_section(section, self._means)
        if query.scheme in IRODS_SCHEMES:
            from .irods import irods_in_section

            return irods_in_section(section, self._means)
        if query.takes_tokens:
            return self.bearer(section, anew=anew) or self._certificate(section)
        return self._certificate(section)

    def bearer(self, section: Section, *, anew: bool = False) -> Bearer | None:
        """The token of the section: written there, in a file, or made."""
        if token := section.secret("token"):
            secret = token_in_text(token.reveal(), f"token in {section.origin}")
            return presented(Candidate(secret, section.name, section.origin, section.seen))
        if path := section.text("token_file"):
            secret, seen = token_in_file(path, f"token_file in {section.origin}", self._means.policy)
            return presented(Candidate(secret, section.name, section.origin, (*section.seen, seen)))
        return self._mint.bearer(section, anew=anew)

    def _web(self, section: Section, query: Query, anew: bool) -> Credential | None:
        """Several things together become header fields."""
        fields = _header_fields(section)
        bearer = self.bearer(section, anew=anew)
        user, password = section.text("username"), section.values.get("password")
        if not fields:
            if bearer is not None:
                return bearer
            if password is not None:
                return Basic(user, password, name=section.name, origin=section.origin, seen=section.seen)
            return self._certificate(section) if query.takes_certificates else None
        if bearer is not None:
            fields.append(("Authorization", Secret(f"Bearer {bearer.token.reveal()}")))
        elif password is not None:
            fields.append(("Authorization", _basic_value(user, password)))
        about = bearer or section
        expires = bearer.expires if bearer is not None else None
        return Headers(
            tuple(fields), name=section.name, origin=section.origin, expires=expires, seen=about.seen
        )

    def _certificate(self, section: Section) -> Credential | None:
        proxy, certificate = section.text("proxy"), section.text("certificate")
        if not proxy and not certificate:
            return None
        from .x509 import certificate_in

        key = proxy or section.text("key") or certificate
        phrase = section.secret("passphrase")
        return certificate_in(
            proxy or certificate, key, self._means, section.name, section.origin, phrase, section.seen
        )

    def _ssh(self, section: Section) -> Credential | None:
        path, password = section.text("private_key"), section.values.get("password")
        if path:
            from .ssh import key_at

            phrase, certificate = section.secret("passphrase"), section.text("certificate")
            user = section.text("username")
            return key_at(path, self._means, section.name, section.origin, phrase, certificate, user)
        if password is None:
            return None
        user = section.text("username")
        return Basic(user, password, name=section.name, origin=section.origin, seen=section.seen)


def _basic_value(user: str, password: Secret) -> Secret:
    from base64 import b64encode

    pair = f"{user}:{password.reveal()}".encode("utf-8", "surrogateescape")
    return Secret("Basic " + b64encode(pair).decode("ascii"))


def _header_fields(section: Section) -> list[tuple[str, Secret]]:
    fields = []
    for key, value in section.values.items():
        if not key.startswith("header."):
            continue
        name = section.spelled[key][len("header.") :]
        if not name or not all(letter.isascii() and (letter.isalnum() or letter in "-_.") for letter in name):
            raise Misconfigured(
                f"{section.origin}: header.{printable(name)} is not the name of a header field",
                "write it as header.Name = value",
            )
        if any((letter < " " and letter != "\t") or letter == "\x7f" for letter in value.reveal()):
            raise Misconfigured(
                f"{section.origin}: the value of header.{name} holds a control character", "remove it"
            )
        fields.append((name, value))
    return fields

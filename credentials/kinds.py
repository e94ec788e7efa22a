"""What can be presented to a service. Every kind hides its secret from `repr`, `str` and tracebacks.

A credential carries its `name` (what plans and errors call it by) and its `origin` (where it was found). Neither holds
a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NoReturn


class Secret:
    """A text that shows itself only when asked by `reveal()`. Comparable, hashable, not picklable."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")


class Credential:
    """The base of all kinds. `kind` is the word that capabilities declare."""

    __slots__ = ("name", "origin")

    kind = "anonymous"

    def __init__(self, name: str = "anonymous", origin: str = "nothing found") -> None:
        self.name = name
        self.origin = origin

    def _key(self) -> tuple[object, ...]:
        return (self.kind,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Credential) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, origin={self.origin!r})"


class Anonymous(Credential):
    """Presents nothing."""

    __slots__ = ()


class Basic(Credential):
    """User and password, for HTTP basic and FTP."""

    __slots__ = ("password", "user")
    kind = "basic"

    def __init__(self, user: str, password: Secret, *, name: str, origin: str) -> None:
        super().__init__(name, origin)
        self.user = user
        self.password = password

    def _key(self) -> tuple[object, ...]:
        return (self.kind, self.user, self.password)


class Bearer(Credential):
    """A token that is sent as `Authorization: Bearer`."""

    __slots__ = ("token",)
    kind = "bearer"

    def __init__(self, token: Secret, *, name: str, origin: str) -> None:
        super().__init__(name, origin)
        self.token = token

    def _key(self) -> tuple[object, ...]:
        return (self.kind, self.token)


class Headers(Credential):
    """HTTP header fields that are sent to one host only."""

    __slots__ = ("fields",)
    kind = "headers"

    def __init__(self, fields: tuple[tuple[str, Secret], ...], *, name: str, origin: str) -> None:
        super().__init__(name, origin)
        self.fields = fields

    def _key(self) -> tuple[object, ...]:
        return (self.kind, self.fields)


class Certificate(Credential):
    """An X.509 client certificate or proxy: paths of PEM files. The key may be in the certificate's file."""

    __slots__ = ("certificate", "key")
    kind = "x509"

    def __init__(self, certificate: str, key: str, *, name: str, origin: str) -> None:
        super().__init__(name, origin)
        self.certificate = certificate
        self.key = key

    def _key(self) -> tuple[object, ...]:
        return (self.kind, self.certificate, self.key)


class AccessKey(Credential):
    """An S3 access key, and what else is configured for its site.

    `endpoint` is a URL (`https://host[:port]`), empty for Amazon's own. `addressing` is `path`, `virtual` or empty for
    automatic. An empty `access_key` asks for an unsigned request.
    """

    __slots__ = ("access_key", "addressing", "endpoint", "region", "secret_key", "session_token")
    kind = "access-key"

    def __init__(
        self,
        access_key: str,
        secret_key: Secret,
        *,
        session_token: Secret | None = None,
        endpoint: str = "",
        region: str = "us-east-1",
        addressing: str = "",
        name: str,
        origin: str,
    ) -> None:
        super().__init__(name, origin)
        self.access_key = access_key
        self.secret_key = secret_key
        self.session_token = session_token
        self.endpoint = endpoint
        self.region = region
        self.addressing = addressing

    def _key(self) -> tuple[object, ...]:
        secrets = (self.access_key, self.secret_key, self.session_token)
        return (self.kind, *secrets, self.endpoint, self.region, self.addressing)

"""What can be presented to a service. Every kind hides its secrets from `repr`, `str` and tracebacks.

A credential carries its `name` (what plans and errors call it by) and its `origin` (where it was found); neither holds
a secret. Kinds are immutable and equal by what they present. They are not pickled, unless on purpose: `pack()`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Literal, NoReturn, Required, Self, TypedDict, Unpack

    from .packing import Packed
    from .private import Seen

    GoogleForm = Literal["service_account", "authorized_user", "external_account", "default", "anonymous"]
    GlobusForm = Literal["client", "refresh", "access"]
    IrodsForm = Literal["native", "pam", "ticket"]

    class About(TypedDict, total=False):
        """What every credential tells about itself."""

        name: Required[str]
        origin: Required[str]
        expires: float | None
        """Seconds since 1970; None where nobody knows."""
        seen: tuple[Seen, ...]
        """The files it came from, in the version that was read."""
        by_path: bool
        """Chosen among several by the path: for another path ask again."""


_LATEST: Final = 60.0
"""Seconds before its end at which a credential is renewed at the latest, unless it lives less than five minutes."""


class Secret:
    """A text that shows itself only when asked by `reveal()`. Comparable, hashable, not picklable."""

    __slots__ = ("_text",)
    _text: str

    def __init__(self, text: str) -> None:
        object.__setattr__(self, "_text", text)

    def reveal(self) -> str:
        return self._text

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Secret does not change")

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

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")


class Credential:
    """The base of all kinds. `kind` is the word that capabilities declare."""

    __slots__ = ("_renew_at", "by_path", "expires", "name", "origin", "seen")
    name: str
    origin: str
    expires: float | None
    seen: tuple[Seen, ...]
    by_path: bool
    _renew_at: float | None

    kind = "anonymous"

    def __init__(self, name: str = "anonymous", origin: str = "nothing found") -> None:
        self._freeze({"name": name, "origin": origin})

    def _freeze(self, about: About, **fields: object) -> None:
        """Sets everything, once."""
        expires = about.get("expires")
        put = object.__setattr__
        put(self, "name", about["name"])
        put(self, "origin", about["origin"])
        put(self, "expires", expires)
        put(self, "seen", about.get("seen", ()))
        put(self, "by_path", about.get("by_path", False))
        put(self, "_renew_at", None if expires is None else _before(expires))
        for field, value in fields.items():
            put(self, field, value)

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of the files with secrets that it came from."""
        return tuple(one.path for one in self.seen)

    def is_stale(self, now: float) -> bool:
        """Whether to ask again: it is about to end, or a file it came from has changed. `now`: seconds since 1970."""
        if self._renew_at is not None and now >= self._renew_at:
            return True
        return any(one.changed() for one in self.seen)

    def pack(self) -> Packed:
        """The credential with its secrets in the clear, to be pickled for another process. Nobody may store it."""
        from .packing import Packed

        return Packed(self)

    def _key(self) -> tuple[object, ...]:
        return (self.kind, *(getattr(self, field) for field in self.__slots__ if field not in _ABOUT))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a credential does not change: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a credential does not change: {name}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Credential) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, origin={self.origin!r})"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a credential is not pickled; pack() it if that is the purpose")


_ABOUT: Final = frozenset(Credential.__slots__)


def _before(expires: float) -> float:
    """When to renew what ends at `expires`: a minute earlier, or where less is left, a fifth of that."""
    from time import time

    return expires - min(_LATEST, max(0.0, expires - time()) / 5)


class Anonymous(Credential):
    """Presents nothing."""

    __slots__ = ()


class Basic(Credential):
    """User and password, for HTTP basic, FTP and SSH."""

    __slots__ = ("password", "user")
    user: str
    password: Secret
    kind = "basic"

    def __init__(self, user: str, password: Secret, **about: Unpack[About]) -> None:
        self._freeze(about, user=user, password=password)


class Bearer(Credential):
    """A token that is sent as `Authorization: Bearer`. What a JWT says of itself: `claims.claims_of`."""

    __slots__ = ("token",)
    token: Secret
    kind = "bearer"

    def __init__(self, token: Secret, **about: Unpack[About]) -> None:
        self._freeze(about, token=token)


class Headers(Credential):
    """HTTP header fields that are sent to one host only."""

    __slots__ = ("fields",)
    fields: tuple[tuple[str, Secret], ...]
    kind = "headers"

    def __init__(self, fields: tuple[tuple[str, Secret], ...], **about: Unpack[About]) -> None:
        self._freeze(about, fields=fields)


class Certificate(Credential):
    """An X.509 client certificate or proxy: paths of PEM files. The key may be in the certificate's file.

    Two of them are equal if the files' versions are too: a proxy that was made anew is another credential.
    """

    __slots__ = ("certificate", "key", "passphrase")
    certificate: str
    key: str
    passphrase: Secret | None
    kind = "x509"

    def __init__(
        self, certificate: str, key: str, *, passphrase: Secret | None = None, **about: Unpack[About]
    ) -> None:
        self._freeze(about, certificate=certificate, key=key, passphrase=passphrase)

    def _key(self) -> tuple[object, ...]:
        return (self.kind, self.certificate, self.key, self.passphrase, self.seen)


class AccessKey(Credential):
    """An S3 access key, and what else is configured for its site.

    `endpoint` is a URL (`https://host[:port]`), empty for Amazon's own. `addressing` is `path`, `virtual` or empty for
    automatic. An empty `access_key` asks for an unsigned request.
    """

    __slots__ = ("access_key", "addressing", "endpoint", "region", "secret_key", "session_token")
    access_key: str
    addressing: str
    endpoint: str
    region: str
    secret_key: Secret
    session_token: Secret | None
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
        **about: Unpack[About],
    ) -> None:
        self._freeze(
            about,
            access_key=access_key,
            secret_key=secret_key,
            session_token=session_token,
            endpoint=endpoint,
            region=region,
            addressing=addressing,
        )


class SshKey(Credential):
    """A private key's path, what opens it, and the path of the certificate that goes with it, if there is one."""

    __slots__ = ("certificate", "found_by_ssh", "passphrase", "private_key", "user")
    certificate: str
    found_by_ssh: bool
    """Nobody chose it: `ssh` takes it by itself, and would also take the others that the user has."""
    passphrase: Secret | None
    private_key: str
    user: str
    """Empty: the user of the URL."""
    kind = "ssh-key"

    def __init__(
        self,
        private_key: str,
        *,
        passphrase: Secret | None = None,
        certificate: str = "",
        user: str = "",
        found_by_ssh: bool = False,
        **about: Unpack[About],
    ) -> None:
        self._freeze(
            about,
            private_key=private_key,
            passphrase=passphrase,
            certificate=certificate,
            user=user,
            found_by_ssh=found_by_ssh,
        )


class SshAgent(Credential):
    """A running ssh-agent, by the path of its socket; it holds at least one key."""

    __slots__ = ("socket", "user")
    socket: str
    user: str
    kind = "ssh-agent"

    def __init__(self, socket: str, *, user: str = "", **about: Unpack[About]) -> None:
        self._freeze(about, socket=socket, user=user)


class Google(Credential):
    """A credential for Google Cloud Storage, as the JSON document that Google's libraries take.

    `form` is `service_account`, `authorized_user` or `external_account` (workload identity), the document's own word,
    or `default`: no document, Google's library knows it by itself; or `anonymous`: nothing is presented.
    """

    __slots__ = ("document", "encryption_key", "endpoint", "form", "project", "user_project")
    document: Secret
    encryption_key: Secret | None
    """The key that the service shall encrypt and decrypt objects with and forget: 32 bytes in base64."""
    endpoint: str
    """A URL (`https://host[:port]`); empty for Google's own."""
    form: GoogleForm
    project: str
    """Where buckets are created."""
    user_project: str
    """The project that pays for requests (`requester pays`); empty: the bucket's owner."""
    kind = "google"

    def __init__(
        self,
        form: GoogleForm,
        document: Secret,
        *,
        endpoint: str = "",
        project: str = "",
        user_project: str = "",
        encryption_key: Secret | None = None,
        **about: Unpack[About],
    ) -> None:
        self._freeze(
            about,
            form=form,
            document=document,
            encryption_key=encryption_key,
            endpoint=endpoint,
            project=project,
            user_project=user_project,
        )


class Globus(Credential):
    """What the Globus services take. `form` says what `secret` is: `client` (secret), `refresh` or `access` (token).

    `client_id` is empty where an access token needs none.
    """

    __slots__ = ("client_id", "form", "kept", "others", "secret")
    client_id: str
    form: GlobusForm
    kept: str
    """The path of the file where a refresh token that Globus replaces is written down; empty for nowhere."""
    others: tuple[tuple[str, Secret], ...]
    """Refresh or access tokens of other servers than Transfer: UUID of a collection, and the token for its files."""
    secret: Secret
    kind = "globus"

    def __init__(
        self,
        form: GlobusForm,
        secret: Secret,
        *,
        client_id: str = "",
        others: tuple[tuple[str, Secret], ...] = (),
        kept: str = "",
        **about: Unpack[About],
    ) -> None:
        self._freeze(about, form=form, secret=secret, client_id=client_id, others=others, kept=kept)


class Irods(Credential):
    """An iRODS environment file's path and what logs in with it.

    `form` is `native` or `pam` (with `password`, or else with what `authentication_file` holds), or `ticket`.
    """

    __slots__ = ("authentication_file", "environment_file", "form", "password", "ticket")
    authentication_file: str
    environment_file: str
    form: IrodsForm
    password: Secret | None
    ticket: Secret | None
    kind = "irods"

    def __init__(
        self,
        form: IrodsForm,
        environment_file: str,
        *,
        authentication_file: str = "",
        password: Secret | None = None,
        ticket: Secret | None = None,
        **about: Unpack[About],
    ) -> None:
        self._freeze(
            about,
            form=form,
            environment_file=environment_file,
            authentication_file=authentication_file,
            password=password,
            ticket=ticket,
        )

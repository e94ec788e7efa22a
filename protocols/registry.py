"""Which protocol speaks a scheme.

The built-in ones are a static table; other distributions add theirs under the entry-point group `wf.protocols`
(each entry point is a `Capability`), which is read only for schemes that the table does not know.
"""

from __future__ import annotations

from sys import modules

from .capability import Capability, Publish, Shape
from .errors import MissingExtra, Unsupported
from .locations import plain_scheme

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from .context import Context
    from .contract import Store

FILE: Final = Capability(
    protocol="file",
    schemes=("file", "symlink", "moveto"),
    implementation="wf.protocols.file:FileStore",
    shapes=(Shape.STORE, Shape.LINKER),
    local=True,
    read=True,
    read_range=True,
    read_version=True,
    read_times=True,
    read_modes=True,
    write=True,
    write_create_parents=True,
    write_resume=True,
    write_parts=True,
    write_parts_any_offset=True,
    write_times=True,
    write_modes=True,
    publish=Publish.ATOMIC,
    stat=True,
    list=True,
    make_directory=True,
    remove=True,
    remove_recursive=True,
    connections_start=1,
    connections_most=2,
    notes="symlink: links instead of copying, moveto: moves; both copy when the source is remote.",
)

HTTP: Final = Capability(
    protocol="http",
    schemes=("http", "https"),
    implementation="wf.protocols.http:HttpStore",
    read=True,
    read_range=True,
    read_version=True,
    read_times=True,
    write=True,
    publish=Publish.HELD,
    folders=False,
    stat=True,
    remove=True,
    credentials=("basic", "bearer", "headers", "x509"),
    ahead=16,
    ahead_in_order=True,
    notes="PUT needs a server that accepts it; such a PUT creates folders only if the server does.",
)

FTP: Final = Capability(
    protocol="ftp",
    schemes=("ftp",),
    implementation="wf.protocols.ftp:FtpStore",
    read=True,
    read_range=True,
    folders=False,
    stat=True,
    credentials=("basic",),
    connections_most=8,
    notes="A source only.",
)

S3: Final = Capability(
    protocol="s3",
    schemes=("s3", "s3s"),
    implementation="wf.protocols.s3:S3Store",
    shapes=(Shape.STORE, Shape.COPIER),
    read=True,
    read_range=True,
    read_version=True,
    write=True,
    write_wants_sha256=True,
    write_create_parents=True,
    write_parts=True,
    part_minimum=5 << 20,
    part_maximum=5 << 30,
    parts_most=10_000,
    publish=Publish.ATOMIC,
    folders=False,
    stat=True,
    list=True,
    make_directory=True,
    remove=True,
    remove_recursive=True,
    digest=("sha256",),
    credentials=("access-key",),
    ahead=16,
    ahead_in_order=True,
    behind=16,
    notes="A folder is a prefix: making one creates the bucket, removing one removes the keys below it.",
)

SFTP: Final = Capability(
    protocol="sftp",
    schemes=("sftp", "scp"),
    implementation="wf.protocols.sftp:SftpStore",
    extra="ssh",
    read=True,
    read_range=True,
    read_version=True,
    read_times=True,
    read_modes=True,
    write=True,
    write_create_parents=True,
    write_resume=True,
    write_parts=True,
    write_times=True,
    write_modes=True,
    publish=Publish.ATOMIC,
    stat=True,
    list=True,
    make_directory=True,
    remove=True,
    remove_recursive=True,
    digest=("sha256", "sha512", "sha384", "sha1", "md5"),
    credentials=("ssh-key", "ssh-agent", "basic"),
    connections_start=1,
    connections_most=4,
    ahead=32,
    behind=32,
    notes="Over the ssh program and its configuration; the extra is for passwords, and where there is no such program.",
)

WEBDAV: Final = Capability(
    protocol="webdav",
    schemes=("webdav", "webdavs", "dav", "davs", "gsidavs"),
    implementation="wf.protocols.webdav:WebdavStore",
    shapes=(Shape.STORE, Shape.COPIER),
    extra="webdav",
    read=True,
    read_range=True,
    read_version=True,
    read_times=True,
    write=True,
    write_create_parents=True,
    publish=Publish.ATOMIC,
    stat=True,
    list=True,
    make_directory=True,
    remove=True,
    remove_recursive=True,
    digest=("sha256", "sha512", "sha1", "md5", "adler32", "crc32c"),
    copy_between_services=True,
    credentials=("basic", "bearer", "headers", "x509"),
    notes="Where a server refuses MOVE, files are published as over http. The extra is for copies inside one server.",
)

GCS: Final = Capability(
    protocol="gcs",
    schemes=("gs",),
    implementation="wf.protocols.gcs:GcsStore",
    shapes=(Shape.STORE, Shape.COPIER),
    extra="gcs",
    read=True,
    read_range=True,
    read_version=True,
    write=True,
    write_create_parents=True,
    write_parts=True,
    part_minimum=1 << 20,
    parts_most=32_768,
    publish=Publish.ATOMIC,
    folders=False,
    stat=True,
    list=True,
    make_directory=True,
    remove=True,
    remove_recursive=True,
    digest=("crc32c", "md5"),
    copy_digest=("crc32c",),
    credentials=("google", "bearer"),
    notes="A folder is a prefix: making one creates the bucket. The extra is for credentials; public buckets need none.",
)

OSDF: Final = Capability(
    protocol="osdf",
    schemes=("osdf", "pelican", "stash"),
    implementation="wf.protocols.osdf:OsdfStore",
    shapes=(Shape.STORE, Shape.RESOLVER),
    read=True,
    read_range=True,
    read_version=True,
    write=True,
    write_create_parents=True,
    publish=Publish.HELD,
    stat=True,
    list=True,
    make_directory=True,
    remove=True,
    remove_recursive=True,
    digest=("crc32c", "md5", "adler32", "sha1"),
    trees=True,
    existing="verify",
    credentials=("bearer", "headers", "x509"),
    connections_most=32,
    notes="Read through caches, written to an origin. Other federations: pelican://host/. An object that is there and differs "
    "is refused unless --existing says otherwise.",
)

XROOTD: Final = Capability(
    protocol="xrootd",
    schemes=("root", "roots", "xroot", "xroots"),
    implementation="wf.protocols.xrootd:XrootdStore",
    shapes=(Shape.STORE, Shape.COPIER),
    extra="xrootd",
    requires=("XRootD",),
    read=True,
    read_range=True,
    read_version=True,
    write=True,
    write_create_parents=True,
    write_resume=True,
    publish=Publish.ATOMIC,
    stat=True,
    list=True,
    make_directory=True,
    remove=True,
    remove_recursive=True,
    digest=("adler32", "crc32c", "md5"),
    copy_digest=("adler32",),
    copy_between_services=True,
    credentials=("bearer", "x509"),
    connections_start=1,
    connections_most=8,
    notes="The library runs in processes of its own. `?xrdcl.unzip=NAME` reads a member of a zip archive.",
)

GLOBUS: Final = Capability(
    protocol="globus",
    schemes=("globus", "go"),
    implementation="wf.protocols.globus:GlobusStore",
    shapes=(Shape.STORE, Shape.SERVICE),
    extra="globus",
    requires=("globus_sdk",),
    read=True,
    read_range=True,
    write=True,
    write_create_parents=True,
    publish=Publish.ATOMIC,
    stat=True,
    list=True,
    make_directory=True,
    remove=True,
    remove_recursive=True,
    copy_digest=("sha256", "sha512", "sha1", "md5"),
    credentials=("globus",),
    connections_most=32,
    notes="Between two collections many copies are one task of the service. Anything else passes through the HTTPS server of the "
    "collection, or a Globus Connect Personal of this machine.",
)

IRODS: Final = Capability(
    protocol="irods",
    schemes=("irods",),
    implementation="wf.protocols.irods:IrodsStore",
    shapes=(Shape.STORE, Shape.COPIER),
    extra="irods",
    requires=("irods",),
    read=True,
    read_range=True,
    read_version=True,
    write=True,
    write_wants_sha256=True,
    write_create_parents=True,
    write_parts=True,
    part_minimum=16 << 20,
    part_maximum=1 << 30,
    publish=Publish.HELD,
    stat=True,
    list=True,
    make_directory=True,
    remove=True,
    remove_recursive=True,
    digest=("sha256",),
    copy_digest=("sha256",),
    credentials=("irods", "basic"),
    connections_start=1,
    connections_most=16,
    notes="An authority with a port is a server, without one a resource.",
)

BUILT_IN: Final = (FILE, HTTP, FTP, S3, SFTP, WEBDAV, GCS, GLOBUS, OSDF, XROOTD, IRODS)

PLANNED: Final = frozenset(
    {"gsiftp", "sshftp", "gsiscp", "srm"} | {"fdt", "rucio", "docker", "shub", "library", "hpss"}
)
"""Schemes that batches of this field use and that are not built yet."""


class Registry:
    """The protocols one run can use. Immutable after construction, apart from what entry points add on demand."""

    def __init__(self, capabilities: Iterable[Capability] = BUILT_IN, *, entry_points: bool = True) -> None:
        self._by_scheme = {scheme: item for item in capabilities for scheme in item.schemes}
        self._look_further = entry_points

    def capability(self, scheme: str) -> Capability | None:
        """The protocol that speaks `scheme`, or None."""
        # `NAME+osdf:` is osdf, with a token of that name.
        found = self._by_scheme.get(scheme) or self._by_scheme.get(plain_scheme(scheme))
        if found is None and self._look_further:
            self._look_further = False
            for item in _from_entry_points():
                for name in item.schemes:
                    self._by_scheme.setdefault(name, item)
            found = self._by_scheme.get(scheme)
        return found

    def all(self) -> tuple[Capability, ...]:
        """Every protocol known, once each."""
        self.capability("")
        return tuple(dict.fromkeys(self._by_scheme.values()))


def missing_modules(capability: Capability) -> tuple[str, ...]:
    """The modules this protocol requires and this environment lacks. Imports none of them."""
    if not capability.requires:
        return ()
    from importlib.util import find_spec

    return tuple(name for name in capability.requires if find_spec(name.partition(".")[0]) is None)


def why_unusable(registry: Registry, scheme: str) -> Unsupported | MissingExtra | None:
    """The error that a request with this scheme fails with, or None if the scheme can be used."""
    capability = registry.capability(scheme)
    if capability is None:
        planned = " yet" if scheme in PLANNED else ""
        return Unsupported(
            f"no protocol for scheme {scheme!r} is built{planned}",
            remedy="see `wf-transfer protocols` for the schemes that work",
        )
    missing = missing_modules(capability)
    if missing:
        return MissingExtra(
            f"{scheme}: needs the Python module {', '.join(missing)}",
            remedy=f"pip install 'wf-transfer[{capability.extra}]'",
        )
    return None


def make_store(capability: Capability, context: Context) -> Store:
    """A new store for one worker. Imports the protocol's module."""
    if not isinstance(capability.implementation, str):
        return capability.implementation(context)
    module, _, name = capability.implementation.partition(":")
    __import__(module)
    store: Store = getattr(modules[module], name)(context)
    return store


def _from_entry_points() -> tuple[Capability, ...]:
    from importlib.metadata import entry_points

    return tuple(point.load() for point in entry_points(group="wf.protocols"))

"""What the conformance suite is made with: contexts, contents, and calls whose errors are looked at closely."""

from __future__ import annotations

import hashlib
import logging
import ssl
import threading
from typing import TYPE_CHECKING, TypeVar

import pytest

from ..checksum.digest import Digest, new_hash
from ..credentials.kinds import Anonymous, Credential
from .context import BUFFER_BYTES, Context
from .errors import NotFound, TransferError
from .locations import Rule, rule_of
from .registry import make_store
from .values import Incoming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .capability import Capability
    from .contract import Reader, Store, Writer
    from .locations import Location
    from .values import Receipt

BUFFER = BUFFER_BYTES
SIZES = (0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER + 17)
GUARD = 30.0
"""Seconds after which something hangs. Nothing is measured by it."""

_ODD_NAMES = (
    "with blank",
    "quote ' and \" quote",
    "per%20cent",
    "per 100%",
    "plus+and&amp",
    "semi;colon",
    "$(touch harm) `touch harm` $HOME",
    "-dash",
    "hash#mark",
    "question?mark=1",
    "star*[a]",
    "back\\slash",
    "a:colon@sign",
    "~tilde",
    "new\nline",
    "unicode-äß日本🙂",
    "decomposed-u\u0308",
)
_DIFFERENT_FROM = {
    "per%20cent": "per cent",
    "hash#mark": "hash",
    "question?mark=1": "question",
    "plus+and&amp": "plus and&amp",
}

T = TypeVar("T")


def make_context(
    *,
    credential: Credential | Callable[[Location, str], Credential] | None = None,
    tls: ssl.SSLContext | None = None,
    stop: threading.Event | None = None,
    stall: float = 10.0,
    connect: float = 10.0,
) -> Context:
    """A context for tests. One credential stands for all locations; `tls` is the system's trust if not given."""
    presented = credential or Anonymous()

    def choose(location: Location, purpose: str) -> Credential:
        return presented if isinstance(presented, Credential) else presented(location, purpose)

    return Context(
        stop=stop or threading.Event(),
        connect=connect,
        stall=stall,
        credential=choose,
        tls=lambda _: tls or ssl.create_default_context(),
        log=logging.getLogger("wf.conformance"),
    )


class Suite:
    """The fixtures of the suite. A protocol's test gives the first two."""

    refused_names: frozenset[str] = frozenset()
    """Odd names that this service cannot store. Writing one must raise, and not store another name."""

    @pytest.fixture
    def capability(self) -> Capability:
        raise NotImplementedError("give the capability that is to be checked")

    @pytest.fixture
    def place(self) -> Location:
        raise NotImplementedError("give the location of a fresh folder")

    @pytest.fixture
    def context(self) -> Context:
        """Give another where the server asks for a credential."""
        return make_context()

    @pytest.fixture
    def store(self, capability: Capability, context: Context) -> Iterator[Store]:
        store = make_store(capability, context)
        yield store
        store.close()
        store.close()

    @pytest.fixture
    def other_store(self, capability: Capability, context: Context) -> Iterator[Store]:
        """Another worker's store, that knows nothing of what `store` has open."""
        store = make_store(capability, context)
        yield store
        store.close()

    @pytest.fixture
    def denied_location(self) -> Location | None:
        """An object that the credential of the context may not read; None if there cannot be one."""
        return None

    @pytest.fixture
    def cut_location(self) -> Location | None:
        """An object that is cut off in mid-body every time; None if there cannot be one."""
        return None

    @pytest.fixture
    def stalled_location(self) -> Location | None:
        """An object that never comes to its end; None if there cannot be one."""
        return None

    def put(self, store: Store, location: Location, data: bytes) -> None:
        """Override it where the protocol cannot write: the object has to appear on the server."""
        written(store, location, data)

    def get(self, store: Store, location: Location) -> bytes | None:
        """Override it where the protocol cannot read: what the server has, or None."""
        try:
            return drained(store.open_read(location))
        except NotFound:
            return None


def content(size: int) -> bytes:
    """Bytes in which no two pages are alike, the same ones every time."""
    pages = (hashlib.sha256(number.to_bytes(8, "big")).digest() * 128 for number in range(-(-size // 4096)))
    return b"".join(pages)[:size]


def drained(reader: Reader) -> bytes:
    """What is left of the reader, which is closed. Each view is copied at once, as it is only borrowed."""
    pieces = []
    try:
        while view := reader.read():
            pieces.append(bytes(view))
    finally:
        reader.close()
    return b"".join(pieces)


def begun(store: Store, location: Location, data: bytes, *, size: int | None = -1) -> Writer:
    """A writer that was given all of `data` and not committed. `size` is what is said beforehand, -1: the truth."""
    writer = store.open_write(location, Incoming(len(data) if size == -1 else size))
    view = memoryview(data)
    try:
        for first in range(0, len(data), BUFFER):
            writer.write(view[first : first + BUFFER])
    except BaseException:
        writer.abort()
        raise
    return writer


def written(store: Store, location: Location, data: bytes, *, size: int | None = -1) -> Receipt:
    writer = begun(store, location, data, size=size)
    try:
        return writer.commit(digests_for(writer, data))
    except BaseException:
        writer.abort()
        raise


def digests_for(writer: Writer, data: bytes) -> tuple[Digest, ...]:
    return tuple(digest_of(name, data) for name in dict.fromkeys(("sha256", *writer.algorithms)))


def digest_of(algorithm: str, data: bytes) -> Digest:
    made = new_hash(algorithm)
    made.update(data)
    return Digest(algorithm, made.digest())


def scribble(view: memoryview) -> None:
    """What the engine's next read does to a view that was lent to a writer."""
    view[:] = b"\xaa" * len(view)


def check_receipt(receipt: Receipt, data: bytes) -> None:
    assert receipt.size in (None, len(data)), "the receipt tells a wrong size"
    for digest in receipt.digests:
        assert digest == digest_of(digest.algorithm, data), "the receipt tells a wrong digest"


def refused(call: Callable[[], object], *kinds: type[TransferError]) -> TransferError:
    """The error that `call` raised, which must be one of `kinds`, reach as far as its kind does, and say something."""
    names = ", ".join(kind.__name__ for kind in kinds)
    error = error_of(call)
    assert error is not None, f"nothing was raised; expected {names}"
    assert isinstance(error, kinds), f"raised {error!r}, which is none of {names}"
    assert error.reach is type(error).reach, f"{error!r} reaches as far as {error.reach}"
    assert error.what.strip(), f"{error!r} says nothing"
    return error


def error_of(call: Callable[[], object]) -> TransferError | None:
    try:
        call()
    except TransferError as error:
        return error
    return None


def within_guard(call: Callable[[], T]) -> T:
    """What `call` returns or raises, in a thread of its own so that a hang is a failure."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(GUARD)
    assert not thread.is_alive(), f"still hanging after {GUARD:g} s"
    if errors:
        raise errors[0]
    return results[0]


def odd_names(scheme: str) -> list[tuple[str, str, str]]:
    """Names, each as it is, as a location of the scheme spells it, and a name that must not be mistaken for it."""
    if rule_of(scheme) is not Rule.URL:
        return [(name, name, _DIFFERENT_FROM.get(name, name + "x")) for name in _ODD_NAMES]
    from urllib.parse import quote

    return [(name, quote(name, safe=""), quote(name + "x", safe="")) for name in _ODD_NAMES]

"""The digest of some bytes, and the names its algorithms go by.

One type, `Digest`, stands for every spelling seen on the wire. Spellings other than hexadecimal are
codecs on top of it, so that two digests compare by their bytes and never by their text.
"""

from __future__ import annotations

from sys import modules

from .records import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final, Protocol

    class Hash(Protocol):
        """What hashlib's objects offer; checksums of other kinds imitate it."""

        def update(self, data: memoryview | bytes, /) -> None: ...
        def digest(self) -> bytes: ...


_SHORTENED: Final[dict[str, int]] = {f"blake2b-{8 * size}": size for size in range(1, 64)}
"""BLAKE2b of fewer than its 64 bytes, as `b2sum -l` has it: other parameters give other values (RFC 7693, 2.5), no prefix."""


class _Sizes(dict[str, int]):
    """Holds the algorithms that have one size, and gives that of a shortened one (`blake2b-256`) to who asks by name."""

    def __missing__(self, algorithm: str) -> int:
        return _SHORTENED[algorithm]


SIZES: Final[dict[str, int]] = _Sizes(
    {
        "sha256": 32,
        "sha512": 64,
        "sha384": 48,
        "sha1": 20,
        "md5": 16,
        "blake2b": 64,
        "crc32": 4,
        "crc32c": 4,
        "crc64nvme": 8,
        "adler32": 4,
    }
)
"""Length in bytes of each algorithm's value."""

KNOWN: Final = frozenset((*SIZES, *_SHORTENED))
"""The canonical names. An algorithm that is not here is not known."""

KNOWN_IN_WORDS: Final = f"{', '.join(SIZES)}, blake2b-8 to blake2b-504 (bits)"
"""For messages and help."""

_NAMES: Final[dict[str, str]] = {
    "sha-256": "sha256",
    "sha2": "sha256",
    "sha2-256": "sha256",
    "sha-512": "sha512",
    "sha2-512": "sha512",
    "sha-384": "sha384",
    "sha2-384": "sha384",
    "sha": "sha1",
    "sha-1": "sha1",
    "adler": "adler32",
    "blake2b-512": "blake2b",
    "blake2b512": "blake2b",
}
_UNDASHED: Final = {name.replace("-", ""): name for name in _SHORTENED}
"""As RFC 8493 (2.4) makes file names of them."""
_CANONICAL: Final = {**dict(zip(KNOWN, KNOWN, strict=True)), **_UNDASHED, **_NAMES}


class Digest(NamedTuple):
    """An algorithm's canonical name and the raw bytes of the value."""

    algorithm: str
    value: bytes

    @property
    def hex(self) -> str:
        return self.value.hex()

    @property
    def base64(self) -> str:
        from binascii import b2a_base64

        return b2a_base64(self.value, newline=False).decode("ascii")

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.value.hex()}"


def canonical_algorithm(name: str) -> str | None:
    """The canonical name (`sha256`) of an algorithm under any of its names, or None if it is unknown.

    It is always the same object, so that a million digests do not hold its text a million times.
    """
    return _CANONICAL.get(name) or _CANONICAL.get(name.strip().lower())


def names_of(algorithm: str) -> tuple[str, ...]:
    """The lower-case names that mean this algorithm, the canonical one first."""
    others = {**_NAMES, **_UNDASHED}
    return (algorithm, *(name for name, canonical in others.items() if canonical == algorithm))


def parse_hex(algorithm: str, text: str) -> Digest:
    """The digest that the hexadecimal `text` spells; blanks around it do not matter.

    Raises ValueError for an unknown algorithm, for text that is not hexadecimal, and for a value whose
    length is not that of the algorithm.
    """
    name = _known(algorithm)
    value = _bytes_of(text.strip())
    if value is None:
        raise ValueError(f"the {name} value is not hexadecimal")
    return checked(name, value)


def value_of(algorithm: str, digits: bytes | str) -> bytes | None:
    """The value that hexadecimal digits spell; None unless they are just that, and as many as the algorithm has.

    What `parse_hex` is for people, this is for the lines of manifests. `algorithm` is a canonical name.
    """
    value = _bytes_of(digits if isinstance(digits, str) else digits.decode("latin-1"))
    return value if value is not None and len(value) == SIZES[algorithm] else None


def _bytes_of(digits: str) -> bytes | None:
    """Without `binascii`, a library that would be loaded for this alone. `fromhex` skips blanks, so their absence is checked."""
    try:
        value = bytes.fromhex(digits)
    except ValueError:
        return None
    return value if 2 * len(value) == len(digits) else None


def parse_base64(algorithm: str, text: str) -> Digest:
    """The digest that `text` spells in base64 (RFC 4648 section 4, padded).

    Raises ValueError as `parse_hex` does.
    """
    name = _known(algorithm)
    from binascii import a2b_base64

    try:
        value = a2b_base64(text.strip(), strict_mode=True)
    except ValueError:
        raise ValueError(f"the {name} value is not base64") from None
    return checked(name, value)


def checked(algorithm: str, value: bytes) -> Digest:
    """A digest whose length has been compared with its algorithm's; raises ValueError if it differs."""
    if len(value) != SIZES[algorithm]:
        raise ValueError(f"a {algorithm} value has {SIZES[algorithm]} bytes, not {len(value)}")
    return Digest(algorithm, value)


def new_hash(algorithm: str, *, little: bool = False) -> Hash:
    """A fresh incremental hash. `algorithm` is a canonical name; any other raises ValueError.

    `little`: it will be fed `LITTLE` bytes at most.
    """
    constructor = _CONSTRUCTORS.get(algorithm)
    if constructor is not None:
        return constructor(usedforsecurity=False)
    if algorithm in ("crc32", "adler32"):
        return _ZlibHash(algorithm)
    if algorithm in ("crc32c", "crc64nvme"):
        from .crc import new_crc

        return new_crc(algorithm)
    if algorithm not in KNOWN:
        raise _unknown(algorithm)
    if little and algorithm == "sha256" and (own := _interpreters_own()) is not None:
        return own()
    import hashlib

    if algorithm in _SHORTENED:
        return hashlib.blake2b(digest_size=_SHORTENED[algorithm], usedforsecurity=False)
    # The constructor of that name is found faster than by hashlib.new.
    _CONSTRUCTORS[algorithm] = getattr(hashlib, algorithm)
    return new_hash(algorithm)


_CONSTRUCTORS: Final[dict[str, Callable[..., Hash]]] = {}
"""Those of hashlib that were used: an import in each call shows where files are small."""

LITTLE: Final = 8 << 10
"""Bytes for which loading OpenSSL (2 ms) costs more than the interpreter's own, slower SHA-256."""


def sha256_of(data: bytes | memoryview) -> bytes:
    """The SHA-256 of `data`: of little data by the interpreter itself as long as nothing has loaded hashlib."""
    constructor = _CONSTRUCTORS.get("sha256")
    if constructor is not None:
        return constructor(data, usedforsecurity=False).digest()
    one = new_hash("sha256", little=len(data) <= LITTLE)
    one.update(data)
    return one.digest()


def _interpreters_own() -> Callable[[], Hash] | None:
    """Python's own SHA-256; None where it is missing, or OpenSSL's is loaded already."""
    for name in () if "hashlib" in modules else ("_sha256", "_sha2"):  # Python 3.11, and those after it
        try:
            found: Callable[[], Hash] = __import__(name).sha256
        except ImportError:
            continue
        return found
    return None


class Hashes:
    """Several algorithms fed by one pass over the bytes. Names are canonical; a repeated one counts once. `little` as in `new_hash`."""

    __slots__ = ("_hashes", "update")

    update: Callable[[memoryview | bytes], None]

    def __init__(self, algorithms: Iterable[str], *, little: bool = False) -> None:
        self._hashes = [(name, new_hash(name, little=little)) for name in dict.fromkeys(algorithms)]
        # The only hash's own method: one algorithm costs no call more than without this class.
        self.update = self._hashes[0][1].update if len(self._hashes) == 1 else self._update_all

    def _update_all(self, data: memoryview | bytes) -> None:
        for _, one in self._hashes:
            one.update(data)

    def digests(self) -> tuple[Digest, ...]:
        """The digests of all bytes so far, in the order in which the algorithms were given."""
        return tuple([Digest(name, one.digest()) for name, one in self._hashes])


class _ZlibHash:
    """CRC-32 (ISO 3309, as zip and gzip have it) or Adler-32 (RFC 1950), most significant byte first."""

    __slots__ = ("_step", "_value")

    def __init__(self, algorithm: str) -> None:
        import zlib

        self._step = zlib.crc32 if algorithm == "crc32" else zlib.adler32
        self._value = self._step(b"")

    def update(self, data: memoryview | bytes, /) -> None:
        self._value = self._step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _known(algorithm: str) -> str:
    name = canonical_algorithm(algorithm)
    if name is None:
        raise _unknown(algorithm)
    return name


def _unknown(algorithm: str) -> ValueError:
    return ValueError(f"unknown digest algorithm {algorithm!r}; known are {KNOWN_IN_WORDS}")

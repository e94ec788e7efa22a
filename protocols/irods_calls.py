"""Queries, collections, copies, checksums and metadata by python-irodsclient, over a wire of ours.

To the library `Calls` is a session, its pool and its connection in one; what waits is `Wire`, with its limits and its eye on
the end of the run. Error codes come out as `Refused`, also those for which the library has no exception.
"""

from __future__ import annotations

import re
from contextlib import contextmanager

from .errors import ServerFault, TransferError
from .irods_errors import NO_ROWS, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Final, Self

    from .irods_wire import Wire

_ODD: Final = re.compile(rb"[\x00-\x08\x0b-\x1f]|\xef\xbf[\xbe\xbf]")
"""What XML cannot hold or, of a carriage return, changes."""


class Calls:
    """The library's managers of collections, data objects and metadata. With `patience` as `Wire.answer` has it."""

    ticket__ = ""
    numThreads = 0

    def __init__(self, wire: Wire, patience: float = 0.0) -> None:
        self.pool = self
        self._wire = wire
        self._patience = patience

    @property
    def collections(self) -> Any:
        from irods.manager.collection_manager import CollectionManager  # type: ignore[import-untyped]

        return CollectionManager(self)

    @property
    def data_objects(self) -> Any:
        from irods.manager.data_object_manager import DataObjectManager  # type: ignore[import-untyped]

        return DataObjectManager(self)

    @property
    def metadata(self) -> Any:
        from irods.manager.metadata_manager import MetadataManager  # type: ignore[import-untyped]

        return MetadataManager(self)

    def call(self, name: str, message: object) -> Any:
        """The answer to a request that no manager makes, named as in the library's list of them."""
        from irods.api_number import api_number  # type: ignore[import-untyped]
        from irods.message import iRODSMessage  # type: ignore[import-untyped]

        self.send(iRODSMessage("RODS_API_REQ", msg=message, int_info=api_number[name]))
        return self.recv()

    # --- what the library asks its session, its pool and its connection for

    def query(self, *columns: object) -> Any:
        from irods.query import Query  # type: ignore[import-untyped]

        return Query(self, *columns)

    @property
    def server_version(self) -> tuple[int, ...]:
        return self._wire.version

    def get_connection(self) -> Calls:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, message: Any) -> None:
        body = message.msg.pack() if message.msg else ""
        self._wire.ask(message.int_info, body.encode("utf-8", "surrogateescape"))

    def recv(self, **_: object) -> Any:
        from irods.exception import CAT_NO_ROWS_FOUND  # type: ignore[import-untyped]
        from irods.message import iRODSMessage

        try:
            number, message = self._wire.answer(patience=self._patience)
        except Refused as refused:
            if refused.code == NO_ROWS:  # which a query means to see
                raise CAT_NO_ROWS_FOUND(refused.text) from refused
            raise
        choose_parser(message, self._wire.version)
        return iRODSMessage(b"RODS_API_REPLY", message or None, int_info=number)

    def reply(self, number: int) -> None:
        self._wire.send([number.to_bytes(4, "big")])


def choose_parser(message: bytes, version: tuple[int, ...]) -> None:
    """Has the library parse that message, the next of this thread, by what can: its parser for what XML cannot hold takes
    a time that grows with the square. Raises ValueError for what is no message at all."""
    from irods.message import ET, XML_Parser_Type

    if b"<!" in message:
        raise ValueError("the answer declares something, as no message of iRODS does")
    odd = _ODD.search(message) or (version < (4, 2, 9) and b"&apos;" in message)
    ET(XML_Parser_Type.QUASI_XML if odd else XML_Parser_Type.STANDARD_XML, version)


@contextmanager
def library(wire: Wire, patience: float = 0.0) -> Iterator[Calls]:
    """For calls of the library. Whatever it raises comes out as Refused or TransferError."""
    from irods.exception import iRODSException

    try:
        yield Calls(wire, patience)
    except (Refused, TransferError):
        raise
    except iRODSException as error:
        raise Refused(error.code, str(error.args[0] or "") if error.args else "") from None
    except Exception as error:  # noqa: BLE001 - whatever comes of parsing what is no message
        wire.drop()
        raise ServerFault(
            f"{wire.what}: the answer makes no sense ({error!r:.200}): is that an iRODS server?",
            host=wire.host,
        ) from None


def rows(wire: Wire, columns: Sequence[Any], *criteria: object, zone: str = "") -> Iterator[tuple[Any, ...]]:
    """The rows of a query, page by page; none where nothing has such a name. Raises Refused."""
    query = None
    while True:
        try:
            with library(wire) as calls:
                if query is None:
                    query = calls.query(*columns).filter(*criteria)
                    if zone:
                        query = query.add_keyword("zone", zone)
                page = query.execute()
                found = [tuple([row[column] for column in columns]) for row in page]
        except Refused as refused:
            if refused.absent:
                return
            raise
        yield from found
        if page.continue_index <= 0:
            return
        query = query.continue_index(page.continue_index)

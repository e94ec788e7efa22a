"""`NamedTuple` without the module `typing`, which would cost every start with a remote end 3 ms.

Type checkers see `typing`'s own. Modules that import from here say `TYPE_CHECKING = False` for the same reason.
`wf.checksum` makes such types faster, but this package imports nothing of ours.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from collections import namedtuple

    class _Record(type):
        """Makes a namedtuple of a class body: annotated names are fields, in order; the rest are attributes."""

        def __new__(cls, name, bases, body):
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = body.get("__annotations__", {})
            defaults = [body.pop(field) for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults)
            return type(name, (made,), {**body, "__slots__": ()})

    class NamedTuple(metaclass=_Record):
        """`typing.NamedTuple`, as far as this package uses it."""


__all__ = ["NamedTuple"]

"""Bases of value types for modules that every start loads, without the module `typing`, which costs 2 ms.

Type checkers see `typing`'s own. Modules that import from here say `TYPE_CHECKING = False` for the same reason.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple, Protocol
else:
    from collections import namedtuple

    class _Record(type):
        """Makes a namedtuple of a class body: annotated names are fields, in order; the rest are attributes."""

        def __new__(cls, name, bases, body):
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = body.get("__annotations__", {})
            defaults = [body.pop(field) for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults, module=body["__module__"])
            for key, value in body.items():
                if key != "__slots__":
                    setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_Record):
        """`typing.NamedTuple`, as far as this package uses it."""

    class Protocol:
        """`typing.Protocol`, for type checkers only."""


__all__ = ["NamedTuple", "Protocol"]

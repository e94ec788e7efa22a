"""Bases of value types for modules that every start loads, cheaper to define than the standard library's.

The module `typing` alone would cost 2 ms, and a quarter of a small job's start would go into defining types.
Type checkers see `typing`'s own. Modules that import from here say `TYPE_CHECKING = False` for the same reason.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from enum import StrEnum
    from typing import NamedTuple, Protocol
else:
    import enum
    from collections import _tuplegetter as field_at

    new = tuple.__new__

    CONSTRUCTORS = {
        0: lambda _cls: new(_cls, ()),
        1: lambda _cls, a: new(_cls, (a,)),
        2: lambda _cls, a, b: new(_cls, (a, b)),
        3: lambda _cls, a, b, c: new(_cls, (a, b, c)),
        4: lambda _cls, a, b, c, d: new(_cls, (a, b, c, d)),
        5: lambda _cls, a, b, c, d, e: new(_cls, (a, b, c, d, e)),
        6: lambda _cls, a, b, c, d, e, f: new(_cls, (a, b, c, d, e, f)),
        7: lambda _cls, a, b, c, d, e, f, g: new(_cls, (a, b, c, d, e, f, g)),
        8: lambda _cls, a, b, c, d, e, f, g, h: new(_cls, (a, b, c, d, e, f, g, h)),
        9: lambda _cls, a, b, c, d, e, f, g, h, i: new(_cls, (a, b, c, d, e, f, g, h, i)),
        10: lambda _cls, a, b, c, d, e, f, g, h, i, j: new(_cls, (a, b, c, d, e, f, g, h, i, j)),
        11: lambda _cls, a, b, c, d, e, f, g, h, i, j, k: new(_cls, (a, b, c, d, e, f, g, h, i, j, k)),
        12: lambda _cls, a, b, c, d, e, f, g, h, i, j, k, l: new(_cls, (a, b, c, d, e, f, g, h, i, j, k, l)),
        16: lambda _cls, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p: new(
            _cls, (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
        ),
    }
    """By number of fields, 16 being those of an outcome, of which each request has one. `collections.namedtuple` compiles one for
    each type, which is half of what a type costs."""

    def constructor(name, fields, defaults):
        """Takes the values by position or by the names of the fields."""
        alike = CONSTRUCTORS.get(len(fields))
        if alike is None:
            return slow_constructor(name, fields, defaults)
        code = alike.__code__.replace(
            co_name="__new__", co_qualname=f"{name}.__new__", co_varnames=("_cls", *fields)
        )
        return type(alike)(code, globals(), "__new__", tuple(defaults.values()))

    def slow_constructor(name, fields, defaults):
        """The same for any number of fields: for wide types of which few are made, since those are slow to compile."""
        names = frozenset(fields)

        def __new__(_cls, /, *values, **named):
            known = {**defaults, **dict(zip(fields, values, strict=False)), **named}
            twice = named.keys() & fields[: len(values)]
            if len(values) > len(fields) or known.keys() != names or twice:
                wrong = ", ".join(twice or known.keys() ^ names) or f"{len(values)} values"
                raise TypeError(f"{name}.__new__() takes each of its fields once, not {wrong}")
            return new(_cls, map(known.__getitem__, fields))

        return __new__

    class _Values(tuple):
        """What `collections.namedtuple` gives to each of its types."""

        __slots__ = ()

        @classmethod
        def _make(cls, values):
            made = new(cls, values)
            if len(made) != len(cls._fields):
                raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
            return made

        def _replace(self, /, **changed):
            made = self._make(map(changed.pop, self._fields, self))
            if changed:
                raise ValueError(f"Got unexpected field names: {list(changed)!r}")
            return made

        __replace__ = _replace

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self):
            fields = ", ".join([f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True)])
            return f"{type(self).__name__}({fields})"

        def __getnewargs__(self):
            return tuple(self)

    class _Record(type):
        """Makes a named tuple of a class body: annotated names are fields, in order; the rest are attributes."""

        def __new__(cls, name, bases, body):
            if not bases:
                return super().__new__(cls, name, bases, body)
            fields = tuple(body.get("__annotations__", ()))
            defaults = {field: body.pop(field) for field in fields if field in body}
            body |= {field: field_at(number, None) for number, field in enumerate(fields)}
            body |= {
                "__slots__": (),
                "__match_args__": fields,
                "_fields": fields,
                "_field_defaults": defaults,
            }
            body["__new__"] = constructor(name, fields, defaults)
            return type(name, (_Values,), body)

    class NamedTuple(metaclass=_Record):
        """`typing.NamedTuple`, as far as this package uses it."""

    class _Words(type):
        """Makes an `enum.StrEnum` of a class body, as modules of the standard library do: in half the time."""

        def __new__(cls, name, bases, body):
            if not bases:
                return super().__new__(cls, name, bases, body)
            made = enum._simple_enum(enum.StrEnum)(type(name, (), body))
            # Python 3.11 puts descriptors written in Python there, and a request asks for members dozens of times.
            for word, member in made._member_map_.items():
                type.__setattr__(made, word, member)
            return made

    class StrEnum(metaclass=_Words):
        """`enum.StrEnum`, of which what is made here is a subclass."""

    if not hasattr(enum, "_simple_enum"):
        StrEnum = enum.StrEnum

    class Protocol:
        """`typing.Protocol`, for type checkers only."""


__all__ = ["NamedTuple", "Protocol", "StrEnum"]

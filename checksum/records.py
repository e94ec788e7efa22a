"""Bases of value types for modules that every start loads, without the module `typing`, which costs 2 ms.

Type checkers see `typing`'s own. Modules that import from here say `TYPE_CHECKING = False` for the same reason.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple, Protocol
else:
    from collections import _tuplegetter as field_at

    new = tuple.__new__

    CONSTRUCTORS = (
        lambda _cls: new(_cls, ()),
        lambda _cls, a: new(_cls, (a,)),
        lambda _cls, a, b: new(_cls, (a, b)),
        lambda _cls, a, b, c: new(_cls, (a, b, c)),
        lambda _cls, a, b, c, d: new(_cls, (a, b, c, d)),
        lambda _cls, a, b, c, d, e: new(_cls, (a, b, c, d, e)),
        lambda _cls, a, b, c, d, e, f: new(_cls, (a, b, c, d, e, f)),
        lambda _cls, a, b, c, d, e, f, g: new(_cls, (a, b, c, d, e, f, g)),
        lambda _cls, a, b, c, d, e, f, g, h: new(_cls, (a, b, c, d, e, f, g, h)),
        lambda _cls, a, b, c, d, e, f, g, h, i: new(_cls, (a, b, c, d, e, f, g, h, i)),
    )
    """By number of fields. `collections.namedtuple` compiles one for each type, which is half of what a type costs."""

    def constructor(name, fields, defaults):
        """Takes the values by position or by the names of the fields, as if it were compiled for them."""
        if len(fields) < len(CONSTRUCTORS):
            alike = CONSTRUCTORS[len(fields)]
        else:
            alike = eval("lambda _cls, {0}: new(_cls, ({0}))".format(", ".join(fields)))
        code = alike.__code__.replace(
            co_name="__new__", co_qualname=f"{name}.__new__", co_varnames=("_cls", *fields)
        )
        return type(alike)(code, globals(), "__new__", defaults)

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
            body["__new__"] = constructor(name, fields, tuple(defaults.values()))
            return type(name, (_Values,), body)

    class NamedTuple(metaclass=_Record):
        """`typing.NamedTuple`, as far as this package uses it."""

    class Protocol:
        """`typing.Protocol`, for type checkers only."""


__all__ = ["NamedTuple", "Protocol"]

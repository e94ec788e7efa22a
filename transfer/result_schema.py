"""What the fields of the result document mean: one table, from which schema and documentation are generated.

`python -m wf.transfer.result_schema` prints the JSON Schema; the file beside this module is that text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..protocols import errors
from .outcomes import Status
from .routes import Route
from .settings import Evidence, Exit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    Json = dict[str, object]


class Field(NamedTuple):
    """One member of one of the document's objects. All of them are always there."""

    name: str
    schema: Json
    meaning: str


def error_classes() -> tuple[type[errors.TransferError], ...]:
    """Every kind of error that an outcome can hold, in the order of the tree's drawing."""
    # Plug-ins may refine these; what they add has no code of its own.
    return tuple(each for each in errors.TransferError.__subclasses__() if each.__module__ == errors.__name__)


_STRING: Final[Json] = {"type": "string"}
_COUNT: Final[Json] = {"type": "integer", "minimum": 0}
_SECONDS: Final[Json] = {"type": "number"}
_TIME: Final[Json] = {"type": "string", "format": "date-time"}
_URL: Final[Json] = {"type": ["string", "null"]}
_DIGEST: Final[Json] = {"type": "string", "pattern": "^[a-z0-9]+:[0-9a-f]+$"}
_NO_ERROR_OR: Final[Json] = {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/error"}]}
_ROUTE: Final[Json] = {"enum": ["", *(route.value for route in Route)]}

DOCUMENT: Final = (
    Field("version", {"const": 1}, "of this format; it stays while fields are only added"),
    Field("tool", {"$ref": "#/$defs/tool"}, "what wrote the document"),
    Field("started", _TIME, "when the run began, UTC"),
    Field("finished", _TIME, "when the run ended, UTC"),
    Field("exit", {"enum": [code.value for code in Exit]}, "exit code of the command"),
    Field("totals", {"$ref": "#/$defs/totals"}, "counters over all requests"),
    Field(
        "integrity",
        {"type": "object", "additionalProperties": {"$ref": "#/$defs/checks"}},
        "digests compared with an expected one, by the request's `linkage`; only linkages with any",
    ),
    Field(
        "requests",
        {"type": "array", "items": {"$ref": "#/$defs/request"}},
        "one element for each request, in the order in which they ended",
    ),
)

TOOL: Final = (
    Field("name", _STRING, "`wf-transfer`"),
    Field("version", _STRING, "its version"),
)

TOTALS: Final = (
    Field("requests", _COUNT, "all requests that ended"),
    Field("done", _COUNT, "of these: succeeded"),
    Field("failed", _COUNT, "of these: failed"),
    Field("skipped", _COUNT, "of these: not run because of another request"),
    Field("stopped", _COUNT, "of these: not finished when the run was stopped"),
    Field("attempts", _COUNT, "all attempts, failed ones included"),
    Field("bytes", _COUNT, "sizes of successful transfers together"),
)

CHECKS: Final = (
    Field("checked", _COUNT, "digests compared"),
    Field("failed", _COUNT, "of these: different from the expected one"),
    Field("seconds", _SECONDS, "spent on comparing beyond the transfers themselves"),
)

REQUEST: Final = (
    Field("index", _COUNT, "position in the batch, from 0"),
    Field("id", _STRING, "the batch's `id`, empty if it gave none; need not be unique"),
    Field("lfn", _STRING, "logical file name, may be empty"),
    Field("type", {"enum": ["transfer", "mkdir", "remove"]}, "as in the batch"),
    Field("status", {"enum": [status.value for status in Status]}, "what became of it"),
    Field(
        "route", _ROUTE, "which way the bytes went; empty if there was no attempt, and for mkdir and remove"
    ),
    Field("source", _URL, "of the last attempt; null if there was none, and for mkdir and remove"),
    Field("destination", _URL, "of the last attempt, null if there was none; the target of mkdir and remove"),
    Field("bytes", _COUNT, "size of the file, or how far the last attempt came"),
    Field("seconds", _SECONDS, "from its first attempt to its end, without time spent waiting in the queue"),
    Field(
        "digest",
        {"oneOf": [{"type": "null"}, _DIGEST]},
        "`sha256:` and the value, where the bytes passed through here",
    ),
    Field("digests", {"type": "array", "items": _DIGEST}, "in other algorithms, where known"),
    Field(
        "evidence",
        {"enum": [evidence.value for evidence in Evidence]},
        "how strongly the copy at the destination is known to be right",
    ),
    Field("checked", {"type": "boolean"}, "a digest of the bytes was compared with an expected one"),
    Field("left_behind", _URL, "a name that holds something wrong or unfinished and could not be removed"),
    Field("error", _NO_ERROR_OR, "why it is not done; a skipped request has that of what it waited for"),
    Field("attempts", {"type": "array", "items": {"$ref": "#/$defs/attempt"}}, "every try, in order"),
)

ATTEMPT: Final = (
    Field("source", _URL, "where it read"),
    Field("destination", _URL, "where it wrote"),
    Field("route", _ROUTE, "which way the bytes went"),
    Field("began", _TIME, "UTC"),
    Field("seconds", _SECONDS, "how long it took"),
    Field("bytes", _COUNT, "offset reached, counted from the start of the file"),
    Field("error", _NO_ERROR_OR, "why it failed; null if it succeeded"),
)

ERROR: Final = (
    Field("code", {"enum": [each.code for each in error_classes()]}, "one of the codes below"),
    Field("step", _STRING, "what was being done: `open source`, `commit`, `verify`, ..."),
    Field("end", {"enum": [end.value for end in errors.End]}, "which end it is about"),
    Field("reach", {"enum": [reach.value for reach in errors.Reach]}, "what else could not work either"),
    Field("message", _STRING, "for people; may change between versions"),
    Field("remedy", _STRING, "what to do, for people"),
)

OBJECTS: Final = {
    "document": DOCUMENT,
    "tool": TOOL,
    "totals": TOTALS,
    "checks": CHECKS,
    "request": REQUEST,
    "attempt": ATTEMPT,
    "error": ERROR,
}
"""Every object of the document, the outermost first."""


def schema() -> Json:
    """The JSON Schema (2020-12) of the result document. It allows fields that a later version adds."""
    definitions = {name: _object(fields) for name, fields in OBJECTS.items() if name != "document"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Result document of wf-transfer",
        **_object(DOCUMENT),
        "$defs": definitions,
    }


def schema_text() -> str:
    """The contents of `result.schema.json`."""
    import json

    return json.dumps(schema(), indent=1) + "\n"


def _object(fields: Iterable[Field]) -> Json:
    properties = {field.name: {**field.schema, "description": field.meaning} for field in fields}
    return {"type": "object", "required": list(properties), "properties": properties}


if __name__ == "__main__":
    print(schema_text(), end="")

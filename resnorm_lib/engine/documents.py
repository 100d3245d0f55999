"""JSON documents: the words that describe them (JSON Schema 2020-12), and the one way in which they are written."""

import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "COUNT",
    "NULL",
    "POSITIVE",
    "TEXT",
    "RecordError",
    "array",
    "one_of",
    "or_null",
    "record",
    "write_document",
    "write_whole",
]

Schema = dict[str, Any]  # of JSON: a JSON Schema

TEXT, NULL = {"type": "string"}, {"type": "null"}
COUNT = {"type": "integer", "minimum": 0}
POSITIVE = {"type": "number", "exclusiveMinimum": 0}


class RecordError(ValueError):
    """A record that cannot be read or written; the message says which and why."""


def record(description: str, properties: Schema, optional: Sequence[str] = ()) -> Schema:
    """Return the schema of an object that has these properties, all but the optional ones always, and no others."""
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def one_of(*kinds: Schema, **facts) -> Schema:
    """Return the schema of a value that is of one of the kinds."""
    return {"anyOf": list(kinds)} | facts


def or_null(kind: Schema, **facts) -> Schema:
    """Return the schema of a value that may be missing, which is written as null."""
    return one_of(kind, NULL, **facts)


def array(items: Schema, **facts) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items} | facts


def write_document(document: Any, path: str | Path, **layout: Any) -> None:
    """Write a document as JSON to a file beside the old one, which it then replaces.

    Raises
    ------
    RecordError
        If the disk is full or the folder cannot be written.
    ValueError
        If the document holds a number that is not finite.
    """
    write_whole(json.dumps(document, **{"allow_nan": False} | layout) + "\n", path)


def write_whole(text: str, path: str | Path) -> None:
    """Write a text to a file beside the old one, which it then replaces: a reader never sees half a file.

    Raises
    ------
    RecordError
        If the disk is full or the folder cannot be written.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True) if error.errno == errno.ENOSPC else None
        why = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error))
        raise RecordError(
            f"The run could not be written to {path}: {why}. What was finished before is still there."
        ) from error

"""What a record of the benchmark holds, as a JSON Schema: ``python -m resnorm_lib.bench --schema`` prints it."""

__all__ = ["SCHEMA", "VERSION"]

VERSION = 2

_TEXT, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
_POSITIVE = {"type": "number", "exclusiveMinimum": 0}
_NULL = {"type": "null"}


def _or_null(kind, description=None):
    schema = {"anyOf": [kind, _NULL]}
    return schema | ({"description": description} if description else {})


def _says(kind, description):
    return kind | {"description": description}


def _record(description, properties, optional=()):
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


_TIME = {
    "median_s": _says(_POSITIVE, "seconds of a call, the median"),
    "lower_quartile_s": _says(_POSITIVE, "a fourth of the calls took less"),
    "upper_quartile_s": _says(_POSITIVE, "a fourth of the calls took more"),
    "runs": _says(_COUNT, "how many calls were timed"),
}
_WHICH = {
    "op": _says(_TEXT, "the operation"),
    "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2},
    "dtype": _says(_TEXT, "of the tensors and of the parameters"),
    "version": _says(_TEXT, "whose, by the names of resnorm_lib.bench.versions"),
}
_SHARES = {
    "bytes_per_s": _says(_POSITIVE, "floor_bytes by median_s"),
    "share_of_peak": _or_null(_POSITIVE, "of the nominal bandwidth: the byte floor's time by the time taken"),
    "share_of_copy": _says(_POSITIVE, "of the bandwidth of a measured copy"),
}

_MACHINE = _record(
    "where the times were taken",
    {
        "device": _says(_TEXT, "its name"),
        "kind": {"enum": ["cuda", "cpu"]},
        "processors": _says(_COUNT, "multiprocessors of a GPU, cores of a CPU"),
        "l2_bytes": _or_null(_COUNT),
        "peak_bytes_per_s": _or_null(_POSITIVE, "memory clock x 2 x bus width / 8"),
        "copy_bytes_per_s": _says(_POSITIVE, "a copy within the device's memory, bytes read and bytes written"),
        "driver": _or_null(_TEXT),
        "cuda": _or_null(_TEXT),
        "python": _TEXT,
        "torch": _TEXT,
        "resnorm_lib": _TEXT,
        "packages": _says(
            {"type": "object", "additionalProperties": _or_null(_TEXT)}, "versions of the others; null: not installed"
        ),
        "threads": _or_null(_COUNT, "of a CPU"),
    },
)
_ROW = _record(
    "one version of one operation, one pass",
    _WHICH
    | {"direction": {"enum": ["forward", "backward"]}}
    | _TIME
    | {
        "floor_bytes": _says(_COUNT, "the fewest bytes that must move, by resnorm_lib.bench.floors"),
        "partial_bytes": _says(_COUNT, "how many of these are partial sums of the gradients of parameters"),
    }
    | _SHARES
    | {
        "host_s": _or_null(_POSITIVE, "processor's time to launch a call"),
        "graph": _or_null(
            {
                "anyOf": [
                    _record("the replay of a CUDA graph", _TIME | _SHARES),
                    _record("why it was not timed", {"reason": _TEXT}),
                ]
            },
        ),
        "error": _or_null(
            {"type": "number", "minimum": 0},
            "||y - y64|| / ||y64|| of the first rows, y64 by torch in float64; null: random, or not looked at",
        ),
    },
)

_STEP = _record(
    "a training step of a language model, its norms made in one way; all ways took turns",
    {
        "model": _says(_TEXT, "layers, width, tokens of a step, dtype"),
        "way": _says(_TEXT, "how the norms are made, by the names of resnorm_lib.bench.steps"),
    }
    | _TIME
    | {
        "ratio": _says(_POSITIVE, "to the step without norms of the same turn, the median"),
        "lower_ratio": _says(_POSITIVE, "a fourth of the ratios are less"),
        "upper_ratio": _says(_POSITIVE, "a fourth of the ratios are more"),
    },
)

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "A run of python -m resnorm_lib.bench",
} | _record(
    "times of fused operations, and how far from the fewest bytes they are",
    {
        "schema": {"const": VERSION},
        "command": _TEXT,
        "date": _says(_TEXT, "the day, ISO 8601"),
        "status": _says(
            {"enum": ["running", "complete", "budget", "interrupted"]},
            "running: ended by force, or still at work; budget: the time was up",
        ),
        "seconds": _says({"type": "number", "minimum": 0}, "how long it took so far"),
        "cache": _says(_TEXT, "the state of the cache before each call"),
        "machine": _MACHINE,
        "steps": {"type": "array", "items": _STEP},
        "rows": {"type": "array", "items": _ROW},
        "absent": _says(
            {"type": "array", "items": _record("a version that was not timed", _WHICH | {"reason": _TEXT})},
            "rivals that are not installed or lack the operation, and whatever failed",
        ),
        "left_out": _says({"type": "array", "items": _TEXT}, "cases for which there was no time"),
    },
)

"""What a record of the benchmark of operations holds, as a JSON Schema: ``python -m resnorm_lib.bench schema``."""

from resnorm_lib.engine import fingerprint, machine
from resnorm_lib.engine.documents import COUNT, POSITIVE, TEXT, array, one_of, or_null, record

__all__ = ["SCHEMA", "VERSION"]

VERSION = 3


def _says(kind: dict, description: str) -> dict:
    return kind | {"description": description}


_TIME = {
    "median_s": _says(POSITIVE, "seconds of a call, the median"),
    "lower_quartile_s": _says(POSITIVE, "a fourth of the calls took less"),
    "upper_quartile_s": _says(POSITIVE, "a fourth of the calls took more"),
    "runs": _says(COUNT, "how many calls were timed"),
}
_WHICH = {
    "op": _says(TEXT, "the operation"),
    "shape": array({"type": "integer", "minimum": 1}, minItems=2),
    "dtype": _says(TEXT, "of the tensors and of the parameters"),
    "version": _says(TEXT, "whose, by the names of resnorm_lib.bench.versions"),
}
_SHARES = {
    "bytes_per_s": _says(POSITIVE, "floor_bytes by median_s"),
    "share_of_peak": or_null(POSITIVE, description="of the nominal bandwidth: the byte floor's time by the time taken"),
    "share_of_copy": _says(POSITIVE, "of the bandwidth of a measured copy"),
}

_MACHINE = record(
    "where, when and how the times were taken",
    machine.SCHEMA["properties"]
    | {
        "kind": {"enum": ["cuda", "cpu"]},
        "processors": _says(COUNT, "multiprocessors of a GPU, cores of a CPU"),
        "threads": or_null(COUNT, description="of a CPU"),
        "l2_bytes": or_null(COUNT),
        "peak_bytes_per_s": or_null(POSITIVE, description="memory clock x 2 x bus width / 8"),
        "copy_bytes_per_s": _says(POSITIVE, "a copy within the device's memory, bytes read and bytes written"),
    },
)
_ROW = record(
    "one version of one operation, one pass",
    _WHICH
    | {"direction": {"enum": ["forward", "backward"]}}
    | _TIME
    | {
        "floor_bytes": _says(COUNT, "the fewest bytes that must move, by resnorm_lib.bench.floors"),
        "partial_bytes": _says(COUNT, "how many of these are partial sums of the gradients of parameters"),
    }
    | _SHARES
    | {
        "host_s": or_null(POSITIVE, description="processor's time to launch a call"),
        "graph": or_null(
            one_of(
                record("the replay of a CUDA graph", _TIME | _SHARES),
                record("why it was not timed", {"reason": TEXT}),
            )
        ),
        "error": or_null(
            {"type": "number", "minimum": 0},
            description="||y - y64|| / ||y64|| of the first rows, y64 by torch in float64; null: not computed",
        ),
    },
)

_STEP = record(
    "a training step of a language model, its norms made in one way; all ways took turns",
    {
        "model": _says(TEXT, "layers, width, tokens of a step, dtype"),
        "way": _says(TEXT, "how the norms are made, by the names of resnorm_lib.bench.steps"),
    }
    | _TIME
    | {
        "ratio": _says(POSITIVE, "to the step without norms of the same turn, the median"),
        "lower_ratio": _says(POSITIVE, "a fourth of the ratios are less"),
        "upper_ratio": _says(POSITIVE, "a fourth of the ratios are more"),
    },
)

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "A run of python -m resnorm_lib.bench operations",
} | record(
    "times of fused operations, and how far from the fewest bytes they are",
    {
        "version": {"const": VERSION},
        "status": _says(
            {"enum": ["running", "complete", "budget", "interrupted"]},
            "running: ended by force, or still at work; budget: the time was up",
        ),
        "seconds": _says({"type": "number", "minimum": 0}, "how long it took so far"),
        "cache": _says(TEXT, "the state of the cache before each call"),
        "machine": _MACHINE,
        "packages": {
            "type": "object",
            "description": "versions of the others whose kernels are timed; null: not installed",
            "additionalProperties": or_null(TEXT),
        },
        "code": fingerprint.SCHEMA,
        "steps": array(_STEP),
        "rows": array(_ROW),
        "absent": array(
            record("a version that was not timed", _WHICH | {"reason": TEXT}),
            description="rivals that are not installed or lack the operation, and whatever failed",
        ),
        "left_out": array(TEXT, description="cases for which there was no time"),
    },
)

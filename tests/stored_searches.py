"""The searches of version 4 of transformers that data/v4_searches.safetensors holds."""

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
from model_support import set_weights
from references.recipe import recipe_weights
from safetensors import safe_open

from minibert2bert.models.config import EncoderDecoderConfig
from minibert2bert.models.encoder_decoder import EncoderDecoderModel

STORED = Path(__file__).parent / "data" / "v4_searches.safetensors"


def _read():
    """The arrays, and the descriptions of cases and layouts."""
    with safe_open(STORED, "np") as file:
        texts = file.metadata()
        arrays = {key: file.get_tensor(key) for key in sorted(file.keys())}
    return arrays, json.loads(texts["cases"]), json.loads(texts["layouts"])


ARRAYS, CASES, LAYOUTS = _read()


def stored(kind):
    """(case, search) of all searches whose name begins with kind."""
    pairs = [(case, search) for case in CASES for search in CASES[case]["generation"]]
    return [(case, search) for case, search in pairs if search.startswith(kind)]


def expected(case, search, name):
    """A stored array, or None if there is none of this name."""
    return ARRAYS.get(f"{case}/generation/{search}/{name}")


@cache
def stored_model(case):
    """Our model, and the inputs."""
    model = EncoderDecoderModel(
        EncoderDecoderConfig.from_dict(CASES[case]["config"]), dtype="float64"
    )
    set_weights(model, recipe_weights(LAYOUTS[CASES[case]["layout"]]))
    prefix = f"{case}/inputs/"
    names = [key for key in ARRAYS if key.startswith(prefix)]
    return model, {name.removeprefix(prefix): ARRAYS[name] for name in names}


def repeated(case, search):
    """What we generate where the reference has generated the stored arrays."""
    model, inputs = stored_model(case)
    options = CASES[case]["generation"][search] | {
        "return_dict_in_generate": True,
        "output_scores": True,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.generate(**inputs, **options)


def without_fillers(sequences, options):
    """The rows up to where they end; the reference writes another end than it has found."""
    eos = options.get("eos_token_id", 12) or []
    fillers = {0, options.get("pad_token_id"), *(eos if isinstance(eos, list) else [eos])}
    rows = np.asarray(sequences).tolist()
    for row in rows:
        while row[-1] in fillers:
            row.pop()
    return rows


def assert_stored(case, search):
    """Compare ids and scores, and return our output for more."""
    output, options = repeated(case, search), CASES[case]["generation"][search]
    ids = without_fillers(expected(case, search, "sequences"), options)
    assert without_fillers(output.sequences, options) == ids
    scores = expected(case, search, "sequences_scores")
    if scores is not None:
        # Both search in float32; length ** -1 multiplies the rounding of the sum.
        np.testing.assert_allclose(output.sequences_scores, scores, rtol=2e-6, atol=2e-5)
    return output

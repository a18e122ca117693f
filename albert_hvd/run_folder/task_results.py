"""`results.json` of a fine-tuning job and of each of its seeds.

FORMAT names the form that `bin/plot --kind=comparison` reads.
"""

import json
import os

from albert_hvd.errors import InputError
from albert_hvd.run_folder.logs import write_atomically

FORMAT = "albert_hvd fine-tuning result 1"
RESULTS = "results.json"


def read_seed_result(folder):
    """The result of a seed that is finished, or None."""
    path = os.path.join(folder, RESULTS)
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
        if not isinstance(values, dict):
            raise ValueError(f"it holds no JSON object, but a {type(values).__name__}")
        return values
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read ({error})",
                         f"remove the folder {folder} to train that seed again", name="output_dir") from None


def write_result(folder, values):
    """Write `results.json`, whole or not at all."""
    write_atomically(os.path.join(folder, RESULTS), json.dumps(values, indent=1, ensure_ascii=False) + "\n")

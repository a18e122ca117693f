"""A job of the GPU suite: one step against the CPU's float32 step, in one precision.

    python gpu_numbers.py reference FILE.npz                     on the CPU: weights, losses and gradients
    python gpu_numbers.py PRECISION FILE.npz ATTENTION           on the GPU: all cases of both

A case is plain or fused attention x packed or unpacked rows x recomputation or not, and one with micro-batches. The
gradients are read from AdamW's first moments, which after the first update are a tenth of them.
"""

import itertools
import os
import sys
import tempfile

import numpy as np

from albert_hvd.data.batches.packed_rows import PackedTrainingBatches
from albert_hvd.data.batches.rows import TrainingBatches
from albert_hvd.data.records.dataset import RecordDataset
from albert_hvd.data.records.tfrecord import RecordWriter
from albert_hvd.model.config import AlbertConfig
from albert_hvd.runtime import distributed, tensorflow_import
from conftest import random_record
from gpu_jobs import REHEARSAL, found

tensorflow_import.install()

LENGTH, PREDICTIONS, ROWS, VOCABULARY = 128, 5, 8, 512
CONFIG = AlbertConfig(vocab_size=VOCABULARY, embedding_size=64, hidden_size=128, num_hidden_layers=2,
                      num_attention_heads=2, intermediate_size=512, max_position_embeddings=LENGTH,
                      # Large enough that attention is far from uniform.
                      initializer_range=0.1)
BETA_1 = 0.9  # AdamW's

# How far a step may be off, as shares of the reference's: the losses; the norm of the difference of all gradients; and 1 -
# cosine of the worst variable. About three times what a CPU's bfloat16 and float16 show here; float32 differs by the
# order of sums alone, and TF32 leaking into it would show as more than ten times its limit.
LIMITS = {"float32": (1e-5, 2e-5, 1e-8), "tf32": (2e-3, 5e-3, 1e-4), "float16": (2e-3, 5e-3, 1e-4),
          "bfloat16": (2e-3, 4e-2, 1.5e-2)}


def batches():
    """{"unpacked": batch, "packed": batch}, from records as training reads them."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "records.tfrecord")
        random = np.random.default_rng(11)
        with RecordWriter(path) as writer:
            for _ in range(64):
                writer.write(random_record(random, LENGTH, PREDICTIONS, VOCABULARY))
        found_batches = {}
        for name, kind in (("unpacked", TrainingBatches), ("packed", PackedTrainingBatches)):
            iterator = kind(RecordDataset([path], LENGTH, PREDICTIONS, VOCABULARY), ROWS, 0, 1, seed=5)
            found_batches[name] = next(iterator)
            iterator.close()
    return found_batches


def step_of(precision, attention, recompute, accumulation_steps, on_gpu):
    """(model's variables, optimizer, `TrainingStep`) of new weights."""
    from albert_hvd.model.encoder import named_variables
    from albert_hvd.model.precision import COMPUTE_DTYPES, use_precision
    from albert_hvd.model.pretraining_model import AlbertPretrainer
    from albert_hvd.training.optimizer import AdamW
    from albert_hvd.training.step import TrainingStep

    use_precision(precision)
    model = AlbertPretrainer(CONFIG, 3, COMPUTE_DTYPES[precision], static_shapes=on_gpu, recompute=recompute,
                             attention=attention)
    scale = {"initial_loss_scale": 1024.0, "loss_scale_growth_steps": 1000} if precision == "float16" else {}
    optimizer = distributed.distributed_optimizer(AdamW(1e-3, num_train_steps=10, clip_norm=0.0, **scale))
    variables = named_variables(model)
    optimizer.build(variables, compiled=on_gpu)
    return variables, optimizer, TrainingStep(model, optimizer, accumulation_steps, xla=on_gpu)


def losses_of(result):
    """Masked-LM and sentence loss of a `StepResult`."""
    return np.array([result.masked_lm_loss / result.masked_lm_weight, result.sentence_loss / result.sentence_weight])


def gradients_of(variables, optimizer):
    """{path: gradient of the first update}."""
    return {path: optimizer.slots_of(variable)[0].numpy() / (1 - BETA_1) for path, variable in variables.items()}


def write_reference(path):
    """The CPU's float32 step of both batches."""
    distributed.initialize(use_gpu=False)
    arrays = {}
    for name, batch in batches().items():
        variables, optimizer, step = step_of("float32", "plain", False, 1, on_gpu=False)
        arrays.update({f"weights/{path}": variable.numpy() for path, variable in variables.items()})
        arrays[f"{name}/losses"] = losses_of(step(batch, (0, 0), False))
        arrays.update({f"{name}/{path}": array for path, array in gradients_of(variables, optimizer).items()})
    np.savez(path, **arrays)
    found(check="reference", variables=len(variables))


def choices():
    """(precision, attention) of each job; fused attention computes in 16 bits."""
    fused = [] if REHEARSAL else ["bfloat16", "float16"]
    return [(precision, "cudnn") for precision in fused] + [(precision, "plain") for precision in LIMITS]


def cases():
    """(rows, recompute, micro-batches) of each case of a job."""
    yield from itertools.product(["packed", "unpacked"], [False], [1])
    yield "packed", False, 2
    yield from itertools.product(["packed", "unpacked"], [True], [1])


def compare(precision, attention, reference):
    """Take one step of every case and report how far it is from the reference."""
    distributed.initialize(use_gpu=not REHEARSAL)
    data = batches()
    for rows, recompute, accumulation_steps in cases():
        case = {"check": "step", "precision": precision, "attention": attention, "rows": rows,
                "recompute": recompute, "micro_batches": accumulation_steps}
        try:
            variables, optimizer, step = step_of(precision, attention, recompute, accumulation_steps, on_gpu=True)
            for path, variable in variables.items():
                variable.assign(reference[f"weights/{path}"])
            losses = losses_of(step(data[rows], (0, 0), False))
            found(**case, **differences(losses, gradients_of(variables, optimizer), reference, rows, precision))
        except Exception as error:  # the other cases still count
            found(**case, ok=False, error=f"{type(error).__name__}: {str(error)[:1500]}")


def differences(losses, gradients, reference, rows, precision):
    """The three figures of `LIMITS` and whether all are within them."""
    expected = {path: reference[f"{rows}/{path}"].astype(np.float64) for path in gradients}
    total = np.sqrt(sum((array ** 2).sum() for array in expected.values()))
    error = np.sqrt(sum(((gradients[path] - array) ** 2).sum() for path, array in expected.items()))
    # The gradient of the keys' bias is 0 but for rounding: a softmax does not see what all scores share.
    cosines = {path: _cosine(gradients[path], array) for path, array in expected.items()
               if np.linalg.norm(array) > 1e-4 * total}
    worst = min(cosines, key=cosines.get)
    figures = {"loss_error": float(np.max(np.abs(losses / reference[f"{rows}/losses"] - 1))),
               "gradient_error": float(error / total), "worst_cosine": float(1 - cosines[worst])}
    ok = all(figure <= limit for figure, limit in zip(figures.values(), LIMITS[precision]))  # NaN is not
    return {**figures, "worst_variable": worst, "limits": LIMITS[precision], "ok": ok}


def _cosine(a, b):
    a, b = a.astype(np.float64).ravel(), b.ravel()
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-300))


if __name__ == "__main__":
    if sys.argv[1] == "reference":
        write_reference(sys.argv[2])
    else:
        compare(sys.argv[1], sys.argv[3], dict(np.load(sys.argv[2])))

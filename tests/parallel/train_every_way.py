"""What every rank of test_batch_invariance.py runs: `horovodrun -np N python train_every_way.py FOLDER`.

Rank 0 leaves in FOLDER, for each way to cut the same global batches into micro-batches, the weights
after 20 updates and what the step's graph holds; and what becomes of a gradient before clipping.
"""

import json
import os
import sys

import numpy as np

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.dirname(TESTS), TESTS]

from albert_hvd.runtime import distributed  # noqa: E402

ROWS = 16
STEPS = 20
# Larger than the defaults: rounding grows with it, and Muon's directions of small singular values most.
LEARNING_RATES = {"lamb": 0.02, "muon": 0.005}
WAYS = {"1": {}, "2": {"accumulation_steps": 2}, "4": {"accumulation_steps": 4},
        "muon1": {"optimizer": "muon"}, "muon2": {"optimizer": "muon", "accumulation_steps": 2}}


def main(folder):
    distributed.initialize(use_gpu=False)
    ways = dict(WAYS, xla={"accumulation_steps": 2, "xla": True}, muonx={"optimizer": "muon", "xla": True}) if distributed.size() == 2 else WAYS
    facts = {"graphs": {}, "clipping": clipping()}
    for name, options in ways.items():
        weights, facts["graphs"][name] = train(**options)
        if distributed.rank() == 0:
            np.savez(os.path.join(folder, f"{name}.npz"), **weights)
    if distributed.rank() == 0:
        with open(os.path.join(folder, "facts.json"), "w", encoding="utf-8") as file:
            json.dump(facts, file)
    distributed.barrier()


def train(accumulation_steps=1, xla=False, optimizer="lamb"):
    """(weights, facts about the graph) after training this rank's rows of the global batches."""
    from small_batches import random_batch

    from albert_hvd.model.config import AlbertConfig
    from albert_hvd.model.encoder import named_variables
    from albert_hvd.model.pretraining_model import AlbertPretrainer
    from albert_hvd.training.optimizers import OPTIMIZERS
    from albert_hvd.training.step import TrainingStep

    config = AlbertConfig(vocab_size=50, embedding_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                          intermediate_size=32, max_position_embeddings=16)
    model = AlbertPretrainer(config, seed=3, static_shapes=xla)
    optimizer = distributed.distributed_optimizer(OPTIMIZERS[optimizer](LEARNING_RATES[optimizer], num_train_steps=STEPS,
                                                                        num_warmup_steps=4))
    optimizer.build(named_variables(model), compiled=xla)
    step = TrainingStep(model, optimizer, accumulation_steps, xla)
    first, count = distributed.rank() * ROWS // distributed.size(), ROWS // distributed.size()
    for number in range(STEPS):
        lengths = np.random.default_rng(number).integers(4, 17, ROWS)
        batch = random_batch(config, ROWS, 16, lengths, seed=number)
        batch["masked_lm_weights"][:: 3, 1] = 0  # the rows do not weigh the same
        batch = {name: array[first:first + count] for name, array in batch.items()}
        step(batch, (0, number), False)
    return ({path.replace("/", "."): variable.numpy() for path, variable in named_variables(model).items()},
            graph_facts(step, batch))


def graph_facts(step, batch):
    """How many allreduces the graph of a step has, and which functions of it XLA compiles."""
    function, arguments = step.step_function(batch)
    graph = function.get_concrete_function(*arguments).graph.as_graph_def()
    functions = {function.signature.name: function for function in graph.library.function}
    operations = [node.op for node in graph.node]
    operations += [node.op for function in functions.values() for node in function.node_def]
    compiled = [function for function in functions.values()
                if "_XlaMustCompile" in function.attr and function.attr["_XlaMustCompile"].b]
    return {"allreduces": sum("HorovodAllreduce" in name for name in operations),
            "grouped": sum("HorovodGrouped" in name for name in operations),
            "compiled": len(compiled),
            "allreduces_compiled": sum("Horovod" in node.op for function in compiled for node in function.node_def)}


def clipping():
    """Norm before clipping and first moment, where the ranks' gradients are far longer than their mean."""
    import tensorflow as tf

    from albert_hvd.training.optimizer import average_over_ranks
    from albert_hvd.training.optimizers import OPTIMIZERS

    variable = tf.Variable([[1.0, 1.0]])
    optimizer = distributed.distributed_optimizer(OPTIMIZERS["adamw"](0.1, num_train_steps=10, clip_norm=1.0))
    optimizer.build({"w": variable})
    gradient = tf.constant([3.0 * (-1) ** distributed.rank(), 0.5])
    average = tf.function(lambda: average_over_ranks(optimizer, gradient))()
    update = optimizer.apply_gradients([(average[None], variable)])
    return {"norm": float(update.grad_norm), "moment": optimizer.slots_of(variable)[0].numpy().tolist()}


if __name__ == "__main__":
    main(sys.argv[1])

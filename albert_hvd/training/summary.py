"""The table that a run prints before its first step: where it starts, its batch arithmetic, its size."""

from albert_hvd.runtime.tables import named
from albert_hvd.training.batch_plan import row_bytes
from albert_hvd.training.schedule import passes_of

# float32: a weight, its gradient, its two moments.
_BYTES_PER_PARAMETER = 4 * 4

_CLOCKS = {"time": "on the clock", "cpu_time": "of the processors of all ranks"}


def describe_run(origin, options, config, plan, num_records, num_parameters, device, sources=()):
    """The table, as lines of `name  value`.

    Args:
      origin: where the weights come from.
      options: `PretrainingOptions`.
      plan: `BatchPlan`.
      num_records: records of the training data.
      num_parameters: of the model.
      device: "CPU" or "GPU".
      sources: the `Source`s of a mixture.
    """
    steps, positions = options.num_train_steps, options.max_seq_length
    tokens = plan.train_batch_size * positions
    activations = plan.micro_batch_size * row_bytes(options, config)
    state = num_parameters * _BYTES_PER_PARAMETER
    per_epoch = sum(source.per_epoch for source in sources) or num_records
    rows = [
        ("start", origin),
        ("model", f"{config.architecture}, {num_parameters / 1e6:.2f} M parameters: hidden {config.hidden_size}, "
                  f"layers {config.num_hidden_layers}, heads {config.num_attention_heads}, "
                  f"embedding {config.embedding_size}, vocabulary {config.vocab_size}"),
        ("optimizer", f"{options.optimizer}, learning rate {options.learning_rate:g}, {_warmup(options)}"),
        ("passes", _phases(passes_of(options, config))),
        ("device", f"{plan.size} rank{'s' * (plan.size > 1)} on {device}, {options.precision}"
                   f"{', compiled by XLA' * bool(options.xla)}{', fused attention' * (options.attention == 'cudnn')}"),
        ("batch", f"train_batch_size {plan.train_batch_size} = micro_batch_size {plan.micro_batch_size} x "
                  f"accumulation_steps {plan.accumulation_steps} x ranks {plan.size}"),
        ("update", f"{plan.train_batch_size} {'packed ' * options.pack_sequences}rows x {positions} positions = "
                   f"{tokens} tokens, padding included"),
        ("whole run", f"{options.train_minutes:g} minutes {_CLOCKS[options.lr_schedule]}" if options.train_minutes else
                      f"{steps} steps{_epochs(options, plan, per_epoch)}, {_with_unit(steps * tokens)}tokens"),
        ("data", f"{num_records} records of {options.input_file}"),
        *(("mixture", f"{source.name}: {source.weight:g} x {source.num_records} records = "
                      f"{source.per_epoch / per_epoch:.1%} of an epoch") for source in sources),
        ("memory", f"about {(state + activations) / 2**30:.2f} GiB a rank: {state / 2**30:.2f} for weights, gradients "
                   f"and moments, {activations / 2**30:.2f} for the activations of a micro-batch"),
        ("output", options.output_dir),
    ]
    return "\n".join(named(rows))


def _warmup(options):
    if options.train_minutes:
        return f"warmup {options.num_warmup_steps / options.num_train_steps:.0%} of the time"
    return f"warmup {options.num_warmup_steps} of {options.num_train_steps} steps"


def _phases(passes):
    """"1 through the shared layer, 4 from 45 % of the run on"."""
    first, *later = passes
    return ", ".join([f"{first[1]} through the shared layer",
                      *(f"{count} from {share:.0%} of the run on" for share, count in later)])


def _with_unit(count):
    """A count as "384 k ", "5.2 G ", four digits of it; below 1000 as it is."""
    for size, unit in ((1e9, "G "), (1e6, "M "), (1e3, "k ")):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count} "


def _epochs(options, plan, per_epoch):
    """" = M epochs", unless packing lets the number of records in a batch vary."""
    if options.pack_sequences:
        return ""
    return f" = {options.num_train_steps * plan.train_batch_size / per_epoch:.2f} epochs"

"""What a run's flags mean on the devices that it has: number format, compilation, attention, overlap."""

import dataclasses

from albert_hvd.errors import InputError, setting

# From so many positions on a fused kernel was seen to gain: 8 % of a step at 128, 27 % at 512 (docs/benchmarks.md).
_FUSED_FROM_POSITIONS = 128


def resolve_device_options(options, config, capability):
    """The options with "auto" and unset values replaced by those for the ranks' devices.

    Args:
      options: `PretrainingOptions`.
      config: an `AlbertConfig`.
      capability: the lowest compute capability of all ranks' GPUs, such as (8, 0); None when a rank has none.

    Returns:
      `PretrainingOptions` with `precision`, `xla`, `attention` and `overlap_steps` decided.

    Raises:
      InputError: what a flag asks for cannot be done on these devices.
    """
    from albert_hvd.model.precision import resolve_precision

    on_gpu = capability is not None
    options = dataclasses.replace(
        options, precision=resolve_precision(options.precision, capability),
        xla=on_gpu if options.xla is None else options.xla,
        overlap_steps=on_gpu if options.overlap_steps is None else options.overlap_steps)
    return dataclasses.replace(options, attention=_resolve_attention(options, config, capability))


def _resolve_attention(options, config, capability):
    from albert_hvd.model.fused_attention import why_not_fused
    from albert_hvd.model.precision import AMPERE, COMPUTE_DTYPES

    if options.attention == "plain":
        return "plain"
    if capability is None:
        reason = "its kernels run on GPUs alone"
    elif capability < AMPERE:
        reason = f"its kernels need compute capability 8.0, and this GPU has {capability[0]}.{capability[1]}"
    elif not options.xla:
        reason = f"XLA calls its kernels; leave out {setting('xla', False)}"
    else:
        reason = why_not_fused(config.head_size, options.max_seq_length, COMPUTE_DTYPES[options.precision],
                               config.attention_probs_dropout_prob)
    if options.attention == "cudnn" and reason:
        raise InputError(reason, f"use {setting('attention', 'auto')}", name="attention", value="cudnn")
    if options.attention == "cudnn":
        return "cudnn"
    return "plain" if reason or options.max_seq_length < _FUSED_FROM_POSITIONS else "cudnn"

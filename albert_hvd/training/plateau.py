"""Says so when a run does not get below what frequencies and neighbours explain."""

from albert_hvd.errors import parameter

# Tokens after which a run should be below it; the default recipe is after 0.5 to 1 million of the tiny model's.
PATIENCE_TOKENS = 4_000_000
_PATIENCE_STEPS = 500  # as many updates, too, for large batches

_LOW_RATE, _HIGH_RATE = 1e-4, 1e-2
_FEW_ROWS_TOKENS = 1000


class PlateauWatch:
    """Watches the masked language model's loss of one run.

    Args:
      options: `PretrainingOptions`.
      facts: `CorpusFacts`, or None: nothing is watched then.
    """

    def __init__(self, options, facts):
        self._options, self._facts = options, facts if facts and facts.neighbour_loss is not None else None
        self._said = False

    def line(self, step, tokens, masked_lm_loss):
        """The line to show after these updates, once in a run; None when there is nothing to say.

        Args:
          step: updates made.
          tokens: real tokens trained on so far, about.
          masked_lm_loss: of the last updates, in nats.
        """
        if self._facts is None or self._said or tokens < PATIENCE_TOKENS or step < _PATIENCE_STEPS:
            return None
        # What it has reached once, it may lose again: only the first time counts.
        self._said = True
        if masked_lm_loss < self._facts.neighbour_loss:
            return None
        return (f"plateau: after {tokens / 1e6:.1f} M tokens the masked language model's loss is {masked_lm_loss:.3f}; "
                f"frequencies alone explain {self._facts.frequency_loss:.3f}, with the pieces beside a mask "
                f"{self._facts.neighbour_loss:.3f}. Likely cause: {self._cause(tokens / step)}")

    def _cause(self, tokens_per_step):
        options = self._options
        rate = f"{parameter('learning_rate')}={options.learning_rate:g}"
        if options.learning_rate < _LOW_RATE:
            return f"{rate} is low for new weights, 1e-3 to 2e-3 suits most"
        if options.learning_rate > _HIGH_RATE:
            return f"{rate} is high, 1e-3 to 2e-3 suits most"
        if options.initialization == "plain":
            return f"attention has to find the neighbours of a mask; {parameter('initialization')}=neighbours shows them"
        if tokens_per_step < _FEW_ROWS_TOKENS:
            return f"{tokens_per_step:.0f} tokens an update are few; raise {parameter('train_batch_size')}"
        return (f"records whose neighbours say little (texts of a word or two, a damaged vocabulary), or {rate} with "
                f"{options.optimizer}; try a third of it")

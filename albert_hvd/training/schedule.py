"""Where a run stands between its first update and its last, and what follows from that.

The learning rate, the passes through the shared layer and the weight of the sentence loss all follow the same share of
the run, from 0 to 1: of its updates, or of its time.
"""

import collections
import math

from albert_hvd.errors import InputError, parameter

_MINUTE = 60.0

# Where a step stands in the run's schedules: `schedule_step`, the place in that of learning rates, in updates from 1;
# None: the number of the update; `passes` through the shared layer, None: the config's; `sentence_loss_weight`.
Place = collections.namedtuple("Place", ["schedule_step", "passes", "sentence_loss_weight"], defaults=(None, None, 1.0))


class Schedule:
    """The schedules of one run.

    Args:
      options: `PretrainingOptions`.
      config: an `AlbertConfig`.

    Raises:
      InputError: a schedule that cannot be read, or the flags of time without one another.
    """

    def __init__(self, options, config):
        self._options, self._layers = options, config.num_hidden_layers
        self._passes = passes_of(options, config)
        self._sentence_weights = parse_shares(options.sentence_loss_weight, "sentence_loss_weight", _weight)
        if self.by_time != bool(options.train_minutes):
            raise InputError(f"{parameter('lr_schedule')}={options.lr_schedule} with "
                             f"{parameter('train_minutes')}={options.train_minutes:g}",
                             "give both the minutes and a schedule by time, or neither")

    @property
    def by_time(self):
        return self._options.lr_schedule != "steps"

    def share(self, step, used_sec):
        """How much of the run is behind it, from 0 to 1.

        Args:
          step: updates made.
          used_sec: time spent in training, or processor time of all ranks, as `lr_schedule` says.
        """
        if not self.by_time:
            return min(1.0, step / self._options.num_train_steps)
        return min(1.0, used_sec / (_MINUTE * self._options.train_minutes))

    def place(self, share):
        """The `Place` of the update that begins at this share of the run."""
        passes = self.passes(share)
        # By updates, the optimizer itself counts: a skipped one does not move it on.
        schedule_step = max(share * self._options.num_train_steps, 1e-3) if self.by_time else None
        return Place(schedule_step, None if passes == self._layers else passes, _at(self._sentence_weights, share))

    def passes(self, share):
        """Passes through the shared layer at this share of the run."""
        return _at(self._passes, share)


def passes_of(options, config):
    """The schedule of passes, [(share, passes), ...]; its last phase has as many as the config has layers.

    Raises:
      InputError: more passes than layers, or another number at the end.
    """
    layers = config.num_hidden_layers
    if options.passes == "auto":
        shares = {0.0: 1, 0.15: math.ceil(layers / 2), 0.45: layers} if _starts_new(options) else {0.0: layers}
        return sorted(shares.items())
    found = parse_shares(options.passes, "passes", _count)
    if found[-1][1] != layers or max(count for _, count in found) > layers:
        raise InputError(f"a schedule ends with the config's {layers} layers, and has no more before",
                         f"give one such as 0:1,0.5:{layers}", name="passes", value=options.passes)
    return found


def _starts_new(options):
    return options.init_checkpoint is None and options.initialization != "plain"


def parse_shares(text, name, convert):
    """"0:1,0.5:4" as [(0.0, 1), (0.5, 4)]: from this share of the run on, this value.

    Args:
      name: the option's name, for messages.
      convert: function of a value's text; ValueError for one that cannot be.

    Raises:
      InputError: it is not such a list, or does not begin at 0 and rise.
    """
    try:
        pairs = [part.split(":") for part in text.split(",")]
        found = [(float(share), convert(value)) for share, value in pairs]
    except ValueError:
        found = []
    shares = [share for share, _ in found]
    if not found or shares[0] != 0 or any(b <= a for a, b in zip(shares, shares[1:])) or not shares[-1] < 1:
        raise InputError("a comma list of SHARE:VALUE is wanted, with shares of the run that rise from 0 to below 1",
                         "give one such as 0:1,0.5:2", name=name, value=text)
    return found


def _count(text):
    count = int(text)
    if count < 1:
        raise ValueError
    return count


def _weight(text):
    weight = float(text)
    if not 0 <= weight <= 100:
        raise ValueError
    return weight


def _at(pairs, share):
    return next(value for start, value in reversed(pairs) if share >= start)


def is_due(every, step):
    """Whether something that is done every so many updates (0: never) is due after this one."""
    return every > 0 and step > 0 and step % every == 0

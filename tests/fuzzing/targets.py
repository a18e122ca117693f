"""All targets by name."""

import flag_targets
import json_targets
import model_targets
import record_targets
import text_targets

TARGETS = {target.name: target for module in (json_targets, record_targets, text_targets, model_targets, flag_targets)
           for target in module.TARGETS}

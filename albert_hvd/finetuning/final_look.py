"""What the selected model of a seed comes to: the figures of results.json and the predictions.

The weights are read back from the folder that is kept and computed with in float32, as `bin/predict` does, so
that the figures are those of the model that a user gets. The test part is looked at here and nowhere else.
"""

import json

from albert_hvd.finetuning.evaluation import evaluate, prediction_records
from albert_hvd.finetuning.scoring import Scorer
from albert_hvd.finetuning.task_folder import read_weights
from albert_hvd.finetuning.task_model import TaskModel
from albert_hvd.model.encoder import named_variables
from albert_hvd.runtime import distributed
from albert_hvd.runtime.files import whole_file


class FinalLook:
    """Evaluates the selected models of one job, compiled once.

    Args:
      job: `job.Job`.
    """

    def __init__(self, job):
        self._job = job
        self._model = TaskModel(job.first_weights.config, job.task)
        self._scorer = Scorer(self._model, job.task, job.first_weights.tokenizer.pad_id, job.options.eval_batch_size)

    @property
    def num_parameters(self):
        """Of encoder and head."""
        return sum(variable.shape.num_elements() for variable in named_variables(self._model).values())

    def __call__(self, model_folder, predictions_file, should_stop):
        """Evaluate the model in `model_folder` and write what it predicts for the test, else the validation part.

        Returns:
          {"valid": metrics, "test": metrics or None}, equal on all ranks; None when it was given up.
        """
        job = self._job
        distributed.on_rank_0(lambda: read_weights(model_folder, self._model, "--output_dir"), "read_best")
        distributed.broadcast_variables(list(named_variables(self._model).values()))
        metrics = {"test": None}
        for name in ("valid", "test"):
            part = getattr(job.data, name)
            if part is None:
                continue
            result = evaluate(self._scorer, job.task, part, should_stop)
            if result is None:
                return None
            metrics[name], scores = result
        records = prediction_records(job.task, part if part is not None else job.data.valid, scores)
        if records is not None:
            with whole_file(predictions_file, "--output_dir") as file:
                file.writelines(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)
        return metrics

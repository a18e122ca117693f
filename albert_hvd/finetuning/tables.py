"""Results as text."""

from albert_hvd.runtime.tables import aligned


def label_table(metrics):
    """Precision, recall, F1 and support of each label: list of lines."""
    return aligned([["", "precision", "recall", "f1", "support"],
                    *([name, *(f"{values[column]:.4f}" for column in ("precision", "recall", "f1")),
                       str(values["support"])] for name, values in metrics["labels"].items())])


def confusion_table(metrics):
    """The confusion matrix, true labels in rows, predicted ones in columns: list of lines."""
    names = list(metrics["labels"])
    return aligned([["true / predicted", *names],
                    *([name, *map(str, row)] for name, row in zip(names, metrics["confusion"], strict=True))])


def summary_table(result):
    """A line for the model, mean and spread over its seeds, and one for each baseline: list of lines."""
    parts = [part for part in ("valid", "test") if result["summary"][part]]
    rows = [["", *(f"{part} {name}" for part in parts for name in ("accuracy", "macro-F1")), "parameters"]]
    rows.append([f"{result['name']} ({len(result['seeds'])} seed{'s' * (len(result['seeds']) > 1)})",
                 *(_mean_and_spread(result["summary"][part][name]) for part in parts
                   for name in ("accuracy", "macro_f1")), str(result["parameters"])])
    rows += [[baseline["name"], *(f"{baseline[part][name]:.4f}" for part in parts
                                  for name in ("accuracy", "macro_f1")), str(baseline["parameters"])]
             for baseline in result["baselines"]]
    return aligned(rows)


def _mean_and_spread(values):
    spread = values["spread"]
    return f"{values['mean']:.4f}" + (f" ± {spread:.4f}" if spread is not None else "")

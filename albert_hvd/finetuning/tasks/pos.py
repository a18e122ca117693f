"""The old project's part-of-speech task, scored per word: padding and later pieces of a word do not count."""

from albert_hvd.finetuning.tasks.tagging import Tagging


class PartOfSpeech(Tagging):
    """Tags are those of the training file, such as the 16 of Universal Dependencies."""

    name = "pos"


TASK = PartOfSpeech

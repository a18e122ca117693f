"""The old project's emotion task: anger, fear, happy, love, sadness or surprise."""

from albert_hvd.finetuning.tasks.classification import Classification


class Emotion(Classification):
    """Labels are those of the training file, so that other sets of emotions do as well."""

    name = "emotion"


TASK = Emotion

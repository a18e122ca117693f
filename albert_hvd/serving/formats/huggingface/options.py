"""How a Hugging Face folder is written."""

import dataclasses

from albert_hvd.options import option

DTYPES = ("float32", "float16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FolderOptions:
    """The flags of `bin/export` that are about Hugging Face folders."""

    license: str = option(None, "licence in the model card, as Hugging Face spells it, such as apache-2.0")
    data_card: str = option(None, "text file, Markdown, for the model card: sources and licences of the training text")
    dtype: str = option("float32", "of the weights in a Hugging Face folder; float16 halves it", choices=DTYPES)
    tokenizer_json: bool = option(True, "write tokenizer.json, which transformers reads; without it the folder is "
                                        "smaller, and for this program alone")

"""Documents out of Parquet tables. pyarrow is needed for these alone and imported for them alone."""

from albert_hvd.data.text import json_documents, streams
from albert_hvd.errors import InputError

_ROWS = 1000


def read(source, fields):
    """Yield the documents, lists of lines, of a `streams.Source` that is a Parquet table; `fields` as for JSON.

    Raises: InputError without pyarrow, for a damaged table, or when no column is one of `fields`.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InputError("reading Parquet needs the package pyarrow",
                         "install it (pip install pyarrow), or convert the table to JSON Lines", name="input_file",
                         value=source.name) from None
    try:
        # A file of pyarrow's own, read by this thread alone: threads of pyarrow that hold a Python file may abort the
        # process when it ends.
        with streams.seekable(source.stream) as file, pyarrow.OSFile(f"/dev/fd/{file.fileno()}") as own, (
                parquet.ParquetFile(own, pre_buffer=False)) as table:
            names = table.schema_arrow.names
            # A column may have a dot in its name, or be a structure with the key after the dot.
            columns = [name for name in names if any(
                field == name or field.startswith(f"{name}.") for field in fields)]
            if not columns:
                raise InputError(f"{source.name} has no such column", f"its columns are {', '.join(names)[:200]}",
                                 name="text_field", value=fields[0])
            for batch in table.iter_batches(_ROWS, columns=columns, use_threads=False):
                for row in batch.to_pylist():
                    for text in json_documents.texts(row, fields) or ():
                        yield from json_documents.as_document(_decoded(text))
    except pyarrow.ArrowException as error:
        raise InputError(f"damaged or cut short ({str(error).splitlines()[0][:100]})", "get it again",
                         name="input_file", value=source.name) from None


def _decoded(text):
    """Some programs write texts as bytes."""
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text

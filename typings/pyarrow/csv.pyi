from collections.abc import Mapping, Sequence

from pyarrow import BufferOutputStream, BufferReader, DataType, Table

class ReadOptions:
    def __init__(self, *, column_names: Sequence[str] = ..., skip_rows: int = ...) -> None: ...

class ConvertOptions:
    def __init__(
        self,
        *,
        include_columns: Sequence[str] = ...,
        column_types: Mapping[str, DataType] = ...,
        null_values: Sequence[str] = ...,
        strings_can_be_null: bool = ...,
    ) -> None: ...

class WriteOptions:
    def __init__(self, *, include_header: bool = ..., quoting_style: str = ...) -> None: ...

def read_csv(
    input_file: BufferReader, *, read_options: ReadOptions = ..., convert_options: ConvertOptions = ...
) -> Table: ...
def write_csv(data: Table, output_file: BufferOutputStream, write_options: WriteOptions = ...) -> None: ...

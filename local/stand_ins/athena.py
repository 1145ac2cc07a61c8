"""A stand-in for Athena: DuckDB runs Athena's SQL over the objects of a bucket.

The tables are those of the template: their partition projection determines which objects belong to which day, and
their SerDe how a line becomes a row. Only the features of Athena that the archive uses are implemented. Lines are read
as Trino's sources have it (``lib/trino-hive-formats``: ``TextLineReader``, ``OpenXJsonDeserializer`` with its
``JsonReader`` and ``JsonWriter``, ``SimpleDeserializer``; commits d878ce8, of release 412, and the later 110c981), with
three exceptions: what ``JsonReader`` takes beyond JSON, such as names without quotes and comments, makes a row of nulls
here; a number that is not whole is written as Python writes it; and ``json_parse`` takes what DuckDB does, such as
``NaN`` and a comma before a brace.
"""

import codecs
import gzip
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import duckdb
import sqlglot
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]
from sqlglot import exp
from sqlglot.errors import ErrorLevel
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from local.build import ROOT

_DATE_FORMATS = {"yyyy": "%Y", "MM": "%m", "dd": "%d"}
_JSON_SERDE = "org.openx.data.jsonserde.JsonSerDe"
_TEXT_SERDE = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BLANKS = "".join(map(chr, range(0x21)))  # what Java's String.trim takes off

# Trino's functions give null where DuckDB's fail, for text that is not JSON, and json_extract_scalar for objects and
# arrays (io.trino.operator.scalar.JsonExtract).
_MACROS = """
CREATE MACRO trino_extract(value, path) AS CASE WHEN json_valid(value) THEN json_extract(value, path) END;
CREATE MACRO trino_extract_scalar(value, path) AS CASE
    WHEN json_valid(value) AND json_type(value, path) NOT IN ('OBJECT', 'ARRAY')
    THEN json_extract_string(value, path)
END;
"""
_LOCATION = re.compile(r"s3://\$\{BackupBucket}/(?P<folder>.+/)\$\{!(?P<partition>\w+)}/")


@dataclass(frozen=True)
class Table:
    """A table of gzipped lines, with one partition column: the date in the key.

    Attributes:
        name: Its name in the database.
        columns: The columns, without the partition column. All are strings.
        partition: The partition column.
        folder: The keys' prefix before the date.
        date_format: The format of the date, for ``strftime``.
        first: The first date of the projection, in that format. The last one is today, in UTC.
        is_json: Whether a line's fields are its columns; otherwise the only column is the line itself.
    """

    name: str
    columns: tuple[str, ...]
    partition: str
    folder: str
    date_format: str
    first: str
    is_json: bool

    @classmethod
    def declared(cls, properties: Mapping[str, Any]) -> Self:
        """Return the table that an ``AWS::Glue::Table`` of the template declares.

        Raises:
            ValueError: With this declaration, Athena would find none of the archive's objects, or a line could fail a
                query.
        """
        declared = properties["TableInput"]
        parameters, storage = declared["Parameters"], declared["StorageDescriptor"]
        (key,) = declared["PartitionKeys"]
        location = _LOCATION.fullmatch(parameters["storage.location.template"]["Fn::Sub"])
        first, _, last = parameters[f"projection.{key['Name']}.range"].partition(",")
        kind = parameters["projection.enabled"], parameters[f"projection.{key['Name']}.type"]
        if not location or location["partition"] != key["Name"] or kind != ("true", "date") or last != "NOW":
            raise ValueError(f"not a projection of dates over the archive's keys: {parameters}")
        serde, settings = storage["SerdeInfo"]["SerializationLibrary"], storage["SerdeInfo"]["Parameters"]
        if {column["Type"] for column in storage["Columns"]} != {"string"}:
            raise ValueError(f"a line whose field is of another type would fail the query: {storage['Columns']}")
        if (serde, settings) not in (
            (_JSON_SERDE, {"ignore.malformed.json": "true"}),
            (_TEXT_SERDE, {"field.delim": "\n"}),
        ):
            raise ValueError(f"a line that is not JSON would fail the query, or lines would be cut: {serde} {settings}")
        return cls(
            name=declared["Name"],
            columns=tuple(column["Name"] for column in storage["Columns"]),
            partition=key["Name"],
            folder=location["folder"],
            date_format=re.sub(
                "|".join(_DATE_FORMATS),
                lambda found: _DATE_FORMATS[found[0]],
                parameters[f"projection.{key['Name']}.format"],
            ),
            first=first,
            is_json=serde == _JSON_SERDE,
        )

    def date_of(self, key: str) -> str | None:
        """Return the partition that an object belongs to, or None if Athena would not read it."""
        if not key.startswith(self.folder):
            return None
        value = key.removeprefix(self.folder).rpartition("/")[0]
        try:
            date = datetime.strptime(value, self.date_format).replace(tzinfo=UTC)
        except ValueError:
            return None
        first = datetime.strptime(self.first, self.date_format).replace(tzinfo=UTC)
        canonical = date.strftime(self.date_format) == value  # strptime takes 2016/12/5 as well
        return value if canonical and first <= date <= datetime.now(UTC) else None


def tables(template: Path = ROOT / "template.yaml") -> list[Table]:
    """Return the tables that a template declares."""
    resources = yaml_parse(template.read_text())["Resources"].values()
    return [Table.declared(each["Properties"]) for each in resources if each["Type"] == "AWS::Glue::Table"]


def documented(page: Path = ROOT / "docs" / "athena.md") -> dict[str, str]:
    """Return the queries in a page, each by the heading above it."""
    found = re.finditer(r"^### (.+)$\n(?:(?!#).*\n)*?```sql\n((?:.*\n)*?)```$", page.read_text(), re.MULTILINE)
    return {match[1]: match[2] for match in found}


def objects(s3: Any, bucket: str) -> dict[str, bytes]:  # noqa: ANN401  a boto3 client
    """Return all objects of a bucket by their keys."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def answer(sql: str, archive: Mapping[str, bytes], declared: Collection[Table]) -> list[dict[str, Any]]:
    """Run one or more statements, separated by semicolons, as Athena would.

    Args:
        sql: In Athena's SQL: queries, ``CREATE TABLE AS`` and ``INSERT``. What is created is gone afterwards.
        archive: The bucket's objects by their keys.
        declared: The tables that the statements may use besides those that they create.

    Returns:
        The rows of the last statement, each as a mapping of its column names to values.

    Raises:
        OSError, EOFError: An object is not whole gzip.
        duckdb.Error: A statement uses something that the tables do not have, or fails on a row.
        sqlglot.errors.SqlglotError: The SQL is not valid, or cannot be translated to DuckDB's.
    """
    schema: dict[str, object] = {
        table.name: dict.fromkeys((*table.columns, table.partition), "string") for table in declared
    }
    with (
        duckdb.connect(config={"autoinstall_known_extensions": False}) as connection,  # download nothing
        TemporaryDirectory(prefix="relay-athena-") as folder,
    ):
        connection.execute(_MACROS)
        statements = [each for each in sqlglot.parse(sql, read="athena") if each]
        used = {table.name for statement in statements for table in statement.find_all(exp.Table)}
        for table in declared:
            if table.name in used:
                _load(connection, table, archive, Path(folder) / "rows.json")
        for statement in statements:
            result = connection.execute(_translated(statement, schema))
            if isinstance(statement, exp.Create):
                created = connection.table(statement.this.name)
                schema[statement.this.name] = dict(zip(created.columns, map(str, created.types), strict=True))
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _load(connection: duckdb.DuckDBPyConnection, table: Table, archive: Mapping[str, bytes], file: Path) -> None:
    columns = [*table.columns, table.partition]
    listed = ", ".join(f'"{column}" VARCHAR' for column in columns)
    connection.execute(f'CREATE TABLE "{table.name}" ({listed})')
    with file.open("w", encoding="utf-8", errors="replace") as rows:
        for key, content in archive.items():
            if date := table.date_of(key):
                for line in _lines(gzip.decompress(content)):
                    values = _fields(line, table.columns) if table.is_json else {"line": line}
                    rows.write(_ENCODER.encode({**values, table.partition: date}) + "\n")
    if file.stat().st_size:
        connection.read_json(
            str(file), columns=dict.fromkeys(columns, "VARCHAR"), format="newline_delimited"
        ).insert_into(table.name)


def _lines(text: bytes) -> Iterator[str]:
    """Yield the lines of a file; a carriage return ends one too, and only a byte order mark at the start is skipped."""
    lines = _LINE_END.split(text.removeprefix(codecs.BOM_UTF8))
    if not lines[-1]:
        lines.pop()
    return (line.decode(errors="replace") for line in lines)


def _fields(line: str, columns: Collection[str]) -> Mapping[str, str | None]:
    """Return the columns that a line has, as text; text after the object is passed over.

    An array's elements are the columns in their order. A line that is neither has no columns.
    """
    try:
        value, _ = _DECODER.raw_decode(line.strip(_BLANKS))
    except ValueError:
        return {}
    if isinstance(value, list):
        value = dict(zip(columns, value, strict=False))
    if not isinstance(value, dict):
        return {}
    found = {name.lower(): _text(each) for name, each in value.items()}
    return {column: found.get(column) for column in columns}


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return _ENCODER.encode(value)


def _last_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object with the last of the fields whose names differ at most in case."""
    return dict({name.lower(): (name, value) for name, value in pairs}.values())


_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(strict=False, object_pairs_hook=_last_of_each, parse_constant=str)


def _translated(statement: exp.Expr, schema: dict[str, object]) -> str:
    """Translate a statement to DuckDB's SQL.

    The types of the columns matter: for integers, 1 / 2 is 0 in Athena and 0.5 in DuckDB. Where and in what format
    Athena writes a table is left out.
    """
    if isinstance(statement, exp.Create):
        return f'CREATE TABLE "{statement.this.name}" AS {_translated(statement.expression, schema)}'
    if isinstance(statement, exp.Insert):
        return f'INSERT INTO "{statement.this.name}" {_translated(statement.expression, schema)}'
    query = qualify(
        statement,
        dialect="athena",
        schema=MappingSchema(schema, dialect="hive"),
        validate_qualify_columns=False,  # DuckDB validates them
    )
    typed: exp.Expr = annotate_types(query, dialect="athena")
    return typed.transform(_macro).sql("duckdb", unsupported_level=ErrorLevel.RAISE)


def _macro(node: exp.Expr) -> exp.Expr:
    """Replace one of Trino's functions by the macro that behaves as it does."""
    if isinstance(node, exp.JSONExtractScalar):
        name = "trino_extract_scalar"
    elif isinstance(node, exp.JSONExtract):
        name = "trino_extract"
    else:
        return node
    return exp.Anonymous(this=name, expressions=[node.this, exp.Literal.string(node.expression.sql().strip("'"))])

"""A stand-in for Athena: DuckDB runs Athena's SQL over the objects of a bucket.

The tables are those of the template: its Hive types are translated to DuckDB's, its partition projection determines
which objects belong to which day, and its SerDe's settings how a line that is not JSON is read. Only the features of
Athena that the archive uses are implemented.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import duckdb
import sqlglot
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]
from sqlglot.errors import ErrorLevel
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from local.build import ROOT

_DATE_FORMATS = {"yyyy": "%Y", "MM": "%m", "dd": "%d"}
_LOCATION = re.compile(r"s3://\$\{BackupBucket}/(?P<folder>.+/)\$\{!(?P<partition>\w+)}/")


@dataclass(frozen=True)
class Table:
    """A table of gzipped JSON lines, with one partition column: the date in the key.

    Attributes:
        name: Its name in the database.
        columns: The columns and their Hive types, without the partition column.
        partition: The partition column.
        folder: The keys' prefix before the date.
        date_format: The format of the date, for ``strftime``.
        first: The first date of the projection, in that format. The last one is today, in UTC.
        ignores_bad_lines: Whether a line that is not JSON becomes a row of nulls; otherwise it fails the query.
    """

    name: str
    columns: Mapping[str, str]
    partition: str
    folder: str
    date_format: str
    first: str
    ignores_bad_lines: bool

    @classmethod
    def declared(cls, properties: Mapping[str, Any]) -> Self:
        """Return the table that an ``AWS::Glue::Table`` of the template declares.

        Raises:
            ValueError: With this declaration, Athena would find none of the archive's objects.
        """
        declared = properties["TableInput"]
        parameters, storage = declared["Parameters"], declared["StorageDescriptor"]
        (key,) = declared["PartitionKeys"]
        location = _LOCATION.fullmatch(parameters["storage.location.template"]["Fn::Sub"])
        first, _, last = parameters[f"projection.{key['Name']}.range"].partition(",")
        kind = parameters["projection.enabled"], parameters[f"projection.{key['Name']}.type"]
        if not location or location["partition"] != key["Name"] or kind != ("true", "date") or last != "NOW":
            raise ValueError(f"not a projection of dates over the archive's keys: {parameters}")
        return cls(
            name=declared["Name"],
            columns={column["Name"]: column["Type"] for column in storage["Columns"]},
            partition=key["Name"],
            folder=location["folder"],
            date_format=re.sub(
                "|".join(_DATE_FORMATS),
                lambda found: _DATE_FORMATS[found[0]],
                parameters[f"projection.{key['Name']}.format"],
            ),
            first=first,
            ignores_bad_lines=storage["SerdeInfo"]["Parameters"]["ignore.malformed.json"] == "true",
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
    """Run a query as Athena would.

    Args:
        sql: In Athena's SQL.
        archive: The bucket's objects by their keys.
        declared: The tables that the query may use.

    Returns:
        The rows, each as a mapping of its column names to values.

    Raises:
        duckdb.Error: The query uses something that the tables do not have, or an object cannot be read.
        sqlglot.errors.SqlglotError: The query is not valid SQL, or cannot be translated to DuckDB's.
    """
    in_duckdb_sql = _translated(sql, declared)
    with (
        duckdb.connect(config={"autoinstall_known_extensions": False}) as connection,  # download nothing
        TemporaryDirectory(prefix="relay-athena-") as folder,
    ):
        for table in declared:
            _load(connection, table, archive, Path(folder))
        result = connection.execute(in_duckdb_sql)
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _load(connection: duckdb.DuckDBPyConnection, table: Table, archive: Mapping[str, bytes], folder: Path) -> None:
    types = {name: _duckdb_type(kind) for name, kind in table.columns.items()}
    listed = ", ".join(f'"{name}" {kind}' for name, kind in {**types, table.partition: "VARCHAR"}.items())
    connection.execute(f'CREATE TABLE "{table.name}" ({listed})')
    file = folder / "lines.gz"
    for key, content in archive.items():
        if date := table.date_of(key):
            file.write_bytes(content)
            lines = connection.read_json(
                str(file),
                columns=types,
                format="newline_delimited",
                compression="gzip",
                ignore_errors=table.ignores_bad_lines,
            )
            lines.project(f"*, '{date}'").insert_into(table.name)


def _translated(sql: str, declared: Collection[Table]) -> str:
    """Translate a query to DuckDB's SQL.

    The types of the columns matter: for integers, 1 / 2 is 0 in Athena and 0.5 in DuckDB.
    """
    schema: dict[str, object] = {table.name: {**table.columns, table.partition: "string"} for table in declared}
    query = qualify(
        sqlglot.parse_one(sql, read="athena"),
        dialect="athena",
        schema=MappingSchema(schema, dialect="hive"),
        validate_qualify_columns=False,  # DuckDB validates them
    )
    return annotate_types(query, dialect="athena").sql("duckdb", unsupported_level=ErrorLevel.RAISE)


def _duckdb_type(hive_type: str) -> str:
    return sqlglot.exp.DataType.build(hive_type, dialect="hive").sql("duckdb")

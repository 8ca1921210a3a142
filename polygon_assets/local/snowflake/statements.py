"""Rewrites statements that fakesnow 0.12.1 lacks or misreads: names, filters and functions.

Add a rewriting here, as a pure function of the parsed statement; a session's state and the running
of statements belong to `engine`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from fakesnow import transforms
from sqlglot import Expr, exp

_SHOWN_NAME = {"COLUMNS": "column_name"}
"""The column that SHOW filters, by the kind of object; `name` for all other kinds."""
_WHOLE_DAYS = {"DAY", "WEEK", "MONTH", "QUARTER", "YEAR"}
_FILTERS = ("like", "starts_with", "limit", "from_")
_of_text: ContextVar[bool] = ContextVar("sums_of_text", default=False)
_fakesnow_aggregate: Callable[[Expr], Expr] = transforms.numeric_agg_implicit_cast

Path = tuple[str, str, str]
"""Database, schema and name."""


@dataclass
class Temporaries:
    """The temporary tables of a session.

    DuckDB keeps them outside of all schemas, Snowflake in the schema of their name.
    """

    created: set[Path] = field(default_factory=set)

    def rewrite(self, statement: Expr, database: str | None, schema: str | None) -> Expr:
        """Remove database and schema from the names of the session's temporary tables."""
        if _is_temporary(statement) and (target := statement.find(exp.Table)):
            self.created.add(_path(target, database, schema))
        # Before the names are shortened: the session's schema may be another one.
        dropped = _dropped(statement, database, schema)
        for table in list(statement.find_all(exp.Table)):
            if table.args.get("db") and _path(table, database, schema) in self.created:
                table.set("db", None)
                table.set("catalog", None)
        self.created -= dropped
        return statement


def _dropped(statement: Expr, database: str | None, schema: str | None) -> set[Path]:
    """The table that a statement drops, if it drops one."""
    if isinstance(statement, exp.Drop) and statement.kind == "TABLE":
        return {_path(table, database, schema) for table in statement.find_all(exp.Table)}
    return set()


def _is_temporary(statement: Expr) -> bool:
    properties = (
        statement.args.get("properties")
        if isinstance(statement, exp.Create) and statement.kind == "TABLE"
        else None
    )
    return bool(properties and properties.find(exp.TemporaryProperty))


def _path(table: exp.Table, database: str | None, schema: str | None) -> Path:
    parts = [_name(table.args.get(part)) for part in ("catalog", "db", "this")]
    return parts[0] or database or "", parts[1] or schema or "", parts[2]


def _name(identifier: Expr | None) -> str:
    """The name in Snowflake's form: upper case unless quoted."""
    if not isinstance(identifier, exp.Identifier):
        return ""
    return identifier.name if identifier.args.get("quoted") else identifier.name.upper()


@dataclass(frozen=True)
class ShownFilter:
    """LIKE, STARTS WITH and LIMIT of a SHOW statement; fakesnow ignores most of them."""

    column: str
    like: str | None
    starts_with: str | None
    limit: int | None
    after: str | None

    def apply(self, query: Expr) -> Expr:
        """The rows of `query` that Snowflake shows."""
        column = exp.column(self.column, quoted=True)
        conditions: list[Expr] = []
        if self.like is not None:
            # In Snowflake a backslash escapes here, as in every LIKE with a string literal.
            conditions.append(
                exp.Escape(
                    this=exp.ILike(this=column, expression=exp.Literal.string(self.like)),
                    expression=_BACKSLASH,
                )
            )
        if self.starts_with is not None:
            conditions.append(
                exp.func(
                    "starts_with",
                    column.copy(),
                    exp.Literal.string(self.starts_with),
                    dialect="duckdb",
                )
            )
        if self.after is not None:
            conditions.append(exp.GT(this=column.copy(), expression=exp.Literal.string(self.after)))
        shown = exp.select("*").from_(exp.Subquery(this=query, alias=exp.to_identifier("shown")))
        shown = shown.where(*conditions) if conditions else shown
        return shown.order_by(column.copy()).limit(self.limit) if self.limit is not None else shown


_BACKSLASH = exp.Literal.string("\\")


def take_filter(statement: Expr) -> ShownFilter | None:
    """Remove the filter from a SHOW statement and return it; None if the statement has none.

    fakesnow would otherwise apply a part of the filter.
    """
    if not isinstance(statement, exp.Show):
        return None
    like, starts_with, limit, after = (statement.args.get(name) or None for name in _FILTERS)
    if not any((like, starts_with, limit)):
        return None
    for name in _FILTERS:
        statement.set(name, None)
    return ShownFilter(
        column=_SHOWN_NAME.get(statement.name.upper(), "name"),
        like=like.name if like else None,
        starts_with=starts_with.name if starts_with else None,
        limit=int(limit.expression.name) if isinstance(limit, exp.Limit) else None,
        after=after.name if after else None,
    )


def with_columns_of_values(statement: Expr) -> Expr:
    """Replace `$1` of a VALUES clause by the name of its first column, `$2` by the second's."""
    for parameter in list(statement.find_all(exp.Parameter)):
        number = parameter.this
        select = parameter.find_ancestor(exp.Select)
        if (
            select
            and isinstance(number, exp.Literal)
            and not number.is_string
            and (values := _values(select))
        ):
            _column_node(parameter).replace(_column_of(values, int(number.name)))
    return statement


def _column_node(parameter: exp.Parameter) -> Expr:
    """The node to replace: `t.$1` is a column that wraps the parameter."""
    return parameter.parent if isinstance(parameter.parent, exp.Column) else parameter


def _values(select: exp.Select) -> exp.Values | None:
    source = select.args.get("from_")
    inner = source.this if source else None
    return inner if isinstance(inner, exp.Values) else None


def _column_of(values: exp.Values, number: int) -> exp.Column:
    alias = values.args.get("alias")
    if alias and not alias.args.get("columns"):
        # fakesnow names the columns only of a clause without an alias.
        width = len(values.expressions[0].expressions) if values.expressions else 0
        alias.set("columns", [exp.to_identifier(f"COLUMN{place}") for place in range(1, width + 1)])
    named = alias.args["columns"] if alias else ()
    return (
        exp.Column(this=named[number - 1].copy())
        if number <= len(named)
        else exp.column(f"COLUMN{number}")
    )


def with_session_functions(statement: Expr, facts: Mapping[str, str | None]) -> Expr:
    """Replace functions about the session by their values; `facts` is keyed by function name."""
    for node in list(statement.find_all(exp.Func)):
        name = (node.name if isinstance(node, exp.Anonymous) else node.sql_name()).upper()
        if name in facts and not _arguments(node):
            value = facts[name]
            # Snowflake names the column after the call.
            literal = exp.Null() if value is None else exp.Literal.string(value)
            inside = isinstance(node.parent, exp.Select) and node.arg_key == "expressions"
            node.replace(exp.alias_(literal, f"{name}()", quoted=True) if inside else literal)
    return statement


def _arguments(node: exp.Func) -> bool:
    return any(
        value
        for name, value in node.args.items()
        if name != "this" or not isinstance(node, exp.Anonymous)
    )


def with_functions(statement: Expr) -> Expr:
    """Replace functions by this server's macros (session_macros.sql)."""

    def replaced(node: Expr) -> Expr:
        if isinstance(node, exp.TimestampTrunc | exp.DateTrunc):
            part = exp.Literal.string(node.args["unit"].name)
            return exp.Anonymous(this="_date_trunc", expressions=[part, node.this])
        if isinstance(node, exp.Typeof):
            return exp.Anonymous(this="_typeof", expressions=[node.this])
        return node

    return _with_dates_moved(statement.transform(replaced, copy=False))


def _with_dates_moved(statement: Expr) -> Expr:
    """Keep a DATE that is moved by whole days a DATE."""
    for node in list(statement.find_all(exp.DateAdd, exp.DateSub)):
        if node.text("unit").upper() in _WHOLE_DAYS:
            origin = node.this.copy()
            moved = exp.Anonymous(this="_moved", expressions=[origin, exp.Null()])
            node.replace(moved)
            moved.expressions[1].replace(node)
    return statement


def exact_aggregate(expression: Expr) -> Expr:
    """Keep SUM of numbers exact, as in DuckDB.

    fakesnow casts every argument to FLOAT, so that text can be summed.
    """
    if not isinstance(expression, exp.Sum) or _of_text.get():
        return _in_distinct(expression) or _fakesnow_aggregate(expression)
    argument = expression.this
    named = _fakesnow_aggregate(expression)
    total = named.this if isinstance(named, exp.Alias) else named
    total.set("this", argument.copy())
    return named


def _in_distinct(expression: Expr) -> Expr | None:
    """Cast inside the DISTINCT of AVG(DISTINCT x) and the like; fakesnow would cast around it."""
    distinct = expression.this if isinstance(expression, exp.AggFunc) else None
    if not isinstance(distinct, exp.Distinct) or not isinstance(
        expression, transforms.transforms._NUMERIC_ONLY_AGGS
    ):
        return None
    double = exp.DataType.build("DOUBLE")
    distinct.set(
        "expressions", [exp.TryCast(this=argument, to=double) for argument in distinct.expressions]
    )
    return expression


@contextmanager
def sums_of_text() -> Iterator[None]:
    """Inside the block, SUM accepts text and variants and returns a FLOAT."""
    token = _of_text.set(True)
    try:
        yield
    finally:
        _of_text.reset(token)

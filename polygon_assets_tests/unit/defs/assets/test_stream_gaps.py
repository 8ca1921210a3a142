"""The page of the gap ledger names every cause that the code writes into it."""

import ast
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import get_args

from polygon_assets.defs.assets.stream_gaps import CAUSES, GAP_COLUMNS
from polygon_assets.gap_filling import coverage, doubt
from polygon_assets.messages import GapReason
from polygon_assets.serving import gap_ledger


def nodes(module: ModuleType) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(inspect.getsource(module)))


def texts(node: ast.AST) -> set[str]:
    return {
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


def passed(module: ModuleType, function: str, number: int) -> set[str]:
    """The texts that are passed to a function as its argument of this number."""
    return {
        text
        for node in nodes(module)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == function
        and len(node.args) > number
        for text in texts(node.args[number])
    }


def returned(module: ModuleType, function: str) -> set[str]:
    return {
        text
        for node in nodes(module)
        if isinstance(node, ast.FunctionDef) and node.name == function
        for part in ast.walk(node)
        if isinstance(part, ast.Return) and part.value
        for text in texts(part.value)
    }


def test_the_column_names_every_cause_that_the_code_writes() -> None:
    written = {
        *get_args(GapReason),
        *returned(coverage, "_cause"),
        *passed(doubt, "_gap", 1),
        *passed(gap_ledger, "GapEntry", 3),
    }
    assert {"broker", "not running", "silent channel", "unreadable report"} <= written
    assert {cause for causes in CAUSES.values() for cause in causes} == written
    [description] = [text for name, _, text in GAP_COLUMNS if name == "cause"]
    assert all(cause in description for cause in written)

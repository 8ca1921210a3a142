"""Every named error of the package has one base."""

import ast
from pathlib import Path

import polygon_assets

PACKAGE = Path(polygon_assets.__file__).parent


def test_no_error_derives_from_exception_directly() -> None:
    classes = [
        f"{path.relative_to(PACKAGE)}: {node.name}"
        for path in PACKAGE.rglob("*.py")
        if path.name != "errors.py" or path.parent != PACKAGE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "Exception" for base in node.bases)
    ]
    assert classes == []

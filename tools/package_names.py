"""What the names, attributes and annotations in the code of a package stand for, read by `ast`."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Module:
    name: str


@dataclass(frozen=True)
class Class:
    module: str
    node: ast.ClassDef


@dataclass(frozen=True)
class Instance:
    cls: Class


@dataclass(frozen=True)
class Function:
    """A function, or with `cls` a method as that class defines it."""

    module: str
    node: ast.FunctionDef
    cls: Class | None = None

    @property
    def name(self) -> str:
        return f"{self.cls.node.name}.{self.node.name}" if self.cls else self.node.name

    def decorated(self, *names: str) -> bool:
        return any(isinstance(d, ast.Name) and d.id in names for d in self.node.decorator_list)


@dataclass(frozen=True)
class Import:
    """`from module import name`."""

    module: str
    name: str


Value = Module | Class | Instance | Function | None
"""What an expression stands for, where that is known."""


class Program:
    """The modules of a package below `root`, and what their names, attributes and annotations stand for.

    Attributes:
        files: the path of each module, relative to `root`.
    """

    def __init__(self, root: Path, package: str) -> None:
        self.files: dict[str, str] = {}
        self._scopes: dict[str, dict[str, Value | Import]] = {}
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts).removesuffix(".__init__")
            self.files[name] = path.relative_to(root).as_posix()
            self._scopes[name] = _scope(name, parts, ast.parse(path.read_text("utf-8")))

    def lookup(self, module: str, name: str) -> Value:
        """What a name at a module's top level stands for, imports followed."""
        value = self._scopes[module].get(name)
        if isinstance(value, Import):
            full = f"{value.module}.{value.name}"
            if full in self.files:
                return Module(full)
            return self.lookup(value.module, value.name) if value.module in self.files else None
        return value

    def attribute(self, value: Value, name: str) -> Value:
        """What an attribute stands for: a property's and a field's value by its annotation."""
        if isinstance(value, Module):
            inner = f"{value.name}.{name}"
            return Module(inner) if inner in self.files else self.lookup(value.name, name)
        cls = value.cls if isinstance(value, Instance) else value
        if not isinstance(cls, Class):
            return None
        for node in cls.node.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                method = Function(cls.module, node, cls)
                is_property = method.decorated("property", "cached_property")
                return self.annotated(cls.module, node.returns, value) if is_property else method
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
                return self.annotated(cls.module, node.annotation, value)
        return next((found for base in self.bases(cls) if (found := self.attribute(base, name))), None)

    def bases(self, cls: Class) -> list[Class]:
        """The classes of the package that a class is derived from."""
        values = [self.lookup(cls.module, base.id) for base in cls.node.bases if isinstance(base, ast.Name)]
        return [value for value in values if isinstance(value, Class)]

    def is_record(self, value: Value) -> bool:
        """Whether it is an instance of a dataclass or of a pydantic model."""
        if not isinstance(value, Instance):
            return False
        node = value.cls.node
        marks = [ast.unparse(mark).partition("(")[0] for mark in (*node.decorator_list, *node.bases)]
        return not {"dataclass", "BaseModel"}.isdisjoint(marks) or any(
            self.is_record(Instance(base)) for base in self.bases(value.cls)
        )

    def annotated(self, module: str, annotation: ast.expr | None, receiver: Value = None) -> Instance | None:
        """An instance of the class that an annotation names: X for `X | None` and `X[Y]`, the receiver's for Self."""
        match annotation:
            case ast.Constant(value=str(text)):
                return self.annotated(module, ast.parse(text, mode="eval").body, receiver)
            case ast.BinOp(left=left, right=right):
                return self.annotated(module, left, receiver) or self.annotated(module, right, receiver)
            case ast.Subscript(value=generic):
                return self.annotated(module, generic, receiver)
            case ast.Name(id="Self"):
                return Instance(receiver) if isinstance(receiver, Class) else _instance(receiver)
            case ast.Name(id=name):
                cls = self.lookup(module, name)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                cls = self.attribute(self.lookup(module, name), attribute)
            case _:
                return None
        return Instance(cls) if isinstance(cls, Class) else None


def _instance(value: Value) -> Instance | None:
    return value if isinstance(value, Instance) else None


def _scope(module: str, parts: Sequence[str], tree: ast.Module) -> dict[str, Value | Import]:
    """What a module defines at its top level and what it imports, wherever in it."""
    scope: dict[str, Value | Import] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            above = parts[: len(parts) - node.level] if node.level else ()
            source = ".".join(filter(None, [*above, node.module]))
            scope |= {alias.asname or alias.name: Import(source, alias.name) for alias in node.names}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            scope[node.name] = Function(module, node)
        elif isinstance(node, ast.ClassDef):
            scope[node.name] = Class(module, node)
    return scope

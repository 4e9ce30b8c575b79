"""The files that a parameter passes on its way through the code, and its returns to a file that it had already left.

    python -m tools.parameter_path [--root PROJECT] [--function gemvg_repro.stages.train:train]

Read from the code, by `ast`; nothing is run. Definition:

- The way begins in the function, whose first argument carries the parameter.
- What carries it: the parameter; an attribute, an item or a method's result of what carries it; a literal or a dict
  comprehension of what carries it; a record (a dataclass or pydantic model of the package) or a `dict` made from it.
- The calls of a function are taken in the order in which they are evaluated, whatever the branch. A call of a
  function, class or method of the package that is given what carries the parameter, as an argument or as its object,
  enters the callee, with the parameters that it was given as carriers. Calls that cannot be resolved are passed over.
- A callee's own calls are followed once for each set of carriers.
- Entering another file is a step; coming back to the caller is none. A step into a file that the parameter has been in
  before is a return.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.package_names import Class, Function, Instance, Program, Value

FUNCTION = "gemvg_repro.stages.train:train"
"""What notebooks/train.ipynb calls with its parameters."""

_READERS = ("dict", "vars", "getattr", "replace")
"""Functions outside the package whose result carries what their first argument does."""


@dataclass(frozen=True)
class Step:
    file: str
    function: str
    is_return: bool


@dataclass
class Walk:
    """The way so far, and the functions that were followed with each set of carriers."""

    program: Program
    steps: list[Step] = field(default_factory=list)
    followed: set[tuple[Function, frozenset[str]]] = field(default_factory=set)

    def enter(self, function: Function, carriers: frozenset[str], caller: str) -> None:
        """Enters a function from the file of its caller ("": the way begins here)."""
        file = self.program.files[function.module]
        if file != caller:
            self.steps.append(Step(file, function.name, any(file == step.file for step in self.steps)))
        if (function, carriers) not in self.followed:
            self.followed.add((function, carriers))
            body = _Body(self, function, set(carriers))
            for statement in function.node.body:
                body.visit(statement)


class _Body(ast.NodeVisitor):
    """One pass over a function's body, in the order of evaluation."""

    def __init__(self, walk: Walk, function: Function, carriers: set[str]) -> None:
        self._walk, self._function, self._carriers = walk, function, carriers
        self._program = walk.program
        arguments = function.node.args
        self._values: dict[str, Value] = {}
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            self._values[argument.arg] = self._program.annotated(function.module, argument.annotation)
        if function.cls:
            self._values |= {"self": Instance(function.cls), "cls": function.cls}

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._bind(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.visit(node.value)
            self._bind(node.target, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._bind(node.target, node.value)

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        self._bind(node.target, node.iter)
        for statement in (*node.body, *node.orelse):
            self.visit(statement)

    def visit_withitem(self, node: ast.withitem) -> None:
        self.visit(node.context_expr)
        if node.optional_vars:
            self._bind(node.optional_vars, node.context_expr)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self.visit(node.iter)
        self._bind(node.target, node.iter)
        for condition in node.ifs:
            self.visit(condition)

    def _visit_comprehension_of(self, generators: Sequence[ast.AST], *elements: ast.AST) -> None:
        for part in (*generators, *elements):
            self.visit(part)

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> None:
        self._visit_comprehension_of(node.generators, node.elt)

    visit_SetComp = visit_GeneratorExp = visit_ListComp

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._visit_comprehension_of(node.generators, node.key, node.value)

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        function, arguments = node.func, node.args
        if isinstance(function, ast.Name) and function.id == "partial" and arguments:
            function, *arguments = arguments
        callee, receiver = self._callee(function)
        if callee is None:
            return
        bound = receiver is not None and not callee.decorated("staticmethod")
        values: list[ast.expr | None] = [receiver, *arguments] if bound else [*arguments]
        if carriers := self._given(callee.node.args, values, node.keywords):
            self._walk.enter(callee, carriers, self._program.files[self._function.module])

    def _callee(self, function: ast.expr) -> tuple[Function | None, ast.expr | None]:
        """The function that a call enters, and the expression that is its first argument, for a method."""
        value = self._value(function)
        if isinstance(value, Class):
            method = self._program.attribute(value, "__init__")
            return (method, ast.Constant(None)) if isinstance(method, Function) else (None, None)
        if isinstance(value, Instance):
            method = self._program.attribute(value, "__call__")
            return (method, function) if isinstance(method, Function) else (None, None)
        if not isinstance(value, Function):
            return None, None
        return value, function.value if value.cls and isinstance(function, ast.Attribute) else None

    def _given(
        self, parameters: ast.arguments, values: Sequence[ast.expr | None], keywords: Sequence[ast.keyword]
    ) -> frozenset[str]:
        """The callee's parameters that a call gives what carries the parameter."""
        names = [argument.arg for argument in (*parameters.posonlyargs, *parameters.args)]
        rest = parameters.vararg.arg if parameters.vararg else names[-1] if names else ""
        others = parameters.kwarg.arg if parameters.kwarg else ""
        carriers = {names[i] if i < len(names) else rest for i, value in enumerate(values) if self._carries(value)}
        carriers |= {keyword.arg or others for keyword in keywords if self._carries(keyword.value)}
        return frozenset(carriers - {""})

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            matching = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
            for number, part in enumerate(target.elts):
                self._bind(part, value.elts[number] if matching else value)  # type: ignore[attr-defined]
        elif isinstance(target, ast.Starred):
            self._bind(target.value, value)
        elif isinstance(target, ast.Name):
            if self._carries(value):
                self._carriers.add(target.id)
            self._values[target.id] = self._value(value)

    def _carries(self, node: ast.expr | None) -> bool:
        match node:
            case ast.Name(id=name):
                return name in self._carriers
            case ast.Attribute(value=value) | ast.Subscript(value=value) | ast.Starred(value=value):
                return self._carries(value)
            case ast.Dict(values=values) | ast.BoolOp(values=values):
                return any(map(self._carries, values))
            case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
                return any(map(self._carries, elements))
            case ast.DictComp(generators=generators):
                return any(self._carries(generator.iter) for generator in generators)
            case ast.IfExp(body=body, orelse=orelse):
                return self._carries(body) or self._carries(orelse)
            case ast.Call(func=ast.Attribute(value=receiver)) if self._carries(receiver):
                result = self._value(node)
                return result is None or self._program.is_record(result)
            case ast.Call(func=function, args=arguments, keywords=keywords):
                given = any(map(self._carries, (*arguments, *(keyword.value for keyword in keywords))))
                reads = isinstance(function, ast.Name) and function.id in _READERS
                return given and (reads or self._program.is_record(self._value(node)))
        return False

    def _value(self, node: ast.expr) -> Value:
        match node:
            case ast.Name(id=name):
                return self._values.get(name) or self._program.lookup(self._function.module, name)
            case ast.Attribute(value=value, attr=name):
                return self._program.attribute(self._value(value), name)
            case ast.BoolOp(values=values):
                return next((found for part in values if (found := self._value(part))), None)
            case ast.IfExp(body=body, orelse=orelse):
                return self._value(body) or self._value(orelse)
            case ast.Call(func=function):
                called = self._value(function)
                if isinstance(called, Class):
                    return Instance(called)
                if isinstance(called, Function):
                    receiver = self._value(function.value) if isinstance(function, ast.Attribute) else None
                    return self._program.annotated(called.module, called.node.returns, receiver)
        return None


def path_of(root: Path, function: str) -> list[Step]:
    """The steps of the first argument of a function, given as `package.module:function`.

    Raises:
        ValueError: there is no such function below `root`.
    """
    module, _, name = function.partition(":")
    program = Program(root, module.partition(".")[0])
    start = program.lookup(module, name) if module in program.files else None
    if not isinstance(start, Function) or not start.node.args.args:
        raise ValueError(f"{root} has no function {function} with an argument; expected package.module:function")
    walk = Walk(program)
    walk.enter(start, frozenset({start.node.args.args[0].arg}), "")
    return walk.steps


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--function", default=FUNCTION)
    arguments = parser.parse_args()
    steps = path_of(arguments.root, arguments.function)
    for number, step in enumerate(steps, 1):
        print(f"{number:3}  {step.file}  {step.function}{'  (return)' if step.is_return else ''}")
    returns = sum(step.is_return for step in steps)
    print(f"{len(steps) - returns} files, {returns} returns to a file already left")


if __name__ == "__main__":
    main()

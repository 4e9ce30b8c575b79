"""The files that a parameter passes on its way through the code, and its returns to a file that it had already left.

    python -m tools.parameter_path [--root PROJECT] [--function gemvg_repro.stages.train:train]

Read from the code, by `ast`; nothing is run. Definition:

- The way begins in the function, whose first argument is the parameter.
- What is passed is the parameter, a record (a dataclass or pydantic model of the package) that is part of it or made
  from it, or a `dict`, a copy or a literal with one of these in it; and, counted apart, a single value of it: any
  attribute, item or method's result of a record.
- The calls of a function are taken in the order in which they are evaluated, whatever the branch. A call of a
  function, class or method of the package that is given what is passed, as an argument or as its object, or that makes
  a record of it, enters the callee. Calls that cannot be resolved are passed over.
- A callee's own calls are followed once for each set of its parameters that were given what is passed.
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

_COPYING, _COPYING_METHODS = ("dict", "vars", "replace"), ("model_copy", "model_dump", "items")
"""Functions outside the package whose result is a record's content."""


@dataclass(frozen=True)
class Step:
    file: str
    function: str
    is_return: bool


@dataclass
class Walk:
    """The way so far, of records alone or also of single `values`; and what was followed with each set of carriers."""

    program: Program
    values: bool
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
        self._choices: dict[str, ast.expr] = {}
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
        for alternative in self._alternatives(function):
            self._call(alternative, arguments, node.keywords)

    def _alternatives(self, function: ast.expr) -> Sequence[ast.expr]:
        """Both functions of `a if condition else b`, also where a name stands for it; else the function itself."""
        if isinstance(function, ast.Name) and isinstance(choice := self._choices.get(function.id), ast.IfExp):
            function = choice
        return (function.body, function.orelse) if isinstance(function, ast.IfExp) else (function,)

    def _call(self, function: ast.expr, arguments: Sequence[ast.expr], keywords: Sequence[ast.keyword]) -> None:
        callee, receiver = self._callee(function)
        if callee is None:
            return
        bound = receiver is not None and not callee.decorated("staticmethod")
        values: list[ast.expr | None] = [receiver, *arguments] if bound else [*arguments]
        carriers = self._given(callee.node.args, values, keywords)
        if carriers or self._makes_record(callee, [*arguments, *(keyword.value for keyword in keywords)]):
            self._walk.enter(callee, carriers, self._program.files[self._function.module])

    def _makes_record(self, callee: Function, given: Sequence[ast.expr]) -> bool:
        result = self._program.annotated(callee.module, callee.node.returns)
        return self._program.is_record(result) and any(self._carries(each, True) for each in given)

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
        carriers = {
            names[i] if i < len(names) else rest
            for i, value in enumerate(values)
            if self._carries(value, self._walk.values)
        }
        carriers |= {keyword.arg or others for keyword in keywords if self._carries(keyword.value, self._walk.values)}
        return frozenset(carriers - {""})

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            matching = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
            for number, part in enumerate(target.elts):
                self._bind(part, value.elts[number] if matching else value)  # type: ignore[attr-defined]
        elif isinstance(target, ast.Starred):
            self._bind(target.value, value)
        elif isinstance(target, ast.Name):
            if self._carries(value, self._walk.values):
                self._carriers.add(target.id)
            self._values[target.id] = self._value(value)
            self._choices[target.id] = value

    def _carries(self, node: ast.expr | None, values: bool) -> bool:
        """Whether an expression is a record of the parameter or, with `values`, any part of one."""
        match node:
            case ast.Name(id=name):
                return name in self._carriers
            case ast.Attribute(value=value):
                return self._carries(value, True) and (values or self._program.is_record(self._value(node)))
            case ast.Subscript(value=value):
                return values and self._carries(value, True)
            case ast.Starred(value=value):
                return self._carries(value, values)
            case ast.Dict(values=parts) | ast.BoolOp(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts):
                return any(self._carries(part, values) for part in parts)
            case ast.DictComp(generators=generators):
                return any(self._carries(generator.iter, values) for generator in generators)
            case ast.IfExp(body=body, orelse=orelse):
                return self._carries(body, values) or self._carries(orelse, values)
            case ast.Call():
                return self._result_carries(node, values)
        return False

    def _result_carries(self, call: ast.Call, values: bool) -> bool:
        result, function = self._value(call), call.func
        if isinstance(function, ast.Attribute) and self._carries(function.value, True):
            is_copy = function.attr in _COPYING_METHODS and self._carries(function.value, False)
            return is_copy or self._program.is_record(result) or (values and result is None)
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        if isinstance(function, ast.Name) and function.id in _COPYING:
            return any(self._carries(each, values) for each in given)
        is_read = values and isinstance(function, ast.Name) and function.id == "getattr"
        return any(self._carries(each, True) for each in given) and (is_read or self._program.is_record(result))

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


def path_of(root: Path, function: str = FUNCTION, values: bool = False) -> list[Step]:
    """The steps of the first argument of a function, given as `package.module:function`; `values`: and of its values.

    Raises:
        ValueError: there is no such function below `root`.
    """
    module, _, name = function.partition(":")
    program = Program(root, module.partition(".")[0])
    start = program.lookup(module, name) if module in program.files else None
    if not isinstance(start, Function) or not start.node.args.args:
        raise ValueError(f"{root} has no function {function} with an argument; expected package.module:function")
    walk = Walk(program, values)
    walk.enter(start, frozenset({start.node.args.args[0].arg}), "")
    return walk.steps


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.parameter_path",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--function", default=FUNCTION)
    arguments = parser.parse_args()
    for name, values in (("records and single values", True), ("records alone", False)):
        steps = path_of(arguments.root, arguments.function, values)
        for number, step in enumerate(steps, 1):
            print(f"{number:3}  {step.file}  {step.function}{'  (return)' if step.is_return else ''}")
        returns = sum(step.is_return for step in steps)
        print(f"{name}: {len(steps) - returns} files, {returns} returns to a file already left\n")


if __name__ == "__main__":
    main()

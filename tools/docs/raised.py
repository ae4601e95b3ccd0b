"""Which errors the sources of lib/ raise: (class, code) pairs, read from their syntax trees.

Understood: Class("code"), also through `errors.Class`; a code in a variable that the same function sets
to constants, takes from a loop over constants, or gets as a parameter from callers in the same module;
and rows of tables, where a class's name as text stands before its code.
"""

import ast


def error_classes(trees):
    """{class name: its codes} of the SENTENCES tables."""
    found = {}
    for tree in trees.values():
        for node in tree.body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "SENTENCES":
                for row in node.value.elts:
                    name, codes = row.elts
                    found[name.value] = [code.elts[0].value for code in codes.elts]
    return found


def raised(tree, classes):
    """Yields (class name, code, line) of one module; code None where it cannot be read."""
    for function, call in _calls(tree):
        name = _name(call.func)
        if name in classes and call.args:
            for code in _codes(call.args[0], function, tree, classes):
                yield name, code, call.lineno
    for node in ast.walk(tree):
        if isinstance(node, ast.Tuple):
            for before, after in zip(node.elts, node.elts[1:], strict=False):
                if _text(before) in classes:
                    for code in _constants(after):
                        if code not in classes:  # a list of names
                            yield before.value, code, node.lineno


def _calls(tree):
    """(enclosing function or None, call) of every call, each once."""
    seen = set()
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    # Inner functions come later in ast.walk's order, and know their names best.
    for scope in [*reversed(functions), tree]:
        for node in ast.walk(scope):
            if isinstance(node, ast.Call) and id(node) not in seen:
                seen.add(id(node))
                yield (None if scope is tree else scope), node


def _name(node):
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", None)


def _text(node):
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _constants(node):
    """The texts that an expression may give: a constant, or the branches of a condition."""
    if isinstance(node, ast.IfExp):
        return _constants(node.body) + _constants(node.orelse)
    return [node.value] if _text(node) is not None else []


def _codes(argument, function, tree, classes):
    if not isinstance(argument, ast.Name):
        return _constants(argument) or [None]
    if function is None:
        return [None]
    names = [parameter.arg for parameter in function.args.args]
    if argument.id in names:
        if function.name == "__init__":
            return []  # a class that hands its code on
        at = names.index(argument.id) - (names[0] == "self")
        found = []
        for outer, call in _calls(tree):
            if _name(call.func) == function.name and len(call.args) > at:
                found += _codes(call.args[at], outer, tree, classes)
        return found or [None]
    found = []
    beside_class = False
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            if any(_text(part) in classes for part in getattr(node.value, "elts", ())):
                beside_class = True  # a row as in a table: `raised` reads it
                continue
            for target, value in _pairs(node.targets[0], node.value):
                if _name(target) == argument.id:
                    found += _constants(value)
        elif isinstance(node, ast.For):
            for row in getattr(node.iter, "elts", ()):
                for target, value in _pairs(node.target, row):
                    if _name(target) == argument.id:
                        found += _constants(value)
    return found if found or beside_class else [None]


def _pairs(target, value):
    if isinstance(target, ast.Tuple):
        return list(zip(target.elts, getattr(value, "elts", ()), strict=False))
    return [(target, value)]

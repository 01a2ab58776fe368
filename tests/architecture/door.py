"""Finds where text could reach the terminal without having gone through the door."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

#: The modules that make text into what the toolkit shows. Everything in them goes through `text.plain`.
DOORS = ("app/text.py", "app/drawing.py", "app/widgets/log_paint.py")
#: Their functions that return something that can be shown.
MAKERS = {"content", "title", "paragraphs"}

#: Widgets whose text is their first argument or one of these keywords.
WIDGETS = frozenset(
    {"Static", "Label", "Button", "Option", "Tab", "TabPane", "Checkbox", "RadioButton", "ToggleButton"}
    | {"Switch", "Link", "Collapsible", "Digits", "Markdown", "Placeholder", "Pretty", "Tooltip", "Input"}
)
KEYWORDS = {"content", "label", "title", "tooltip", "prompt", "placeholder", "renderable", "text"}
ATTRIBUTES = {"border_title", "border_subtitle", "tooltip", "label", "placeholder"}
#: What holds text that is shown as it is.
CARRIERS = {"Segment", "Strip", "Text"}


@dataclass
class _Door(ast.NodeVisitor):
    is_door: bool
    faults: list[str]

    def _fault(self, node: ast.AST, sentence: str) -> None:
        self.faults.append(f"{getattr(node, 'lineno', 0)}: {sentence}")

    def visit_Call(self, node: ast.Call) -> None:
        name = _name(node.func)
        if name == "from_markup" or (name == "from_ansi" and "Text" in ast.unparse(node.func)):
            self._fault(node, f"{name} reads text as instructions")
        if any(keyword.arg == "markup" and not _is(keyword.value, False) for keyword in node.keywords):
            self._fault(node, "markup is for no text of ours")
        if not self.is_door:
            self._check_call(node, name)
        self.generic_visit(node)

    def _check_call(self, node: ast.Call, name: str) -> None:
        if name == "notify":
            self._fault(node, "a toast is shown by text.notice")
        elif name in CARRIERS or (name == "Content" and not _is_safe(node)):
            self._fault(node, f"{name} is made in {' or '.join(DOORS)} only")
        elif name in WIDGETS or (name == "update" and len(node.args) == 1 and not node.keywords):
            if name == "update" and not isinstance(node.func, ast.Attribute):
                return
            shown = [*node.args[:1], *(word.value for word in node.keywords if word.arg in KEYWORDS)]
            for value in shown:
                self._check_shown(value, f"the text of {name}")

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            if isinstance(target, ast.Attribute) and target.attr in ATTRIBUTES and not self.is_door:
                self._check_shown(node.value, target.attr)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        if node.name == "render" and not self.is_door and _name(node.returns) != "Content":
            self._fault(node, "render returns Content: a plain text would be read as markup")
        self.generic_visit(node)

    def _check_shown(self, value: ast.expr, what: str) -> None:
        if not _is_safe(value):
            self._fault(
                value, f"{what} is made by {', '.join(sorted(MAKERS))} or is a literal without brackets"
            )


def faults(source: str, *, is_door: bool = False) -> list[str]:
    """`line: sentence` for each place that could let text through."""
    visitor = _Door(is_door, [])
    visitor.visit(ast.parse(source))
    return visitor.faults


def _is_safe(value: ast.expr) -> bool:
    match value:
        case ast.Constant(value=str(text)):
            return ("[" not in text and text.isprintable()) or text in ("\n", "")
        case ast.Constant(value=None):
            return True
        case ast.IfExp():
            return _is_safe(value.body) and _is_safe(value.orelse)
        case ast.Call(func=ast.Name(id="Content")):
            return all(isinstance(arg, ast.Constant) and _is_safe(arg) for arg in value.args)
        case ast.Call(func=ast.Attribute(value=joined, attr="join"), args=[parts]):
            return _name(joined) == "Content" and _is_safe(joined) and all(map(_is_safe, _parts(parts)))
        case ast.Call(func=ast.Name(id=name)):
            return name in MAKERS
    return False


def _parts(joined: ast.expr) -> Iterator[ast.expr]:
    """What stands for each part of what is joined."""
    match joined:
        case ast.GeneratorExp() | ast.ListComp():
            yield joined.elt
        case ast.List() | ast.Tuple():
            yield from joined.elts
        case ast.Call(func=ast.Name(id="map"), args=[function, *_]):
            yield ast.Call(func=function, args=[], keywords=[])
        case _:
            yield joined


def _is(value: ast.expr, wanted: object) -> bool:
    return isinstance(value, ast.Constant) and value.value is wanted


def _name(node: ast.expr | None) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=function):
            return _name(function)
    return ""

"""Text from outside reaches the terminal through one door only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.door import DOORS, MAKERS, faults

ROOT = Path(__file__).resolve().parents[2]

LEAKS = [
    'self.notify(f"{prd_id} failed")',
    'self.app.notify("done", markup=False)',
    'notify("x")',
    "yield Static(title_of_prd)",
    'yield Static(f"{title}")',
    'yield Static("[b]bold[/b]")',
    "yield Label(view.title)",
    "yield Button(str(choice))",
    "yield Button(label=choice.label)",
    'yield Static("ok", markup=True)',
    "Option(prompt=view.prd_id)",
    'Input(placeholder=f"{x}")',
    "banner.update(text)",
    'banner.update("a" + b)',
    "self.border_title = view.title",
    'self.border_subtitle = f"{count}"',
    'self.border_title = "ok" if good else reason',
    "self.tooltip = path",
    "self.border_title = Content(view.title)",
    'self.border_title = Content.from_markup("[b]x")',
    'self.border_title = Content("\\n").join(lines)',
    'self.border_title = Content("\\n").join(str(line) for line in lines)',
    'self.border_title = Content("\\n").join(map(str, lines))',
    'self.border_title = view.separator.join([content("x")])',
    "Text(view.title)",
    "Segment(view.title, style)",
    "Strip([Segment(' ')])",
    "def render(self): return self.title",
    "def render(self) -> str: return self.title",
    "Text.from_ansi(log)",
]
SOUND = [
    'notice(self, f"{prd_id} failed", "warning")',
    'yield Static(id="banner")',
    'yield Static("prds/active is empty.")',
    "yield Static(content(view.title), id='x')",
    'yield Button("Leave", id="leave")',
    "self.border_title = content(view.title)",
    "self.border_title = title([*head, Span(view.title)]) if view else None",
    'self.border_title = Content("\\n").join(content(line) for line in lines)',
    'self.border_title = Content("\\n").join(map(title, lines))',
    'self.border_title = Content("PRDs")',
    "banner.update(title(spans))",
    "known.update(a=1)",
    "def render(self) -> Content: return self.title",
    "Strip.blank(3)",
    "Color.from_ansi(3)",
    "Widget(markup=False)",
]


@pytest.mark.parametrize("code", LEAKS)
def test_a_leak_is_found(code: str) -> None:
    assert faults(code)


@pytest.mark.parametrize("code", SOUND)
def test_what_is_sound_is_left_alone(code: str) -> None:
    assert not faults(code)


def test_every_text_on_the_screen_goes_through_the_door() -> None:
    found = []
    for path in sorted((ROOT / "app").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        found += [f"{name}:{fault}" for fault in faults(path.read_text(), is_door=name in DOORS)]
    assert not found, "\n".join(found)


def test_the_doors_are_where_they_are_said_to_be() -> None:
    sources = [(ROOT / name).read_text() for name in DOORS]
    for maker in MAKERS:
        assert any(f"def {maker}(" in source for source in sources)
    for source in sources:
        assert "plain(" in source or "log_line(" in source

"""Settings: layers, checks, sources, and the approval of what the repository wants to run."""

from __future__ import annotations

import tomllib
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config_command import main as config_command
from coordinator import approval, config
from coordinator.config import Loaded, load
from coordinator.errors import ConfigError, NotApproved, PrdTuiError
from coordinator.git import Git, discover
from coordinator.paths import Paths
from coordinator.setting_kinds import AMOUNT, Unfit, as_text, seconds
from coordinator.settings_desk import SettingsDesk
from coordinator.settings_schema import SETTINGS, Settings, build
from tests.support.repos import git, make_repo


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return discover(make_repo(tmp_path / "repo"))


def read(paths: Paths, environ: dict[str, str] | None = None, **more: Any) -> Loaded:
    return load(paths, Git(paths), environ=environ or {}, **more)


def share(paths: Paths, text: str) -> None:
    """A tracked prd-tui.toml."""
    paths.shared_config.write_text(text)
    git(paths.root, "add", "prd-tui.toml")


# -- defaults and values --------------------------------------------------------------------------------


def test_the_defaults(paths: Paths) -> None:
    loaded = read(paths)
    settings = loaded.settings
    assert settings == Settings() == build({})
    assert (settings.coordinator.max_prds, settings.coordinator.api_limit) == (3, 10)
    assert (settings.coordinator.on_quit, settings.coordinator.merge_style) == ("ask", "merge")
    assert (settings.coordinator.stop_grace, settings.coordinator.hang_after) == (30, 900)
    assert settings.coordinator.min_free_disk.of(10**12) == 2 * 10**9
    assert settings.coordinator.min_free_memory.of(1000) == 50
    assert (settings.coordinator.verify, settings.worker.command) == ((), ())
    assert settings.worktree.root == ".claude-loop/worktrees"
    assert set(loaded.sources.values()) == {"default"}
    assert loaded.sources.keys() == loaded.values.keys() == SETTINGS.keys()


def test_settings_cannot_be_changed(paths: Paths) -> None:
    with pytest.raises(FrozenInstanceError):
        read(paths).settings.coordinator.max_prds = 4  # type: ignore[misc]


def test_every_setting_is_explained_and_its_default_is_valid() -> None:
    for key, setting in SETTINGS.items():
        assert setting.help, key
        assert "\n" not in setting.help, key


@given(st.sampled_from(sorted(SETTINGS)))
def test_a_default_written_to_a_file_reads_back_as_itself(key: str) -> None:
    setting = SETTINGS[key]
    written = as_text(setting.default)
    assert setting.kind.read(tomllib.loads(f"value = {written}")["value"]) == setting.default


def test_sizes_and_durations_are_understood() -> None:
    assert AMOUNT.read("1.5 GiB").of(0) == 1.5 * 2**30
    assert AMOUNT.read("500MB").of(0) == 500 * 10**6
    assert AMOUNT.read("12.5%").of(80) == 10
    assert AMOUNT.read(0).of(80) == 0
    assert seconds(0).read("15 min") == 900
    assert seconds(0).read("1.5h") == 5400
    for wrong in ("2", "GB", "-1 GB", "101 %", "1 XB", 5, True, None, "1e9 GB", "٣ GB"):
        with pytest.raises(Unfit):
            AMOUNT.read(wrong)
    for no_time in ("soon", "15", -1, True, float("nan"), "31 d", "-5 s"):
        with pytest.raises(Unfit):
            seconds(0).read(no_time)


# -- layers ---------------------------------------------------------------------------------------------


def test_each_layer_hides_the_weaker_ones(paths: Paths, tmp_path: Path) -> None:
    home = tmp_path / "home"
    own = home / ".config" / "prd-tui" / "config.toml"
    own.parent.mkdir(parents=True)
    keys = ["max_prds", "api_limit", "max_retries", "refresh", "gate_minutes"]

    def text(*names: str, value: int) -> str:
        return "[coordinator]\n" + "".join(f"{name} = {value}\n" for name in names)

    own.write_text(text(*keys, value=2))
    paths.shared_config.write_text(text(*keys[1:], value=3))
    paths.state.mkdir()
    paths.local_config.write_text(text(*keys[2:], value=4))
    environ = {"HOME": str(home), "COORDINATOR_DASHBOARD_REFRESH": "5", "PARALLEL_API_LIMIT": ""}
    loaded = read(paths, environ, overrides={"coordinator.gate_minutes": "6"})
    found = [(loaded.values[f"coordinator.{key}"], loaded.sources[f"coordinator.{key}"]) for key in keys]
    assert found == [
        (2, str(own)),
        (3, "prd-tui.toml"),
        (4, ".claude-loop/config.toml"),
        (5, "COORDINATOR_DASHBOARD_REFRESH"),
        (6, "command line"),
    ]


def test_xdg_config_home_goes_before_home(tmp_path: Path) -> None:
    assert config.user_config({"XDG_CONFIG_HOME": "/x", "HOME": "/h"}) == Path("/x/prd-tui/config.toml")
    assert config.user_config({"XDG_CONFIG_HOME": "x", "HOME": "/h"}) == Path(
        "/h/.config/prd-tui/config.toml"
    )
    for homeless in ({}, {"HOME": ""}, {"HOME": "relative"}):
        assert config.user_config(homeless) is None


@pytest.mark.parametrize(
    ("environ", "key", "value"),
    [
        ({"PARALLEL_MAX_PRDS": "7"}, "coordinator.max_prds", 7),
        ({"PARALLEL_API_LIMIT": "7"}, "coordinator.api_limit", 7),
        ({"PARALLEL_AUTO_RESTART": "true"}, "coordinator.max_retries", 1),
        ({"COORDINATOR_AUTO_RETRY": "1"}, "coordinator.max_retries", 1),
        (
            {"COORDINATOR_AUTO_RETRY": "no", "PARALLEL_AUTO_RESTART": "TRUE"},
            "coordinator.max_retries",
            1,
        ),
        ({"COORDINATOR_AUTO_RETRY": "false"}, "coordinator.max_retries", 0),
        ({"COORDINATOR_AUTO_MERGE": "yes"}, "coordinator.auto_merge", True),
        ({"COORDINATOR_DASHBOARD_REFRESH": "2"}, "coordinator.refresh", 2),
        ({"WORKTREE_CLEANUP_ON_SUCCESS": "false"}, "worktree.cleanup_on_success", False),
        ({"WORKTREE_CLEANUP_ON_FAILURE": "true"}, "worktree.cleanup_on_failure", True),
    ],
)
def test_variables(paths: Paths, environ: dict[str, str], key: str, value: object) -> None:
    loaded = read(paths, environ)
    assert loaded.values[key] == value
    assert loaded.sources[key] in environ


def test_tables_of_several_layers_are_laid_over_each_other(paths: Paths) -> None:
    paths.shared_config.write_text('[agents.a]\ncommand = ["a"]\n[agents.b]\ncommand = ["b"]\n')
    paths.state.mkdir()
    paths.local_config.write_text('[agents.b]\ncommand = ["B"]\n')
    agents = read(paths).settings.agents
    assert {name: agent["command"] for name, agent in agents.items()} == {"a": ["a"], "b": ["B"]}


# -- refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[coordinator]\nmax_prd = 3", ["coordinator.max_prd = 3", "did you mean coordinator.max_prds?"]),
        ("[coordinater]\nx = 1", ["coordinater"]),
        ("max_prds = 3", ["max_prds = 3", "no setting"]),
        ("coordinator = 3", ["coordinator is 3", "table"]),
        ("[coordinator]\nmax_prds = 0", ["coordinator.max_prds", "is 0", "from 1"]),
        ("[coordinator]\nmax_prds = true", ["coordinator.max_prds is true", "whole number"]),
        ("[coordinator]\nmax_prds = 2.5", ["coordinator.max_prds is 2.5", "whole number"]),
        ('[coordinator]\nauto_merge = "yes"', ['coordinator.auto_merge is "yes"', "true or false"]),
        ('[coordinator]\non_quit = "die"', ["on_quit", '"ask", "leave", "stop"']),
        ('[coordinator]\nverify = "pytest"', ["coordinator.verify", "a list of commands"]),
        ('[coordinator]\nverify = [""]', ["coordinator.verify"]),
        ('[coordinator]\nmin_free_disk = "much"', ["min_free_disk", '"2 GB"']),
        ('[worker]\ncommand = "./loop.sh"', ["worker.command", "a list of words"]),
        ('[worker]\ncommand = ["", "x"]', ["worker.command"]),
        ('[worktree]\nenv = { "A B" = "x" }', ["worktree.env", "table of texts"]),
        ("[worktree]\nenv = { A = 1 }", ["worktree.env"]),
        ("[worktree]\nkeep = nan", ["worktree.keep is"]),
        ('[worktree]\nroot = "\\u001b[2J"', ["worktree.root"]),
        ("[coordinator\nmax_prds = 1", ["not valid TOML", "line 1"]),
        ("[coordinator]\nmax_prds = 1\nmax_prds = 2\n", ["not valid TOML", "line 3"]),
    ],
)
def test_a_wrong_file_is_one_sentence_with_file_key_value_and_expectation(
    paths: Paths, text: str, words: list[str]
) -> None:
    paths.shared_config.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(paths)
    message = str(caught.value)
    assert message.startswith("prd-tui.toml")
    assert message.isprintable()
    assert all(word in message for word in words), message


def test_other_unusable_files(paths: Paths) -> None:
    paths.shared_config.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read(paths)
    paths.shared_config.unlink()
    paths.shared_config.mkdir()
    with pytest.raises(ConfigError, match="not a file of settings"):
        read(paths)


def test_a_wrong_variable_or_option_names_itself(paths: Paths) -> None:
    with pytest.raises(ConfigError, match="PARALLEL_MAX_PRDS"):
        read(paths, {"PARALLEL_MAX_PRDS": "many"})
    with pytest.raises(ConfigError, match="COORDINATOR_AUTO_RETRY"):
        read(paths, {"COORDINATOR_AUTO_RETRY": "perhaps"})
    with pytest.raises(ConfigError, match="command line"):
        read(paths, overrides={"coordinator.max_prds": 0})


# -- approval -------------------------------------------------------------------------------------------

RUNS = '[coordinator]\nverify = ["make test"]\nmax_prds = 9\n[worker]\ncommand = ["./loop.sh"]\n'


def test_commands_of_a_tracked_file_wait_for_approval(paths: Paths) -> None:
    share(paths, RUNS)
    with pytest.raises(NotApproved, match=r"worker\.command.*prd-tui config approve"):
        read(paths)
    loaded = read(paths, refuse_unapproved=False)
    assert loaded.pending == ("coordinator.verify", "worker.command")
    assert loaded.settings.worker.command == loaded.settings.coordinator.verify == ()
    assert loaded.settings.coordinator.max_prds == 9
    assert approval.pending(paths, Git(paths)) == ["coordinator.verify", "worker.command"]


def test_once_approved_they_count_until_the_file_changes(paths: Paths) -> None:
    share(paths, RUNS)
    (asked,) = desk(paths).approve()
    assert asked.commands == {"coordinator.verify": '["make test"]', "worker.command": '["./loop.sh"]'}
    assert read(paths).settings.worker.command == ("./loop.sh",)
    assert desk(paths).approve() == []
    paths.shared_config.write_text(RUNS.replace("loop", "evil"))
    with pytest.raises(NotApproved):
        read(paths)
    paths.shared_config.write_text(RUNS)
    assert read(paths).pending == ()


@pytest.mark.parametrize(
    "text",
    [
        "[coordinator]\nmax_prds = 2\nverify = []\n",
        '[worker]\nagent = "claude"\n',
        '[keys]\nquit = "ctrl+q"\n',
        "[budget]\nusd = 5\n",
        "[notify]\nbell = false\n",
    ],
)
def test_a_tracked_file_that_runs_nothing_needs_none(paths: Paths, text: str) -> None:
    share(paths, text)
    assert read(paths).pending == ()


@pytest.mark.parametrize(
    "text",
    [
        '[worktree]\nsetup = ["make venv"]\n',
        '[worktree.env]\nPATH = "./evil"\n',
        '[[keys.command]]\nkey = "L"\nrun = "lazygit"\n',
        '[notify]\ncommand = ["notify-send"]\n',
        '[agents.mine]\ncommand = ["./agent"]\n',
        '[worker]\npreset = "ralph"\n',
    ],
)
def test_what_can_run_something_does(paths: Paths, text: str) -> None:
    share(paths, text)
    with pytest.raises(NotApproved):
        read(paths)


def test_an_untracked_file_needs_none(paths: Paths) -> None:
    paths.shared_config.write_text(RUNS)
    assert read(paths).settings.worker.command == ("./loop.sh",)


def test_a_tracked_local_file_and_one_behind_a_tracked_link_wait_too(paths: Paths) -> None:
    hidden = paths.root / "hidden"
    hidden.mkdir()
    (hidden / "config.toml").write_text(RUNS)
    paths.state.symlink_to("hidden")
    git(paths.root, "add", "-f", "hidden", ".claude-loop")
    with pytest.raises(NotApproved, match=r"\.claude-loop/config\.toml"):
        read(paths)


# -- the command ----------------------------------------------------------------------------------------


def desk(paths: Paths) -> SettingsDesk:
    return SettingsDesk(paths, Git(paths), {})


def run(paths: Paths, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert config_command(list(words), desk(paths)) == 0
    return capsys.readouterr().out


def test_the_table_shows_every_setting_with_its_source(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    share(paths, RUNS)
    lines = run(paths, capsys).splitlines()
    shown = {line.split()[0]: line for line in lines}
    assert SETTINGS.keys() <= shown.keys()
    assert "9" in shown["coordinator.max_prds"]
    assert "prd-tui.toml" in shown["coordinator.max_prds"]
    assert SETTINGS["coordinator.max_prds"].help in shown["coordinator.max_prds"]
    assert "prd-tui config approve" in lines[-1]


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("coordinator.max_prds", "5", 5),
        ("coordinator.auto_merge", "true", True),
        ("coordinator.base_branch", "develop", "develop"),
        ("coordinator.verify", "pytest -q", ["pytest -q"]),
        ("coordinator.verify", '["a", "b"]', ["a", "b"]),
        ("coordinator.min_free_disk", "3 GB", "3 GB"),
        ("coordinator.hang_after", "15 min", 900),
        ("worktree.env", '{ PORT = "{port}" }', {"PORT": "{port}"}),
    ],
)
def test_set_and_take_back(
    paths: Paths, capsys: pytest.CaptureFixture[str], key: str, text: str, value: object
) -> None:
    section, name = key.split(".")
    run(paths, capsys, "set", "worker.agent", "claude")
    run(paths, capsys, "set", key, text)
    document = tomllib.loads(paths.local_config.read_text())
    assert document == {"worker": {"agent": "claude"}} | {
        section: ({"agent": "claude"} if section == "worker" else {}) | {name: value}
    }
    assert run(paths, capsys, "get", key).strip()
    run(paths, capsys, "set", key)
    assert tomllib.loads(paths.local_config.read_text()) == {"worker": {"agent": "claude"}}
    assert paths.state.stat().st_mode & 0o777 == 0o700
    assert git(paths.root, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    "words",
    [("get", "nothing"), ("set", "nothing", "1"), ("set", "nothing"), ("set", "coordinator.max_prds", "x")],
)
def test_wrong_words_change_nothing(paths: Paths, words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError):
        config_command(list(words), desk(paths))
    assert not paths.state.exists()


def test_a_broken_local_file_is_not_overwritten(paths: Paths) -> None:
    paths.state.mkdir()
    paths.local_config.write_text("[broken")
    with pytest.raises(ConfigError, match="not valid TOML"):
        config_command(["set", "coordinator.max_prds", "5"], desk(paths))
    assert paths.local_config.read_text() == "[broken"


def test_unknown_words_are_answered_with_what_there_is(paths: Paths) -> None:
    with pytest.raises(PrdTuiError, match="get KEY, set KEY"):
        config_command(["frobnicate"], desk(paths))


def test_approve_shows_what_it_approves(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    share(paths, RUNS)
    said = run(paths, capsys, "approve")
    assert 'worker.command = ["./loop.sh"]' in said
    assert "Nothing waits" in run(paths, capsys, "approve")


def test_secrets_in_the_settings_are_not_shown(paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    paths.shared_config.write_text('[worktree.env]\nAPI_KEY = "sk-123"\nPORT = "80"\n')
    shown = run(paths, capsys, "get", "worktree.env")
    assert "sk-123" not in shown
    assert "80" in shown

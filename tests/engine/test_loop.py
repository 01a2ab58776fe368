"""The built-in loop in a real worktree: what it accepts, refuses, commits and puts back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.loops import GOOD, LoopSite
from tests.support.repos import git, prd_json

ONE: dict[str, Any] = {"userStories": [{"id": "US-001", "title": "Only one"}]}


def test_each_story_is_one_commit_that_says_what_it_is(tmp_path: Path) -> None:
    stories = [
        {"id": "US-001", "title": "Last by priority", "priority": 9},
        {"id": "US-002", "title": "Needs the third", "priority": 1, "dependsOn": ["US-003"]},
        {"id": "US-003", "title": f"A title\tthat {'goes on and on ' * 10}", "priority": 2},
    ]
    site = LoopSite(tmp_path, title="The shop", userStories=stories)
    done = site.worker()
    assert done.returncode == 0, done.stdout
    assert site.passing == ["US-001", "US-002", "US-003"]
    assert [name.partition(":")[0] for name in site.subjects()] == ["US-003", "US-002", "US-001"]
    subject, _, body = git(site.repo, "log", "-1", "--format=%B", "feature/p~2").partition("\n\n")
    assert len(subject) <= 72
    assert subject.startswith("US-003: A title that goes on")
    assert subject.endswith("…")
    assert body == "Part of p: The shop.\n\nPRD: p\nStory: US-003"
    assert git(site.repo, "log", "-1", "--format=%(trailers:key=Story,valueonly)", "feature/p~2") == "US-003"
    assert git(site.repo, "log", "-1", "--format=%an %ae", "feature/p") == "Person person@example.invalid"
    assert git(site.repo, "diff", "--name-only", "main", "feature/p").split() == [
        f"US-00{number}.txt" for number in (1, 2, 3)
    ]
    whats = [("US-003", "attempt"), ("US-003", "done"), ("US-002", "attempt"), ("US-002", "done")]
    assert site.whats[:4] == whats
    tip = git(site.repo, "rev-parse", "feature/p")
    last = site.record[-1]
    assert (last["run"], last["attempt"], last["commit"]) == (site.run_id, 1, tip)
    assert last["seconds"] > 0
    assert "[US-003] attempt 1 of 3: A title that goes on" in done.stdout
    assert "did US-001\n" in done.stdout, "what the agent says is in the log"
    assert site.progress().count("done at attempt 1") == 3
    assert "did US-003" in site.prompt("US-001", 1), "later stories learn of earlier ones"
    assert site.worker().stdout == "all 3 stories pass\n"


def test_identity_of_ours_where_the_person_has_none(tmp_path: Path) -> None:
    site = LoopSite(tmp_path, **ONE)
    git(site.repo, "config", "--unset", "user.name")
    assert site.worker().returncode == 0
    assert git(site.repo, "log", "-1", "--format=%an %cn", "feature/p") == "prd-tui prd-tui"


def test_a_red_gate_and_then_a_green_one(tmp_path: Path) -> None:
    stories = [
        {
            "id": "US-001",
            "title": "One",
            "verify": ["cat greeting; echo 'on stderr' >&2; grep -q hello greeting"],
        }
    ]
    site = LoopSite(tmp_path, userStories=stories)
    site.agent(
        """
        write("greeting", "hello" if "What went wrong last time" in prompt else "good bye")
        print("wrote a greeting")
        """
    )
    done = site.worker()
    assert done.returncode == 0, done.stdout
    assert site.whats == [("US-001", what) for what in ("attempt", "refused", "attempt", "done")]
    refused = site.record[1]
    assert refused["reason"].startswith("gate `cat greeting;")
    assert "failed with exit 1: " in refused["reason"]
    assert "good bye" in refused["gate_output"]
    assert "on stderr" in refused["gate_output"]
    assert refused["output"] == "wrote a greeting"
    second = site.prompt("US-001", 2)
    assert "good bye" in second
    assert "on stderr" in second
    assert "Attempt 1 did not hold: gate" in second
    assert "What went wrong" not in site.prompt("US-001", 1)
    assert len(site.subjects()) == 1
    assert "attempt 1 of 3 did not hold" in site.progress()


def test_the_gates_are_those_of_settings_story_and_at_the_end_the_prd(tmp_path: Path) -> None:
    stories = [
        {"id": "US-001", "title": "One", "verify": ["echo gate of one"]},
        {"id": "US-002", "title": "Two", "verify": ["echo gate of two"]},
    ]
    site = LoopSite(tmp_path, userStories=stories, verify=["echo gate of all"])
    site.configure('[coordinator]\nverify = ["echo always", "echo gate of two"]\n')
    done = site.worker()
    gates = [line for line in done.stdout.splitlines() if "gate: " in line]
    one, two = ("[US-001] gate: echo ", "[US-002] gate: echo ")
    assert gates == [
        f"{one}always",
        f"{one}gate of two",
        f"{one}gate of one",
        f"{two}always",
        f"{two}gate of two",
        f"{two}gate of all",
    ]


def test_it_gives_up_and_goes_no_further(tmp_path: Path) -> None:
    site = LoopSite(tmp_path, more="max_attempts = 2")
    site.agent("write('half', str(attempt)); print('I cannot'); sys.exit(3)")
    done = site.worker()
    assert done.returncode == 1
    whats = ("attempt", "refused", "attempt", "refused", "gave up")
    assert site.whats == [("US-001", what) for what in whats]
    assert site.refusals == ["the agent exited with 3: I cannot"] * 2
    assert site.record[-1]["attempts"] == 2
    assert site.record[-1]["reason"] == "the agent exited with 3: I cannot"
    assert "[US-001] given up after 2 attempts" in done.stdout
    assert site.passing == []
    assert site.subjects() == []
    assert (site.worktree / "half").read_text() == "2", "its changes stay"
    site.agent(GOOD)
    site.new_run()
    assert site.worker().returncode == 0
    assert "I cannot" in site.prompt("US-001", 1), "another run knows what went wrong in this one"
    assert "What went wrong" not in site.prompt("US-002", 1)


def test_a_false_claim_is_put_back_and_kept_as_evidence(tmp_path: Path) -> None:
    site = LoopSite(tmp_path, more="max_attempts = 1")
    before = (site.folder / "prd.json").read_bytes()
    site.agent("claim(); print('All tests pass. The story is complete!')")
    done = site.worker()
    assert done.returncode == 1
    assert (site.folder / "prd.json").read_bytes() == before
    refused = site.record[1]
    assert refused["claim"] is True
    assert refused["reason"] == "the agent marked the story as passing, but changed nothing"
    assert refused["output"] == "All tests pass. The story is complete!"
    assert "The story is complete!" in site.progress()
    assert "had marked the story as passing" in site.progress()
    assert "the agent marked US-001 as passing itself (put back)" in done.stdout


def test_whatever_an_agent_does_to_the_prd_is_undone(tmp_path: Path) -> None:
    deeds = {
        "deleted": "path.unlink()",
        "folder deleted": "import shutil; shutil.rmtree(path.parent)",
        "damaged": "path.write_text('{')",
        "a link": "path.unlink(); path.symlink_to('/etc/passwd')",
        "a folder": "path.unlink(); path.mkdir(); (path / 'x').touch()",
        "a pipe": "path.unlink(); os.mkfifo(path)",
        "emptied": "path.write_text(json.dumps({'userStories': [{'id': story, 'title': 'easy', 'passes': True}]}))",
        "moved": "(path.parent.parent.parent / 'completed').mkdir(); "
        "path.parent.rename(path.parent.parent.parent / 'completed' / 'p')",
        "record": "path = pathlib.Path('.claude-loop/stories.jsonl'); path.unlink(); os.mkfifo(path)",
    }
    stories = [{"id": name, "title": f"Story {name}", "verify": ["true"]} for name in deeds]
    site = LoopSite(tmp_path, userStories=stories)
    (site.folder / "notes.md").write_text("of the person\n")
    site.agent(f"{GOOD}\ndeeds = {deeds!r}\nexec(deeds[story])")
    done = site.worker()
    assert done.returncode == 0, done.stdout
    assert list(site.stories) == list(deeds)
    assert site.passing == list(deeds)
    assert [story["title"] for story in site.stories.values()] == [f"Story {name}" for name in deeds]
    assert len(site.subjects()) == len(deeds)
    for said in ("prd.json is missing", "there is no folder", "a symlink", "a folder", "a named pipe"):
        assert said in done.stdout
    assert "moved the PRD's folder to prds/completed (put back)" in done.stdout
    assert "was removed from prd.json (put back)" in done.stdout
    assert not (site.worktree / "prds" / "completed" / "p").exists()
    assert Path("/etc/passwd").stat().st_size > 0


def test_notes_of_the_story_stay_those_of_others_do_not(tmp_path: Path) -> None:
    site = LoopSite(tmp_path)
    site.agent(
        GOOD
        + """
prd = json.loads(path.read_text())
for each in prd["userStories"]:
    each["notes"] = "written by " + story
path.write_text(json.dumps(prd))
"""
    )
    assert site.worker().returncode == 0
    assert [story["notes"] for story in site.stories.values()] == ["written by US-001", "written by US-002"]


def test_an_agent_that_commits_itself(tmp_path: Path) -> None:
    site = LoopSite(tmp_path)
    site.agent(GOOD + "\ngit('add', '-A')\ngit('commit', '-q', '-m', 'my own words')\nclaim()")
    assert site.worker().returncode == 0
    assert site.subjects() == ["my own words"] * 2, "no empty commit on top"
    done = [entry for entry in site.record if entry["what"] == "done"]
    assert done[1]["commit"] == git(site.repo, "rev-parse", "feature/p")
    assert done[1]["claim"] is True


def test_work_on_another_branch_does_not_count(tmp_path: Path) -> None:
    site = LoopSite(tmp_path, **ONE)
    site.agent(
        """
        if attempt == 1:
            git("switch", "-q", "-c", "topic")
            write("a.txt")
            git("add", "a.txt")
            git("commit", "-q", "-m", "on a topic branch")
        else:
            git("switch", "-q", "feature/p")
            git("merge", "-q", "--ff-only", "topic")
        """
    )
    assert site.worker().returncode == 0
    assert site.refusals == [
        "the worktree is on branch topic instead of feature/p: bring the work back there"
    ]
    assert "instead of feature/p" in site.prompt("US-001", 2)
    assert site.subjects() == ["on a topic branch"]


def test_commits_of_earlier_stories_must_stay(tmp_path: Path) -> None:
    site = LoopSite(tmp_path, more="max_attempts = 1")
    site.agent(GOOD + "\nif story == 'US-002': git('reset', '-q', '--hard', 'HEAD~1'); write('x')")
    assert site.worker().returncode == 1
    assert "on which the story began, is no longer on feature/p" in site.refusals[0]


def test_a_conflict_is_not_committed(tmp_path: Path) -> None:
    site = LoopSite(tmp_path, more="max_attempts = 1", **ONE)
    git(site.repo, "switch", "-q", "-c", "other")
    (site.repo / "README.md").write_text("other\n")
    git(site.repo, "commit", "-q", "-a", "-m", "other")
    site.agent(
        """
        write("README.md", "mine")
        git("commit", "-q", "-a", "-m", "mine")
        subprocess.run(["git", "merge", "-q", "other"])
        """
    )
    assert site.worker().returncode == 1
    assert site.refusals == ["README.md is in conflict: resolve it"]


def test_nothing_changed_counts_only_where_the_story_has_gates_that_pass(tmp_path: Path) -> None:
    stories = [{"id": "a", "title": "A", "verify": ["test -f README.md"]}, {"id": "b", "title": "B"}]
    site = LoopSite(tmp_path, more="max_attempts = 1", userStories=stories)
    site.agent("write('prds/more/litter'); write('.last-branch', 'x')")
    assert site.worker().returncode == 1
    assert site.whats == [
        ("a", "attempt"),
        ("a", "done"),
        ("b", "attempt"),
        ("b", "refused"),
        ("b", "gave up"),
    ]
    assert site.record[1]["commit"] == ""
    assert site.refusals == ["the agent changed nothing"]
    assert site.subjects() == []


def test_repositories_inside_and_index_locks_do_not_spoil_the_commit(tmp_path: Path) -> None:
    site = LoopSite(tmp_path, **ONE)
    (site.worktree / "old.txt").write_text("old\n")
    git(site.worktree, "add", "old.txt")
    git(site.worktree, "commit", "-q", "-m", "before")
    site.agent(
        """
        write("new/file.txt")
        pathlib.Path("old.txt").unlink()
        subprocess.run(["git", "init", "-q", "vendored"])
        own = subprocess.run(["git", "rev-parse", "--git-dir"], capture_output=True, text=True).stdout.strip()
        write(f"{own}/index.lock", "")
        """
    )
    done = site.worker()
    assert done.returncode == 0, done.stdout
    shown = git(site.repo, "show", "--format=", "--name-status", "feature/p").split()
    assert shown == ["A", "new/file.txt", "D", "old.txt"]


def test_hooks_run_and_can_refuse(tmp_path: Path) -> None:
    site = LoopSite(tmp_path, **ONE)
    hook = site.repo / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        "#!/bin/sh\nenv > ../../../../hook.env\necho looked >> ../../../../hook.log\n"
        "test -f licence.txt || { echo 'no licence'; exit 1; }\n"
    )
    hook.chmod(0o755)
    site.agent("write('a.txt')\nif 'no licence' in prompt: write('licence.txt')")
    done = site.worker(
        env={"SHOP_API_KEY": "k3y-Of-The-Shop", "GIT_INDEX_FILE": "/nowhere", "MY_WORD": "kept"}
    )
    assert done.returncode == 0, done.stdout
    assert site.refusals == ["the commit was refused: no licence"]
    assert (tmp_path / "hook.log").read_text() == "looked\nlooked\n"
    seen = (tmp_path / "hook.env").read_text()
    assert "MY_WORD=kept" in seen
    assert "k3y-Of" not in seen
    assert git(site.repo, "show", "--format=", "--name-only", "feature/p").split() == ["a.txt", "licence.txt"]


def test_where_signing_fails_the_commit_is_made_without(tmp_path: Path) -> None:
    site = LoopSite(tmp_path, **ONE)
    signer = tmp_path / "gpg"
    signer.write_text("#!/bin/sh\necho 'no pinentry' >&2\nexit 2\n")
    signer.chmod(0o755)
    git(site.repo, "config", "gpg.program", str(signer))
    git(site.repo, "config", "commit.gpgSign", "true")
    done = site.worker()
    assert done.returncode == 0, done.stdout
    assert "cannot be signed" in done.stdout
    assert site.subjects() == ["US-001: Only one"]


def test_secrets_stay_out_of_the_evidence(tmp_path: Path) -> None:
    stories = [{"id": "US-001", "title": "One", "verify": ["echo $SHOP_API_KEY; exit 1"]}]
    site = LoopSite(tmp_path, more="max_attempts = 1", userStories=stories)
    site.agent(GOOD + "\nprint(os.environ['SHOP_API_KEY'])")
    assert site.worker(env={"SHOP_API_KEY": "k3y-Of-The-Shop"}).returncode == 1
    assert "[secret]" in site.progress()
    for path in (site.folder / "progress.txt", site.worktree / ".claude-loop" / "stories.jsonl"):
        assert "k3y-Of" not in path.read_text()


def test_marks_left_by_a_killed_loop_are_taken_back(tmp_path: Path) -> None:
    site = LoopSite(tmp_path)
    site.agent("claim(); told('claimed'); wait_for('never')")
    with site.started() as process:
        site.pid("claimed")
        process.kill()
        process.wait()
        assert site.passing == ["US-001"], "nobody was left to put it back"
    site.new_run()
    site.agent(GOOD)
    done = site.worker()
    assert done.returncode == 0
    assert "[US-001] was marked as passing without proof: it is open again" in done.stdout
    assert site.subjects() == ["US-001: Story 1", "US-002: Story 2"]


def test_commits_of_a_cut_attempt_count_for_the_next(tmp_path: Path) -> None:
    site = LoopSite(tmp_path, **ONE)
    site.agent(
        "write('a'); git('add', 'a'); git('commit', '-q', '-m', 'early'); told('here'); wait_for('never')"
    )
    with site.started() as process:
        site.pid("here")
        process.kill()
    site.new_run()
    site.agent("print('it is all there')")
    assert site.worker().returncode == 0
    assert site.subjects() == ["early"]


def test_prompts_by_argument_and_by_file(tmp_path: Path) -> None:
    site = LoopSite(tmp_path, **ONE)
    site.agent(GOOD)
    script = "import sys; sys.stdin = open(sys.argv[1]) if sys.argv[2:] else __import__('io').StringIO(sys.argv[1])"
    script += f"; __file__ = {str(tmp_path / 'agent.py')!r}; exec(open(__file__).read())"
    config = f"""
[worker]
agent = "word"
[agents.word]
prompt = "argument"
command = {json.dumps(["python3", "-c", script, "{prompt}"])}
env = {{ SAID = "by argument" }}
[agents.paper]
prompt = "file"
command = {json.dumps(["python3", "-c", script, "{prompt_file}", "x"])}
"""
    (site.repo / ".claude-loop" / "config.toml").write_text(config)
    assert site.worker().returncode == 0
    assert "Only one" in site.prompt("US-001", 1)
    again = prd_json(userStories=[{"id": "US-002", "title": "Another"}])
    (site.folder / "prd.json").write_text(again)
    assert site.worker("--agent", "paper").returncode == 0
    assert "Another" in site.prompt("US-002", 1)

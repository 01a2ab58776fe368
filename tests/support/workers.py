"""Loop scripts that know nothing of prd-tui, as a repository would have them."""

from __future__ import annotations

#: Works through the stories of the prd.json it is given, a commit each; a key `mode` in that file, which any
#: reader of a PRD passes over, makes it misbehave in one particular way. `pace`: seconds per story. `ticks`: a
#: file that a child in a session of its own makes longer all the time. `told`: it keeps a story record.
LOOP = r'''#!/usr/bin/env python3
import datetime, json, os, pathlib, signal, subprocess, sys, time

path = pathlib.Path(sys.argv[1])
folder = path.parent
prd = json.loads(path.read_text())
mode = prd.get("mode", "")
print("working on", folder.name, "in", os.getcwd(), flush=True)

def git(*words):
    subprocess.run(["git", "-c", "user.name=W", "-c", "user.email=w@example.invalid", *words], check=True,
                   stdout=subprocess.DEVNULL)

def save():
    path.write_text(json.dumps(prd, indent=2))

def wait_for(name):
    """Blocks until the test makes a file of this name beside the repository."""
    while not pathlib.Path(name).exists():
        time.sleep(0.01)

if mode == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
if mode == "exit7":
    sys.exit(7)
if mode == "nothing":
    sys.exit(0)
if mode == "elsewhere":
    git("switch", "-q", "-c", "elsewhere-" + folder.name)
if mode == "no-prd":
    path.unlink()
    sys.exit(0)
if mode == "daemon":
    subprocess.Popen(["sh", "-c", "env -i setsid sh -c '(exec -a stubborn sleep 3600 &) ; exec sleep 3600' &"],
                     start_new_session=True, env={})
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if prd.get("ticks"):
    subprocess.Popen(["sh", "-c", 'while :; do echo >> "$0"; sleep 0.01; done', prd["ticks"]],
                     start_new_session=True)

def tell(what, story, **more):
    """An entry of the story record, as the built-in loop writes them."""
    if prd.get("told"):
        moment = datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
        entry = {"at": moment, "run": os.environ["PRD_RUN_ID"], "what": what, "story": story["id"], **more}
        with open(".claude-loop/stories.jsonl", "a") as record:
            record.write(json.dumps(entry) + "\n")

for story in prd["userStories"]:
    if story["passes"]:
        continue
    if prd.get("told"):
        tell("attempt", story, attempt=1, max_attempts=3)
        tell("refused", story, attempt=1, reason="the gate was red")
        tell("attempt", story, attempt=2, max_attempts=3)
    if prd.get("gate_file"):
        wait_for(prd["gate_file"])
    time.sleep(prd.get("pace", 0))
    if mode != "claim":
        (pathlib.Path(folder.name + "-" + str(story["id"]) + ".txt")).write_text(story["title"] + "\n")
    story["passes"] = True
    story["notes"] = "done by the loop"
    save()
    with (folder / "progress.txt").open("a") as progress:
        progress.write("did " + str(story["id"]) + "\n")
    pathlib.Path(".last-branch").write_text("x")
    if mode != "claim":
        git("add", "-A")
        git("commit", "-q", "-m", "did " + str(story["id"]))
    tell("done", story, attempt=2, seconds=7.5, commit="0123456789abcdef")
    print("[SUCCESS] Story", story["id"], "completed", flush=True)
    if mode == "hang":
        time.sleep(3600)
if mode == "delete-story":
    prd["userStories"] = prd["userStories"][:-1]
    save()
if mode == "reword":
    prd["userStories"][0]["title"] = "something easier"
    save()
if mode == "leftovers":
    pathlib.Path("half-done.txt").write_text("not committed\n")
    (pathlib.Path(folder.name + "-US-001.txt")).write_text("edited, not committed\n")
sys.exit(1 if mode == "exit1" else 0)
'''

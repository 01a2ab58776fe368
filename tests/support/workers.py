"""Loop scripts that know nothing of prd-tui, as a repository would have them."""

from __future__ import annotations

#: Works through the stories of the prd.json it is given, a commit each; a key `mode` in that file, which any
#: reader of a PRD passes over, makes it misbehave in one particular way. `pace`: seconds per story.
LOOP = r'''#!/usr/bin/env python3
import json, os, pathlib, signal, subprocess, sys, time

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
for story in prd["userStories"]:
    if story["passes"]:
        continue
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

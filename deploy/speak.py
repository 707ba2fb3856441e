"""How a Python program speaks to Tildel through the console: one `tildel send --stream`, a JSON line for each
question and each answer."""

import json
import subprocess
import uuid


class Answer:
    def __init__(self, status, reason, type, body):
        self.status, self.reason, self.type, self.body = status, reason, type, body


class Speaker:
    """Anything with ask(type, body, actor) -> Answer can play; this one is the console."""

    def __init__(self, command, env):
        self.child = subprocess.Popen([*command, "send", "--stream"], env=env, text=True, bufsize=1,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, type, body, actor, service=None):
        asked = {"type": type, "body": body, "as": actor, "id": str(uuid.uuid4())}
        if service:
            asked["service"] = service
        self.child.stdin.write(json.dumps(asked, ensure_ascii=False) + "\n")
        line = self.child.stdout.readline()
        if not line:
            raise ConnectionError(f"tildel send --stream ended while {type} was asked")
        got = json.loads(line)
        if got.get("id") and got["id"] != asked["id"]:
            raise ConnectionError(f"the answer to {type} carries the id {got['id']} and not {asked['id']}")
        return Answer(got["status"], got.get("reason") or "", got.get("type") or "", got.get("body") or {})

    def close(self):
        self.child.stdin.close()
        self.child.wait(10)

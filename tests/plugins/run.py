"""What a script of tests/target said, wherever it ran."""

import json
from dataclasses import dataclass


@dataclass
class Run:
    """What a script said. `result` is the JSON of its last line that begins with `RESULT `."""

    stdout: str
    stderr: str
    returncode: int

    def __str__(self):
        return f"exit status {self.returncode}\n--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"

    @property
    def result(self):
        lines = [line for line in self.stdout.splitlines() if line.startswith("RESULT ")]
        assert lines, f"the script printed no RESULT line: {self}"
        return json.loads(lines[-1][len("RESULT ") :])

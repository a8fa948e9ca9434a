"""The commands that README and the pages below docs/ show, in their order."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
# A block of commands, with the remark before it that says why no test can run it: `<!-- not run: needs a cluster -->`.
BLOCK = re.compile(r"(?:^<!-- not run: (?P<why>[^>]+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAMS = ("cxr", "make", "curl", "docker", "kubectl", "mkdir", "CXR_", "cd ", "python ", ".venv/bin/")


@dataclass(frozen=True)
class Shown:
    """One command."""

    page: str
    line: int
    text: str  # without prompt and comment
    not_run: str | None  # why

    @property
    def where(self) -> str:
        """Page and line."""
        return f"{self.page}:{self.line}"


def commands(page: Path) -> list[Shown]:
    """Returns the commands of a Markdown page, those included that no test can run."""
    found = []
    text = page.read_text()
    for block in BLOCK.finditer(text):
        if block["language"] not in ("", "sh", "bash", "console"):
            continue
        first = text.count("\n", 0, block.start("text")) + 1
        for number, line in enumerate(block["text"].splitlines()):
            command = re.sub(r"\s+#\s.*", "", line.removeprefix("$ ")).strip()
            if line == line.lstrip() and command.startswith(PROGRAMS):
                found.append(Shown(str(page.relative_to(ROOT)), first + number, command, block["why"]))
    return found

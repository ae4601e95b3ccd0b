"""What every file and package of the repository keeps to."""

import json
import re
import subprocess
from datetime import UTC, datetime

import pytest

from plugins.interpreters import ROOT

PACKAGES = sorted(path for path in (ROOT / "lib").iterdir() if path.is_dir())


def files():
    """The files that are, or would be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if listed.returncode:  # not a clone: an archive of the sources
        skip = ("build", ".venv", ".git")
        return [
            path for path in ROOT.rglob("*") if path.is_file() and path.relative_to(ROOT).parts[0] not in skip
        ]
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


FILES = files()
PAGES = [path for path in FILES if path.suffix == ".md"]

# What belongs to one machine or one network, not to the repository.
FOREIGN = {
    "a path of one machine": r"(?<![\w.$}])/(?:work|root|home|Users)/\w",
    "a package registry's host": r"\b(?:pypi\.org|pythonhosted\.org|deb\.debian\.org|npmjs\.org)\b",
    "an issue's number": r"(?i)\bissue\s+#?\d+\b",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_nothing_foreign(what):
    pattern = re.compile(FOREIGN[what])
    found = []
    for path in FILES:
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in pattern.finditer(text)]
    assert not found, f"{what}: {found}"


@pytest.mark.parametrize(
    ("what", "text", "hit"),
    [
        ("a path of one machine", "see /ro" + "ot/x", True),
        ("a path of one machine", "http://host/wo" + "rk/x and lib/ho" + "me/x", False),
        ("a package registry's host", "https://py" + "pi.org/simple", True),
        ("an issue's number", "see iss" + "ue 12", True),
        ("an issue's number", "the issuer's 2 names", False),
    ],
)
def test_the_patterns_see_what_they_are_for(what, text, hit):
    assert bool(re.search(FOREIGN[what], text)) is hit


def headings(path):
    """The anchors that a page offers."""
    titles = re.findall(r"^#+ +(.+)$", re.sub(r"(?ms)^```.*?^```", "", path.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    text = re.sub(r"(?ms)^```.*?^```", "", page.read_text())
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name}: {link} leads nowhere"
        if anchor and target.suffix == ".md":
            assert anchor in headings(target), f"{page.name}: {link} has no such heading"


def test_the_earliest_time_is_the_day_of_the_roots():
    """certifi's version is that day: newer roots move the floor of set_clock."""
    day = re.search(r'"certifi==([\d.]+)"', (ROOT / "pyproject.toml").read_text())[1].split(".")
    seconds = int(datetime(*map(int, day), tzinfo=UTC).timestamp())
    clock = (ROOT / "lib" / "securesocket" / "securesocket" / "clock.py").read_text()
    assert f"_MADE = const({seconds})" in clock
    assert "-".join(day) in clock and "-".join(day) in (ROOT / "docs" / "clock.md").read_text()


def test_versions_agree():
    project = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    for package in PACKAGES:
        assert json.loads((package / "package.json").read_text())["version"] == project
    assert project in (ROOT / "CHANGELOG.md").read_text()

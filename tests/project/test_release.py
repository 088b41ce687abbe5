"""What a release needs agrees: versions, files of the wheel, URLs, templates."""

from __future__ import annotations

import tomllib

import pytest
import yaml

import darkparse
from tests.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_citation_has_version_and_license_of_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert str(citation["version"]) == darkparse.__version__
    assert citation["license"] == "MIT"
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


def test_changelog_starts_with_current_version() -> None:
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text("utf-8").splitlines() if line.startswith("## ")]
    assert headings[0].split()[1] == darkparse.__version__


def test_urls_name_one_repository_that_release_fills_in() -> None:
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    assert urls
    assert all(url.startswith("https://github.com/OWNER/darkparse") for url in urls.values())
    assert "s|OWNER/darkparse|$GITHUB_REPOSITORY|g" in (ROOT / ".github" / "workflows" / "release.yml").read_text(
        "utf-8"
    )


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_has_jobs_with_steps_and_limited_permissions(path: object) -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / str(path)).read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["steps"]
        assert all({"uses", "run"} & set(step) for step in job["steps"])
        assert set(job.get("needs", "").split()) <= set(workflow["jobs"])


@pytest.mark.parametrize("path", [path for path in TEMPLATES if path.stem != "config"], ids=lambda path: path.stem)
def test_issue_template_has_labeled_fields(path: object) -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / str(path)).read_text("utf-8"))
    assert {"name", "description", "body"} == set(form)
    assert all(field["attributes"]["label"] for field in form["body"])

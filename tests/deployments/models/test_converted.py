from pathlib import Path

import pytest

from deployments.models import converted
from deployments.models.converted import converted_folder, outdated_folders


def test_other_code_and_other_versions_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKGRAPH_CACHE", str(tmp_path))
    assert outdated_folders() == []
    ours = converted_folder()
    ours.mkdir(parents=True)
    assert outdated_folders() == []

    source = tmp_path / "model.py"
    source.write_text("pass")
    versions = {"torch": "1"}
    monkeypatch.setattr(converted, "SOURCES", [source])
    monkeypatch.setattr(converted, "version", lambda package: versions["torch"])
    folders = []
    for change in (lambda: None, lambda: source.write_text("1"), lambda: versions.update(torch="2")):
        change()
        converted._identity.cache_clear()
        folders.append(converted_folder())
    converted._identity.cache_clear()
    assert len({ours, *folders}) == 4

    folders[-1].mkdir()
    monkeypatch.undo()
    monkeypatch.setenv("MASKGRAPH_CACHE", str(tmp_path))
    assert converted_folder() == ours
    assert outdated_folders() == [folders[-1]]

import re
from pathlib import Path

from typer.testing import CliRunner

from serve_app import cli
from serve_app.api_keys import ApiKeys


def test_a_made_key_opens_by_its_entry(tmp_path: Path) -> None:
    made = CliRunner().invoke(cli.app, ["key", "phone"])
    assert made.exit_code == 0
    (key,) = re.findall(r"mg_[A-Za-z0-9_-]{43}", made.output)
    assert key not in made.stdout
    file = tmp_path / "keys.yaml"
    file.write_text("keys:\n" + made.stdout)
    holder = ApiKeys.from_settings(None, str(file)).holder({"x-api-key": key})
    assert holder is not None
    assert holder.entry.name == "phone"


def test_a_name_that_no_key_may_have() -> None:
    refused = CliRunner().invoke(cli.app, ["key", "a b"])
    assert refused.exit_code == 2
    assert "mg_" not in refused.output
    assert refused.stderr.startswith("maskgraph: 'a b' cannot name a key: take ")
    assert len(refused.stderr.splitlines()) == 1

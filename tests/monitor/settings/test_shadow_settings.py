"""``[shadow]`` in a configuration: what it must say, and what rules about shadows may."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.settings.settings import ConfigurationError, load

BASE = """
[model]
name = "m"
{model}
[[collect]]
type = "tail"
path = "log.jsonl"
{more}
"""
URI = 'tracking_uri = "http://127.0.0.1:1"'
RULE = """
[[rules]]
name = "differs"
metric = "shadow_disagreement"
above = 0.1
"""


def loaded(folder: Path, more: str = "", model: str = URI) -> Path:
    path = folder / "kedge.toml"
    path.write_text(BASE.format(model=model, more=more))
    return path


@pytest.mark.parametrize(
    ("more", "model", "said"),
    [
        ('[shadow]\nversion = "8"\nalias = "a"', URI, "either version or alias, not both"),
        ('[shadow]\nversion = "8"', "", "model.tracking_uri: is required for [shadow]"),
        ("[shadow]\nrecent = 10", "", "model.tracking_uri: is required for [shadow]"),
        (RULE, URI, "needs [shadow] version or alias"),
        (
            f'[shadow]\nversion = "8"\n{RULE}action = "rollback"',
            URI,
            'rules[0].action: expected "alert"',
        ),
        ('[shadow]\nversion = "8"\nsampling = 0.0', URI, "shadow.sampling"),
        ('[shadow]\nversion = "8"\ncpu = 0.0', URI, "shadow.cpu"),
        (f'[shadow]\nversion = "8"\n{RULE}column = "x"', URI, "is of the window"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, more: str, model: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(loaded(tmp_path, more, model), {})

    assert any(said in line for line in refused.value.lines()), refused.value.lines()


def test_requests_that_are_kept_can_be_set_with_and_without_a_shadow(tmp_path: Path) -> None:
    absent = load(loaded(tmp_path), {}).shadow
    shadow = load(loaded(tmp_path, '[shadow]\nalias = "challenger"'), {}).shadow
    asked = load(loaded(tmp_path, "[shadow]\nrecent = 20"), {}).shadow

    assert (absent.scores, absent.recent_max) == (False, 500)
    assert (shadow.scores, shadow.recent_max) == (True, 500)
    assert (asked.scores, asked.recent_max) == (False, 20)

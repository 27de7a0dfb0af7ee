"""What a configuration may say, and what is said of one that may not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from collectors.tail.log_files import find
from monitor.settings.faults import alternatives
from monitor.settings.kinds import source_kinds
from monitor.settings.settings import (
    ConfigurationError,
    EventSpan,
    ReferenceSettings,
    RollbackSettings,
    RuleSettings,
    Settings,
    TimeSpan,
    load,
)
from rollback.kinds import STEP_KINDS
from rollback.policy import Policy

MINIMAL = """
[model]
name = "flight-delay"
[[collect]]
type = "tail"
path = "logs/p.jsonl"
"""
RULE = '[[rules]]\nname = "r"\nmetric = "psi"\ncolumn = "prediction"\n'


def _load(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> Settings:
    file = folder / "kedge.toml"
    file.write_text(text)
    return load(file, environ or {})


def _faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        _load(folder, text)
    prefix = f"{folder / 'kedge.toml'}: "
    return [line.removeprefix(prefix) for line in caught.value.lines()]


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    settings = _load(tmp_path, MINIMAL)

    assert settings.model.alias == "champion"
    assert settings.windows.length == TimeSpan(300.0)
    assert settings.windows.slide is None
    assert settings.reference == ReferenceSettings()
    assert settings.rollback == RollbackSettings(Policy())
    assert settings.rollback.mode == "dry-run"
    assert settings.http.address == ("127.0.0.1", 9464)


def test_paths_are_relative_to_the_folder_of_the_file(tmp_path: Path) -> None:
    settings = _load(tmp_path, MINIMAL + '[reference]\npath = "refs/{version}.kedge"\n')

    assert settings.collect[0].settings.path == str(tmp_path / "logs/p.jsonl")
    assert settings.reference.path == str(tmp_path / "refs/{version}.kedge")
    assert settings.store.url == f"sqlite:///{tmp_path / 'kedge.db'}"
    assert settings.path == tmp_path / "kedge.toml"


def test_a_folder_whose_name_looks_like_a_pattern_is_the_folder_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "run [1]"
    (folder / "logs").mkdir(parents=True)
    log = folder / "logs/p.jsonl"
    log.write_text("{}\n")

    settings: Any = _load(folder, MINIMAL).collect[0].settings

    assert [found.path for found in find(settings.path)] == [str(log)]


def test_a_byte_order_mark_before_the_file_is_passed_over(tmp_path: Path) -> None:
    assert _load(tmp_path, "\ufeff" + MINIMAL).model.name == _load(tmp_path, MINIMAL).model.name


def test_values_are_in_base_units_whatever_they_were_written_in(tmp_path: Path) -> None:
    settings = _load(
        tmp_path,
        MINIMAL
        + 'max_event_bytes = "64KiB"\nlinger = "2m"\n'
        + '[windows]\nlength = "1000 events"\nslide = "250 events"\nidle = "500ms"\n'
        + '[http]\nmax_body = "1MiB"\n[rollback]\ncooldown = "1h30m"\n',
    )

    assert settings.collect[0].settings.max_event_bytes == 65_536
    assert settings.collect[0].settings.linger_s == 120.0
    assert settings.windows.length == EventSpan(1000)
    assert settings.windows.slide == EventSpan(250)
    assert settings.windows.idle_s == 0.5
    assert settings.http.max_body_bytes == 2**20
    assert settings.rollback.policy.cooldown_s == 5_400.0


def test_sources_without_a_name_are_numbered_by_their_type(tmp_path: Path) -> None:
    more = '[[collect]]\ntype = "tail"\npath = "b"\n[[collect]]\ntype = "tail"\npath = "c"\n'
    more += 'name = "tail-2"\n'

    names = [source.name for source in _load(tmp_path, MINIMAL + more).collect]

    assert names == ["tail", "tail-3", "tail-2"]


def test_a_rule_takes_one_column_or_several(tmp_path: Path) -> None:
    settings = _load(
        tmp_path,
        MINIMAL
        + RULE
        + "above = 1\n"
        + '[[rules]]\nname = "s"\nmetric = "ks"\ncolumns = ["a", "b*"]\nabove = 0.5\n'
        + '[[rules]]\nname = "t"\nmetric = "throughput"\nbelow = 2\nclear = 3\nfor = "1 of 1"\n',
    )

    assert [rule.columns for rule in settings.rules] == [("prediction",), ("a", "b*"), ()]
    assert (settings.rules[0].quorum.needed, settings.rules[0].quorum.of) == (3, 4)
    assert settings.rules[2].below == 2.0
    assert settings.rules[2].min_events is None


def test_environment_variables_are_taken_in_texts(tmp_path: Path) -> None:
    text = MINIMAL.replace("logs/p.jsonl", "${LOGS}/$${HOME}-$x.jsonl").replace(
        "flight-delay", "${A}${B}"
    )

    settings = _load(tmp_path, text, {"LOGS": "/var/log", "A": "flight", "B": "-delay"})

    assert settings.model.name == "flight-delay"
    assert settings.collect[0].settings.path == "/var/log/${HOME}-$x.jsonl"


def test_a_secret_is_given_as_text_or_as_file_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")

    settings = _load(
        tmp_path,
        MINIMAL.replace("[[collect]]", 'token = "${T}"\n[[collect]]')
        + '[http]\ntoken_file = "token"\n',
        {"T": "from-env"},
    )

    assert settings.model.token is not None
    assert settings.http.token is not None
    assert settings.model.token.reveal() == "from-env"
    assert settings.http.token.reveal() == "from-file"
    assert "from-" not in repr(settings)


def test_every_fault_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    faults = _faults(
        tmp_path,
        """
        [model]
        nam = "x"
        [[collect]]
        type = "tial"
        [windows]
        idle = 3
        [[rules]]
        name = "a"
        metric = "psi"
        column = "age"
        above = "high"
        [colect]
        """,
    )

    assert faults == [
        "model.name: is required",
        'model.nam: unknown key; did you mean "name"?',
        f'collect[0].type: unknown source "tial": expected {alternatives(source_kinds())}',
        'windows.idle: expected a duration such as "30s", got 3',
        'rules[0].above: expected a number, got "high"',
        'colect: unknown key; did you mean "collect"?',
    ]


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ("[windows]\nmin_events = 0", "windows.min_events: expected a whole number above 0, got 0"),
        ("[windows]\nmin_events = 1.5", "windows.min_events: expected a whole number, got 1.5"),
        ("[windows]\nmin_events = true", "windows.min_events: expected a whole number, got true"),
        ('[windows]\nidle = "0s"', 'windows.idle: expected a duration above 0s, got "0s"'),
        (
            '[windows]\nlength = "5m"\nslide = "2m"',
            'windows.slide: length "5m" is not a whole multiple of "2m"',
        ),
        (
            '[windows]\nlength = "5m"\nslide = "10 events"',
            'windows.slide: "10 events" and length "5m" differ in kind',
        ),
        (
            "[detectors]\nconfidence = 1.0",
            "detectors.confidence: expected a number from 0.5 to 0.999999, got 1.0",
        ),
        (
            '[reference]\nfrom = "last"',
            'reference.from: expected "first", "registry" or "trailing", got "last"',
        ),
        (
            '[reference]\nfrom = "first"\npath = "x"',
            'reference.from: give either path or from = "first", not both',
        ),
        (
            '[reference]\npath = "{version}/x"',
            "reference.path: {version} may stand in the name of the file only",
        ),
        (
            '[store]\nurl = "mysql://x"',
            'store.url: expected "sqlite:///FILE" or "postgresql://USER@HOST/DATABASE"',
        ),
        (
            '[http]\nlisten = "nine"',
            'http.listen: expected an address such as "127.0.0.1:9464", got "nine"',
        ),
        ('[http]\ntoken = ""', "http.token: expected a text that is not empty"),
        (
            '[http]\ntoken = "a"\ntoken_file = "b"',
            "http.token_file: give token or token_file, not both",
        ),
        (
            '[http]\nmax_body = "16Mb"',
            'http.max_body: expected a size such as "64MiB", got "16Mb"',
        ),
        (RULE, "rules[0].above: give exactly one of above and below"),
        (RULE + "above = 1\nbelow = 1", "rules[0].above: give exactly one of above and below"),
        (RULE + "above = nan", "rules[0].above: expected a number, got nan"),
        (RULE + "above = 1\nclear = 2", "rules[0].clear: expected at most above (1), got 2"),
        (RULE + "below = 1\nclear = 0", "rules[0].clear: expected at least below (1), got 0"),
        (
            RULE + 'above = 1\ncolumns = ["a"]',
            "rules[0].columns: give either column or columns, not both",
        ),
        (
            RULE.replace("psi", "psj") + "above = 1",
            'rules[0].metric: unknown metric "psj"; did you mean "psi"?',
        ),
        (
            RULE.replace("psi", "throughput") + "above = 1",
            'rules[0].column: "throughput" is of the window, not of a column',
        ),
        (
            RULE.replace('column = "prediction"\n', "") + "above = 1",
            'rules[0].column: is required: "psi" is of a column',
        ),
        (
            RULE + "above = 1\n" + RULE + "above = 2",
            'rules[1].name: another rule is called "r" already',
        ),
        (
            RULE + 'above = 1\naction = "page"',
            'rules[0].action: expected "alert" or "rollback", got "page"',
        ),
        (
            '[rollback]\nmode = "act"',
            'rollback.steps: mode "act" needs at least one [[rollback.steps]] table',
        ),
        (
            '[rollback]\nmode = "act"\n[[rollback.steps]]\ntype = "mlflow-alias"',
            'model.tracking_uri: is required for [rollback] mode = "act"',
        ),
        ("[rollback]\nmax_per_day = -1", "rollback.max_per_day: expected 0 or more, got -1"),
        (
            '[[rollback.steps]]\ntype = "reboot"',
            f'rollback.steps[0].type: unknown step "reboot": expected {alternatives(STEP_KINDS)}',
        ),
        ('[[collect]]\ntype = "tail"', "collect[1].path: is required"),
        (
            '[[collect]]\ntype = "tail"\npath = "x"\nformat = "kedeg"',
            'collect[1].format: unknown format "kedeg"; did you mean "kedge"?',
        ),
        (
            '[[collect]]\ntype = "tail"\npath = "x"\nname = "all"',
            'collect[1].name: "all" stands for all sources together',
        ),
        (
            '[[collect]]\ntype = "tail"\npath = "${NOWHERE}"',
            "collect[1].path: the environment variable NOWHERE is not set",
        ),
        ("rules = 3", "rules: expected an array, got 3"),
        ("http = []", "http: expected a table, got an array"),
    ],
)
def test_a_fault_says_where_and_what(tmp_path: Path, more: str, fault: str) -> None:
    first = "" if more.startswith("[") else f"{more}\n"
    rest = more if more.startswith("[") else ""

    assert _faults(tmp_path, f"{first}{MINIMAL}\n{rest}\n") == [fault]


def test_a_fault_of_a_secret_never_shows_it(tmp_path: Path) -> None:
    faults = _faults(tmp_path, MINIMAL + "[http]\ntoken = 12345\n")

    assert faults == ["http.token: expected a text that is not empty"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"[model\nname = 1", "line 1, column 7"),
        (b"a = [", "at its end"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_what_is_no_toml_says_where(tmp_path: Path, content: bytes, fault: str) -> None:
    file = tmp_path / "kedge.toml"
    file.write_bytes(content)

    with pytest.raises(ConfigurationError, match=fault):
        load(file, {})


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nothing\.toml: cannot be read: .*`kedge init`"):
        load(tmp_path / "nothing.toml", {})


def test_settings_can_be_made_without_a_file() -> None:
    with pytest.raises(ValueError, match="above: give exactly one"):
        _rule(above=None)

    assert _rule(above=1.0).columns == ("age",)


def _rule(above: float | None) -> RuleSettings:
    return RuleSettings(name="r", metric="psi", column="age", above=above)

"""Where options come from, which of them counts, and what happens to what is no option."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loads.config import Configuration, Option, Source, configure, locate_file, read_file
from loads.errors import PlanError, UsageError
from loads.plan import parse_cycle

OPTIONS = (
    Option("users", default="1"),
    Option("hits"),
    Option("duration"),
    Option("server-url"),
    Option("fqn"),
    Option("config"),
    Option("python-dep", "list"),
    Option("include-file", "list"),
    Option("env", "list"),
    Option("quiet", "flag"),
    Option("no-patching", "flag"),
    Option("output-json-filename"),
)
EXCLUSIVE = {("hits", "duration"): "Give one."}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(text: str | bytes, name: str = "loads.ini", **sources: dict) -> Configuration:
    """The configuration that a file in the current directory makes, with other sources."""
    Path(name).write_bytes(text.encode() if isinstance(text, str) else text)
    return configure(
        OPTIONS, sources.get("given", {}), sources.get("environ", {}), read_file(name), EXCLUSIVE
    )


def value(configuration: Configuration, name: str) -> object:
    setting = configuration.settings.get(name)
    return None if setting is None else setting.value


# -- precedence ----------------------------------------------------------------------------------

LAYERS = [
    # option, command line, variable, line of the file, default; what each comes to
    ("users", "40", ("LOADS_USERS", "30"), "users = 20", ["40", "30", "20", "1"]),
    ("hits", "4", ("LOADS_HITS", "3"), "hits = 2", ["4", "3", "2", None]),
    (
        "server-url",
        "http://line",
        ("LOADS_SERVER_URL", "http://variable"),
        "server_url = http://file",
        ["http://line", "http://variable", "http://file", None],
    ),
    (
        "python-dep",
        ("line",),
        ("LOADS_PYTHON_DEP", "variable, other"),
        "python_dep = file",
        [("line",), ("variable", "other"), ("file",), None],
    ),
    ("quiet", True, ("LOADS_QUIET", "0"), "quiet = true", [True, False, True, None]),
    (
        "output-json-filename",
        "line.json",
        ("LOADS_OUTPUT_JSON_FILENAME", "variable.json"),
        "output_json_filename = file.json",
        ["line.json", "variable.json", "file.json", None],
    ),
]


@pytest.mark.parametrize(("name", "line", "variable", "entry", "results"), LAYERS)
def test_the_command_line_beats_the_environment_beats_the_file_beats_the_default(
    here: Path, name: str, line: object, variable: tuple[str, str], entry: str, results: list
) -> None:
    typed, environ = {name: line}, dict([variable])
    assert value(load(f"[loads]\n{entry}", given=typed, environ=environ), name) == results[0]
    assert value(load("[loads]\n", given=typed, environ=environ), name) == results[0]
    assert value(load(f"[loads]\n{entry}", environ=environ), name) == results[1]
    assert value(load(f"[loads]\n{entry}"), name) == results[2]
    assert value(load("[loads]\n"), name) == results[3]


@pytest.mark.parametrize(
    ("given_", "environ", "entry", "left"),
    [
        ({"duration": "5"}, {}, "hits = 3", {"duration"}),
        ({"hits": "3"}, {}, "duration = 5", {"hits"}),
        ({"hits": "3"}, {"LOADS_DURATION": "5"}, "", {"hits"}),
        ({}, {"LOADS_DURATION": "5"}, "hits = 3", {"duration"}),
        ({"hits": "3"}, {}, "hits = 4\nduration = 5", {"hits"}),
        ({"hits": "3"}, {"LOADS_DURATION": "5"}, "duration = 6", {"hits"}),
    ],
)
def test_of_an_exclusive_pair_the_stronger_source_counts(
    here: Path, given_: dict, environ: dict, entry: str, left: set
) -> None:
    loaded = load(f"[loads]\n{entry}", given=given_, environ=environ)
    assert {"hits", "duration"} & set(loaded.settings) == left


@pytest.mark.parametrize(
    ("given_", "environ", "entry", "message"),
    [
        ({"hits": "1", "duration": "1"}, {}, "", "--hits and --duration exclude each other."),
        (
            {},
            {"LOADS_HITS": "1", "LOADS_DURATION": "2"},
            "",
            "LOADS_HITS and LOADS_DURATION exclude each other (in the environment).",
        ),
        ({}, {}, "Hits = 1\nduration = 2", "Hits and duration exclude each other (in loads.ini)."),
    ],
)
def test_one_source_cannot_give_both_of_an_exclusive_pair(
    here: Path, given_: dict, environ: dict, entry: str, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load(f"[loads]\n{entry}", given=given_, environ=environ)
    assert (caught.value.message, caught.value.hint) == (message, "Give one.")


def test_what_is_empty_is_not_given_except_on_the_command_line(here: Path) -> None:
    assert value(load("[loads]\nusers =\n", environ={"LOADS_USERS": ""}), "users") == "1"
    typed = load("[loads]\nserver_url = http://file\n", given={"server-url": ""})
    assert typed.text("server-url") == ""


def test_settings_are_asked_for_by_kind() -> None:
    made = configure(OPTIONS, {"quiet": True, "python-dep": ("a",), "hits": "2"}, {})
    assert (made.flag("quiet"), made.flag("no-patching"), made.flag("hits")) == (True, False, False)
    assert (made.items("python-dep"), made.items("include-file")) == (("a",), ())
    assert (made.text("users"), made.text("server-url")) == ("1", "")
    assert made.source("users") is Source.DEFAULT
    assert made.source("hits") is Source.COMMAND_LINE
    assert made.source("duration") is None


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "items"),
    [
        ("python_dep = a, b", ("a", "b")),
        ("python-dep = a,b,", ("a", "b")),
        ("python_dep = a\n b", ("a", "b")),
        ("python_dep =\n    a\n\n    # a comment\n    b, c\n", ("a", "b", "c")),
        ("PYTHON_DEP : a", ("a",)),
        ("python_dep = requests>=2,<3, rich", ("requests>=2,<3", "rich")),
        ("python_dep = requests[socks,security], rich", ("requests[socks,security]", "rich")),
        ("python_dep =", None),
    ],
)
def test_a_list_has_an_item_on_each_line_or_commas(here: Path, entry: str, items: object) -> None:
    assert value(load(f"[loads]\n{entry}"), "python-dep") == items


@pytest.mark.parametrize(
    ("word", "is_on"),
    [
        *((word, True) for word in ("1", "true", "True", "YES", "on")),
        *((word, False) for word in ("0", "false", "No", "off")),
    ],
)
def test_a_flag_has_words(here: Path, word: str, is_on: bool) -> None:
    assert load(f"[loads]\nno-patching = {word}").flag("no-patching") is is_on
    assert load("[loads]", environ={"LOADS_NO_PATCHING": word}).flag("no-patching") is is_on


def test_ini_as_loads_1_read_it(here: Path) -> None:
    loaded = load(
        """\
        \ufeff# a comment
        [circus]
        users = 3

        [loads]
        fqn = example.TestWebSite.test_something
        users = 5
        include_file = *.py
                       pushtest
        server_url = "http://localhost:9000/%s?a=${b};c"
        Token_ID = 1234
        greeting = hello, world

        [observer:irc]
        channel = #loads
        """.replace("        ", "", 1).replace("\n        ", "\n")
    )
    assert {name: setting.value for name, setting in loaded.settings.items()} == {
        "fqn": "example.TestWebSite.test_something",
        "users": "5",
        "include-file": ("*.py", "pushtest"),
        "server-url": "http://localhost:9000/%s?a=${b};c",
    }
    assert loaded.extra == {"Token_ID": "1234", "greeting": "hello, world"}
    assert loaded.files == (here / "loads.ini",)
    assert loaded.warnings == ()


TOML = """
users = 5
quiet = true
python-dep = ["requests>=2,<3", "rich"]
env = {A = "1", B = 2}
shop = "books"
deep = false
ratio = 0.5
day = 2013-08-01
sizes = [1, 2, [3]]
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("loads.toml", TOML + "[circus]\nusers = 3\n"),
        ("loads.toml", f"[loads]\n{TOML}\n[circus]\nusers = 3\n"),
        ("other.toml", f"[loads]\n{TOML}"),
        ("pyproject.toml", f"[tool.loads]\n{TOML}\n[tool.other]\nusers = 3\n"),
    ],
)
def test_toml(here: Path, name: str, text: str) -> None:
    loaded = load(text, name)
    assert {name: setting.value for name, setting in loaded.settings.items()} == {
        "users": "5",
        "quiet": True,
        "python-dep": ("requests>=2,<3", "rich"),
        "env": ("A=1", "B=2"),
    }
    assert loaded.extra == {
        "shop": "books",
        "deep": "False",
        "ratio": "0.5",
        "day": "2013-08-01",
        "sizes": "1,2,3",
    }
    assert loaded.files == (here / name,)


def test_without_a_name_a_file_in_the_directory_is_read(here: Path) -> None:
    assert locate_file("", here) is None
    (here / "loads.ini").write_text("[loads]\n")
    assert locate_file("", here) is None
    (here / "pyproject.toml").write_text("[project]\nname = 'downloads'\n[tool]\nx = 1\n")
    assert locate_file("", here) is None
    (here / "pyproject.toml").write_text("this is [ broken")
    assert locate_file("", here) is None, "it does not mention us"
    (here / "pyproject.toml").write_text("[tool.loads]\nusers = 2\n")
    found = locate_file("", here)
    assert found and (found.label, found.values) == ("pyproject.toml", {"users": 2})
    (here / "loads.toml").write_text("users = 3\n")
    found = locate_file("", here)
    assert found and (found.label, found.values) == ("loads.toml", {"users": 3})
    assert found.path == here / "loads.toml"
    found = locate_file("loads.ini", here)
    assert found and found.label == "loads.ini"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("loads.ini", "users = 1\n", "loads.ini, line 1: this is outside of any [section]."),
        (
            "loads.ini",
            "[loads]\nusers = 1\nnonsense\n",
            "loads.ini, line 3: this is neither a [section] nor name = value.",
        ),
        ("loads.ini", "[loads]\na = 1\na = 2\n", "loads.ini, line 3: a is given twice."),
        (
            "loads.ini",
            "[loads]\n\n[loads]\n",
            "loads.ini, line 3: there is another section [loads].",
        ),
        ("loads.ini", "[other]\na = 1\n", "loads.ini has no [loads] section."),
        ("loads.ini", "", "loads.ini has no [loads] section."),
        (
            "loads.ini",
            "[loads]\npython_dep = a\npython-dep = b\n",
            "loads.ini: python_dep and python-dep are the same option.",
        ),
        ("loads.ini", b"[loads]\na = \xff\n", "loads.ini is not UTF-8: byte 13 is 0xff."),
        (
            "loads.ini",
            "[loads]\nquiet = maybe\n",
            "quiet = maybe (in loads.ini): it is switched on or off, and this is neither.",
        ),
        (
            "loads.ini",
            "[loads]\nusers = 1\n  2\n",
            'users = "1\\n2" (in loads.ini): it takes one value.',
        ),
        (
            "loads.ini",
            "[loads]\nconfig = other.ini\n",
            "loads.ini: a configuration file cannot name another one.",
        ),
        ("loads.toml", "users = \n", "loads.toml, line 1: Invalid value."),
        ("loads.toml", "users = 1\nusers = 2\n", "loads.toml, line 2: Cannot overwrite a value."),
        ("loads.toml", "a = " + "[" * 3000, "loads.toml: it is nested too deeply."),
        ("loads.toml", "users = [1, 2]", "users = 1, 2 (in loads.toml): it takes one value."),
        (
            "loads.toml",
            "include-file = [['a']]",
            "include-file = ['a'] (in loads.toml): a list within a list makes no sense here.",
        ),
        (
            "loads.toml",
            "[loads.server]\nhost = 'a'\n",
            "loads.toml: server is a table, and tests are given texts only.",
        ),
        (
            "loads.toml",
            "hits = 1\n[loads]\nusers = 2\n",
            "loads.toml has a [loads] section, and hits is outside of it.",
        ),
        ("pyproject.toml", "[tool]\nloads = 3\n", "pyproject.toml has no [tool.loads] section."),
        ("pyproject.toml", "tool = 3\n", "pyproject.toml has no [tool.loads] section."),
    ],
)
def test_a_file_that_cannot_be_understood_is_an_error(
    here: Path, name: str, text: str | bytes, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load(text, name)
    assert caught.value.message == message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["loads.ini", "loads.toml"])
def test_a_file_that_cannot_be_read_is_an_error(here: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"There is no file {name}") as caught:
        read_file(name)
    assert caught.value.hint == "Name another with --config."
    (here / name).mkdir()
    with pytest.raises(UsageError, match=f"{name} cannot be read: Is a directory"):
        read_file(name)
    with pytest.raises(UsageError, match="cannot be read"):
        read_file("\0" + name)


@settings(max_examples=60)
@given(st.text(alphabet=st.sampled_from("[loads]=: \n\t#;\"'ab1,%$\r\x00\u2028é"), max_size=60))
def test_any_text_is_a_file_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    for name in ("any.ini", "any.toml"):
        for body in (text, f"[loads]\n{text}"):
            (folder / name).write_bytes(body.encode())
            try:
                made = configure(OPTIONS, {}, {}, read_file(folder / name, name), EXCLUSIVE)
            except UsageError as error:
                assert "\n" not in error.message
            else:
                assert all(isinstance(text, str) for text in made.extra.values())


@given(st.binary(max_size=60))
def test_any_bytes_are_a_file_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.ini"
    path.write_bytes(b"[loads]\n" + body)
    with suppress(UsageError):
        configure(OPTIONS, {}, {}, read_file(path))


# -- what is no option, and what makes no sense --------------------------------------------------


def test_a_key_that_looks_like_an_option_is_passed_on_with_a_warning(here: Path) -> None:
    loaded = load("[loads]\nuzers = 5\ninclude_fil = a\nsession_token = x\n")
    assert loaded.extra == {"uzers": "5", "include_fil": "a", "session_token": "x"}
    assert loaded.warnings == (
        'warning: loads.ini: "uzers" is no option; did you mean "users"? '
        "It is passed on to the test.",
        'warning: loads.ini: "include_fil" is no option; did you mean "include_file"? '
        "It is passed on to the test.",
    )


@pytest.mark.parametrize(
    ("variable", "warns"),
    [
        ("LOADS_UZERS", True),
        ("LOADS_OUTPUT_JSON_FILENAMES", True),
        ("LOADS_RUNTIME_DIRS", True),
        ("LOADS_SOMETHING_ELSE", False),
        ("LOADS_USERS", False),
        ("LOADS_HOME", False),
        ("LOADS_RUNTIME_DIR", False),
        ("LOADS_REQUIRE_ALL", False),
        ("LOADS_TEST_ID", False),
        ("UZERS", False),
    ],
)
def test_a_variable_that_looks_like_an_option_causes_a_warning(variable: str, warns: bool) -> None:
    assert bool(configure(OPTIONS, {}, {variable: "5"}).warnings) is warns


def test_the_warning_of_a_variable_names_what_was_meant() -> None:
    assert configure(OPTIONS, {}, {"LOADS_UZERS": "5"}).warnings == (
        'warning: "LOADS_UZERS" is no option; did you mean "LOADS_USERS"? It is ignored.',
    )


@pytest.mark.parametrize(
    ("entry", "sources", "message"),
    [
        ("users = abc", {}, "users = abc (in loads.ini): --users abc is not a number."),
        (
            "",
            {"environ": {"LOADS_USERS": "abc"}},
            "LOADS_USERS = abc (in the environment): --users abc is not a number.",
        ),
        ("users = 3", {"given": {"users": "abc"}}, "--users abc is not a number."),
    ],
)
def test_a_bad_value_names_its_source(here: Path, entry: str, sources: dict, message: str) -> None:
    loaded = load(f"[loads]\n{entry}\n", **sources)
    with pytest.raises(UsageError) as caught:
        loaded.read("users", lambda text: parse_cycle("users", text))
    assert caught.value.message == message
    assert isinstance(caught.value.__cause__, PlanError)
    assert caught.value.hint


def test_a_bad_item_of_a_list_names_its_source(here: Path) -> None:
    def refuse(text: str) -> str:
        raise UsageError(f"{text} is bad.")

    with pytest.raises(UsageError, match=r"^env = A, B \(in loads.ini\): A is bad\.$"):
        load("[loads]\nenv = A, B\n").read_items("env", refuse)
    assert load("[loads]\nenv = a, b\n").read_items("env", str.upper) == ("A", "B")
    assert load("[loads]\n").read("hits", int) is None


@pytest.mark.parametrize(
    ("given_", "environ", "spelling"),
    [
        ({"server-url": "\udcff"}, {}, "--server-url"),
        ({"python-dep": ("a", "\udcff")}, {}, "--python-dep"),
        ({}, {"LOADS_SERVER_URL": "\udcff"}, "LOADS_SERVER_URL"),
    ],
)
def test_what_is_no_text_cannot_travel(given_: dict, environ: dict, spelling: str) -> None:
    with pytest.raises(UsageError, match=f"The value of {spelling} is not UTF-8"):
        configure(OPTIONS, given_, environ)


def test_an_ini_file_may_refer_to_variables_and_to_its_place(tmp_path: Path) -> None:
    """As in Loads 1: a name that is not known stays, and two dollars escape one that is."""
    (tmp_path / "loads.ini").write_text(
        "[loads]\nserver_url = http://${HOST}:${PORT}/\n"
        "include_file = ${HERE}/data\n    ${HERE}/more\n"
        "greeting = $5 for ${nobody}, $${HOST} and ${HOST\nagain = ${twice}\n"
    )
    environ = {"HOST": "target", "PORT": "80", "twice": "${HOST}", "LOADS_X": ""}
    found = read_file(tmp_path / "loads.ini", environ=environ).values
    assert found == {
        "server_url": "http://target:80/",
        "include_file": f"{tmp_path}/data\n{tmp_path}/more",
        "greeting": "$5 for ${nobody}, ${HOST} and ${HOST",
        "again": "${HOST}",
    }


def test_sections_of_outputs_and_observers_hold_their_options(tmp_path: Path) -> None:
    (tmp_path / "loads.ini").write_text(
        "[loads]\nobserver = irc\noutput_json_filename = a\n"
        "[observer-irc]\nchannel = #loads\n[output_json]\nfilename = b\n"
        "[observer]\nirc-server = here\n[other]\nusers = 3\n[observer:email]\nport = 9\n"
    )
    assert dict(read_file(tmp_path / "loads.ini").values) == {
        "observer": "irc",
        "observer-irc-channel": "#loads",
        "observer-irc-server": "here",
        "output_json-filename": "b",
        "output_json_filename": "a",
    }


def test_files_that_an_ini_file_extends(tmp_path: Path) -> None:
    """What is beneath fills gaps, what is above replaces, and spelling makes no difference."""
    (tmp_path / "common.ini").write_text(
        "[DEFAULT]\nextends = nothing.ini\nshop = books\n"
        "[loads]\nusers = 1\ninclude-file = a\nagents = 1\n[observer-irc]\nnick = loads\n"
    )
    (tmp_path / "mine.ini").write_text("[loads]\nagents = 9\nhits = 7\n")
    (tmp_path / "loads.ini").write_text(
        "[DEFAULT]\nextends = ${HERE}/common.ini\noverrides = ${WHO}.ini\nusers = 2\nquiet = true\n"
        "[loads]\ninclude_file = b\nquiet = false\nagents = 3\nextends = kept\n"
    )
    assert read_file(tmp_path / "loads.ini", environ={"WHO": "mine"}).values == {
        "shop": "books",
        "users": "2",
        "include_file": "b",
        "quiet": "false",
        "agents": "9",
        "hits": "7",
        "observer-irc-nick": "loads",
        "extends": "kept",
    }


def test_a_file_to_extend_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "loads.ini").write_text("[DEFAULT]\nextends = gone.ini\n[loads]\n")
    with pytest.raises(UsageError, match=r"^loads\.ini: extends = gone\.ini: there is no"):
        read_file(tmp_path / "loads.ini")

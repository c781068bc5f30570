"""Reading sources and references: the formats, and what is said about a file that is not right."""

import gzip
import json

import pytest

from minibert2bert.examples import Example, read_examples


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="data.tsv"):
        path = tmp_path / name
        content = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return path

    return write_file


@pytest.mark.parametrize("name", ["data.tsv", "data.tsv.gz", "data.txt"])
def test_the_first_two_columns_are_source_and_target(write, name):
    path = write("one\teins\tignored\ntwo\tzwei\n", name)
    assert read_examples(path) == [Example("one", ("eins",)), Example("two", ("zwei",))]


def test_nothing_quotes_a_tab_and_only_line_feeds_end_a_line(write):
    path = write('"one\t"eins\u2028 noch\x0b"\r\n  two \tzwei ')
    expected = [Example('"one', ('"eins\u2028 noch\x0b"',)), Example("two", ("zwei",))]
    assert read_examples(path) == expected


def test_columns_have_numbers(write):
    path = write("eins\tuno\tone\n")
    assert read_examples(path, 3, [1, "2"]) == [Example("one", ("eins", "uno"))]


def test_a_name_makes_the_first_line_a_header_with_or_without_a_byte_order_mark(write):
    path = write("\ufeffen\tde\tit\none\teins\tuno\n")
    assert read_examples(path, "en", ["it", "2"]) == [Example("one", ("uno", "eins"))]


def test_a_line_may_have_fewer_references_than_others(write):
    path = write("a\tb\tc\na\t\tc\na\tb\n")
    references = [example.references for example in read_examples(path, 1, [2, 3])]
    assert references == [("b", "c"), ("c",), ("b",)]


@pytest.mark.parametrize("name", ["data.jsonl", "data.jsonl.gz"])
def test_json_has_an_object_a_line_and_a_target_may_be_several(write, name):
    lines = [{"source": "one\ttwo", "target": ["eins", "uno"]}, {"target": "zwei", "source": "two"}]
    path = write("\n".join(map(json.dumps, lines)) + "\n\n", name)
    assert read_examples(path) == [Example("one\ttwo", ("eins", "uno")), Example("two", ("zwei",))]


def test_json_keys_may_be_others(write):
    path = write('{"en": "one", "de": "eins", "it": "uno"}', "data.jsonl")
    assert read_examples(path, "en", ["de", "it"]) == [Example("one", ("eins", "uno"))]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("one,eins", "line 2: expected columns separated by tabs, got 'one,eins'"),
        ("\teins", "line 2: the source, column 1, must be one text, got 0"),
        ("one\t \tx", "line 2: the target, column 2, is empty"),
    ],
)
def test_a_bad_line_is_named_with_its_file(write, line, message):
    path = write(f"one\teins\n{line}\ntwo\tzwei\n")
    with pytest.raises(ValueError, match=message) as caught:
        read_examples(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('["one", "eins"]', "line 1: expected a JSON object, got"),
        ("one\teins", "line 1: expected a JSON object, but"),
        ('{"src": "one", "target": "eins"}', "expected columns source, target, got src, target"),
        ('{"source": ["a", "b"], "target": "c"}', "column source, must be one text, got 2"),
        ('{"source": "a", "target": []}', "column target, is empty"),
        ('{"source": "a", "target": 3}', "column target must be text, got 3"),
    ],
)
def test_a_bad_line_of_json_says_what_it_should_be(write, line, message):
    with pytest.raises(ValueError, match=message):
        read_examples(write(line, "data.jsonl"))


def test_the_first_five_bad_lines_are_listed_and_all_are_counted(write):
    path = write("one\teins\n" + "bad\n" * 7)
    with pytest.raises(ValueError, match="lines that are not right: 7;") as caught:
        read_examples(path)
    assert [f"line {n}:" in str(caught.value) for n in range(2, 9)] == [True] * 5 + [False] * 2


def test_bad_lines_can_be_left_out_and_told_of(write):
    told = []
    found = read_examples(write("bad\none\teins\nworse\n"), on_bad_line=told.append)
    assert found == [Example("one", ("eins",))]
    assert [message.split(":")[0] for message in told] == ["line 1", "line 3"]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_without_examples_is_refused(write, content):
    with pytest.raises(ValueError, match=r"data\.tsv has no examples; expected a line"):
        read_examples(write(content))


def test_an_unknown_column_is_refused_with_the_names_there_are(write):
    path = write("en\tde\none\teins\n")
    with pytest.raises(ValueError, match="no column 'fr' in its first line, but en, de"):
        read_examples(path, "en", ["fr"])


def test_a_line_with_too_few_columns_says_which_it_has(write):
    with pytest.raises(ValueError, match="line 1: expected columns 1, 3, 4, got 1, 2"):
        read_examples(write("one\teins\n"), 1, [3, 4])


def test_columns_are_counted_from_one(write):
    with pytest.raises(ValueError, match="counted from 1, got 0"):
        read_examples(write("one\teins\n"), 0, [1])


def test_another_encoding_is_named_by_line_and_byte_with_the_way_out(write):
    path = write("one\teins\nfünf\tfive\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"byte 2 of line 2 is 0xfc.*iconv -f WINDOWS-1252"):
        read_examples(path)


@pytest.mark.parametrize("damage", [slice(0, -9), slice(2, None)])
def test_a_damaged_gzip_file_is_named(write, damage):
    path = write("one\teins\n" * 99, "data.tsv.gz")
    path.write_bytes(path.read_bytes()[damage])
    with pytest.raises(ValueError, match=r"data\.tsv\.gz must be a whole gzip file"):
        read_examples(path)

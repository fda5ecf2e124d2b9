"""Text files give what their author sees, whatever program wrote them."""

import pytest

from res2net.files import decode_text
from res2net.images.text import (
    BadText,
    distinct_names,
    read_csv,
    read_json,
    read_lines,
    read_text,
    read_yaml,
)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252"]
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_encodings_and_ends_of_lines_are_recognised(tmp_path, encoding, newline):
    file = tmp_path / "classes.txt"
    file.write_bytes(newline.join(["cañon  ", "\tmüll", "", "blau grün"]).encode(encoding))
    assert read_lines(file) == ["cañon", "müll", "", "blau grün"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"\xef\xbb\xbf", ""),
        (b"price \x80 \x92 low", "price € \u2019 low"),
        (b"undefined \x81\xe9", "undefined \x81é"),
        ("\ufeffa\n\ufeffb".encode(), "a\nb"),
        ("\ufeff道路".encode("utf-16-le"), "道路"),
        ("a\x85b\u2028c".encode(), "a\x85b\u2028c"),
    ],
)
def test_rare_texts(data, text):
    assert decode_text(data) == text


def test_only_ends_of_lines_separate_lines(tmp_path):
    (tmp_path / "names").write_bytes("a\x0cb\u2028c\nd".encode())
    assert read_lines(tmp_path / "names") == ["a\x0cb\u2028c", "d"]


@pytest.mark.parametrize(
    "name",
    ["no", "Yes", "on", "off", "true", "null", "~", "1", "0x1F", "1e3", "1_000", "1:30", "2020-01-01", ".inf", "0123"],
)
def test_names_in_yaml_and_csv_stay_names(tmp_path, name):
    yaml, csv = tmp_path / "data.yaml", tmp_path / "classes.csv"
    yaml.write_text(f"names: [{name}, b]\nby_number: {{0: {name}}}\n{name}: key\n")
    csv.write_text(f"file,class\na.jpg,{name}\n")
    assert read_yaml(yaml) == {"names": [name, "b"], "by_number": {"0": name}, name: "key"}
    assert read_csv(csv) == [["file", "class"], ["a.jpg", name]]


@pytest.mark.parametrize(
    "text", ["a,b\n1,x y\n", "a;b\r\n1; x y \r\n\r\n", "a\tb\n1\tx y", '\ufeff"a","b"\n"1","x y"\n', "a;b\n1;x y\n;\n"]
)
def test_csv_of_any_program_has_the_same_fields(tmp_path, text):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    assert read_csv(tmp_path / "a.csv") == [["a", "b"], ["1", "x y"]]


def test_quoted_fields_of_csv_contain_separators_and_lines(tmp_path):
    (tmp_path / "a.csv").write_text('"x;y;z",class\n"1, 2","a\nb"\n')
    assert read_csv(tmp_path / "a.csv") == [["x;y;z", "class"], ["1, 2", "a\nb"]]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_json_of_any_encoding(tmp_path, encoding):
    (tmp_path / "a.json").write_bytes('{"name": "Gerät"}'.encode(encoding))
    assert read_json(tmp_path / "a.json") == {"name": "Gerät"}


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_json, b'{"a": ', "x: it is not valid JSON"),
        (read_json, b"[" * 100_000, "x: it is not valid JSON"),
        (read_json, b"1" * 5000, "x: it is not valid JSON"),
        (read_yaml, b"a: [", "x: it is not valid YAML"),
        (read_yaml, b"[" * 5000, "x: it is not valid YAML"),
        (read_yaml, b"names: {0: cat, 1: dog, 0: cow}", "x: it is not valid YAML .*'0' stands twice"),
        (read_csv, b"a," + b"x" * 200_000, "x: it is not valid CSV"),
        (read_text, None, "x: no such file or directory"),
        (read_json, None, "x: no such file or directory"),
        (read_yaml, None, "x: no such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_in_one_sentence(tmp_path, read, content, message):
    if content is not None:
        (tmp_path / "x").write_bytes(content)
    with pytest.raises(BadText, match=f"^Cannot read .*{message}"):
        read(tmp_path / "x")


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        ([], ()),
        (["a", "b"], ("a", "b")),
        (["part", "a", "part"], ("part (0)", "a", "part (2)")),
        (["", ""], (" (0)", " (1)")),
        (["a", "a", "a (1)"], ("a (0)", "a (1) (1)", "a (1) (2)")),
    ],
)
def test_names_that_classes_share_are_told_apart(names, keys):
    assert distinct_names(names) == keys

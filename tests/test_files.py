"""Files of unknown origin: folders with circles, what is no file, text of any program, YAML and JSON without an end."""

import os
import socket
import time

import pytest

from res2net.files import (
    assumed_encodings,
    check_regular,
    decode_text,
    encodings_note,
    files_in,
    matching,
    parse_yaml,
    read_bytes,
    read_json,
    read_text,
    subfolders,
    walk,
)


def tree(root, *files):
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content")
    return root


def names(root):
    return [os.path.relpath(path, root) for path in walk(root)]


def test_files_come_by_folder_and_name_without_hidden_ones(tmp_path):
    tree(tmp_path, "b.jpg", "a.jpg", "d/z.jpg", "c/deep/y.jpg", ".hidden/x.jpg", "c/.x.jpg")
    assert names(tmp_path) == ["a.jpg", "b.jpg", "c/deep/y.jpg", "d/z.jpg"]


def test_what_systems_leave_in_folders_is_hidden(tmp_path):
    left = ("__MACOSX/a.jpg", "cat/@eaDir/a.jpg/THUMB.jpg", "Thumbs.db", "cat/desktop.ini", "cat/._a.JPG", ".DS_Store")
    tree(tmp_path, "cat/a.JPG", "cat/b.png", *left)
    assert names(tmp_path) == ["cat/a.JPG", "cat/b.png"]
    assert subfolders(tmp_path) == [tmp_path / "cat"]
    assert subfolders(tmp_path / "cat") == []
    assert files_in(tmp_path) == []
    assert files_in(tmp_path / "cat", (".jpg", ".gif")) == [tmp_path / "cat" / "a.JPG"]


@pytest.mark.parametrize(
    ("link", "target"),
    [("cats/again", "."), ("cats/up", ".."), ("cats/root", "/"), ("cats/deep/round", "../../cats"), ("self", "self")],
)
def test_a_circle_of_links_is_walked_once(tmp_path, link, target):
    tree(tmp_path, "cats/a.jpg", "cats/deep/b.jpg", "dogs/c.jpg")
    (tmp_path / link).symlink_to(target)
    assert names(tmp_path / "cats") == ["a.jpg", "deep/b.jpg"]
    assert names(tmp_path) == ["cats/a.jpg", "cats/deep/b.jpg", "dogs/c.jpg"]


def test_many_links_to_each_other_take_no_time(tmp_path):
    for one in range(12):
        tree(tmp_path, f"{one}/image.jpg")
        for other in range(12):
            (tmp_path / str(one) / f"to{other}").symlink_to(tmp_path / str(other))
    started = time.monotonic()
    assert len(names(tmp_path)) == 12
    assert time.monotonic() - started < 5


def test_links_to_other_folders_are_followed_and_folders_come_before_links_to_them(tmp_path):
    tree(tmp_path, "elsewhere/x.jpg", "data/real/y.jpg")
    (tmp_path / "data/a_link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/another").symlink_to("real")
    (tmp_path / "data/file.jpg").symlink_to("../elsewhere/x.jpg")
    assert names(tmp_path / "data") == ["file.jpg", "real/y.jpg", "a_link/x.jpg"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("data/**/*.jpg", ["data/a.jpg", "data/cats/b.jpg", "data/cats/deep/c.jpg"]),
        ("data/**", ["data/a.jpg", "data/cats/b.jpg", "data/cats/d.txt", "data/cats/deep/c.jpg"]),
        ("data/*/*.jpg", ["data/cats/b.jpg"]),
        ("data/c*/**/*.jpg", ["data/cats/b.jpg", "data/cats/deep/c.jpg"]),
        ("**/deep/[a-c].jpg", ["data/cats/deep/c.jpg"]),
        ("data/**/cats/**/c.jpg", ["data/cats/deep/c.jpg"]),
        ("data/?.jpg", ["data/a.jpg"]),
        ("nowhere/**/*.jpg", []),
        ("data/**/*.png", []),
    ],
)
def test_patterns(tmp_path, monkeypatch, pattern, expected):
    monkeypatch.chdir(tree(tmp_path, "data/a.jpg", "data/cats/b.jpg", "data/cats/deep/c.jpg", "data/cats/d.txt"))
    assert matching(pattern) == expected
    assert matching(f"{tmp_path}/{pattern}") == [f"{tmp_path}/{path}" for path in expected]


def test_patterns_do_not_go_in_circles(tmp_path):
    tree(tmp_path, "cats/a.jpg", "dogs/b.jpg")
    for folder in ("cats", "dogs"):
        (tmp_path / folder / "all").symlink_to(tmp_path)
    assert matching(f"{tmp_path}/**/*.jpg") == [f"{tmp_path}/cats/a.jpg", f"{tmp_path}/dogs/b.jpg"]


def special(folder):
    """A pipe, a socket, a link to a device and one to nothing."""
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(folder / "socket.jpg"))
    (folder / "zero.jpg").symlink_to("/dev/zero")
    (folder / "lost.jpg").symlink_to("nowhere.jpg")


def test_what_is_no_file_is_not_listed(tmp_path):
    tree(tmp_path, "a.jpg")
    special(tmp_path)
    assert names(tmp_path) == ["a.jpg"]
    others = [os.path.relpath(path, tmp_path) for path in walk(tmp_path, special=True)]
    assert others == ["lost.jpg", "pipe.jpg", "socket.jpg", "zero.jpg"]


def test_what_is_no_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the address of a socket is short
    special(tmp_path)
    for name, reason in {
        "pipe.jpg": "it is a named pipe, not a file",
        "socket.jpg": "it is a socket, not a file",
        "zero.jpg": "it is a device, not a file",
        "lost.jpg": "No such file or directory",
        ".": "Is a directory",
    }.items():
        for read in (check_regular, read_bytes, read_text, read_json):
            with pytest.raises(OSError) as caught:
                read(name)
            assert caught.value.strerror == reason


def test_a_file_is_read_up_to_a_size(tmp_path):
    file = tmp_path / "large.json"
    with file.open("wb") as opened:
        opened.truncate(2**40)  # takes no space on the disk
    with pytest.raises(OSError, match=r"it has 1,099,511,627,776 bytes, more than 268,435,456"):
        read_text(file)
    assert read_bytes(tree(tmp_path, "a.txt") / "a.txt", 7) == b"content"


def test_a_folder_that_holds_its_data_set_is_no_class(tmp_path):
    tree(tmp_path, "data/cats/a.jpg", "data/dogs/b.jpg", "more/c.jpg")
    for name, target in {"itself": ".", "above": "..", "birds": "../more", ".hidden": "cats"}.items():
        (tmp_path / "data" / name).symlink_to(target)
    assert [folder.name for folder in subfolders(tmp_path / "data")] == ["birds", "cats", "dogs"]


@pytest.mark.parametrize(
    "content",
    [
        "Mäuse\nZoë\n".encode(),
        "Mäuse\r\nZoë\r\n".encode("utf-8-sig"),
        "Mäuse\rZoë\r".encode("cp1252"),
        "Mäuse\nZoë\n".encode("utf-16"),
        "\ufeffMäuse\r\nZoë\r\n".encode("utf-16-be"),
        "\ufeffMäuse\nZoë\n".encode("utf-32-le"),
    ],
)
def test_text_of_any_program(content):
    assert decode_text(content) == "Mäuse\nZoë\n"


def test_json_with_a_byte_order_mark_and_json_without_an_end(tmp_path):
    file = tmp_path / "x.json"
    file.write_text('{"a": [1, "ä"]}', encoding="utf-8-sig")
    assert read_json(file) == {"a": [1, "ä"]}
    file.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(file)
    file.write_text('{"a": ' * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(file)


def test_yaml_with_anchors_and_merged_keys():
    text = "base: &base {lr: 0.1, names: &names [a, b]}\nrun:\n  <<: *base\n  seed: 1\nnames: *names\n"
    assert parse_yaml(text) == {
        "base": {"lr": 0.1, "names": ["a", "b"]},
        "run": {"lr": 0.1, "names": ["a", "b"], "seed": 1},
        "names": ["a", "b"],
    }
    assert parse_yaml("") is None
    assert parse_yaml("# only a comment\n") is None


def bomb(kind):
    """Nine values that each repeat the one before nine times: 9 ** 9 of the last."""
    link = {"lists": "&x{0} [{1}]", "merged": "&x{0} {{<<: [{1}], k{0}: 1}}"}[kind]
    lines = (f"n{i}: {link.format(i, ','.join([f'*x{i - 1}'] * 9))}\n" for i in range(1, 10))
    return "n0: &x0 {k: 1}\n" + "".join(lines)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (bomb("lists"), "its aliases make more than 1,000,000 values"),
        (bomb("merged"), "its aliases make more than 1,000,000 values"),
        ("&a [*a]", "it contains itself"),
        ("a: &a {b: {c: *a}}", "it contains itself"),
        ("[" * 20_000, "it is nested too deeply"),
        ("{a: " * 20_000, "it is nested too deeply"),
        ("".join(f"{' ' * depth}a:\n" for depth in range(1200)), "it is nested too deeply"),
        ("\n\nseed: " + "9" * 5000, "line 3: a number has 5,000 characters"),
        ("seed: 0x" + "f" * 100_000, "line 1: a number has 100,002 characters"),
        ("!!int ''", "a value is not of the type that it says"),
        ("!!bool maybe", "a value is not of the type that it says"),
        ("!!timestamp today", "a value is not of the type that it says"),
        ("date: 2020-13-01", "month must be in 1..12"),
        ("!!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("{[a]: b}", "found unhashable key"),
        ("seed: 1\nlr: [", "line 2: expected the node content"),
        ("a: \x1b[31m", "unacceptable character #x001b"),
    ],
)
def test_yaml_that_is_not_read(text, reason):
    with pytest.raises(ValueError, match=reason.replace("[", r"\[")) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


def test_encodings_that_are_assumed_are_collected(tmp_path):
    contents = {"a": "Straße".encode(), "b": b"\xff\xfea\x00", "c": b"caf\xe9", "d": b"ni\xf1o"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    with assumed_encodings() as found:
        texts = [read_text(tmp_path / name) for name in contents]
    assert texts == ["Straße", "a", "café", "niño"]
    assert found == [str(tmp_path / "c"), str(tmp_path / "d")]
    read_text(tmp_path / "c")
    assert len(found) == 2
    assert encodings_note(found)[0].startswith(f"2 files, such as {tmp_path / 'c'}, are not UTF-8, and taken for Win")
    assert encodings_note([]) == []

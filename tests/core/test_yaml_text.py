import pytest
import yaml

from cxr.core.yaml_text import MAX_VALUES, Lines, parse

pytestmark = pytest.mark.seconds

# Aliases of aliases, ten of each in the next.
BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "values"),
        ("a: &a {x: 1}\nb: &b {<<: [*a, *a]}\nc: &c {<<: [" + ",".join(["*b"] * MAX_VALUES) + "]}", "values"),
        ("&a [*a]", "holds itself"),
        ("[" * 2000, "nested too deeply"),
        ("2001-99-99", "cannot be read"),
        ("9" * 5000, "cannot be read"),
        ("!!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("a: 1\n---\nb: 2", "single document"),
        ("gate:\n  tolerance: 0.9\n  min: 1\n  tolerance: 0.02", "line 4: the key 'tolerance' stands in line 2 already"),
        ("a: 1\nimage_size: 0224", "line 2: 0224 begins with 0, which YAML reads as an octal number; write 224"),
        ("{a: 1, a: 1}", "the key 'a' stands in line 1 already"),
    ],
)
def test_what_is_refused(text, said):
    with pytest.raises(yaml.YAMLError, match=said):
        parse(text)


def test_what_people_write_is_read():
    assert parse("base: &b {x: 1}\nmore: {<<: *b, y: [*b, *b]}") == {"base": {"x": 1}, "more": {"x": 1, "y": [{"x": 1}, {"x": 1}]}}
    assert parse("") is None
    assert parse("a: 1\n---\nb: 2", first=True) == {"a": 1}
    assert parse("", first=True) is None


def test_errors_name_the_place():
    for text in ("a: [", "a: 1\na: 2"):
        with pytest.raises(yaml.YAMLError, match="own.yaml"):
            parse(text, name="own.yaml")


def test_the_same_key_in_two_places_is_none_that_stands_twice():
    assert parse("a: {x: 1}\nb: {x: 1}\nc: &c {x: 1}\nd: *c") == {name: {"x": 1} for name in "abcd"}


def test_a_place_has_a_line():
    lines = Lines("a: 1\nb:\n- x: 1\n- x: 2\nc: &c\n  d: 1\ne: *c\n")
    places = (("a",), ("b", 1, "x"), ("b", 1, "y"), ("e", "d"), ("b", 7), ("a", "z"))
    assert [lines.of(place) for place in places] == [1, 4, 4, 6, 2, 1]
    assert lines.of(("z", "y"), ("c", "d")) == 6
    assert lines.of(("b", 0, "y"), ("c", "z")) == 3  # both lack a step: the one that goes further
    assert lines.of(("z",)) is None
    assert Lines("").of(("a",)) is None

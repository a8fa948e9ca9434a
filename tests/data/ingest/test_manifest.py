import pytest

from cxr.core.errors import CxrError
from cxr.data.ingest.manifest import column_of, read_manifest

PLAIN = "image,label,patient_id\na.png,normal,Müller\nb.png,covid19,Doe\n"
ROWS = [
    (2, {"image": "a.png", "label": "normal", "patient_id": "Müller"}),
    (3, {"image": "b.png", "label": "covid19", "patient_id": "Doe"}),
]


def read(tmp_path, content):
    path = tmp_path / "m.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    columns, rows, warnings = read_manifest(path)
    return columns, list(rows), warnings


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", ", "),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace("image,label,patient_id", "Image,LABEL,Patient ID"),
        PLAIN.replace("image,label,patient_id", '"image","label","patientId"'),
        '"image";"label";"patient_id"\n"a.png";"normal";"Müller"\nb.png;covid19;Doe',
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        b"\xfe\xff" + PLAIN.encode("utf-16-be"),
        PLAIN.replace(",", "\t").encode("utf-16"),
    ],
)
def test_what_spreadsheets_write_is_read(tmp_path, content):
    assert read(tmp_path, content) == (["image", "label", "patient_id"], ROWS, [])


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "SEP=;\r", "\nsep=;"])
def test_first_line_that_names_the_separator(tmp_path, first):
    columns, rows, _ = read(tmp_path, f"{first}\n" + PLAIN.replace(",", ";"))
    shift = 1 + first.count("\n")
    assert rows == [(line + shift, values) for line, values in ROWS]


def test_western_european_text_is_read_with_a_warning(tmp_path):
    _, rows, warnings = read(tmp_path, PLAIN.encode("cp1252"))
    assert rows == ROWS
    assert "m.csv line 2: not in UTF-8, read as cp1252" in warnings[0]
    assert "Müller" not in warnings[0]


def test_empty_lines_columns_and_long_values(tmp_path):
    text = 'image;label;report;;\n\na.png;normal;"two\nlines; ""quoted""";;\n;;;;\nb.png;covid19;x;;\n'
    columns, rows, _ = read(tmp_path, text)
    assert [(line, row["image"], row["report"]) for line, row in rows] == [(3, "a.png", 'two\nlines; "quoted"'), (6, "b.png", "x")]
    assert column_of("Report", columns) is None
    assert column_of("Image", columns) == "image"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("label,patient_id\n", "line 1: no column 'image'; the header needs image and label.*commas, semicolons or tabs"),
        ("image|label\nSECRET.png|normal\n", "line 1: no column 'image'"),
        ("image,label,Image\n", "line 1: column 'image' stands there twice"),
        ("", "line 1: no column 'image'"),
        ("image,label\na.png,normal,SECRET\n", "line 2: has not 2 fields as the header does, but 3; quote values that hold ','"),
        ("image\tlabel\nSECRET\n", "line 2: has not 2 fields as the header does, but 1; quote values that hold tabs"),
        (
            'image,label\nb.png,normal\n"SECRET.png,normal\nc.png,normal\n',
            "line 3: not CSV: a quotation mark is opened there and never closed",
        ),
        ('image,label\n"SECRET.png,normal\nb.png,"normal"\n', "line 2: not CSV: text follows a closing quotation mark"),
        ('image,label\n"SECRET.png,normal\nb.png",normal\n', "line 2: column 'image' holds a line break; is a quotation mark not closed"),
        (
            'image,label\nb.png,normal\n"' + "SECRET\n" * 20_000,
            "line 3: not CSV: a value of more than 131,072 characters; is a quotation mark",
        ),
        (PLAIN.encode("utf-16")[2:], "line 1: holds a zero byte: a binary file, or UTF-16 without its mark; save it as 'CSV UTF-8'"),
        (b"PK\x03\x04\x00\x00\x81\x8d", "line 1: holds a zero byte: a binary file, or UTF-16 without its mark; save it as 'CSV UTF-8'"),
        ("image,label\na.png,normal\nb\0.png,normal".encode("utf-16"), "line 3: holds a zero character; save it"),
        (b"\xff\xfe\x00\x80image", "line 1: no text in UTF-16; save it"),
        (b"image,label\na.png,normal\n\x81SECRET,normal\n", "line 3: no text in UTF-8 or cp1252; save it"),
    ],
)
def test_malformed_manifest_gives_line_and_remedy_and_no_value(tmp_path, content, match):
    with pytest.raises(CxrError, match=rf"m\.csv {match}") as error:
        read(tmp_path, content)
    assert "SECRET" not in str(error.value)

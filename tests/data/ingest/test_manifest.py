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
        (
            "image\tlabel\nSECRET\tSECRET\tSECRET\n",
            "line 2: has not 2 fields as the header does, but 3; quote values that hold tabs",
        ),
        ("image\tlabel\nSECRET\n", "line 2: has not 2 fields as the header does, but 1; write a tab for each value that is not there"),
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


HEAD = "image,label,patient_id,remark\n"


def of_excel(*tails, first=15):
    """The header's block of sixteen rows, one of them over two lines, and rows that end in these texts from line 18 on."""
    rows = [f"{k}.png,normal,P{k},x\n" for k in range(first)]
    rows[-1] = rows[-1].replace(",x", ',"x\ny"')
    return HEAD + "".join(rows) + "".join(f"{k}.png,normal{tail}\n" for k, tail in enumerate(tails, first))


def test_separators_that_excel_leaves_out_are_empty_values(tmp_path):
    """It writes sixteen rows at a time, with separators as far as one of these has a value."""
    text = of_excel(*[",P9"] * 16, *[""] * 16, *[",P9,z"] * 16, ",P9")
    _, rows, _ = read(tmp_path, text)
    assert [(line, tuple(row.values())[1:]) for line, row in (rows[15], rows[31], rows[47], rows[63])] == [
        (18, ("normal", "P9", "")),
        (34, ("normal", "", "")),
        (50, ("normal", "P9", "z")),
        (66, ("normal", "P9", "")),
    ]
    assert len(rows) == 15 + 3 * 16 + 1


def test_empty_fields_beyond_the_header_are_passed_over(tmp_path):
    assert read(tmp_path, PLAIN.replace("Müller", "Müller,,").replace("Doe", "Doe,,"))[1] == ROWS
    assert read(tmp_path, PLAIN.replace("patient_id", "patient_id,,").replace("Doe", "Doe,"))[1] == [
        (line, row | {"": ""}) for line, row in ROWS
    ]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        # A value is missing, or there is one too many, somewhere in the row: others would stand in wrong columns.
        (HEAD + "a.png,normal,PA\nb.png,normal,P1,x\nc.png,normal,P1,x\n", "line 2: has not 4 fields .* but 3; write ',' for each value"),
        (HEAD + "a.png,normal,PA\nb.png,normal,PA\n", "line 2: has not 4 fields .* but 3; write ','"),
        (of_excel(",PA", ",P1,x", ",P1,x"), "line 18: has not 4 fields .* but 3; write ','"),
        (of_excel(",PA", ",P1,x"), "line 18: has not 4 fields .* but 3; write ','"),
        (HEAD + "a.png,normal,,P1,\nb.png,normal,P1,x\nc.png,normal,P1,x\n", "line 2: has not 4 fields .* but 5; remove ',' from its end"),
        (of_excel(",P1", ",P1").removesuffix("1\n"), "line 19: has not 4 fields .* but 3; write ','"),  # a file that was cut off
    ],
)
def test_one_row_of_another_length_may_be_shifted_and_is_refused(tmp_path, text, match):
    with pytest.raises(CxrError, match=match):
        read(tmp_path, text)


def test_all_rows_that_are_none_are_told_to_who_asks(tmp_path):
    found = []
    (tmp_path / "m.csv").write_text('image,label\na.png\nb.png,normal\nc.png,normal,x\n"d\n.png",normal\ne.png,normal\nf.png,"normal\n')
    _, rows, _ = read_manifest(tmp_path / "m.csv", fault=lambda line, values, reason: found.append((line, values["image"], reason)))
    assert [row["image"] for _, row in rows] == ["b.png", "e.png"]
    assert [(line, image) for line, image, _ in found] == [(2, "a.png"), (4, "c.png"), (5, "d\n.png"), (8, "")]
    for part, (*_, reason) in zip(("but 1;", "but 3;", "holds a line break", "never closed"), found, strict=True):
        assert part in reason

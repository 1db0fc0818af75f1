"""PDFs for tests and for the example, written by pypdf: real files, as small as they can be."""

import io
from collections.abc import Sequence

from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

Page = Sequence[tuple[str, int, bool]]  # lines: text, size, bold


def make_pdf(pages: Sequence[Page], *, password: str | None = None, content: bytes | None = None) -> bytes:
    """A PDF of these lines, from the top of each page.

    Args:
        content: drawn on each page in place of its lines.
    """
    writer = PdfWriter()
    fonts = DictionaryObject(
        {
            NameObject(f"/F{number}"): writer._add_object(
                DictionaryObject(
                    {
                        NameObject("/Type"): NameObject("/Font"),
                        NameObject("/Subtype"): NameObject("/Type1"),
                        NameObject("/BaseFont"): NameObject(name),
                        NameObject("/Encoding"): NameObject("/WinAnsiEncoding"),
                    }
                )
            )
            for number, name in enumerate(("/Helvetica", "/Helvetica-Bold"))
        }
    )
    for lines in pages:
        page = writer.add_blank_page(595, 842)
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = DecodedStreamObject()
        stream.set_data(content if content is not None else _drawn(lines))
        page[NameObject("/Contents")] = writer._add_object(stream.flate_encode())
    if password is not None:
        writer.encrypt(password, algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def _drawn(lines: Page) -> bytes:
    y, parts = 790.0, []
    for text, size, bold in lines:
        y -= size * (1.35 if text else 1.0)
        shown = text.encode("cp1252").replace(b"\\", rb"\\").replace(b"(", rb"\(").replace(b")", rb"\)")
        parts.append(b"BT /F%d %d Tf 1 0 0 1 60 %.1f Tm (%s) Tj ET" % (bold, size, y, shown))
    return b"\n".join(parts)

"""From what readers hand over to text, in worker processes: HTML, wikitext, LaTeX, mail, PDF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gristmill.data.sources.mail import MailOptions
from gristmill.data.sources.record import Raw, Record, checked


@dataclass(frozen=True)
class ConvertOptions:
    """markdown: headings, lists and code are marked. The rest concerns one kind of source each."""

    markdown: bool = False
    mail: MailOptions = field(default_factory=MailOptions)
    keep_sections: bool = False
    """Of encyclopaedias: references, links and the like too."""


@dataclass(frozen=True)
class Converter:
    """Picklable; takes Records and Raws, gives a Record for each."""

    options: ConvertOptions

    def __call__(self, items: Sequence[Record | Raw]) -> list[Record]:
        return [checked(item if isinstance(item, Record) else self._one(item)) for item in items]

    def _one(self, raw: Raw) -> Record:
        try:
            record = _KINDS[raw.kind](raw, self.options)
        except ValueError as error:
            return Record(raw.frame.row, problem=str(error)[:200] or "no text")
        if not record.text.strip() and record.problem is None:
            return Record(raw.frame.row, problem="no text")
        return record


def _html(raw: Raw, options: ConvertOptions) -> Record:
    from gristmill.data.extract.page import ExtractedPage, ExtractOptions, extract_page

    assert isinstance(raw.data, bytes)
    found = extract_page(
        raw.data,
        raw.frame.url or "",
        None,
        ExtractOptions(markdown=options.markdown, respect_noindex=False, respect_opt_out=False),
    )
    if not isinstance(found, ExtractedPage):
        return Record(raw.frame.row, problem=found.reason, sample=found.sample)
    fields = found.fields()
    links = tuple(fields.pop("links"))
    return _filled(raw, found.text, fields, links=links)


def _wikitext(raw: Raw, options: ConvertOptions) -> Record:
    from gristmill.data.sources.wikitext import WikitextOptions, wikitext_to_text

    assert isinstance(raw.data, str)
    plain = WikitextOptions(markdown=options.markdown)
    text = wikitext_to_text(
        raw.data,
        replace(
            plain,
            namespaces=plain.namespaces | frozenset(raw.extra),
            dropped_sections=frozenset() if options.keep_sections else plain.dropped_sections,
        ),
    )
    return _filled(raw, text, {})


def _latex(raw: Raw, options: ConvertOptions) -> Record:
    from gristmill.data.sources.latex import project_text

    assert isinstance(raw.data, Mapping)
    title, text = project_text(raw.data, raw.extra[0] if raw.extra else None, options.markdown)
    return _filled(raw, text, {"title": title[:300]})


def _mail(raw: Raw, options: ConvertOptions) -> Record:
    from gristmill.data.sources.mail import message_text

    assert isinstance(raw.data, bytes)
    text, fields, attributes, url = message_text(raw.data, options.mail)
    return _filled(raw, text, fields, attributes=attributes, url=url)


def _pdf(raw: Raw, options: ConvertOptions) -> Record:
    from gristmill.data.sources.pdf import pdf_text

    assert isinstance(raw.data, bytes)
    found = pdf_text(raw.data)
    pages = {"pages": str(found.pages), "pages_without_text": str(found.empty)}
    return _filled(raw, found.text, {"title": found.title, "date": found.date}, attributes=pages)


def _filled(
    raw: Raw,
    text: str,
    fields: Mapping[str, Any],
    *,
    attributes: Mapping[str, str] | None = None,
    links: tuple[str, ...] = (),
    url: str = "",
) -> Record:
    known = {name: value for name, value in fields.items() if value}
    return replace(
        raw.frame,
        text=text,
        fields={**raw.frame.fields, **known},
        attributes={**raw.frame.attributes, **(attributes or {})},
        links=links,
        url=url or raw.frame.url,
    )


_KINDS = {"html": _html, "wikitext": _wikitext, "latex": _latex, "mail": _mail, "pdf": _pdf}

"""What makes the site of these pages: `python -m docs.site`, or `make docs`.

Sphinx with MyST and Furo, because of those that read our Markdown as it is they are the ones that
are maintained: MkDocs has no maintainer since 2024, Material for MkDocs and mkdocstrings end in
2026, and Zensical, their successor, has neither hooks nor a finished reference of an API yet.
Sphinx imports what it documents, so that what is imported late is documented too, and Furo loads
nothing from other hosts.
"""

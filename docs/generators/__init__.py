"""Pages of the reference that are written from the code: `python -m docs.generators`.

One module a page, with `page() -> str`, the whole Markdown text; prose by hand stands in the module around
the tables that the code gives. `pages.PAGES` names them all.
"""

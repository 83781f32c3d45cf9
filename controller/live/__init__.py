"""The live page: what a fleet does now, in a browser, and the document that it reads."""

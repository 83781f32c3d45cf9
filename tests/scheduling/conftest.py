"""`pytest tests/scheduling --rewrite` writes what the machines say now into the golden transcripts."""


def pytest_addoption(parser):
    parser.addoption(
        "--rewrite", action="store_true", help="rewrite the golden transcripts of tests/scheduling"
    )

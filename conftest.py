"""Every example in README, docs and docstrings is a test; laws are tried on the same examples."""

from doctest import ELLIPSIS
from typing import NoReturn

from hypothesis import settings
from sybil import Example, Sybil
from sybil.document import PythonDocStringDocument
from sybil.example import NotEvaluated
from sybil.parsers.myst import PythonCodeBlockParser
from sybil.parsers.rest import DocTestParser

settings.register_profile("rnnr", deadline=None, derandomize=True)
settings.load_profile("rnnr")


class Docstrings(PythonDocStringDocument):
    """Docstrings whose examples import what they use, as a reader has to."""

    def import_document(self, example: Example) -> NoReturn:
        self.pop_evaluator(self.import_document)
        raise NotEvaluated


_pages = Sybil(
    parsers=[PythonCodeBlockParser(doctest_optionflags=ELLIPSIS)],
    patterns=["*.md"],
)
_docstrings = Sybil(
    parsers=[DocTestParser(optionflags=ELLIPSIS)],
    patterns=["src/rnnr/*.py", "src/rnnr/*/*.py"],
    document_types={".py": Docstrings},
)
pytest_collect_file = (_pages + _docstrings).pytest()

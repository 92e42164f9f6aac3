"""The rows as curation left them: the query of a row, and its document."""

from pipeline.view.view import View


class Rows(View):
    """Token ids are computed once and kept for the whole training."""

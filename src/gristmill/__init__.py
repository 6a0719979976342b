"""gristmill: from raw web pages to an aligned, evaluated and served language model."""

__version__ = "0.1.0"

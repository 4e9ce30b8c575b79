from ..corpora.conftest import indexes, roots

__all__ = ["indexes", "roots"]

"""adnlib: thin library behind the notebooks on active distribution networks."""

from .feeder import Feeder, read_feeder
from .version import __version__

__all__ = ["Feeder", "__version__", "read_feeder"]

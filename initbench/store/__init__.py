"""The runs folder: what is in it, how it is written and read."""

from initbench.store.files import RunFiles
from initbench.store.reading import Broken
from initbench.store.runs import Store, folder_name

__all__ = ["Broken", "RunFiles", "Store", "folder_name"]

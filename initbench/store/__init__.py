"""The runs folder: what is in it, how it is written and read."""

from initbench.store.claims import Stay
from initbench.store.files import RunFiles
from initbench.store.reading import Broken
from initbench.store.runs import Store, folder_name
from initbench.store.unfinished import Unfinished

__all__ = ["Broken", "RunFiles", "Stay", "Store", "Unfinished", "folder_name"]

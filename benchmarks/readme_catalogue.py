"""Write README's catalogue of schemes anew, from the registry: `make catalogue`."""

from __future__ import annotations

from readme import replace

from initbench.report.catalogue import catalogue_markdown

if __name__ == "__main__":
    replace("catalogue", catalogue_markdown())

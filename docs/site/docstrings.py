"""The docstrings of data, which Sphinx finds only in the module that assigns them."""

import sys

from sphinx.pycode import ModuleAnalyzer


def data_docstring(path: str, value: object) -> list[str]:
    """Return the lines of the string below the assignment of a public name, wherever that is."""
    name = path.rsplit(".", 1)[1]
    for module in [each for each in sys.modules if each.startswith("qcore.")]:
        if vars(sys.modules[module]).get(name) is value:
            found = ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name))
            if found:
                return found
    return []

"""Put files in the place of the package's own."""

import importlib.abc
import importlib.util
import sys


class Replacement(importlib.abc.MetaPathFinder):
    """Finds modules in other files than where they usually are."""

    def __init__(self, files):
        self.files = files

    def find_spec(self, name, path=None, target=None):
        """Answer for the modules that are replaced, and leave the others to the usual finders."""
        if name not in self.files:
            return None
        return importlib.util.spec_from_file_location(name, self.files[name])


def replace_modules(files):
    """Forget the package, so that its next import takes these files for some of its modules.

    Args:
        files: path by the full name of a module
    """
    for name in list(sys.modules):
        if name == "support" or name.split(".")[0] == "minibert2bert":
            del sys.modules[name]
    sys.meta_path.insert(0, Replacement(files))

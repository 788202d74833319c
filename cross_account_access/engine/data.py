"""Lists that are data: JSON files beside the modules that read them."""

import json
from pathlib import Path
from typing import Any


def read(module: str, name: str) -> Any:
    """Read the JSON file of a name beside a module, given by its `__file__`."""
    return json.loads(Path(module).with_name(name).read_text("utf-8"))

"""Arrow's compute functions. They are made when pyarrow is imported: a checker sees none of them."""

from typing import Any

import pyarrow.compute

compute: Any = pyarrow.compute

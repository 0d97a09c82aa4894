"""Draw the pictures of the documentation: runs the code of docs/pictures.md, and writes docs/pictures/*.png.

    python docs/pictures.py [folder]

Each block of code that an image follows leaves its Axes in `ax` or `axes`; their figure becomes that image.
"""

import os
import re
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "pictures.md"
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\s*!\[[^\]]*\]\((?P<image>[^)]+)\))?", re.MULTILINE | re.DOTALL)
DPI = 120


def draw_all(folder: Path) -> list[Path]:
    """Run the page and write its pictures to a folder; return the files."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    namespace: dict[str, Any] = {}
    files = []
    for block in BLOCK.finditer(PAGE.read_text(encoding="utf-8")):
        namespace.pop("ax", None)
        namespace.pop("axes", None)
        exec(compile(block["code"], str(PAGE.name), "exec"), namespace)
        if block["image"] is None:
            continue
        drawn = namespace["ax"] if "ax" in namespace else namespace["axes"][0]
        files.append(folder / Path(block["image"]).name)
        write(drawn.figure, files[-1])
        plt.close("all")
    return files


def write(figure: Any, file: Path) -> None:
    """Write a small PNG with a palette and without metadata."""
    import io

    from PIL import Image

    raw = io.BytesIO()
    figure.savefig(raw, dpi=DPI, format="png", metadata={"Software": None})
    raw.seek(0)
    with Image.open(raw) as image:
        image.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    os.environ.setdefault("CAUSALOPT_DATA", str(DOCS.parents[1] / "shared" / "data"))
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "pictures"
    target.mkdir(parents=True, exist_ok=True)
    for path in draw_all(target):
        print(f"{path.name:32s} {path.stat().st_size / 1000:5.1f} kB")

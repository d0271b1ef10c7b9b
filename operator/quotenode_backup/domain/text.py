"""Texts for people to read."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def readable_size(size: int) -> str:
    """Bytes with a binary unit and at most one decimal, such as `1.4 GiB`."""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{size} B" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters on one line, without control characters, since `text` can come from anywhere."""
    clean = "".join(char if char.isprintable() else " " for char in text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"

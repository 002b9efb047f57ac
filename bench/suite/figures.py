"""Lists of measured values: how they are compared, and how they are written for people."""
import statistics

TIMES = (("ns", 1), ("µs", 1e3), ("ms", 1e6), ("s", 1e9))
NS_OF = dict(TIMES)


def median(values):
    return statistics.median(as_list(values))


def as_list(values):
    return list(values) if isinstance(values, (list, tuple)) else [values]


def ratios(over, under):
    """Each round's own ratio: neighbours in time, because the machine drifts."""
    return [a / b for a, b in zip(as_list(over), as_list(under))]


def decimals(value):
    """Three digits that mean something."""
    size = abs(value)
    if size == 0 or size >= 99.95:
        return 0
    return 1 if size >= 9.995 else 2 if size >= 0.0995 else 4


def number(value, places=None):
    value = float(value)
    if abs(value) >= 1000:
        return f"{round(value, 3 - len(str(int(abs(value))))):,.0f}"
    if places is None:
        places = 0 if value == int(value) else decimals(value)
    return f"{value:.{places}f}"


def spread(values, unit=""):
    """`median (lowest–highest) unit`; times (ns, µs, ms, s) in whichever of these reads best."""
    values = sorted(as_list(values))
    if not values:
        return "—"
    if unit in NS_OF and median(values) != 0:
        ns = [v * NS_OF[unit] for v in values]
        unit, size = next((u, s) for u, s in reversed(TIMES) if median(ns) >= s or s == 1)
        values = [v / size for v in ns]
    places = 0 if all(v == int(v) for v in values) else decimals(median(values))
    text, low, high = (number(v, places) for v in (median(values), values[0], values[-1]))
    if low != high:
        text += f" ({low}–{high})"
    if not unit:
        return text
    return text + ("" if unit in ("%",) or unit.startswith("/") else " ") + unit


def rounded(data):
    """As it is saved: six digits are more than any of this is worth."""
    if isinstance(data, float):
        return float(f"{data:.6g}")
    if isinstance(data, dict):
        return {str(k): rounded(v) for k, v in data.items()}
    if isinstance(data, (list, tuple)):
        return [rounded(v) for v in data]
    return data

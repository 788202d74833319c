"""What a function has printed: log lines, and metrics in the embedded format of CloudWatch."""

import json
from typing import Any


def printed(text: str) -> tuple[list[dict[str, Any]], dict[str, list[float]]]:
    """Return the log lines, and the values of each metric."""
    lines = [json.loads(line) for line in text.split("\n") if line]
    metrics: dict[str, list[float]] = {}
    for line in lines:
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
            assert (directive["Namespace"], directive["Dimensions"]) == ("CrossAccountApi", [["service"]])
            for metric in directive["Metrics"]:
                metrics.setdefault(metric["Name"], []).extend(line[metric["Name"]])
    return [line for line in lines if "_aws" not in line], metrics

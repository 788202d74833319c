"""What `call-api doctor --json` reports."""

import json
from typing import Any


class Report:
    """A report of doctor."""

    def __init__(self, exit_code: int, text: str) -> None:
        found = json.loads(text)
        self.exit_code = exit_code
        self.healthy: bool = found["healthy"]
        self.next: str = found["next"]
        self.steps: dict[str, dict[str, Any]] = {step["step"]: step for step in found["steps"]}

    def having(self, status: str) -> list[str]:
        """Return the steps that ended so."""
        return [name for name, step in self.steps.items() if step["status"] == status]

    def causes(self, part: str = "likelihood") -> dict[str, str]:
        """Return a part of every cause for which STS may have refused the role."""
        return {cause["name"]: cause[part] for cause in self.steps["AssumeRole"]["causes"]}

    def text(self, step: str) -> str:
        """Return everything that is said about a step."""
        shown = self.steps[step]
        causes = [
            f"{each['name']} {each['likelihood']}: {each['observed']}. {each['remedy']}" for each in shown["causes"]
        ]
        return " | ".join([shown["status"], shown["observed"], shown["expected"], shown["remedy"], *causes])

"""What is said where there is no engine."""

import pytest

from cross_account_lab.containers import image


def test_without_an_engine_it_says_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "ENGINE", "unix:///nonexistent/docker.sock")
    with pytest.raises(
        image.RuntimeImageError, match=r"no Docker engine at unix:///nonexistent/docker\.sock .*DOCKER_HOST"
    ):
        image.docker_client()

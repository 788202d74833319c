"""OpenTelemetry's instrumentation of urllib3 sees each attempt, and no signature breaks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cross_account_api import Client, Timing
from cross_account_lab.judge.gateway import Gateway, gateway_response
from cross_account_lab.judge.loopback import Server
from cross_account_lab.judge.sigv4 import Credentials
from tests.wire.signing.apis import FixedCredentials


@pytest.fixture
def provider() -> TracerProvider:
    return TracerProvider()


@pytest.fixture
def spans(provider: TracerProvider) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor = URLLib3Instrumentor()
    instrumentor.instrument(tracer_provider=provider, url_filter=lambda url: url.partition("?")[0])
    yield exporter
    instrumentor.uninstrument()


@pytest.mark.parametrize("made", ["before", "after"])
def test_three_attempts_are_three_spans(
    made: str, provider: TracerProvider, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    statuses = [503, 503, 200]
    gateway = Gateway({}, lambda *_: gateway_response(statuses.pop(0), {}))
    gateway.keys["AKIDEXAMPLE"] = Credentials("secret", "token")
    with Server(gateway) as server:
        gateway.regions[f"127.0.0.1:{server.port}"] = "eu-west-1"
        if made == "after":
            request.getfixturevalue("spans")
        credentials, soon = FixedCredentials("AKIDEXAMPLE", "secret", "token"), Timing(backoff_base=0)
        client = Client(f"{server.url}/v1", region="eu-west-1", credentials=credentials, timing=soon)
        exporter: InMemorySpanExporter = request.getfixturevalue("spans")
        with provider.get_tracer("test").start_as_current_span("job") as job, client:
            client.get("/orders", query={"q": "hunter2"})

    *attempts, _ = finished = exporter.get_finished_spans()
    assert [_status(span) for span in attempts] == [503, 503, 200]
    assert {span.parent.span_id for span in attempts if span.parent} == {job.get_span_context().span_id}
    assert not [span for span in finished if "hunter2" in str(span.attributes)]
    assert gateway.verdicts == {"accepted": 3}, gateway.refusals
    assert len({received.values("traceparent")[0] for received in gateway.received}) == 3
    assert "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token," in str(gateway.received[0])


def _status(span: ReadableSpan) -> object:
    attributes = span.attributes or {}
    return attributes.get("http.status_code") or attributes.get("http.response.status_code")

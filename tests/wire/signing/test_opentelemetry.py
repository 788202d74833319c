"""OpenTelemetry's instrumentation of urllib3 sees each attempt, and no signature breaks."""

from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cross_account_api import Timing
from cross_account_lab.judge.gateway import gateway_response
from tests.wire.world import World


def status(span: ReadableSpan) -> object:
    attributes = span.attributes or {}
    return attributes.get("http.status_code") or attributes.get("http.response.status_code")


def test_three_attempts_are_three_spans(world: World) -> None:
    provider, exporter, instrumentor = TracerProvider(), InMemorySpanExporter(), URLLib3Instrumentor()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    statuses = [503, 503, 200]
    world.gateway.answer = lambda _: gateway_response(statuses.pop(0), {})

    with world.client(timing=Timing(backoff_base=0)) as client:
        instrumentor.instrument(tracer_provider=provider, url_filter=lambda url: url.partition("?")[0])
        try:
            with provider.get_tracer("test").start_as_current_span("job") as job:
                client.get("/orders", query={"q": "hunter2"})
        finally:
            instrumentor.uninstrument()

    *attempts, _ = finished = exporter.get_finished_spans()
    assert [status(span) for span in attempts] == [503, 503, 200]
    assert {span.parent.span_id for span in attempts if span.parent} == {job.get_span_context().span_id}
    assert not [span for span in finished if "hunter2" in str(span.attributes)]
    accepted = world.gateway.accepted
    assert len({received.values("traceparent")[0] for received in accepted}) == 3, world.gateway.refused
    assert "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token," in str(accepted[0])

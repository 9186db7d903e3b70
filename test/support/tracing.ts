import { context, propagation, trace } from '@opentelemetry/api';
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  type Sampler,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-node';

/** The SDK of OpenTelemetry, registered for this process, with what it has exported. */
export class Tracing {
  private readonly exporter = new InMemorySpanExporter();
  private readonly provider: NodeTracerProvider;

  constructor(sampler?: Sampler) {
    this.provider = new NodeTracerProvider({ sampler, spanProcessors: [new SimpleSpanProcessor(this.exporter)] });
    this.provider.register();
  }

  /** The spans that have ended, with this beginning of their names. */
  spans(name = ''): ReadableSpan[] {
    return this.exporter.getFinishedSpans().filter((span) => span.name.startsWith(name));
  }

  clear(): void {
    this.exporter.reset();
  }

  /** Runs work in a span, as a request does. Returns the span's id and that of its trace. */
  async request(work: () => Promise<unknown>): Promise<{ traceId: string; spanId: string }> {
    return trace.getTracer('test').startActiveSpan('request', async (span) => {
      await work();
      span.end();
      return span.spanContext();
    });
  }

  async end(): Promise<void> {
    await this.provider.shutdown();
    trace.disable();
    context.disable();
    propagation.disable();
  }
}

import { metrics } from '@opentelemetry/api';
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, InMemorySpanExporter, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { type InterceptedDelivery, SparkInterceptor, type SparkInterceptorHooks } from 'nestjs-spark';
import { SparkTelemetryModule } from 'nestjs-spark/otel';
import { spark } from './peers/spark.js';
import type { Peers } from './working-off.js';

@SparkInterceptor()
class Awaits implements SparkInterceptorHooks {
  async aroundHandler(_: InterceptedDelivery, next: () => Promise<void>) {
    await next();
  }
}

@SparkInterceptor()
class Returns implements SparkInterceptorHooks {
  aroundHandler(_: InterceptedDelivery, next: () => Promise<void>) {
    return next();
  }
}

/** Spark with the module, and with an SDK in the process that works. */
const withSdk = (register: () => void) => async (url: string) => {
  const peer = await spark(url, { imports: [SparkTelemetryModule.forRoot()] });
  const work: typeof peer.work = (handled) => {
    register();
    return peer.work(handled);
  };
  return { ...peer, work };
};

function registerWithoutExporter(): void {
  new NodeTracerProvider().register();
  metrics.setGlobalMeterProvider(new MeterProvider());
}

function registerInMemory(): void {
  new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(new InMemorySpanExporter())] }).register();
  const exporter = new InMemoryMetricExporter(AggregationTemporality.DELTA);
  metrics.setGlobalMeterProvider(new MeterProvider({ readers: [new PeriodicExportingMetricReader({ exporter })] }));
}

/** Spark with what may run around a handler. */
export const instruments: Peers = {
  nothing: (url) => spark(url),
  'interceptor that returns next()': (url) => spark(url, { providers: [Returns] }),
  'interceptor that awaits next()': (url) => spark(url, { providers: [Awaits] }),
  telemetry: (url) => spark(url, { imports: [SparkTelemetryModule.forRoot()] }),
  'telemetry and an SDK': withSdk(registerWithoutExporter),
  'telemetry, an SDK and an exporter': withSdk(registerInMemory),
};

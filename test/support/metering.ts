import { type Attributes, metrics } from '@opentelemetry/api';
import {
  AggregationTemporality,
  type DataPoint,
  type Histogram,
  InMemoryMetricExporter,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';

export type Point = DataPoint<number | Histogram>;

/** The SDK of OpenTelemetry for metrics, registered for this process. */
export class Metering {
  private readonly exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  private readonly reader = new PeriodicExportingMetricReader({ exporter: this.exporter, exportIntervalMillis: 1e8 });
  private readonly provider = new MeterProvider({ readers: [this.reader] });

  constructor() {
    metrics.setGlobalMeterProvider(this.provider);
  }

  /** Collects all metrics, as a reader does. */
  async collect(): Promise<MetricData[]> {
    this.exporter.reset();
    await this.reader.forceFlush();
    return this.exporter
      .getMetrics()
      .flatMap(({ scopeMetrics }) => scopeMetrics)
      .flatMap((scope) => scope.metrics);
  }

  /** The points of one metric that have these attributes. */
  async points(name: string, attributes: Attributes = {}): Promise<Point[]> {
    const metric = (await this.collect()).find(({ descriptor }) => descriptor.name === name);
    const points = (metric?.dataPoints ?? []) as Point[];
    return points.filter((point) =>
      Object.entries(attributes).every(([key, value]) => point.attributes[key] === value),
    );
  }

  /** The sum of a metric over the points that have these attributes: of a histogram, how many values it has. */
  async sum(name: string, attributes: Attributes = {}): Promise<number> {
    const points = await this.points(name, attributes);
    return points.reduce((sum, { value }) => sum + (typeof value === 'number' ? value : value.count), 0);
  }

  async end(): Promise<void> {
    await this.provider.shutdown();
    metrics.disable();
  }
}

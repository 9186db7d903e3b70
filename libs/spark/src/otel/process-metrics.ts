import type { OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { type BatchObservableCallback, createNoopMeter, metrics, type Observable } from '@opentelemetry/api';
import type { Subscription } from 'rxjs';
import type { DeliveryReport, RegisteredSpark, SparkRegistry, SweepProgress } from '../index.js';
import { DATA_SOURCE, GROUP, HANDLER, SCOPE, SOURCE, STATE } from './attributes.js';
import { FewValues, MOST_GROUPS } from './few-values.js';
import { StatusCache } from './status-cache.js';
import { STATUS_FIGURES, type StatusFigure } from './status-figures.js';

/** Metrics of what SparkServices report, and of their status. */
export class ProcessMetrics implements OnModuleInit, OnModuleDestroy {
  private readonly meter = metrics.getMeter(SCOPE);
  private readonly groups = new FewValues(MOST_GROUPS);
  private readonly attempts = this.meter.createCounter('spark.delivery.attempts', {
    description: 'Attempts of this process that were settled, by the state of the delivery afterwards',
    unit: '{attempt}',
  });
  private readonly pages = this.meter.createCounter('spark.sweep.pages', {
    description: 'Pages that sweeps of this process have read',
    unit: '{page}',
  });
  private readonly entities = this.meter.createCounter('spark.sweep.entities', {
    description: 'Entities that sweeps of this process have read',
    unit: '{entity}',
  });
  private readonly found = this.meter.createCounter('spark.sweep.events', {
    description: 'New events that sweeps of this process have entered',
    unit: '{event}',
  });
  private readonly figures = STATUS_FIGURES.map((figure) => ({ figure, instrument: this.instrumentOf(figure) }));
  private readonly subscriptions: Subscription[] = [];
  private stopObserving = (): void => {};

  constructor(private readonly registry: SparkRegistry) {}

  /** Without an SDK it subscribes to nothing: Spark makes reports of deliveries only for those who read them. */
  onModuleInit(): void {
    if (this.meter === createNoopMeter()) return;
    const all = this.registry.all();
    for (const { dataSource, service } of all) {
      this.subscriptions.push(
        service.deliveries$.subscribe((report) => this.settled(report, dataSource)),
        service.sweeps$.subscribe(this.sweeps(dataSource)),
      );
    }
    this.observe(all);
  }

  onModuleDestroy(): void {
    this.stopObserving();
    for (const subscription of this.subscriptions) subscription.unsubscribe();
  }

  private settled({ group, handler, state }: DeliveryReport, dataSource: string): void {
    this.attempts.add(1, {
      [GROUP]: this.groups.of(group),
      [HANDLER]: handler,
      [STATE]: state,
      [DATA_SOURCE]: dataSource,
    });
  }

  /** The progress of a sweep is a sum since it began. The sweeps of one process and DataSource follow each other. */
  private sweeps(dataSource: string): (progress: SweepProgress) => void {
    let last: Pick<SweepProgress, 'source' | 'subjects' | 'entered'> | undefined;
    return (progress) => {
      const { source, subjects, entered, done } = progress;
      const isSame = last?.source === source && last.subjects <= subjects && last.entered <= entered;
      const before = isSame ? last! : { subjects: 0, entered: 0 };
      const attributes = { [SOURCE]: source, [DATA_SOURCE]: dataSource };
      if (subjects > before.subjects) this.pages.add(1, attributes);
      this.entities.add(subjects - before.subjects, attributes);
      this.found.add(entered - before.entered, attributes);
      last = done ? undefined : progress;
    };
  }

  /** One reading of the status serves all of its metrics. */
  private observe(all: readonly RegisteredSpark[]): void {
    const caches = all.map(({ dataSource, service }) => ({
      dataSource,
      cache: new StatusCache(dataSource, () => service.status()),
    }));
    const callback: BatchObservableCallback = async (result) => {
      await Promise.all(
        caches.map(async ({ dataSource, cache }) => {
          const status = await cache.get();
          if (!status) return;
          const now = Date.now();
          for (const { figure, instrument } of this.figures)
            for (const [value, attributes] of figure.of(status, now))
              result.observe(instrument, value, { ...attributes, [DATA_SOURCE]: dataSource });
        }),
      );
    };
    const instruments = this.figures.map(({ instrument }) => instrument);
    this.meter.addBatchObservableCallback(callback, instruments);
    this.stopObserving = () => this.meter.removeBatchObservableCallback(callback, instruments);
  }

  private instrumentOf({ name, description, unit, isCounter }: StatusFigure): Observable {
    const options = { description, unit };
    return isCounter
      ? this.meter.createObservableCounter(name, options)
      : this.meter.createObservableGauge(name, options);
  }
}

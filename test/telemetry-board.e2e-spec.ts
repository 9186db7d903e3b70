import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { Injectable } from '@nestjs/common';
import { metrics } from '@opentelemetry/api';
import { PrometheusExporter } from '@opentelemetry/exporter-prometheus';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import { DiscardDelivery, EventSource, GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { SparkTelemetryModule } from 'nestjs-spark/otel';
import { TestClock } from 'nestjs-spark/testing';
import { Entity, PrimaryColumn } from 'typeorm';
import { beforeAll, describe, expect, it } from 'vitest';
import { startApp } from './support/app.js';
import { databases } from './support/databases.js';
import { selectorsOf } from './support/promql.js';

@Entity()
class Parcel {
  @PrimaryColumn() id: number;
}

@Injectable()
class Parcels {
  @EventSource(Parcel, { name: 'parcels' }) *parcels({ id }: Parcel) {
    yield sparkEvent('parcel', id);
  }
  @GroupHandler(/./, { name: 'mails' }) mails({ key }: SparkEvent) {
    if (key === 'mail_2') throw new DiscardDelivery('no address');
  }
}

interface Panel {
  readonly title: string;
  readonly targets?: { readonly expr: string; readonly legendFormat: string }[];
}
interface Board {
  readonly panels: Panel[];
  readonly templating: { readonly list: { readonly name: string; readonly query: string }[] };
}

const file = (path: string) => readFileSync(resolve(import.meta.dirname, '../docs', path), 'utf8');
const board = JSON.parse(file('grafana-spark.json')) as Board;
const page = file('telemetry.md');
const targets = board.panels.flatMap(({ title, targets: all = [] }) => all.map((target) => ({ title, ...target })));
const alerts = /```promql\n([^]*?)```/.exec(page)![1]!.trim().split('\n');

/** A query as Grafana sends it. */
const filledIn = (query: string) =>
  query.replaceAll('$__rate_interval', '5m').replaceAll('$data_source', '.*').replaceAll('$handler', '.*');

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await new Promise<number>((fulfil) => {
    server.listen(0, () => fulfil((server.address() as { port: number }).port));
  });
  await new Promise((fulfil) => server.close(fulfil));
  return port;
}

/** The values of each label, by metric: what Prometheus reads. */
function seriesOf(output: string): Map<string, Map<string, Set<string>>> {
  const series = new Map<string, Map<string, Set<string>>>();
  for (const [, metric, text = ''] of output.matchAll(/^([a-zA-Z_]\w*)(?:\{(.*)\})? \S+$/gm)) {
    const labels = series.get(metric!) ?? new Map<string, Set<string>>();
    series.set(metric!, labels);
    for (const [, label, value] of text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g))
      labels.set(label!, (labels.get(label!) ?? new Set()).add(value!));
  }
  return series;
}

describe.each(databases)('the Grafana board reads what the exporter writes, on $name', (database) => {
  let series: ReturnType<typeof seriesOf>;
  let output: string;

  beforeAll(async () => {
    const port = await freePort();
    const provider = new MeterProvider({ readers: [new PrometheusExporter({ port, host: '127.0.0.1' })] });
    metrics.setGlobalMeterProvider(provider);
    const db = await database.create();
    const app = await startApp({
      database: db,
      entities: [Parcel],
      providers: [Parcels],
      imports: [SparkTelemetryModule.forRoot()],
      clock: new TestClock(),
      spark: { activation: { limit: 0 } },
    });
    try {
      await app.dataSource.query('INSERT INTO parcel (id) VALUES (1)');
      await app.spark.sweep();
      await app.spark.emit([sparkEvent('mail', 1), sparkEvent('mail', 2)]);
      await app.spark.emit(sparkEvent('mail', 1));
      await app.spark.drain();
      await app.dataSource.query(
        `INSERT INTO spark_handler (name, pattern, priority, revision, first_seen_at, last_seen_at) VALUES ('gone', '/nothing/', 0, 1, 1000, 1000)`,
      );
      await app.dataSource.query(
        `INSERT INTO spark_delivery (event_id, handler, state, attempt, priority, suspect, due_at) VALUES (1, 'gone', 'available', 0, 0, 0, 5000)`,
      );
      output = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      series = seriesOf(output);
    } finally {
      await app.close();
      await provider.shutdown();
      metrics.disable();
      await db.drop();
    }
  });

  const labelsOf = (metric: string) => [...(series.get(metric)?.keys() ?? [])];
  const check = (query: string) => {
    const selectors = selectorsOf(filledIn(query));
    expect(selectors).not.toEqual([]);
    for (const { metric, matchers, by } of selectors) {
      expect([...series.keys()]).toContain(metric);
      for (const label of by) expect(labelsOf(metric)).toContain(label);
      for (const { label, operator, value } of matchers) {
        expect(labelsOf(metric)).toContain(label);
        if (operator === '=') expect([...series.get(metric)!.get(label)!]).toContain(value);
      }
    }
    return selectors;
  };

  it.each(targets)('$title: $expr', ({ expr, legendFormat }) => {
    const grouped = check(expr).flatMap(({ by }) => by);
    for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) expect(grouped).toContain(label);
  });

  it.each(alerts)('alert: %s', (query) => void check(query));

  it('its variables are labels of metrics, and its queries use no others', () => {
    const variables = board.templating.list.filter(({ name }) => name !== 'datasource');
    for (const { query } of variables) {
      const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec(query)!;
      expect(labelsOf(metric!)).toContain(label);
    }
    const names = new Set(['__rate_interval', ...variables.map(({ name }) => name)]);
    for (const { expr } of targets) for (const [, name] of expr.matchAll(/\$(\w+)/g)) expect(names).toContain(name);
  });

  it('all metrics are in the table of the page, and all of the table are written', () => {
    const written = new Set(
      [...output.matchAll(/^# TYPE (\w+) (\w+)$/gm)].flatMap(([, name, type]) =>
        name === 'target_info' ? [] : [type === 'counter' ? name!.replace(/_total$/, '') : name!],
      ),
    );
    const tables = page.slice(page.indexOf('## Metrics'), page.indexOf('## Prometheus'));
    const named = [...tables.matchAll(/^\| `([\w.]+)`/gm)].map(([, name]) => name!.replaceAll('.', '_'));
    expect(named.toSorted()).toEqual([...written].toSorted());
  });
});

describe('queries', () => {
  it('that are none are refused', () => {
    expect(() => selectorsOf('sum by (a (b)')).toThrow(SyntaxError);
  });

  it('name their metrics, matchers and groups', () => {
    expect(
      selectorsOf('histogram_quantile(0.9, sum by (le, a) (rate(x_bucket{b="c", d!=""}[5m]))) or vector(0)'),
    ).toEqual([
      {
        metric: 'x_bucket',
        matchers: [
          { label: 'b', operator: '=', value: 'c' },
          { label: 'd', operator: '!=', value: '' },
        ],
        by: ['le', 'a'],
      },
    ]);
  });
});

import type { Attributes } from '@opentelemetry/api';
import type { SparkStatus } from '../index.js';
import { GROUP, HANDLER, PROBLEM, SOURCE, STATE } from './attributes.js';

/** A value of a metric, and its attributes. */
type Figure = [value: number, attributes?: Attributes];

/** A metric that is read from the status of Spark. */
export interface StatusFigure {
  readonly name: string;
  readonly description: string;
  readonly unit: string;
  /** Whether it only grows. */
  readonly isCounter?: true;
  /** @param now in epoch milliseconds */
  readonly of: (status: SparkStatus, now: number) => Figure[];
}

const STATES = ['available', 'waiting', 'running', 'held', 'discarded'] as const;

const secondsFrom = (instant: Date | undefined, now: number): number =>
  instant === undefined ? 0 : Math.max(0, now - instant.getTime()) / 1_000;

/** All but `spark.problems` are of the database, so that all processes report the same. */
export const STATUS_FIGURES: readonly StatusFigure[] = [
  {
    name: 'spark.deliveries',
    description: 'Deliveries that are not completed, by handler and state',
    unit: '{delivery}',
    of: ({ handlers }) =>
      handlers.flatMap(({ handler, ...counts }) =>
        STATES.map((state): Figure => [counts[state], { [HANDLER]: handler, [STATE]: state }]),
      ),
  },
  {
    name: 'spark.backlog.age',
    description: 'Since when the longest waiting delivery of a handler is due',
    unit: 's',
    of: ({ handlers }, now) =>
      handlers.map(({ handler, oldest }) => [secondsFrom(oldest, now), { [HANDLER]: handler }]),
  },
  {
    name: 'spark.held.deliveries',
    description: 'Deliveries that wait for release or discard, by group',
    unit: '{delivery}',
    of: ({ held }) => held.map(({ group, deliveries }) => [deliveries, { [GROUP]: group }]),
  },
  {
    name: 'spark.orphaned.deliveries',
    description: 'Deliveries that wait for handlers that no process has',
    unit: '{delivery}',
    of: ({ orphans }) => orphans.map(({ handler, deliveries }) => [deliveries, { [HANDLER]: handler }]),
  },
  {
    name: 'spark.rechecks.due',
    description: 'Rechecks that are due and that this process can run',
    unit: '{recheck}',
    of: ({ rechecks }) => [[rechecks.due]],
  },
  {
    name: 'spark.recheck.lag',
    description: 'Since when the longest waiting recheck is due',
    unit: 's',
    of: ({ rechecks }, now) => [[secondsFrom(rechecks.oldest, now)]],
  },
  {
    name: 'spark.workers',
    description: 'Processes that handle deliveries',
    unit: '{process}',
    of: ({ workers }) => [[workers.length]],
  },
  {
    name: 'spark.sweep.missed',
    description: 'Events of all sweeps that live capture should have found',
    unit: '{event}',
    isCounter: true,
    of: ({ sources }) => sources.map(({ source, missed }) => [missed, { [SOURCE]: source }]),
  },
  {
    name: 'spark.problems',
    description: 'What went wrong in this process without an error that the application can catch',
    unit: '{problem}',
    isCounter: true,
    of: ({ counts }) =>
      Object.entries(counts).flatMap(([problem, count]): Figure[] =>
        typeof count === 'number' ? [[count, { [PROBLEM]: problem }]] : [],
      ),
  },
];

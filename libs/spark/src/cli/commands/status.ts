import type { HandlerStatus } from '../../inspect/handlers.js';
import type { SourceStatus, SparkStatus, WorkerStatus } from '../../inspect/status.js';
import { onTables } from '../action.js';
import { commandOf } from '../command.js';
import type { Column } from '../output/table.js';

/** `spark status`: how Spark is, in one screen. */
export const statusCommand = () =>
  onTables(
    commandOf(
      {
        usage: 'status',
        does: 'Shows how Spark is: handlers, sources, held deliveries, rechecks and processes',
        examples: ['status -d dist/data-source.js', 'status --json'],
      },
      (command) => command,
    ),
    async ({ service, output, isApplication }) => {
      const status = await service.status();
      output.record(status, () => {
        output.details(summaryOf(status, isApplication));
        output.section('Handlers', HANDLERS, status.handlers);
        output.section('Sources', SOURCES, status.sources);
        output.section('Held deliveries', HELD, status.held);
        output.section('Deliveries that wait for handlers that no process has', ORPHANS, status.orphans);
        output.section('Processes', WORKERS, status.workers);
      });
    },
  );

function summaryOf({ workers, rechecks, handlers }: SparkStatus, isApplication: boolean) {
  const sum = (key: 'available' | 'discarded') => handlers.reduce((total, handler) => total + handler[key], 0);
  // Without the application's sources, all rechecks are those of others.
  const due = isApplication ? rechecks.due : rechecks.others;
  return {
    processes: workers.length,
    'deliveries due': sum('available'),
    discarded: sum('discarded'),
    'rechecks due': due,
  };
}

/** The columns of handlers. */
export const HANDLERS: readonly Column<HandlerStatus>[] = [
  { head: 'HANDLER', of: ({ handler }) => handler },
  { head: 'AVAILABLE', of: ({ available }) => available },
  { head: 'WAITING', of: ({ waiting }) => waiting },
  { head: 'RUNNING', of: ({ running }) => running },
  { head: 'HELD', of: ({ held }) => held },
  { head: 'DISCARDED', of: ({ discarded }) => discarded },
  { head: 'PAUSED SINCE', of: ({ paused }) => paused },
];

/** The columns of sources. */
export const SOURCES: readonly Column<SourceStatus>[] = [
  { head: 'SOURCE', of: ({ source }) => source },
  { head: 'LAST SWEEP', of: ({ finished }) => finished },
  { head: 'FOUND', of: ({ foundBySweep }) => foundBySweep },
  { head: 'MISSED', of: ({ missed }) => missed },
  {
    head: 'NOW',
    of: ({ sweeping, paused }) => (paused ? 'paused' : sweeping ? `sweeping, ${sweeping.passed} rows` : ''),
  },
];

const HELD: readonly Column<SparkStatus['held'][number]>[] = [
  { head: 'GROUP', of: ({ group }) => group },
  { head: 'DELIVERIES', of: ({ deliveries }) => deliveries },
];

const ORPHANS: readonly Column<SparkStatus['orphans'][number]>[] = [
  { head: 'HANDLER', of: ({ handler }) => handler },
  { head: 'DELIVERIES', of: ({ deliveries }) => deliveries },
  { head: 'SINCE', of: ({ since }) => since },
  { head: 'LAST SEEN', of: ({ lastSeen }) => lastSeen },
];

/** The columns of processes. */
export const WORKERS: readonly Column<WorkerStatus>[] = [
  { head: 'PROCESS', of: ({ id }) => id },
  { head: 'HOST', of: ({ host }) => host },
  { head: 'PID', of: ({ pid }) => pid },
  { head: 'STARTED', of: ({ started }) => started },
];

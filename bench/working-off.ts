import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Arm } from './contest.js';
import { ownDatabase } from './database.js';
import type { Peer } from './peers/peer.js';

/** Those that can handle jobs, by name. */
export type Peers = Readonly<Record<string, (postgresUrl: string) => Promise<Peer>>>;

/** An arm whose work is done by other processes. */
export interface WorkedOff extends Arm {
  /** The CPU time of the processes in each round, in ms, from the first job on. */
  readonly cpu: number[];
  close(): Promise<void>;
}

/** What a process that works reports: how many more jobs it has handled, or at its end its CPU time in ms. */
type Report = { readonly handled: number } | { readonly cpu: number };

/**
 * Jobs that are recorded already: until processes have handled them all. Its program calls {@link workOff}.
 *
 * @param beside the name of one that works beside them, and handles nothing itself
 */
export async function workingOff(
  all: Peers,
  name: string,
  events: number,
  processes: number,
  beside?: string,
): Promise<WorkedOff> {
  const { options, drop } = await ownDatabase('postgres');
  const { url } = options as { url: string };
  const peer = await all[name]!(url);
  await peer.reset();
  let workers: ChildProcess[] = [];
  const cpu: number[] = [];
  return {
    name,
    cpu,
    async prepare() {
      await peer.reset();
      await peer.fill(events);
      const names = [...Array.from({ length: processes }, () => name), ...(beside === undefined ? [] : [beside])];
      workers = names.map((one) => fork(process.env.BENCH_PROGRAM!, [one, url]));
      for (const worker of workers) await once(worker, 'message');
    },
    async run() {
      const began = performance.now();
      let left = events;
      await new Promise<void>((resolve) => {
        for (const worker of workers) {
          worker.on('message', (report: Report) => {
            if ('handled' in report) left -= report.handled;
            if (left <= 0) resolve();
          });
          worker.send('begin');
        }
      });
      const ms = performance.now() - began;
      if (left < 0) throw new Error(`${name} handled ${-left} events too many`);
      let sum = 0;
      for (const worker of workers) {
        worker.on('message', (report: Report) => {
          if ('cpu' in report) sum += report.cpu;
        });
        worker.send('end');
        await once(worker, 'exit');
      }
      cpu.push(sum);
      return ms;
    },
    async close() {
      await peer.close();
      await drop();
    },
  };
}

/** The program of a process that works: it begins when it gets the message to, and reports how many jobs it has handled. */
export async function workOff(all: Peers): Promise<void> {
  const [name, url] = process.argv.slice(2) as [string, string];
  const peer = await all[name]!(url);
  let handled = 0;
  let reported = 0;
  let began: NodeJS.CpuUsage | undefined;
  const report = () => {
    if (handled > reported) process.send!({ handled: handled - reported });
    reported = handled;
  };
  process.on('message', (message) => {
    if (message === 'begin') {
      setInterval(report, 5);
      void peer.work(() => {
        began ??= process.cpuUsage();
        if (++handled % 1_000 === 0) report();
      });
    } else {
      const { user, system } = process.cpuUsage(began);
      process.send!({ cpu: (user + system) / 1_000 });
      void peer.close().then(() => process.exit());
    }
  });
  process.send!('ready');
}

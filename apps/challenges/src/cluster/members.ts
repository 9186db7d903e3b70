import { type ChildProcess, fork } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Role } from '../settings.js';

/** A process of the cluster, by the name that its lines begin with. */
export interface Member {
  readonly name: string;
  readonly role: Role;
}

// How long after its start a process that ends is not started again, in milliseconds: it would end again.
const TOO_SOON = 5_000;
// How long a process has to stop, in milliseconds.
const STOP = 15_000;

/** Starts processes of this program, starts those again that die, and ends all of them. */
export class Members {
  private readonly running = new Set<ChildProcess>();
  private isEnding = false;

  constructor(
    private readonly env: NodeJS.ProcessEnv,
    private readonly print: (line: string) => void,
    /** Called when a process cannot be started. */
    private readonly onHopeless: () => void,
  ) {}

  /** Starts a process, and waits until it is ready. */
  async start(member: Member): Promise<void> {
    const { name, role } = member;
    const child = fork(process.argv[1]!, {
      env: { ...this.env, ROLE: role },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    const began = performance.now();
    this.running.add(child);
    for (const stream of [child.stdout!, child.stderr!])
      createInterface(stream).on('line', (line) => this.print(`[${name}] ${line}`));
    const ready = new Promise<void>((resolve) => child.once('message', () => resolve()));
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.once('exit', (code, signal) => {
      this.running.delete(child);
      if (this.isEnding) return;
      this.print(`${name} (process ${child.pid}) has ended by ${signal ?? code}.`);
      if (performance.now() - began < TOO_SOON && signal === null) this.onHopeless();
      else void this.start(member);
    });
    await Promise.race([ready, ended]);
    if (this.running.has(child)) this.print(`${name} is process ${child.pid}.`);
  }

  /** Ends all processes. Those that do not stop are killed. */
  async end(): Promise<void> {
    this.isEnding = true;
    const children = [...this.running];
    const ended = children.map((child) => new Promise((resolve) => child.once('exit', resolve)));
    for (const child of children) child.kill('SIGTERM');
    const timer = setTimeout(() => children.forEach((child) => child.kill('SIGKILL')), STOP);
    await Promise.all(ended);
    clearTimeout(timer);
  }
}

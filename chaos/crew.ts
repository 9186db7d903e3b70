import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { StallingProxy } from '../test/support/stalling-proxy.js';
import { type ActorInput, type Fate, LEASE, type JournalEntry, type Silence } from './faults.js';

/** A time in which a process, or all of them, could not do what they were about to. */
export interface Fault {
  /** Which process; left out: all. */
  readonly life?: number;
  readonly from: number;
  readonly to: number;
}

// A point that a process does not come by is waited for so long.
const PATIENCE = 8_000;
// The shortest time in which a process that resumes could do what it may not do any more.
const AFTERWARDS = 1_000;
// Long enough for others to have done what it had claimed.
const STALL = LEASE.ttl + 3_000;
// So long after a silence a process looks for deliveries again, whether there is something to do for it or not.
const BACK = 30_000;

/** The processes of a round: starts them, strikes them by their fates, and remembers what it did. */
export class Crew {
  readonly faults: Fault[] = [];
  readonly entries: JournalEntry[] = [];
  /** When each process ended. */
  readonly ends = new Map<number, number>();
  kills = 0;
  killsInFlight = 0;
  stalls = 0;
  readonly silences: Silence[] = [];
  /** Processes that did not come back to work after a silence. */
  readonly neverBack: string[] = [];
  private readonly running = new Map<number, ChildProcess>();
  private readonly struck = new Map<number, () => void>();
  private read = 0;
  private readonly log: number;

  constructor(private readonly folder: string) {
    this.log = openSync(join(folder, 'journal'), 'a+');
  }

  start(input: ActorInput): ChildProcess {
    const actor = fork(process.env.CHAOS_ACTOR!, [JSON.stringify(input)], { cwd: tmpdir(), stdio: 'inherit' });
    this.running.set(input.life, actor);
    actor.once('exit', () => {
      this.running.delete(input.life);
      this.ends.set(input.life, Date.now());
      this.faults.push({ life: input.life, from: Date.now() - 200, to: Date.now() });
    });
    return actor;
  }

  /** Lets a process live until it is killed. Returns whether that was its fate, not poison or mere patience. */
  async live(
    input: ActorInput & { fate: Fate },
    { proxy, whenReady }: { proxy: StallingProxy | undefined; whenReady: () => Promise<void> },
  ): Promise<boolean> {
    const { life, fate } = input;
    const actor = this.start(input);
    const exited = new Promise<void>((resolve) => actor.once('exit', () => resolve()));
    const ready = new Promise<void>((resolve) => actor.once('message', () => resolve()));
    const struck = new Promise<void>((resolve) => this.struck.set(life, resolve));
    // It works before it is ready, where a carrier takes time to start.
    await Promise.race([ready, exited, struck]);
    // The database was away while it started, which ends it as it should.
    if (actor.exitCode !== null) return false;
    const beside = whenReady();
    const patience = fate.point === undefined ? fate.after : PATIENCE;
    await Promise.race([exited, struck, delay(patience)]);
    if (fate.kind === 'stall' && isAlive(actor)) await this.stall(life, actor);
    if (fate.kind === 'silence' && isAlive(actor)) await this.silence(input, actor, proxy!);
    if (fate.kind !== 'kill') await Promise.race([exited, delay(AFTERWARDS + fate.after)]);
    await this.untilAtWork(input.life);
    actor.kill('SIGKILL');
    await exited;
    proxy?.drop();
    await beside;
    this.buried(life, actor);
    return fate.point === undefined || this.entries.some((entry) => entry.life === life && entry.point === fate.point);
  }

  /** Reads what processes have recorded since. */
  readJournal(): void {
    const buffer = Buffer.alloc(64 * 1024);
    for (let lines = ''; ;) {
      const size = readSync(this.log, buffer, 0, buffer.length, this.read);
      lines = buffer.toString('utf8', 0, size);
      const whole = lines.lastIndexOf('\n') + 1;
      if (whole === 0) return;
      this.read += Buffer.byteLength(lines.slice(0, whole));
      for (const line of lines.slice(0, whole).trim().split('\n')) this.onEntry(JSON.parse(line) as JournalEntry);
    }
  }

  /** How many times something was recorded, by the counts of its entries. */
  count(kind: JournalEntry['kind']): number {
    return this.entries.filter((entry) => entry.kind === kind).reduce((sum, { count = 1 }) => sum + count, 0);
  }

  /** How often processes logged each error, without its numbers. */
  errors(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { text } of this.entries) {
      const alike = text?.replace(/[\da-f]*\d[\da-f.-]*/g, 'N');
      if (alike !== undefined) counts.set(alike, (counts.get(alike) ?? 0) + 1);
    }
    return counts;
  }

  end(): void {
    for (const actor of this.running.values()) actor.kill('SIGKILL');
    closeSync(this.log);
  }

  /** A kill is worth most in the midst of work. */
  private async untilAtWork(life: number): Promise<void> {
    for (let tries = 0; tries < 500 && this.inFlight(life) === 0; tries++) await delay(2);
  }

  private inFlight(life: number): number {
    return this.counts(life).inFlight;
  }

  /** How much is in flight, and how many looks were answered. */
  private counts(life: number): { inFlight: number; looks: number } {
    const [inFlight = 0, looks = 0] = readFileSync(join(this.folder, `flight-${life}`), 'utf8')
      .trim()
      .split(/ +/)
      .map(Number);
    return { inFlight, looks };
  }

  private async stall(life: number, actor: ChildProcess): Promise<void> {
    const from = Date.now();
    this.stalls++;
    actor.kill('SIGSTOP');
    // A process that is stalled at any time cannot record it.
    const entry: JournalEntry = { life, at: Date.now(), kind: 'stall' };
    writeSync(this.log, `${JSON.stringify(entry)}\n`);
    await delay(STALL);
    actor.kill('SIGCONT');
    this.faults.push({ life, from: from - 200, to: Date.now() });
  }

  private async silence({ life, fate }: ActorInput, actor: ChildProcess, proxy: StallingProxy): Promise<void> {
    const silence = fate!.silence!;
    // Connections may stay silent, and what was sent arrive late, until it is killed.
    this.faults.push({ life, from: Date.now() - 200, to: Infinity });
    this.silences.push(silence);
    proxy.stall({ newOnes: silence.newOnes });
    // At a point it stops itself, so that it does not go on before its connections are silent. It may do so a moment after it has said so.
    const goingOn = setInterval(() => actor.kill('SIGCONT'), 20);
    await delay(silence.length);
    clearInterval(goingOn);
    if (silence.ends === 'goes on') proxy.goOn();
    if (silence.ends === 'breaks') proxy.drop();
    const { looks } = this.counts(life);
    const isBack = () => !isAlive(actor) || this.counts(life).looks > looks;
    for (const ended = Date.now(); !isBack() && Date.now() - ended < BACK;) await delay(20);
    if (!isBack()) this.neverBack.push(`process ${life} (${fate!.point ?? 'at any time'}, ${silence.ends})`);
  }

  private onEntry(entry: JournalEntry): void {
    this.entries.push(entry);
    const { life, at, kind } = entry;
    if (kind === 'lease-lost') this.faults.push({ life, from: at - 2 * LEASE.ttl, to: at });
    if (kind === 'stall') this.faults.push({ life, from: at, to: at });
    if (kind === 'stall' || kind === 'silence' || kind === 'kill' || kind === 'poison') this.struck.get(life)?.();
  }

  private buried(life: number, actor: ChildProcess): void {
    this.readJournal();
    this.kills++;
    if (actor.signalCode !== 'SIGKILL') throw new Error(`Process ${life} ended by itself with ${actor.exitCode}`);
    const killedItself = this.entries.some((entry) => entry.life === life && isDeath(entry));
    if (killedItself || this.inFlight(life) > 0) this.killsInFlight++;
  }
}

/** Whether a process has not ended. */
export const isAlive = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode === null && signalCode === null;

const isDeath = ({ kind }: JournalEntry): boolean => kind === 'kill' || kind === 'poison';
